//! Files that a run leaves for its reader.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Writes a file into the directory `lab-reports` beside the build, in place of an earlier one of the same name, and
/// returns its path. The file system is the real one, so not for use in the midst of a run.
pub fn write_report(name: &str, contents: &str) -> io::Result<PathBuf> {
    let directory = directory_for(&env::current_exe()?);
    fs::create_dir_all(&directory)?;
    let path = directory.join(name);
    fs::write(&path, contents)?;
    Ok(path)
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
}
