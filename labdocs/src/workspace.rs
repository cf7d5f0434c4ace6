//! What there is in the repository that a page may name.

use std::fs;
use std::path::{Path, PathBuf};

/// The top of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the crate's parent")
}

/// All files below `dir` whose names end in `.` and `extension`, in order.
pub fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries: Vec<PathBuf> = match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| entry.expect("an entry").path()).collect(),
        Err(error) => panic!("{}: {error}", dir.display()),
    };
    entries.sort();
    for path in entries {
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    found
}

/// The labs' tests, by the file that has them: each function of a suite whose name ends in its lab, and each scenario.
pub fn lab_tests() -> Vec<(PathBuf, String)> {
    let mut tests = Vec::new();
    for package in ["raft", "kvraft"] {
        for file in files(&root().join(package).join("tests"), "rs") {
            let text = fs::read_to_string(&file).expect("a source file");
            let functions = text.match_indices("#[test]\nfn ").map(|(at, head)| {
                let name = &text[at + head.len()..];
                name[..name.find('(').expect("a function")].to_string()
            });
            tests.extend(functions.filter(|name| lab_of(name).is_some()).map(|name| (file.clone(), name)));
        }
    }
    for file in files(&root().join("raft/tests/scenarios"), "txt") {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        tests.push((file, name));
    }
    tests
}

/// The lab that a test's name ends in.
pub fn lab_of(test: &str) -> Option<&'static str> {
    ["2A", "2B", "2C", "2D", "3A", "3B"]
        .into_iter()
        .find(|lab| test.strip_suffix(lab).is_some_and(|rest| rest.ends_with('_')))
}

/// The packages of the workspace.
pub fn packages() -> Vec<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace's manifest");
    let (_, list) = manifest.split_once("\nmembers = [").expect("a list of members");
    let (list, _) = list.split_once(']').expect("its end");
    list.split('"').skip(1).step_by(2).map(String::from).collect()
}
