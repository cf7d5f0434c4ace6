//! The sources of a workspace, in memory: read, patched, and written to a scratch copy.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::{fs, mem};

use diffy::patch_set::{FileOperation, ParseOptions, PatchSet};

/// Files by their paths relative to the root, with `/` between the parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    /// Contents are shared between the trees that have them.
    pub(crate) files: BTreeMap<String, Arc<[u8]>>,
}

/// Why a patch cannot be applied.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PatchError {
    #[error("this is no unified diff: {0}")]
    Malformed(String),
    #[error("the diff changes no file")]
    Empty,
    #[error("{0}: there is no such file")]
    NoFile(String),
    #[error("{0}: the file is to be created, but exists")]
    Exists(String),
    #[error("{0}: not a text file in UTF-8")]
    NotText(String),
    #[error("{file}: hunk {hunk} does not apply; it expects\n{expected}")]
    Hunk { file: String, hunk: usize, expected: String },
    #[error("{0}: applying the diff changes nothing")]
    NoChange(String),
}

impl Tree {
    /// What git knows of in the working tree at `root`, and new files that it does not ignore. Where there is no git
    /// repository, an error says so.
    pub(crate) fn of_workspace(root: &Path) -> io::Result<Tree> {
        Tree::listed_by_git(root, &["--cached", "--others", "--exclude-standard"])
    }

    /// The same without new files: notes, and other people's solutions, may lie about.
    pub(crate) fn tracked(root: &Path) -> io::Result<Tree> {
        Tree::listed_by_git(root, &["--cached"])
    }

    fn listed_by_git(root: &Path, which: &[&str]) -> io::Result<Tree> {
        let listed = Command::new("git").args(["ls-files", "-z"]).args(which).current_dir(root).output()?;
        if !listed.status.success() {
            let why = String::from_utf8_lossy(&listed.stderr).trim().to_owned();
            return Err(io::Error::other(format!("git ls-files in {}: {why}", root.display())));
        }
        let names = String::from_utf8(listed.stdout).map_err(io::Error::other)?;
        let mut tree = Tree::default();
        for name in names.split_terminator('\0') {
            match fs::read(root.join(name)) {
                Ok(contents) => drop(tree.files.insert(name.to_owned(), contents.into())),
                // Deleted, and git not yet told.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io::Error::new(error.kind(), format!("{name}: {error}"))),
            }
        }
        Ok(tree)
    }

    /// All files under `directory`, whether git knows of them or not.
    pub(crate) fn of_directory(directory: &Path) -> io::Result<Tree> {
        let mut tree = Tree::default();
        let mut waiting = vec![PathBuf::new()];
        while let Some(at) = waiting.pop() {
            for entry in fs::read_dir(directory.join(&at))? {
                let entry = entry?;
                let path = at.join(entry.file_name());
                if entry.file_type()?.is_dir() {
                    waiting.push(path);
                } else {
                    let name = path.to_string_lossy().into_owned();
                    tree.files.insert(name, fs::read(entry.path())?.into());
                }
            }
        }
        Ok(tree)
    }

    /// Replaces everything under `directory` by `other`'s files under it.
    pub(crate) fn replace(&mut self, directory: &str, other: &Tree) {
        let prefix = format!("{directory}/");
        self.files.retain(|name, _| !name.starts_with(&prefix));
        let theirs = other.files.iter().filter(|(name, _)| name.starts_with(&prefix));
        self.files.extend(theirs.map(|(name, contents)| (name.clone(), contents.clone())));
    }

