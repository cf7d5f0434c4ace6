//! Takes in what a student handed in: the Rust files of the two rooms that are theirs, and nothing else.
//!
//! A directory or a ZIP archive. Only `raft/src/**/*.rs` and `kvraft/src/**/*.rs` are taken, below whatever one
//! directory the archive wraps them in. Nothing is ever unpacked: what is taken is read into memory, within limits on
//! number, size and depth, on what an archive declares as well as on what really comes out of it. What could only be
//! meant to harm - links, names that lead elsewhere, names that are there twice - is refused by name; what is merely of
//! no use is left aside, and said to be if it looks as though the student thought it mattered.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use crate::tree::Tree;

/// The directories a student owns.
pub(crate) const ROOMS: [&str; 2] = ["raft/src", "kvraft/src"];
/// Without this there is nothing to grade, and by it the root is known.
const ENTRY: &str = "raft/src/lib.rs";

const ARCHIVE_MAX: u64 = 64 << 20;
/// Of anything, taken or not.
const ENTRIES_MAX: usize = 20_000;
const FILES_MAX: usize = 300;
const FILE_MAX: u64 = 1 << 20;
const TOTAL_MAX: u64 = 8 << 20;
/// Parts of a path.
const DEPTH_MAX: usize = 24;
/// Longer lists are cut.
const IGNORED_MAX: usize = 20;
/// Directories that no student means to hand in.
const SKIPPED: [&str; 5] = [".git", "target", "node_modules", "__MACOSX", ".idea"];

/// What was taken.
#[derive(Debug)]
pub(crate) struct Submission {
    /// Named from the root, all of them in [`ROOMS`].
    pub(crate) files: Tree,
    /// Files of the course that the student changed, to no effect.
    pub(crate) ignored: Vec<String>,
}

/// Why a submission is not taken. Each is meant to be read by the student.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the submission cannot be read: {0}")]
    Unreadable(String),
    #[error("this is no ZIP archive that can be read: {0}")]
    NotAZip(String),
    #[error("the archive is larger than {} MiB", ARCHIVE_MAX >> 20)]
    LargeArchive,
    #[error(
        "there are more than {ENTRIES_MAX} files; hand in raft/src and kvraft/src only, without the target directory"
    )]
    ManyEntries,
    #[error("{0:?}: a name in an archive must not lead out of it")]
    Traversal(String),
    #[error("{0:?}: this name is there twice")]
    Twice(String),
    #[error("{0}: this is a link, or no ordinary file; put the file itself there")]
    NotAFile(String),
    #[error("{0}: directories are nested too deeply")]
    Deep(String),
    #[error("{0}: the file is larger than {kib} KiB", kib = FILE_MAX >> 10)]
    LargeFile(String),
    #[error("the Rust files are larger than {} MiB together", TOTAL_MAX >> 20)]
    LargeTotal,
    #[error("there are more than {FILES_MAX} Rust files")]
    ManyFiles,
    #[error(
        "{0}: the file is encrypted, or packed in a way that is not supported; use ordinary ZIP compression"
    )]
    Packed(String),
    #[error("{0}: the file holds more than the archive declares")]
    Bomb(String),
    #[error("{0}: not a text in UTF-8")]
    NotText(String),
    #[error("{ENTRY} is missing; hand in the directories raft/src and kvraft/src, with these names")]
    NoEntry,
    #[error("it is not clear where the root is: both {0:?} and {1:?} hold {ENTRY}")]
    TwoRoots(String, String),
}

/// One thing in a directory or archive.
struct Entry {
    /// With `/` between parts, as found.
    name: String,
    is_file: bool,
    size: u64,
}

/// Takes in a directory or a ZIP archive; or a directory in which there is one archive, and no sources. `handed_out` are the
/// course's own files in each form in which students may have them, to tell which of them were changed.
pub(crate) fn take(from: &Path, handed_out: &[Tree]) -> Result<Submission, Refusal> {
    let unreadable = |error: io::Error| Refusal::Unreadable(format!("{}: {error}", from.display()));
    if fs::metadata(from).map_err(unreadable)?.is_dir() {
        let entries = list_directory(from)?;
        let mut archives = entries.iter().filter(|entry| entry.is_file && entry.name.ends_with(".zip"));
        if let (Some(archive), None, Err(Refusal::NoEntry)) =
            (archives.next(), archives.next(), find_root(&entries))
        {
            return take(&from.join(&archive.name), handed_out);
        }
        select(&entries, handed_out, |at, max| {
            let name = &entries[at].name;
            let path = from.join(name);
            // It was an ordinary file when it was listed.
            let file =
                if is_ordinary(&path) { File::open(&path) } else { Err(io::ErrorKind::NotFound.into()) };
            read_at_most(file.map_err(unreadable)?, max).map_err(unreadable)
        })
    } else {
        let file = File::open(from).map_err(unreadable)?;
        if file.metadata().map_err(unreadable)?.len() > ARCHIVE_MAX {
            return Err(Refusal::LargeArchive);
        }
        take_zip(BufReader::new(file), handed_out)
    }
}

