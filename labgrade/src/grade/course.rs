//! The course's workspace, and a copy of it with a student's rooms in the place of the solution.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::submission::ROOMS;
use crate::handout::starter::{Labs, starter};
use crate::labs::{Lab, Package};
use crate::mutants::catalogue::Catalogue;
use crate::tree::Tree;

/// What is in the course's repository, and not for the build of a submission.
/// What `container/make_autograder` leaves at home is among it, so that a policy that was checked here is known there.
const NOT_NEEDED: [&str; 8] = [
    "mutants/",
    "handout/",
    "docs/staff/",
    "docs/kill-matrix.md",
    ".git",
    ".ci/",
    ".cargo/",
    ".devcontainer/",
];
/// The lint by which a crate refuses unsafe code whatever its sources say.
const FORBIDS_UNSAFE: &str = "unsafe_code = \"forbid\"";

/// The course's own files.
pub(crate) struct Course {
    pub(crate) root: PathBuf,
    files: Tree,
}

impl Course {
    /// Reads the workspace at `root`, whether it is a git repository or not.
    pub(crate) fn open(root: &Path) -> io::Result<Course> {
        let no_course = |problem: &str| {
            io::Error::other(format!("{} is not the labs' workspace: {problem}", root.display()))
        };
        // Before reading what may be anything.
        if !root.join("Cargo.toml").is_file() {
            return Err(no_course("it has no Cargo.toml"));
        }
        let files = Tree::of_workspace(root).or_else(|_| without_git(root));
        let files = files.map_err(|error| no_course(&format!("it cannot be read: {error}")))?;
        let course = Course { root: root.to_owned(), files };
        let text =
            |name: &str| course.files.files.get(name).map(|text| String::from_utf8_lossy(text).into_owned());
        let obeys = |room: &&&str| {
            let manifest = text(&format!("{}/Cargo.toml", room.trim_end_matches("/src")));
            manifest.is_some_and(|manifest| manifest.contains("[lints]\nworkspace = true"))
        };
        let problem = match text("Cargo.toml") {
            None => "its Cargo.toml is not in its repository".to_owned(),
            Some(manifest) if !manifest.contains(FORBIDS_UNSAFE) => {
                format!("its Cargo.toml does not say {FORBIDS_UNSAFE} in [workspace.lints.rust]")
            }
            Some(_) => match ROOMS.iter().find(|room| !obeys(room)) {
                None => return Ok(course),
                Some(room) => format!("the crate of {room} does not take the workspace's lints"),
            },
        };
        Err(no_course(&problem))
    }

    /// Its files, here and as students have them.
    pub(crate) fn handed_out(&self) -> Vec<Tree> {
        let starters = [Labs::All, Labs::Raft].map(|labs| starter(&self.files, labs).ok());
        [Some(self.files.clone())].into_iter().chain(starters).flatten().collect()
    }

    /// The solution, if the course keeps it here.
    pub(crate) fn solution(&self) -> Tree {
        rooms(&self.files)
    }