    /// Applies a unified diff of one or several files, whose paths have one part before the root's, as in `a/raft/...`.
    /// Lines may have moved since it was made, but must all be there.
    pub(crate) fn apply(&mut self, diff: &str) -> Result<(), PatchError> {
        let mut changed = BTreeMap::new();
        for patch in PatchSet::parse(diff, ParseOptions::unidiff()) {
            let patch = patch.map_err(|error| PatchError::Malformed(error.to_string()))?;
            let (from, to) = match patch.operation().strip_prefix(1) {
                FileOperation::Modify { original, modified } => {
                    (Some(original.to_string()), Some(modified.to_string()))
                }
                FileOperation::Create(path) => (None, Some(path.to_string())),
                FileOperation::Delete(path) => (Some(path.to_string()), None),
                other => return Err(PatchError::Malformed(format!("{other:?} is not supported"))),
            };
            let Some(file) = to.clone().or(from.clone()) else { continue };
            let Some(text) = patch.patch().as_text() else { return Err(PatchError::NotText(file)) };
            let before = match &from {
                Some(name) => {
                    let bytes = self.files.get(name).ok_or_else(|| PatchError::NoFile(name.clone()))?;
                    std::str::from_utf8(bytes).map_err(|_| PatchError::NotText(name.clone()))?
                }
                None if self.files.contains_key(&file) => return Err(PatchError::Exists(file)),
                None => "",
            };
            let after = diffy::apply(before, text).map_err(|error| hunk_error(&file, text, &error))?;
            if from == to && after == before {
                return Err(PatchError::NoChange(file));
            }
            changed.extend(from.map(|name| (name, None)));
            changed.extend(to.map(|name| (name, Some(after.into_bytes().into()))));
        }
        if changed.is_empty() {
            return Err(PatchError::Empty);
        }
        for (name, contents) in changed {
            match contents {
                Some(contents) => self.files.insert(name, contents),
                None => self.files.remove(&name),
            };
        }
        Ok(())
    }

    /// A number that is the same for equal trees, whatever the compiler and the machine.
    pub(crate) fn fingerprint(&self) -> u64 {
        let parts = self.files.iter().flat_map(|(name, contents)| [name.as_bytes(), &contents[..]]);
        fingerprint(parts)
    }
}

/// FNV-1a over the parts and their lengths.
pub(crate) fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    parts.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, part| {
        let hash = (part.len() as u64).to_le_bytes().iter().fold(hash, mix);
        part.iter().fold(hash, mix)
    })
}

/// Names the hunk and shows its lines that should have been there.
fn hunk_error(file: &str, patch: &diffy::Patch<'_, str>, error: &diffy::ApplyError) -> PatchError {
    // The library says the number, and nothing else, in its message.
    let hunk = error.to_string().rsplit('#').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let lines = patch.hunks().get(hunk.max(1) - 1).map_or(&[][..], diffy::Hunk::lines);
    let expected = lines.iter().filter_map(|line| match line {
        diffy::Line::Context(text) | diffy::Line::Delete(text) => Some(format!("    {}", text.trim_end())),
        diffy::Line::Insert(_) => None,
    });
    PatchError::Hunk { file: file.to_owned(), hunk, expected: expected.collect::<Vec<_>>().join("\n") }
}

/// A directory that is made to hold one tree after another. Only what differs is written, so that a build there
/// compiles no more than it must.
#[derive(Debug)]
pub(crate) struct Scratch {
    directory: PathBuf,
    holds: Tree,
}

impl Scratch {
    /// Takes over `directory`, which is made if it is not there. What it holds stays until it is in the way.
    pub(crate) fn open(directory: &Path) -> io::Result<Scratch> {
        fs::create_dir_all(directory)?;
        Ok(Scratch { directory: directory.to_owned(), holds: Tree::of_directory(directory)? })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes the directory hold `tree` and nothing else.
    pub(crate) fn hold(&mut self, tree: &Tree) -> io::Result<()> {
        // Should a write fail, nothing is known any more.
        let held = mem::take(&mut self.holds);
        for name in held.files.keys().filter(|name| !tree.files.contains_key(*name)) {
            fs::remove_file(self.directory.join(name))?;
        }
        for (name, contents) in tree.files.iter().filter(|(name, now)| held.files.get(*name) != Some(now)) {
            let path = self.directory.join(name);
            fs::create_dir_all(path.parent().unwrap_or(&self.directory))?;
            fs::write(path, contents)?;
        }
        self.holds = tree.clone();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().into()));
        Tree { files: files.collect() }
    }

    const DIFF: &str = "\
--- a/raft/src/a.rs
+++ b/raft/src/a.rs
@@ -1,3 +1,3 @@
 one
-two
+deux
 three