fn is_ordinary(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// Up to `max` bytes.
fn read_at_most(from: impl Read, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn list_directory(root: &Path) -> Result<Vec<Entry>, Refusal> {
    let mut entries = Vec::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(at) = waiting.pop() {
        if at.components().count() > DEPTH_MAX {
            return Err(Refusal::Deep(at.display().to_string()));
        }
        let unreadable = |error: io::Error| Refusal::Unreadable(format!("{}: {error}", at.display()));
        for entry in fs::read_dir(root.join(&at)).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let metadata = entry.metadata().map_err(unreadable)?;
            let path = at.join(entry.file_name());
            if entries.len() + waiting.len() >= ENTRIES_MAX {
                return Err(Refusal::ManyEntries);
            }
            if !metadata.is_dir() {
                // A name that is no text is none of those that are taken.
                let name = path.to_string_lossy().into_owned();
                entries.push(Entry { name, is_file: metadata.is_file(), size: metadata.len() });
            } else if !SKIPPED.iter().any(|skipped| entry.file_name() == *skipped) {
                waiting.push(path);
            }
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn take_zip(from: impl Read + Seek, handed_out: &[Tree]) -> Result<Submission, Refusal> {
    let not_a_zip = |error: zip::result::ZipError| Refusal::NotAZip(error.to_string());
    let mut from = from;
    let names = central_names(&mut from).map_err(|error| Refusal::NotAZip(error.to_string()))?;
    let mut seen = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(*name)) {
        return Err(Refusal::Twice(String::from_utf8_lossy(twice).into_owned()));
    }
    let mut archive = ZipArchive::new(from).map_err(not_a_zip)?;
    if archive.len() > ENTRIES_MAX {
        return Err(Refusal::ManyEntries);
    }
    let mut entries = Vec::new();
    let mut places = Vec::new();
    for place in 0..archive.len() {
        let file = archive.by_index_raw(place).map_err(not_a_zip)?;
        let name = file.name().to_owned();
        let parts: Vec<&str> = name.trim_end_matches('/').split('/').collect();
        let leads_out = |part: &&str| matches!(*part, "" | "." | "..") || part.contains(['\\', ':', '\0']);
        if parts.iter().any(leads_out) {
            return Err(Refusal::Traversal(name));
        }
        if parts.len() > DEPTH_MAX {
            return Err(Refusal::Deep(name));
        }
        if file.is_dir() || SKIPPED.iter().any(|skipped| parts.contains(skipped)) {
            continue;
        }
        // The kind of file, if the archive tells: 0o100000 is an ordinary one.
        let is_file = file.unix_mode().is_none_or(|mode| matches!(mode & 0o170_000, 0 | 0o100_000));
        let is_file = is_file && !file.is_symlink();
        entries.push(Entry { size: file.size(), is_file, name });
        places.push(place);
    }
    select(&entries, handed_out, |at, max| {
        let name = &entries[at].name;
        let file = archive.by_index(places[at]).map_err(|_| Refusal::Packed(name.clone()))?;
        let declared = file.size();
        let bytes = read_at_most(file, max).map_err(|error| Refusal::NotAZip(format!("{name}: {error}")))?;
        if bytes.len() as u64 > declared { Err(Refusal::Bomb(name.clone())) } else { Ok(bytes) }
    })
}

/// The names in an archive's central directory, as they stand there: the library keeps the last of several that are
/// equal, and says nothing.
fn central_names(from: &mut (impl Read + Seek)) -> io::Result<Vec<Vec<u8>>> {
    const ENTRY_MAGIC: [u8; 4] = *b"PK\x01\x02";
    const HEADER: usize = 46;
    let mut bytes = Vec::new();
    from.take(ARCHIVE_MAX).read_to_end(&mut bytes)?;
    from.rewind()?;
    let number = |at: usize, len: usize| {
        let field = bytes.get(at..at + len)?;
        Some(field.iter().rev().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    let broken = || io::Error::other("its directory is missing or cut off");
    // The end record is the last of its kind: what stands behind it is at most a comment.
    let end = bytes.windows(4).rposition(|four| four == b"PK\x05\x06").ok_or_else(broken)?;
    let size = number(end + 12, 4).ok_or_else(broken)?;
    let mut at = end.checked_sub(size).ok_or_else(broken)?;
    let mut names = Vec::new();
    while bytes.get(at..at + 4) == Some(&ENTRY_MAGIC) && at < end {
        let lengths = [number(at + 28, 2), number(at + 30, 2), number(at + 32, 2)];
        let [Some(name), Some(extra), Some(comment)] = lengths else { return Err(broken()) };
        names.push(bytes.get(at + HEADER..at + HEADER + name).ok_or_else(broken)?.to_vec());
        at += HEADER + name + extra + comment;
    }
    Ok(names)
}

/// Picks what is taken, and reads it by `read`, which is given a place among `entries` and how much to read at most.
fn select(
    entries: &[Entry],
    handed_out: &[Tree],
    mut read: impl FnMut(usize, u64) -> Result<Vec<u8>, Refusal>,
) -> Result<Submission, Refusal> {
    let root = find_root(entries)?;
    let mut submission = Submission { files: Tree::default(), ignored: Vec::new() };
    let mut total = 0;
    for (at, entry) in entries.iter().enumerate() {
        let Some(name) = entry.name.strip_prefix(&root) else { continue };
        let in_room = ROOMS.iter().any(|room| name == *room || name.starts_with(&format!("{room}/")));
        if !entry.is_file {
            // A link in the place of a whole room, too.
            if in_room || ROOMS.iter().any(|room| room.starts_with(&format!("{name}/"))) {
                return Err(Refusal::NotAFile(name.to_owned()));
            }
            continue;
        }
        if !in_room || !name.ends_with(".rs") {
            let originals: Vec<_> = handed_out.iter().filter_map(|tree| tree.files.get(name)).collect();
            if let Some(longest) = originals.iter().map(|original| original.len()).max() {
                let theirs = read(at, longest as u64 + 1).ok();
                let as_it_was = theirs.is_some_and(|theirs| originals.iter().any(|it| it[..] == theirs));
                if !as_it_was && submission.ignored.len() < IGNORED_MAX {
                    submission.ignored.push(name.to_owned());
                }
            } else if matters(name) && submission.ignored.len() < IGNORED_MAX {
                submission.ignored.push(name.to_owned());
            }
            continue;
        }
        if entry.size > FILE_MAX {
            return Err(Refusal::LargeFile(name.to_owned()));
        }
        if submission.files.files.len() >= FILES_MAX {
            return Err(Refusal::ManyFiles);
        }
        let bytes = read(at, FILE_MAX + 1)?;
        if bytes.len() as u64 > FILE_MAX {
            return Err(Refusal::LargeFile(name.to_owned()));
        }
        total += bytes.len() as u64;
        if total > TOTAL_MAX {
            return Err(Refusal::LargeTotal);
        }
        if std::str::from_utf8(&bytes).is_err() || bytes.contains(&0) {
            return Err(Refusal::NotText(name.to_owned()));
        }
        submission.files.files.insert(name.to_owned(), bytes.into());
    }
    Ok(submission)
}

/// Files that a student may think have a say in how the labs are built.
fn matters(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    name.starts_with(".cargo/")
        || matches!(last, "build.rs" | "Cargo.toml" | "Cargo.lock" | "rust-toolchain" | "rust-toolchain.toml")
}

/// What stands before `raft/src/lib.rs`, with its `/`.
fn find_root(entries: &[Entry]) -> Result<String, Refusal> {
    let before = |entry: &Entry| {
        let before = entry.name.strip_suffix(ENTRY)?;
        (before.is_empty() || before.ends_with('/')).then(|| before.to_owned())
    };
    let mut roots: Vec<String> = entries.iter().filter_map(before).collect();
    roots.sort_by_key(|root| root.matches('/').count());
    match &roots[..] {
        [] => match entries.iter().find(|entry| !entry.is_file && leads_to_entry(&entry.name)) {
            Some(link) => Err(Refusal::NotAFile(link.name.clone())),
            None => Err(Refusal::NoEntry),
        },
        [one, other, ..] if one.matches('/').count() == other.matches('/').count() => {
            Err(Refusal::TwoRoots(one.clone(), other.clone()))
        }
        [one, ..] => Ok(one.clone()),
    }
}

/// Whether a link of this name may stand in for a directory above the entry.
fn leads_to_entry(name: &str) -> bool {
    ["raft/src", "raft"].iter().any(|above| name == *above || name.ends_with(&format!("/{above}")))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};
    use std::os::unix::fs::symlink;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    const GOOD: [(&str, &str); 3] =
        [("raft/src/lib.rs", "mod a;"), ("raft/src/a/mod.rs", ""), ("kvraft/src/lib.rs", "//")];

    fn put(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| put(place.path(), name, text));
        place
    }

    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in files {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn zipped(bytes: Vec<u8>) -> Result<Submission, Refusal> {
        take_zip(Cursor::new(bytes), &[])
    }

    fn names(submission: &Submission) -> Vec<&str> {
        submission.files.files.keys().map(String::as_str).collect()
    }

    const TAKEN: [&str; 3] = ["kvraft/src/lib.rs", "raft/src/a/mod.rs", "raft/src/lib.rs"];

    #[test]
    fn only_rust_files_of_the_two_rooms_are_taken() {
        let mut files = GOOD.to_vec();
        files.extend([
            ("raft/tests/suite.rs", "fn main() {}"),
            ("raft/Cargo.toml", "[package]"),
            ("raft/build.rs", ""),
            (".cargo/config.toml", ""),
            ("raft/src/notes.txt", ""),
            ("labtest/src/lib.rs", ""),
            ("target/debug/huge", ""),
            ("README.md", "the starter's"),
        ]);
        let tree = |files: &[(&str, &str)]| {
            let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().into()));
            Tree { files: files.collect() }
        };
        let course =
            [("raft/tests/suite.rs", "[package]"), ("raft/Cargo.toml", "[package]"), ("README.md", "ours")];
        let course = [tree(&course), tree(&[("README.md", "the starter's")])];
        let place = directory(&files);
        let from_directory = take(place.path(), &course).unwrap();
        let from_zip = take_zip(Cursor::new(archive(&files)), &course).unwrap();
        for submission in [from_directory, from_zip] {
            assert_eq!(names(&submission), TAKEN);
            let mut ignored = submission.ignored;
            ignored.sort();
            assert_eq!(ignored, [".cargo/config.toml", "raft/build.rs", "raft/tests/suite.rs"]);
        }
    }

    #[test]
    fn an_archive_may_be_the_one_file_of_a_directory() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("mine.zip"), archive(&GOOD)).unwrap();
        fs::write(place.path().join("submission_metadata.json"), "{}").unwrap();
        assert_eq!(names(&take(place.path(), &[]).unwrap()), TAKEN);
        // Of two, nobody knows which.
        fs::write(place.path().join("other.zip"), archive(&GOOD)).unwrap();
        assert_eq!(take(place.path(), &[]).unwrap_err(), Refusal::NoEntry);
    }

    #[test]
    fn the_root_may_be_wrapped_in_one_directory() {
        let wrapped: Vec<_> =
            GOOD.iter().map(|(name, text)| (format!("my-raft-main/{name}"), *text)).collect();
        let wrapped: Vec<_> = wrapped.iter().map(|(name, text)| (name.as_str(), *text)).collect();
        assert_eq!(names(&zipped(archive(&wrapped)).unwrap()), TAKEN);
        assert_eq!(names(&take(directory(&wrapped).path(), &[]).unwrap()), TAKEN);
        let two = [("a/raft/src/lib.rs", ""), ("b/raft/src/lib.rs", "")];
        assert_eq!(zipped(archive(&two)).unwrap_err(), Refusal::TwoRoots("a/".into(), "b/".into()));
        assert_eq!(zipped(archive(&[("kvraft/src/lib.rs", "")])).unwrap_err(), Refusal::NoEntry);
        assert_eq!(zipped(archive(&[("README", "")])).unwrap_err(), Refusal::NoEntry);
    }

    #[test]
    fn names_that_lead_out_of_an_archive_are_refused() {
        for name in
            ["../raft/src/lib.rs", "raft/src/../../x.rs", "/raft/src/a.rs", "raft\\src\\a.rs", "C:/a.rs"]
        {
            let refused = zipped(archive(&[GOOD[0], (name, "")])).unwrap_err();
            assert_eq!(refused, Refusal::Traversal(name.into()));
        }
    }

    #[test]
    fn links_are_refused() {
        let secret = directory(&[("secret.rs", "const KEY: u8 = 1;"), ("src/lib.rs", "")]);
        let place = directory(&GOOD);
        symlink(secret.path().join("secret.rs"), place.path().join("raft/src/b.rs")).unwrap();
        let refused = |place: &tempfile::TempDir| take(place.path(), &[]).unwrap_err();
        assert_eq!(refused(&place), Refusal::NotAFile("raft/src/b.rs".into()));
        let place = directory(&[("kvraft/src/lib.rs", "")]);
        symlink(secret.path(), place.path().join("raft")).unwrap();
        assert_eq!(refused(&place), Refusal::NotAFile("raft".into()));
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        writer.start_file(ENTRY, SimpleFileOptions::default()).unwrap();
        writer.add_symlink("raft/src/b.rs", "/etc/passwd", SimpleFileOptions::default()).unwrap();
        let refused = zipped(writer.finish().unwrap().into_inner()).unwrap_err();
        assert_eq!(refused, Refusal::NotAFile("raft/src/b.rs".into()));
    }

    #[test]
    fn a_name_that_is_there_twice_is_refused() {
        // The library writes no such archive: two names of one length are made equal afterwards.
        let bytes = archive(&[GOOD[0], ("raft/src/x.rs", "1"), ("raft/src/y.rs", "2")]);
        let text: Vec<u8> = bytes.clone();
        let mut bytes = bytes;
        for at in 0..text.len() - 13 {
            if &text[at..at + 13] == b"raft/src/y.rs" {
                bytes[at..at + 13].copy_from_slice(b"raft/src/x.rs");
            }
        }
        assert_eq!(zipped(bytes).unwrap_err(), Refusal::Twice("raft/src/x.rs".into()));
    }

    #[test]
    fn bombs_are_refused_by_what_they_declare_and_by_what_they_hold() {
        let big = " ".repeat(FILE_MAX as usize + 1);
        let bytes = archive(&[GOOD[0], ("raft/src/b.rs", &big)]);
        assert!(bytes.len() < 10_000);
        assert_eq!(zipped(bytes.clone()).unwrap_err(), Refusal::LargeFile("raft/src/b.rs".into()));
        // The same, declared to be small, in both directories of the archive.
        let mut lying = bytes;
        let size = (FILE_MAX as u32 + 1).to_le_bytes();
        let places: Vec<_> = lying.windows(4).enumerate().filter(|(_, four)| *four == size).collect();
        let places: Vec<_> = places.into_iter().map(|(at, _)| at).collect();
        assert!(places.len() >= 2);
        places.iter().for_each(|at| lying[*at..at + 4].copy_from_slice(&9_u32.to_le_bytes()));
        assert!(zipped(lying).is_err());
        // What is not taken is not unpacked, whatever its size.
        assert!(zipped(archive(&[GOOD[0], ("movie.mp4", &big)])).is_ok());
    }

    #[test]
    fn numbers_and_sizes_are_limited() {
        let many: Vec<_> = (0..=FILES_MAX).map(|n| format!("raft/src/f{n}.rs")).collect();
        let mut files = vec![GOOD[0]];
        files.extend(many.iter().map(|name| (name.as_str(), "")));
        assert_eq!(zipped(archive(&files)).unwrap_err(), Refusal::ManyFiles);
        assert_eq!(take(directory(&files).path(), &[]).unwrap_err(), Refusal::ManyFiles);
        let large = "x".repeat(FILE_MAX as usize);
        let files: Vec<_> = many.iter().take(9).map(|name| (name.as_str(), large.as_str())).collect();
        let files: Vec<_> = [GOOD[0]].into_iter().chain(files).collect();
        assert_eq!(zipped(archive(&files)).unwrap_err(), Refusal::LargeTotal);
        let deep = format!("raft/src/{}x.rs", "d/".repeat(DEPTH_MAX));
        assert_eq!(zipped(archive(&[GOOD[0], (&deep, "")])).unwrap_err(), Refusal::Deep(deep.clone()));
        assert!(matches!(take(directory(&[GOOD[0], (&deep, "")]).path(), &[]), Err(Refusal::Deep(_))));
    }

    #[test]
    fn what_is_no_archive_and_no_text_is_said_to_be_none() {
        assert!(matches!(zipped(b"PK nothing".to_vec()), Err(Refusal::NotAZip(_))));
        assert!(matches!(zipped(Vec::new()), Err(Refusal::NotAZip(_))));
        let good = archive(&GOOD);
        for cut in 0..good.len() {
            assert!(zipped(good[..cut].to_vec()).is_err(), "cut at {cut}");
        }
        assert_eq!(zipped(archive(&[(ENTRY, "a\0b")])).unwrap_err(), Refusal::NotText(ENTRY.into()));
        let missing = take(Path::new("/no/such/place"), &[]).unwrap_err();
        assert!(missing.to_string().contains("/no/such/place"), "{missing}");
    }
}
