//! Builds suites in a jail: offline, locked, with nothing in reach but the toolchain, the crates and the workspace.
//!
//! The compiler runs no code of a student's: there are no build scripts and no procedural macros of theirs. What it
//! may do is read files, use memory and take its time, all of which the jail bounds.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::jail::{self, Ended, Jail, Proc, Strength};
use crate::builder::suite_binary;
use crate::labs::Package;
use crate::unclean::{Mark, came_to_its_end};

/// What is shown of the compiler's messages.
const MESSAGES_MAX: usize = 8 << 10;

/// Where and with what suites are built.
pub(crate) struct Builder {
    strength: Strength,
    /// Holds `course`, the workspace, `target`, and `suites`.
    work: PathBuf,
    toolchain: PathBuf,
    /// What the compiler says of itself.
    compiler: String,
    cargo_home: PathBuf,
    /// CPU time for one crate: that is the student's. How long it takes is the machine's.
    limit: Duration,
}

/// Real time for a build, in limits: a machine that gives it less is at fault itself.
const SLOWEST: u32 = 20;
/// How cargo says that a compiler was ended by the signal for its limit on CPU time.
const OUT_OF_CPU: &str = "(signal: 24";

/// A suite, where nobody but the grader can change it.
#[derive(Clone, Debug)]
pub(crate) struct Suite {
    pub(crate) binary: PathBuf,
    pub(crate) package: Package,
    digest: [u8; 32],
}

/// Why there is no suite.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// What the compiler said.
    #[error("{0}")]
    Code(String),
    #[error("{0}")]
    Grader(String),
}

impl From<io::Error> for BuildError {
    fn from(error: io::Error) -> BuildError {
        BuildError::Grader(error.to_string())
    }
}

impl Builder {
    /// With the toolchain that builds the course at `root`, in the directory `work`.
    pub(crate) fn new(root: &Path, work: &Path, strength: Strength, limit: Duration) -> io::Result<Builder> {
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let ask = |question: &[&str]| -> io::Result<String> {
            let asked = Command::new(&rustc).args(question).current_dir(root).output();
            let asked = asked.map_err(|error| {
                io::Error::other(format!("{} cannot be run: {error}", rustc.to_string_lossy()))
            })?;
            Ok(String::from_utf8_lossy(&asked.stdout).trim().to_owned())
        };
        let toolchain = PathBuf::from(ask(&["--print", "sysroot"])?);
        let compiler = ask(&["--verbose", "--version"])?;
        if compiler.is_empty() || !toolchain.join("bin/cargo").is_file() {
            return Err(io::Error::other(format!(
                "no Rust toolchain with cargo in {:?}",
                toolchain.display()
            )));
        }
        let home = || env::home_dir().map(|home| home.join(".cargo"));
        let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home);
        let cargo_home = cargo_home.ok_or_else(|| io::Error::other("neither CARGO_HOME nor HOME is set"))?;
        for part in ["course", "target", "suites"] {
            fs::create_dir_all(work.join(part))?;
        }
        let builder = Builder { strength, work: work.to_owned(), toolchain, compiler, cargo_home, limit };
        builder.lend(false)?;
        Ok(builder)
    }

    pub(crate) fn compiler(&self) -> &str {
        &self.compiler
    }

    /// The directory that holds the workspace to build.
    pub(crate) fn course(&self) -> PathBuf {
        self.work.join("course")
    }

    /// Lets the jail's user into workspace and build directory, or takes them back: there may be hidden tests in them, and without
    /// namespaces a run sees all that its user may read. Who is no root shares everything with the jail anyway.
    fn lend(&self, lent: bool) -> io::Result<()> {
        if rustix::process::geteuid().is_root() {
            let owner = if lent { jail::NOBODY } else { 0 };
            for directory in [self.course(), self.work.join("target")] {
                fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
                chown(&directory, Some(owner), Some(owner))?;
            }
        }
        Ok(())
    }

    /// Builds a package's suite until `until` at most, and keeps it under `name`. `by_student`: whether the compiler's objections
    /// are theirs.
    pub(crate) fn build(
        &self,
        package: Package,
        name: &str,
        by_student: bool,
        until: Option<Instant>,
    ) -> Result<Suite, BuildError> {
        let mut ended = self.cargo(package, until)?;
        if !(came_to_its_end(ended.success, &ended.stderr) || ended.late || ended.stderr.contains(OUT_OF_CPU))
        {
            // For want of memory, most likely, or by what an earlier build has left: a second attempt need meet neither.
            ended = self.cargo(package, until)?;
        }
        let messages = shown(&ended.stderr);
        if ended.late {
            return Err(BuildError::Grader("there was no time to compile it".into()));
        }
        if by_student && !ended.success && ended.stderr.contains(OUT_OF_CPU) {
            return Err(BuildError::Code(format!(
                "the compiler was not done after {} s of CPU time",
                self.limit.as_secs()
            )));
        }
        if !ended.success {
            let of_code = by_student && !was_killed(&ended) && messages.contains("could not compile");
            return Err(if of_code { BuildError::Code(messages) } else { BuildError::Grader(messages) });
        }
        let binary = ended.stdout.lines().filter_map(suite_binary).next_back();
        let binary = binary.filter(|binary| binary.starts_with(self.work.join("target")));
        let binary = binary.ok_or_else(|| BuildError::Grader(format!("no suite of {}", package.name())))?;
        let kept = self.work.join("suites").join(format!("{}-{name}", package.name()));
        // A running copy cannot be written into, only replaced.
        let _ = fs::remove_file(&kept);
        fs::copy(&binary, &kept)?;
        fs::set_permissions(&kept, fs::Permissions::from_mode(0o555))?;
        let digest = digest(&kept)?;
        Ok(Suite { binary: kept, package, digest })
    }

    fn cargo(&self, package: Package, until: Option<Instant>) -> io::Result<Ended> {
        let mark = Mark { at: self.work.join("unclean"), target: self.work.join("target") };
        mark.set()?;
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let cargo = text(self.toolchain.join("bin/cargo"));
        let command =
            [&cargo, "test", "--no-run", "--offline", "--locked", "--message-format=json-render-diagnostics"];
        let mut jail = Jail::of(&command, &self.course());
        jail.command.extend(["--package", package.name(), "--test", "suite"].map(str::to_owned));
        jail.proc = Proc::Whole;
        jail.readable = jail::system_libraries();
        let system = ["/usr/bin", "/usr/libexec", "/bin", "/etc/alternatives"].map(PathBuf::from);
        let crates = ["registry", "config.toml", "vendor"].map(|part| self.cargo_home.join(part));
        let ours = [self.toolchain.clone(), self.course()];
        let there = system.into_iter().chain(crates).chain(ours).filter(|path| path.exists());
        jail.readable.extend(there);
        jail.writable = vec![self.work.join("target")];
        jail.environment = [
            ("PATH", "/usr/bin:/bin".to_owned()),
            ("HOME", "/tmp".to_owned()),
            ("CARGO_HOME", text(self.cargo_home.clone())),
            ("CARGO_TARGET_DIR", text(self.work.join("target"))),
            // Most of a suite is the same whatever it is built around; and it is what students build.
            ("CARGO_INCREMENTAL", "1".to_owned()),
            ("CARGO_BUILD_JOBS", at_once().to_string()),
            ("CARGO_TERM_COLOR", "never".to_owned()),
            ("RUSTC", text(self.toolchain.join("bin/rustc"))),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        jail.limits.cpu_s = self.limit.as_secs();
        jail.limits.file_size = 2 << 30;
        jail.limits.scratch = 512 << 20;
        self.lend(true)?;
        let limit = self.limit * SLOWEST;
        let left = until.map_or(limit, |until| until.saturating_duration_since(Instant::now()));
        let ended = jail.run(self.strength, Stdio::null(), limit.min(left));
        self.lend(false)?;
        let ended = ended?;
        if !ended.late && came_to_its_end(ended.success, &ended.stderr) {
            mark.remove()?;
        }
        Ok(ended)
    }
}

