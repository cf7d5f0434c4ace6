//! Files that a run leaves for its reader.

use std::path::{Path, PathBuf};
use std::{env, fs, io, process};

/// Writes a file into the directory `lab-reports` beside the build, in place of an earlier one of the same name, and
/// returns its path. The file system is the real one, so not for use in the midst of a run.
pub fn write_report(name: &str, contents: &str) -> io::Result<PathBuf> {
    write_whole(&directory()?, name, contents)
}

/// The directory `lab-reports` beside the build.
pub(crate) fn directory() -> io::Result<PathBuf> {
    Ok(directory_for(&env::current_exe()?))
}

/// Writes a file in place of an earlier one of the same name, and returns its path. Whoever finds it finds all of it.
pub(crate) fn write_whole(directory: &Path, name: &str, contents: &str) -> io::Result<PathBuf> {
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
pub(crate) fn prune(directory: &Path, ending: &str, kept: usize) -> io::Result<()> {
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
    use super::*;

    #[test]
    fn reports_go_into_the_target_directory() {
        let directory = |binary: &str| directory_for(Path::new(binary));
        assert_eq!(directory("/lab/target/debug/deps/suite-1"), Path::new("/lab/target/lab-reports"));
        assert_eq!(directory("/grader/suite"), Path::new("/grader/lab-reports"));
        assert_eq!(directory("suite"), Path::new("lab-reports"));
    }

    #[test]
    fn a_report_is_written_anew() {
        let name = "a_report_is_written_anew.txt";
        for contents in ["longer than the next", "short"] {
            let path = write_report(name, contents).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), contents);
        }
        fs::remove_file(write_report(name, "").unwrap()).unwrap();
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