";

    #[test]
    fn a_patch_changes_creates_and_deletes() {
        let mut it = tree(&[("raft/src/a.rs", "one\ntwo\nthree\n"), ("old", "x\n"), ("other", "y\n")]);
        let more = "\
diff --git a/new b/new
new file mode 100644
index 0000000..e69de29
--- /dev/null
+++ b/new
@@ -0,0 +1 @@
+n
diff --git a/old b/old
deleted file mode 100644
--- a/old
+++ /dev/null
@@ -1 +0,0 @@
-x
";
        it.apply(&format!("{DIFF}{more}")).unwrap();
        assert_eq!(it, tree(&[("raft/src/a.rs", "one\ndeux\nthree\n"), ("new", "n\n"), ("other", "y\n")]));
    }

    #[test]
    fn lines_may_have_moved() {
        let mut it = tree(&[("raft/src/a.rs", "zero\nzero\none\ntwo\nthree\nfour\n")]);
        it.apply(DIFF).unwrap();
        assert_eq!(it, tree(&[("raft/src/a.rs", "zero\nzero\none\ndeux\nthree\nfour\n")]));
    }

    #[test]
    fn a_patch_that_does_not_apply_names_file_and_hunk_and_changes_nothing() {
        let second = "@@ -8,2 +8,2 @@\n eight\n-nine\n+neuf\n";
        let before = tree(&[("raft/src/a.rs", "one\ntwo\nthree\n8\nnine\n")]);
        let mut it = before.clone();
        let error = it.apply(&format!("{DIFF}{second}")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "raft/src/a.rs: hunk 2 does not apply; it expects\n    eight\n    nine"
        );
        assert_eq!(it, before);
    }

    #[test]
    fn what_is_no_patch_is_said_to_be_none() {
        let one = ("raft/src/a.rs", "one\ntwo\nthree\n");
        let refused = |files: &[(&str, &str)], diff: &str| tree(files).apply(diff).unwrap_err().to_string();
        assert_eq!(refused(&[], DIFF), "raft/src/a.rs: there is no such file");
        assert!(refused(&[one], "").contains("diff"), "empty");
        assert!(refused(&[one], "nothing\nof the kind\n").contains("diff"), "text");
        let cut_short = DIFF.strip_suffix(" three\n").unwrap();
        assert!(refused(&[one], cut_short).starts_with("this is no unified diff"), "cut short");
        let creates = "--- /dev/null\n+++ b/raft/src/a.rs\n@@ -0,0 +1 @@\n+n\n";
        assert_eq!(refused(&[one], creates), "raft/src/a.rs: the file is to be created, but exists");
        let idle = DIFF.replace("+deux", "+two");
        assert_eq!(refused(&[one], &idle), "raft/src/a.rs: applying the diff changes nothing");
    }

    #[test]
    fn a_scratch_directory_holds_what_it_is_told_and_touches_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::open(place.path()).unwrap();
        let first = tree(&[("a/x", "1"), ("b", "2"), ("c", "3")]);
        scratch.hold(&first).unwrap();
        assert_eq!(Tree::of_directory(place.path()).unwrap(), first);
        let written = |name: &str| fs::metadata(place.path().join(name)).unwrap().modified().unwrap();
        let before = written("b");
        // Taken over by another process, which must find out what is there.
        let mut scratch = Scratch::open(place.path()).unwrap();
        let second = tree(&[("a/x", "other"), ("b", "2"), ("d/e", "5")]);
        scratch.hold(&second).unwrap();
        assert_eq!(Tree::of_directory(place.path()).unwrap(), second);
        assert_eq!(written("b"), before);
    }

    #[test]
    fn a_directory_is_replaced_whole() {
        let mut it = tree(&[("raft/src/a", "1"), ("raft/src/b", "2"), ("raft/srcs", "3")]);
        it.replace("raft/src", &tree(&[("raft/src/a", "new"), ("README", "no")]));
        assert_eq!(it, tree(&[("raft/src/a", "new"), ("raft/srcs", "3")]));
    }

    #[test]
    fn fingerprints_tell_names_from_contents() {
        let prints = [tree(&[("a", "b")]), tree(&[("ab", "")]), tree(&[("", "ab")]), tree(&[])];
        let mut prints = prints.map(|it| it.fingerprint());
        prints.sort_unstable();
        assert!(prints.is_sorted_by(|a, b| a < b), "{prints:?}");
    }
}