/// How much to do at a time: as many things as there are processors, or fewer where CPU time is limited, which cannot
/// be seen from a jail.
pub(super) fn at_once() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

impl Suite {
    /// Whether the binary is what was built. It should be impossible that it is not.
    pub(crate) fn is_intact(&self) -> bool {
        digest(&self.binary).is_ok_and(|digest| digest == self.digest)
    }
}

fn digest(path: &Path) -> io::Result<[u8; 32]> {
    Ok(Sha256::digest(fs::read(path)?).into())
}

fn was_killed(ended: &Ended) -> bool {
    !ended.late && !ended.success && ended.stderr.contains("signal: 9, SIGKILL")
}

/// The beginning of the messages from the first error on: what follows is often its consequence.
fn shown(messages: &str) -> String {
    let error = messages.lines().position(|line| line.starts_with("error")).unwrap_or(0);
    let mut text = messages.lines().skip(error).collect::<Vec<_>>().join("\n");
    if let Some((end, _)) = text.char_indices().find(|(at, _)| *at >= MESSAGES_MAX) {
        text.truncate(end);
        text += "\n[... more of this ...]";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_begin_with_the_first_error_and_end_somewhere() {
        assert_eq!(shown("   Compiling x\nwarning: w\nerror[E1]: e\n --> a\n"), "error[E1]: e\n --> a");
        assert_eq!(shown("nothing of the kind"), "nothing of the kind");
        let long = shown(&"error: ä\n".repeat(5000));
        assert!(long.len() < MESSAGES_MAX + 100 && long.ends_with("more of this ...]"));
    }

    #[test]
    fn a_suite_that_was_changed_is_noticed() {
        let place = tempfile::tempdir().unwrap();
        let binary = place.path().join("suite");
        fs::write(&binary, "built").unwrap();
        let suite =
            Suite { digest: digest(&binary).unwrap(), binary: binary.clone(), package: Package::Raft };
        assert!(suite.is_intact());
        fs::write(&binary, "other").unwrap();
        assert!(!suite.is_intact());
        fs::remove_file(&binary).unwrap();
        assert!(!suite.is_intact());
    }
}
