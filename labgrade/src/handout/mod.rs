//! `labgrade handout`: the tree that students get.
//!
//! It is the course's workspace with the starter files of `handout/` in the place of the solution ([`starter`]), and
//! without what only the course needs. The same commit gives the same bytes, modes and times of files, so that a student's tree can be
//! compared with what was handed out.

mod lock;
pub(crate) mod starter;

use std::env;
use std::fs::{self, File, FileTimes, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime};

use crate::grade::course::without_git;
use crate::tree::Tree;
use crate::workspace::Workspace;
use starter::Labs;

/// Makes the tree that students get, without the solution
///
/// Takes the files that git knows of, puts the starter files where the solution is, and leaves out mutants, the staff's documents and
/// whatever is not known to be for students. The times of all files are that of the last commit, or SOURCE_DATE_EPOCH.
///
/// Exit code: 0 if the tree is there, 2 if not; then nothing half made is left.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo lab handout --out ../my-raft
  cargo lab handout --out ../my-raft --lab 2    without the key/value service
  make check_handout                            see that it holds what it promises: some minutes")]
pub(crate) struct Args {
    /// A directory that does not exist yet, or is empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The last labs it is for: with 2 there is no key/value service in it
    #[arg(long, value_enum, default_value = "3")]
    lab: Labs,
}

/// Runs `labgrade handout`.
pub(crate) fn run(args: &Args) -> io::Result<ExitCode> {
    let workspace = Workspace::find()?;
    let root = workspace.root().canonicalize()?;
    let out = place(&args.out, &root)?;
    let course = Tree::tracked(&root).or_else(|_| without_git(&root))?;
    let tree = starter::starter(&course, args.lab).map_err(io::Error::other)?;
    write(&tree, &root, &out, time(&root)?)?;
    println!("A tree to work in stands in {}; there, `cargo test 2A` is the first goal.", args.out.display());
    Ok(ExitCode::SUCCESS)
}

/// Where the tree comes, if it may come there.
fn place(out: &Path, root: &Path) -> io::Result<PathBuf> {
    let refused = |why: &str| io::Error::other(format!("--out {:?} {why}", out.display().to_string()));
    let Some(name) = out.file_name() else {
        return Err(refused("names no directory: give one that does not exist yet, as in ../my-raft"));
    };
    match fs::read_dir(out).map(|mut entries| entries.next().is_some()) {
        Ok(true) => return Err(refused("is not empty")),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused("is no directory")),
        _ => {}
    }
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = parent.canonicalize().map_err(|_| refused("lies in a directory that does not exist"))?;
    if parent.starts_with(root) {
        return Err(refused("is inside this repository: its own tests would find it"));
    }
    Ok(parent.join(name))
}

/// Which time the files get.
fn time(root: &Path) -> io::Result<SystemTime> {
    let given = env::var("SOURCE_DATE_EPOCH").ok();
    let committed = || {
        let said = Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(root).output().ok()?;
        said.status.success().then(|| String::from_utf8_lossy(&said.stdout).into_owned())
    };
    // Without git there is no time that would be the same for all; nobody minds the first day of 2020.
    let seconds = given.or_else(committed).unwrap_or_else(|| "1577836800".into());
    let seconds = seconds.trim().parse().map_err(|_| {
        io::Error::other(format!(
            "SOURCE_DATE_EPOCH={seconds:?}: it takes seconds since 1970, a whole number"
        ))
    })?;
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Writes a tree beside its place, and then puts it there. Programs stay programs, as they are under `root`.
fn write(tree: &Tree, root: &Path, out: &Path, time: SystemTime) -> io::Result<()> {
    let parent = out.parent().unwrap_or(Path::new("/"));
    let draft = tempfile::Builder::new().prefix(".handout").tempdir_in(parent)?;
    for (name, contents) in &tree.files {
        let path = draft.path().join(name);
        fs::create_dir_all(path.parent().unwrap_or(draft.path()))?;
        fs::write(&path, contents)?;
        let executable =
            fs::metadata(root.join(name)).is_ok_and(|file| file.permissions().mode() & 0o100 != 0);
        fs::set_permissions(&path, Permissions::from_mode(if executable { 0o755 } else { 0o644 }))?;
        File::open(&path)?.set_times(FileTimes::new().set_modified(time))?;
    }
    fs::set_permissions(draft.path(), Permissions::from_mode(0o755))?;
    // An empty one may be there, which a rename replaces.
    fs::rename(draft.path(), out)?;
    // It is no draft any more.
    let _ = draft.keep();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_comes_where_nothing_is_and_outside_of_the_repository() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().canonicalize().unwrap();
        fs::create_dir_all(at.join("repository/raft")).unwrap();
        fs::create_dir(at.join("empty")).unwrap();
        fs::write(at.join("file"), "").unwrap();
        let placed =
            |name: &str| place(&at.join(name), &at.join("repository")).map_err(|error| error.to_string());
        assert_eq!(placed("new"), Ok(at.join("new")));
        assert_eq!(placed("empty"), Ok(at.join("empty")));
        for (name, why) in [
            ("file", "is no directory"),
            ("repository", "is not empty"),
            ("repository/new", "is inside this repository"),
            ("nowhere/new", "lies in a directory that does not exist"),
        ] {
            let error = placed(name).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        assert!(place(Path::new(""), &at).unwrap_err().to_string().contains("names no directory"));
    }

    /// The whole of it, to the byte, the mode and the time.
    fn shape(root: &Path) -> Vec<(String, Vec<u8>, u32, SystemTime)> {
        let files = Tree::of_directory(root).unwrap().files;
        let of = |(name, contents): (String, std::sync::Arc<[u8]>)| {
            let file = fs::metadata(root.join(&name)).unwrap();
            (name, contents.to_vec(), file.permissions().mode(), file.modified().unwrap())
        };
        files.into_iter().map(of).collect()
    }

    #[test]
    fn the_same_tree_is_written_the_same_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("course");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("run"), "").unwrap();
        fs::set_permissions(root.join("run"), Permissions::from_mode(0o777)).unwrap();
        let files = [("run", "x"), ("a/b", "y")];
        let files = files.map(|(name, text)| (name.to_owned(), text.as_bytes().into()));
        let tree = Tree { files: files.into() };
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let outs = ["one", "two"].map(|name| directory.path().join(name));
        fs::create_dir(&outs[1]).unwrap();
        outs.iter().for_each(|out| write(&tree, &root, out, time).unwrap());
        let [one, two] = outs.each_ref().map(|out| shape(out));
        assert_eq!(one, two);
        let modes: Vec<_> =
            one.iter().map(|(name, _, mode, at)| (name.as_str(), mode & 0o777, *at)).collect();
        assert_eq!(modes, [("a/b", 0o644, time), ("run", 0o755, time)]);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3, "no draft is left");
    }
}
