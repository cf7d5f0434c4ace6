//! What compilers keep from build to build, and when it must not be built upon.
//!
//! Builds are incremental, since most of a suite is the same whatever it is built around. What a compiler leaves behind
//! that was stopped in the midst of things may be wrong without its noticing (rust-lang/rust#81280): a later build then
//! fails to link, for want of a symbol that nobody has written. So a file, the [`Mark`], stands for as long as a build is
//! not known to have come to its own end, whoever ends this program meanwhile, and the next build begins by forgetting
//! what was kept between builds.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

/// How cargo says that a compiler was ended by a signal.
const BY_SIGNAL: &str = "(signal: ";

/// The mark of builds in a build directory.
#[derive(Debug)]
pub(crate) struct Mark {
    /// Where the mark stands: not in the build directory, which may be lent to others.
    pub(crate) at: PathBuf,
    /// The build directory.
    pub(crate) target: PathBuf,
}

impl Mark {
    /// To be called before each build. After a build that was stopped it removes what compilers keep for themselves. What
    /// they have made stays: cargo knows what of that is whole.
    pub(crate) fn set(&self) -> io::Result<()> {
        if self.at.exists() && self.target.is_dir() {
            for profile in fs::read_dir(&self.target)? {
                let kept = profile?.path().join("incremental");
                if kept.is_dir() {
                    fs::remove_dir_all(kept)?;
                }
            }
        }
        File::create(&self.at).map(drop)
    }

    /// To be called after a build that came to its own end.
    pub(crate) fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.at)
    }
}

/// Whether every compiler ended by itself, and with a word on the code if it failed. Where it only says that its own
/// pieces do not fit together, those of an earlier build may be at fault.
pub(crate) fn came_to_its_end(success: bool, stderr: &str) -> bool {
    let lines: Vec<&str> = stderr.lines().collect();
    let names_a_place = |two: &[&str]| two[0].starts_with("error") && two[1].trim_start().starts_with("--> ");
    success || (!stderr.contains(BY_SIGNAL) && lines.windows(2).any(names_a_place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_has_come_to_its_end_if_it_says_something_of_the_code() {
        assert!(came_to_its_end(true, ""));
        assert!(came_to_its_end(false, "warning: w\nerror[E0425]: e\n --> raft/src/lib.rs:1:2\n  |\n"));
        for stderr in [
            "",
            "warning: w\n --> raft/src/lib.rs:1:2\nerror: linking with `cc` failed: exit status: 1\n  |\n",
            "error[E1]: e\n --> a\nerror: could not compile `x`\n  process didn't exit successfully: `rustc` (signal: 9, SIGKILL: kill)\n",
        ] {
            assert!(!came_to_its_end(false, stderr), "{stderr}");
        }
    }

    #[test]
    fn after_a_build_that_was_stopped_what_it_kept_is_forgotten_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let mark = Mark { at: place.path().join("unclean"), target: place.path().join("target") };
        // There may be no build directory yet.
        mark.set().unwrap();
        mark.set().unwrap();
        mark.remove().unwrap();
        let [kept, made] = ["incremental/x", "deps/x"].map(|it| mark.target.join("debug").join(it));
        for file in [&kept, &made] {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        mark.set().unwrap();
        assert!(kept.exists() && mark.at.exists());
        mark.set().unwrap();
        assert!(!kept.exists() && made.exists() && mark.at.exists());
        mark.remove().unwrap();
        assert!(!mark.at.exists());
    }
}
