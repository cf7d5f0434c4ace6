//! What of a course's files is for students, and what stands in the place of the solution.

use super::lock;
use crate::tree::Tree;

/// For which labs a tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Labs {
    /// 2A to 2D: Raft
    #[value(name = "2")]
    Raft,
    /// 2A to 3B: Raft, and the key/value service on it
    #[value(name = "3")]
    All,
}

/// What students get: whole directories, and single files. What a course adds elsewhere, be it its policies or its notes, is not
/// among it.
const GIVEN: [&str; 19] = [
    ".cargo/",
    ".devcontainer/",
    "docs/",
    "kvraft/",
    "labcodec/",
    "labdocs/",
    "labgrade/",
    "labnode/",
    "labrpc/",
    "labsim/",
    "labtest/",
    "linearizability/",
    "raft/",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "rustfmt.toml",
];
/// Of that, what they do not get: the solution, a benchmark of what only the solution has, the staff's documents, and checks of the
/// whole repository.
const KEPT_BACK: [&str; 9] = [
    "docs/kill-matrix.md",
    "docs/staff/",
    "kvraft/benches/",
    "kvraft/src/",
    "labdocs/tests/",
    "labgrade/cluster/",
    "labgrade/container/",
    "labgrade/tests/",
    "raft/src/",
];
/// What only the key/value service needs.
const OF_LAB_3: [&str; 2] = ["kvraft", "linearizability"];
/// Sections of manifests about files that are kept back.
const SECTIONS: [(&str, &str); 2] = [("kvraft/Cargo.toml", "[[bench]]"), ("labgrade/Cargo.toml", "[[test]]")];

