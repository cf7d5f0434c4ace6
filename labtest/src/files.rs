//! Files that a run leaves for its reader.

use std::path::{Path, PathBuf};
use std::{env, fs, io, process};

use crate::run::Run;

/// How many files of each kind are kept of earlier runs.
const KEPT: usize = 32;

impl Run {
    /// Writes a file about a run that is over and has failed, beside its event log, and returns its path; `None` if no
    /// such files are to be written. `kind` is how its name ends. The file system is the real one, so not for use in
    /// the midst of a run.
    pub fn write_report(&self, kind: &str, contents: impl FnOnce() -> String) -> Option<io::Result<PathBuf>> {
        let directory = self.shared.files.directory(true)?;
        Some(directory.and_then(|directory| self.keep(&directory, kind, &contents())))
    }

    /// The same, into this directory; the oldest files of the kind are removed.
    pub(crate) fn keep(&self, directory: &Path, kind: &str, contents: &str) -> io::Result<PathBuf> {
        let stem = self.shared.name.full().replace("::", ".");
        let path = write_whole(directory, &format!("{stem}-seed-{}{kind}", self.seed()), contents)?;
        prune(directory, kind, KEPT)?;
        Ok(path)
    }
}

/// The directory `lab-reports` beside the build.
pub(crate) fn directory() -> io::Result<PathBuf> {
    Ok(directory_for(&env::current_exe()?))
}

/// Writes a file in place of an earlier one of the same name, and returns its path. Whoever finds it finds all of it.
fn write_whole(directory: &Path, name: &str, contents: &str) -> io::Result<PathBuf> {
    fs::create_dir_all(directory)?;
    let path = directory.join(name);
    let beside = directory.join(format!(".{name}.{}", process::id()));
    fs::write(&beside, contents).and_then(|()| fs::rename(&beside, &path)).inspect_err(|_| {
        // The first error is the one to tell.
        let _ = fs::remove_file(&beside);
    })?;
    Ok(path)
}

/// Of the files whose names end so, removes all but the `kept` newest.
fn prune(directory: &Path, ending: &str, kept: usize) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(ending.as_bytes())) {
            // Another process may have removed it just now.
            let Ok(written) = fs::metadata(&path).and_then(|metadata| metadata.modified()) else { continue };
            files.push((written, path));
        }
    }
    files.sort();
    let excess = files.len().saturating_sub(kept);
    for (_, path) in &files[..excess] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Test binaries lie in `target/<profile>/deps`; another one's reports lie beside it.
fn directory_for(binary: &Path) -> PathBuf {
    let beside = binary.parent().unwrap_or(Path::new("."));
    let target = if beside.ends_with("deps") { beside.ancestors().nth(2).unwrap_or(beside) } else { beside };
    target.join("lab-reports")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::eventlog::Knob;
    use crate::name::TestName;
    use crate::run::Limits;

    #[test]
    fn reports_go_into_the_target_directory() {
        let directory = |binary: &str| directory_for(Path::new(binary));
        assert_eq!(directory("/lab/target/debug/deps/suite-1"), Path::new("/lab/target/lab-reports"));
        assert_eq!(directory("/grader/suite"), Path::new("/grader/lab-reports"));
        assert_eq!(directory("suite"), Path::new("lab-reports"));
    }

    #[test]
    fn a_report_is_written_anew_where_reports_are_wanted() {
        let directory = env::temp_dir().join(format!("written-{}", process::id()));
        let limits = Limits { test: Duration::MAX, call: Duration::MAX };
        let run = |files| Run::new(TestName::of::<fn()>(), 7, limits, files);
        for contents in ["longer than the next", "short"] {
            let written =
                run(Knob::Always(Some(directory.clone()))).write_report(".txt", || contents.to_string());
            let path = written.unwrap().unwrap();
            assert!(path.starts_with(&directory) && path.to_string_lossy().ends_with("-seed-7.txt"));
            assert_eq!(fs::read_to_string(&path).unwrap(), contents);
        }
        fs::remove_dir_all(&directory).unwrap();
        assert!(run(Knob::Never).write_report(".txt", || unreachable!()).is_none());
    }

    #[test]
    fn the_oldest_files_are_removed() {
        let directory = env::temp_dir().join(format!("pruned-{}", process::id()));
        for name in ["a.log", "b.log", "c.log", "d.txt"] {
            write_whole(&directory, name, "").unwrap();
        }
        let file = fs::File::open(directory.join("b.log")).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        prune(&directory, "log", 2).unwrap();
        prune(&directory, "log", 2).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["a.log", "c.log", "d.txt"]);
        fs::remove_dir_all(directory).unwrap();
    }
}
