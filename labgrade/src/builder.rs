//! Builds the suites of a workspace by cargo.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::labs::Package;
use crate::unclean::{Mark, came_to_its_end};

/// Why there is no test binary.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error("cargo cannot be run: {0}")]
    NoCargo(#[from] std::io::Error),
    /// What cargo and the compiler said.
    #[error("{0}")]
    Failed(String),
    #[error("cargo built no suite of {0}")]
    NoBinary(&'static str),
}

/// The cargo that started this program, or the one in the path.
pub(crate) fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"))
}

/// Builds the integration test `suite` of a package of the workspace at `root`, in the build directory `target`, and
/// returns the binary. Blocks for as long as the build takes. What was built there before is used again.
pub(crate) fn build_suite(root: &Path, target: &Path, package: Package) -> Result<PathBuf, BuildError> {
    let messages = run_cargo(&["test", "--no-run", "--test", "suite"], root, target, package)?;
    messages.lines().filter_map(suite_binary).next_back().ok_or(BuildError::NoBinary(package.name()))
}

/// Builds the suite of a package of the workspace at `root` as `cargo test` builds it, in the usual build directory. What
/// cargo says of it goes to standard error, as it comes.
pub(crate) fn build_shown(root: &Path, package: Package) -> Result<PathBuf, BuildError> {
    let built = Command::new(cargo())
        .args(["test", "--no-run", "--test", "suite", "--message-format=json-render-diagnostics"])
        .args(["--package", package.name()])
        .current_dir(root)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !built.status.success() {
        return Err(BuildError::Failed(format!("the tests of {} do not compile; see above", package.name())));
    }
    let messages = String::from_utf8_lossy(&built.stdout);
    messages.lines().filter_map(suite_binary).next_back().ok_or(BuildError::NoBinary(package.name()))
}

/// Sees whether the package compiles, without making anything: a matter of a second where a build is one of up to a
/// minute, as code that others may inline has changed. With `suite`, whether that compiles with it.
pub(crate) fn check(root: &Path, target: &Path, package: Package, suite: bool) -> Result<(), BuildError> {
    let part: &[&str] = if suite { &["check", "--test", "suite"] } else { &["check", "--lib"] };
    run_cargo(part, root, target, package).map(drop)
}

/// Has cargo do something with a package, and returns its messages.
fn run_cargo(what: &[&str], root: &Path, target: &Path, package: Package) -> Result<String, BuildError> {
    let mark = Mark { at: target.with_extension("unclean"), target: target.to_owned() };
    let attempt = || -> Result<(Output, bool), BuildError> {
        mark.set()?;
        let done = Command::new(cargo())
            .args(what)
            .args(["--locked", "--message-format=json-render-diagnostics", "--package", package.name()])
            .current_dir(root)
            .env("CARGO_TARGET_DIR", target)
            // Systems that test changes often switch it off; here it makes most of the difference.
            .env("CARGO_INCREMENTAL", "1")
            .output()?;
        let ended = came_to_its_end(done.status.success(), &String::from_utf8_lossy(&done.stderr));
        if ended {
            mark.remove()?;
        }
        Ok((done, ended))
    };
    let (mut done, ended) = attempt()?;
    if !ended {
        // For want of memory, most likely, or by what an earlier build has left: a second attempt need meet neither.
        (done, _) = attempt()?;
    }
    if !done.status.success() {
        return Err(BuildError::Failed(String::from_utf8_lossy(&done.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// The binary, if cargo's message is about the suite.
pub(crate) fn suite_binary(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let of_suite = message["reason"] == "compiler-artifact" && message["target"]["name"] == "suite";
    of_suite.then(|| message["executable"].as_str().map(PathBuf::from))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suite_is_found_among_cargos_messages() {
        let message = |name: &str, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"{name}"}},"executable":{executable}}}"#
            )
        };
        assert_eq!(suite_binary(&message("suite", "\"/t/suite-1\"")), Some(PathBuf::from("/t/suite-1")));
        assert_eq!(suite_binary(&message("raft", "null")), None);
        assert_eq!(suite_binary(&message("suite", "null")), None);
        assert_eq!(suite_binary("no json"), None);
    }
}