    /// The correct variants of the solution that the course keeps among its mutants: their names, their rooms, and the labs that
    /// they are solutions of.
    pub(crate) fn variants(&self) -> io::Result<Vec<(String, Tree, Vec<Lab>)>> {
        let catalogue = Catalogue::read(&self.root.join("mutants"), &self.files)?.map_err(|complaints| {
            io::Error::other(complaints.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        })?;
        let variants = catalogue.variants.into_iter();
        Ok(variants.map(|variant| (variant.name, rooms(&variant.tree), variant.about.labs)).collect())
    }

    /// What students start from.
    pub(crate) fn starter(&self) -> Tree {
        let starter = self
            .files
            .files
            .iter()
            .filter_map(|(name, text)| Some((name.strip_prefix("handout/")?.to_owned(), text.clone())));
        let mut starter = Tree { files: starter.collect() };
        starter.files.retain(|name, _| in_room(name));
        starter
    }

    /// The workspace to build, with `rooms` in it. A room that is missing is an empty crate.
    pub(crate) fn with(&self, rooms: &Tree) -> Tree {
        let mut tree = self.files.clone();
        tree.files.retain(|name, _| {
            !in_room(name) && !NOT_NEEDED.iter().any(|unneeded| name.starts_with(unneeded))
        });
        tree.files.extend(rooms.files.iter().map(|(name, text)| (name.clone(), text.clone())));
        for room in ROOMS {
            tree.files.entry(format!("{room}/lib.rs")).or_insert_with(|| b"//! Not handed in.\n"[..].into());
        }
        tree
    }
}

/// Whether a submission has something for this package.
pub(crate) fn has_room(rooms: &Tree, package: Package) -> bool {
    rooms.files.contains_key(&format!("{}/src/lib.rs", package.name()))
}

/// What a tree has in the students' rooms.
fn rooms(tree: &Tree) -> Tree {
    let files = tree.files.iter().filter(|(name, _)| in_room(name));
    Tree { files: files.map(|(name, text)| (name.clone(), text.clone())).collect() }
}

fn in_room(name: &str) -> bool {
    ROOMS.iter().any(|room| name.starts_with(&format!("{room}/")))
}

/// Everything but what builds leave behind, and dependencies.
pub(crate) fn without_git(root: &Path) -> io::Result<Tree> {
    let mut tree = Tree::default();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_file() {
            tree.files.insert(name, fs::read(entry.path())?.into());
        } else if !matches!(name.as_str(), "target" | ".git" | "vendor" | "lab-output") {
            let below = Tree::of_directory(&entry.path())?.files.into_iter();
            tree.files.extend(below.map(|(file, text)| (format!("{name}/{file}"), text)));
        }
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(manifest: &str) -> (tempfile::TempDir, io::Result<Course>) {
        let place = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("Cargo.toml", manifest),
            ("raft/Cargo.toml", "[lints]\nworkspace = true\n"),
            ("kvraft/Cargo.toml", "[lints]\nworkspace = true\n"),
            ("raft/src/lib.rs", "solution"),
            ("raft/src/extra.rs", "solution"),
            ("raft/tests/suite.rs", "tests"),
            ("kvraft/src/lib.rs", "solution"),
            ("handout/raft/src/lib.rs", "starter"),
            ("docs/staff/threats.md", "staff"),
            ("mutants/1.patch", "bug"),
            ("target/debug/x", "built"),
        ] {
            let path = place.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let course = Course::open(place.path());
        (place, course)
    }

    #[test]
    fn the_students_rooms_replace_the_solution_whole() {
        let course = course("unsafe_code = \"forbid\"").1.unwrap();
        let rooms = Tree { files: [("raft/src/lib.rs".to_owned(), b"theirs"[..].into())].into() };
        let tree = course.with(&rooms);
        let names: Vec<_> = tree.files.keys().map(String::as_str).collect();
        let expected = [
            "Cargo.toml",
            "kvraft/Cargo.toml",
            "kvraft/src/lib.rs",
            "raft/Cargo.toml",
            "raft/src/lib.rs",
            "raft/tests/suite.rs",
        ];
        assert_eq!(names, expected);
        assert_eq!(&tree.files["raft/src/lib.rs"][..], b"theirs");
        assert_eq!(&tree.files["kvraft/src/lib.rs"][..], b"//! Not handed in.\n");
        assert!(has_room(&rooms, Package::Raft) && !has_room(&rooms, Package::KvRaft));
        assert_eq!(&course.starter().files["raft/src/lib.rs"][..], b"starter");
        assert_eq!(course.solution().files.len(), 3);
    }

    /// Else what is known of a policy here would not hold there, nor results be taken for equal.
    #[test]
    fn what_the_container_has_not_makes_no_difference() {
        let script = include_str!("../../container/make_autograder");
        let left_out =
            script.split_once("grep -zvE '").and_then(|(_, rest)| rest.split_once('\'')).unwrap().0;
        let (directories, others) = left_out.strip_prefix("^(").and_then(|it| it.split_once(")/|")).unwrap();
        let names = directories.split('|').map(|name| format!("{name}/"));
        let names = names.chain(others.split('|').map(|name| name.trim_matches(['^', '$']).to_owned()));
        for name in names.map(|name| name.replace('\\', "")) {
            assert!(in_room(&name) || NOT_NEEDED.iter().any(|it| name.starts_with(it)), "{name}");
        }
    }

    #[test]
    fn a_workspace_that_does_not_forbid_unsafe_code_is_refused() {
        let error = course("[workspace]").1.err().unwrap().to_string();
        assert!(error.contains("does not say unsafe_code"), "{error}");
        let error = Course::open(tempfile::tempdir().unwrap().path()).err().unwrap().to_string();
        assert!(error.ends_with("is not the labs' workspace: it has no Cargo.toml"), "{error}");
    }
}