/// What is wrong with a course's files.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StarterError {
    #[error("{0} is not among the course's files")]
    Missing(&'static str),
    #[error("{0} is not text")]
    NotText(&'static str),
    #[error("Cargo.lock cannot be read: {0}")]
    Lock(String),
}

/// The tree for students.
pub(crate) fn starter(course: &Tree, labs: Labs) -> Result<Tree, StarterError> {
    let is_given = |name: &str| {
        let of = |rule: &str| name == rule || rule.ends_with('/') && name.starts_with(rule);
        GIVEN.iter().any(|rule| of(rule)) && !KEPT_BACK.iter().any(|rule| of(rule))
    };
    let mut tree = course.clone();
    tree.files.retain(|name, _| is_given(name));
    let ours = course.files.iter().filter_map(|(name, contents)| {
        let name = name.strip_prefix("handout/")?;
        let theirs = ["raft/src/", "kvraft/src/"].iter().any(|room| name.starts_with(room));
        (theirs || matches!(name, "README.md" | "Makefile")).then(|| (name.to_owned(), contents.clone()))
    });
    tree.files.extend(ours);
    for needed in ["README.md", "Cargo.toml", "Cargo.lock", "raft/src/lib.rs", "kvraft/src/lib.rs"] {
        if !tree.files.contains_key(needed) {
            return Err(StarterError::Missing(needed));
        }
    }
    for (manifest, section) in SECTIONS {
        edit(&mut tree, manifest, |text| Ok(without_section(text, section)))?;
    }
    if labs == Labs::Raft {
        let of_lab_3 = |name: &str| {
            OF_LAB_3
                .iter()
                .any(|package| name.strip_prefix(package).is_some_and(|rest| rest.starts_with('/')))
        };
        // The harness's own tests judge histories, as tests of lab 3 do.
        tree.files.retain(|name, _| !of_lab_3(name) && !name.starts_with("labtest/tests/"));
        edit(&mut tree, "labtest/Cargo.toml", |text| Ok(without_section(text, "[dev-dependencies]")))?;
        edit(&mut tree, "Cargo.toml", |text| Ok(without_members(text)))?;
        edit(&mut tree, "Cargo.lock", |text| lock::without(text, &OF_LAB_3).map_err(StarterError::Lock))?;
    }
    Ok(tree)
}

/// Changes a text file, if there is such.
fn edit(
    tree: &mut Tree,
    name: &'static str,
    change: impl FnOnce(&str) -> Result<String, StarterError>,
) -> Result<(), StarterError> {
    if let Some(contents) = tree.files.get_mut(name) {
        let text = std::str::from_utf8(contents).map_err(|_| StarterError::NotText(name))?;
        *contents = change(text)?.into_bytes().into();
    }
    Ok(())
}

/// The manifest without sections of this name; each ends with an empty line.
fn without_section(manifest: &str, section: &str) -> String {
    let mut within = false;
    let kept = manifest.lines().filter(|line| {
        within = *line == section || within && !line.is_empty();
        !within
    });
    kept.map(|line| format!("{line}\n")).collect()
}

/// The workspace's manifest without the packages of lab 3, which it lists in single lines.
fn without_members(manifest: &str) -> String {
    let of_package = |line: &&str| OF_LAB_3.iter().any(|package| line.starts_with(&format!("{package} = ")));
    let mut text: String =
        manifest.lines().filter(|line| !of_package(line)).map(|line| format!("{line}\n")).collect();
    for package in OF_LAB_3 {
        text = text.replace(&format!("\"{package}\", "), "").replace(&format!(", \"{package}\""), "");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::grade::course::without_git;

    fn course() -> Tree {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        Tree::tracked(&root).or_else(|_| without_git(&root)).unwrap()
    }

    /// Lines as they are compared: a change of indentation or of a comment's sign hides nothing. What all files have alike
    /// is left out. What all files have is left out.
    fn lines(text: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(text).into_owned();
        let bare = |line: &str| {
            let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
            line.trim_start_matches(['/', '!', '#', '*', ' ']).to_owned()
        };
        let common = ["#[", "#![", "use ", "mod "];
        text.lines()
            .filter(|line| !common.iter().any(|begin| line.trim_start().starts_with(begin)))
            .map(bare)
            .filter(|line| line.chars().filter(|c| c.is_alphanumeric()).count() > 3)
            .collect()
    }

    /// So long that no two authors write the same line.
    const LONG: usize = 60;
    /// So many lines, one after the other, are no coincidence either.
    const RUN: usize = 4;

    /// Where lines of the solution stand that are not the starter's too: single long ones, and runs of any.
    fn betrayed(tree: &Tree, course: &Tree) -> Vec<String> {
        let room = |name: &str| name.starts_with("raft/src/") || name.starts_with("kvraft/src/");
        let known = |of: &dyn Fn(&str) -> bool| -> (BTreeSet<String>, BTreeSet<Vec<String>>) {
            let texts: Vec<_> =
                course.files.iter().filter(|(name, _)| of(name)).map(|(_, text)| lines(text)).collect();
            let long = texts.iter().flatten().filter(|line| line.len() >= LONG).cloned().collect();
            (long, texts.iter().flat_map(|text| text.windows(RUN).map(<[String]>::to_vec)).collect())
        };
        let (secret_lines, secret_runs) = known(&room);
        let (own_lines, own_runs) = known(&|name| name.strip_prefix("handout/").is_some_and(room));
        let mut found = Vec::new();
        for (name, text) in &tree.files {
            let lines = lines(text);
            let secret = |line: &&String| secret_lines.contains(*line) && !own_lines.contains(*line);
            found.extend(lines.iter().filter(secret).map(|line| format!("{name}: {line}")));
            let secret = |run: &&[String]| secret_runs.contains(*run) && !own_runs.contains(*run);
            found.extend(lines.windows(RUN).filter(secret).map(|run| format!("{name}: {}", run.join("\n"))));
        }
        found
    }

    #[test]
    fn no_line_of_the_solution_is_handed_out() {
        let course = course();
        for labs in [Labs::All, Labs::Raft] {
            assert_eq!(betrayed(&starter(&course, labs).unwrap(), &course), [""; 0]);
        }
    }

    #[test]
    fn lines_of_the_solution_are_noticed_however_they_are_dressed() {
        let course = course();
        let tree = starter(&course, Labs::All).unwrap();
        let solution = String::from_utf8_lossy(&course.files["raft/src/election.rs"]).into_owned();
        let long = solution.lines().find(|line| line.trim().len() > 80).unwrap();
        let body: Vec<_> =
            solution.lines().filter(|line| line.starts_with("        ")).take(2 * RUN).collect();
        for hidden in [format!("    // {}\n", long.trim()), body.join("\n\n")] {
            let mut tree = tree.clone();
            tree.files.insert("labnode/src/extra.rs".into(), hidden.as_bytes().into());
            assert_ne!(betrayed(&tree, &course), [""; 0], "{hidden}");
        }
    }

    #[test]
    fn students_get_what_they_need_and_nothing_of_the_staffs() {
        let mut course = course();
        for extra in
            ["policy.toml", "secret", "hidden/raft/tests/suite.rs", "docs/staff/x.md", "labgrade/tests/x.rs"]
        {
            course.files.insert(extra.into(), b"secret"[..].into());
        }
        let tree = starter(&course, Labs::All).unwrap();
        for needed in [
            ".gitignore",
            "Cargo.lock",
            "Makefile",
            "README.md",
            "docs/lab-2a.md",
            "docs/rust-for-this-lab.md",
            "docs/troubleshooting.md",
            "docs/zh/lab-2a.md",
            "kvraft/tests/suite.rs",
            "labgrade/src/main.rs",
            "labsim/examples/support.rs",
            "labtest/src/lib.rs",
            "raft/src/raft.rs",
            "raft/tests/suite.rs",
        ] {
            assert!(tree.files.contains_key(needed), "{needed}");
        }
        assert_eq!(tree.files["raft/src/raft.rs"], course.files["handout/raft/src/raft.rs"]);
        let secret = tree.files.iter().filter(|(name, text)| {
            ["mutants", "handout", "docs/staff", "labgrade/tests", ".ci", "CONTRIBUTING"]
                .iter()
                .any(|it| name.starts_with(it))
                || text[..] == b"secret"[..]
        });
        assert_eq!(secret.count(), 0);
        let manifest = String::from_utf8_lossy(&tree.files["labgrade/Cargo.toml"]).into_owned();
        assert!(!manifest.contains("[[test]]") && manifest.contains("[dependencies]"), "{manifest}");
    }

    #[test]
    fn a_tree_for_lab_2_knows_nothing_of_the_service() {
        let tree = starter(&course(), Labs::Raft).unwrap();
        assert!(!tree.files.keys().any(|name| OF_LAB_3.iter().any(|package| name.starts_with(package))));
        for file in ["Cargo.toml", "Cargo.lock"] {
            let text = String::from_utf8_lossy(&tree.files[file]).into_owned();
            assert!(
                text.contains("labrpc")
                    && !OF_LAB_3.iter().any(|package| text.contains(&format!("\"{package}\""))),
                "{text}"
            );
        }
    }

    #[test]
    fn a_course_without_starter_files_is_told() {
        let mut course = course();
        course.files.retain(|name, _| !name.starts_with("handout/kvraft"));
        assert_eq!(starter(&course, Labs::All), Err(StarterError::Missing("kvraft/src/lib.rs")));
    }

    #[test]
    fn sections_are_taken_out_whole() {
        let manifest =
            "[a]\nx = 1\n\n[[test]]\nname = \"t\"\ntest = false\n\n[b]\ny = 2\n\n[[test]]\nname = \"u\"\n";
        assert_eq!(without_section(manifest, "[[test]]"), "[a]\nx = 1\n\n\n[b]\ny = 2\n\n");
    }
}
