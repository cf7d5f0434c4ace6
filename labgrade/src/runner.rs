//! Runs the tests of a test binary over seeds, each test in a process of its own, and says what became of them.
//!
//! The binary's own runner starts a further process for each seed, as many at a time as there are processors, over
//! all binaries of a user. So any number of these may run at the same time without crowding the machine.

use std::env;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use wait4::Wait4;

use crate::labs::{Lab, Package};
use crate::verdict::Verdict;

/// The built suite of a crate.
#[derive(Clone, Debug)]
pub(crate) struct Suite {
    binary: PathBuf,
    /// What was built there. It is this that is run and read, though the code may be changed and built anew meanwhile:
    /// with another build a seed means another run.
    built: Arc<File>,
    package: Package,
    /// Where its tests are run: the crate's directory, as under `cargo test`.
    directory: PathBuf,
    /// Full names, in the order in which the binary lists them.
    tests: Vec<String>,
}

/// So many seeds, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seeds {
    pub(crate) first: u64,
    pub(crate) count: u32,
}

impl fmt::Display for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => write!(f, "seed {}", self.first),
            count => write!(f, "seeds {} to {}", self.first, self.first + u64::from(count) - 1),
        }
    }
}

/// How tests are run.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    /// Real time for one seed.
    pub(crate) limit: Duration,
    /// Variables for the tests, beside those that say which seeds.
    pub(crate) variables: Vec<(String, String)>,
    /// The known rules; see [`Verdict::read`].
    pub(crate) rules: Vec<String>,
}

/// What became of one test.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    /// User and system time of the process and of all that it started.
    pub(crate) cpu: Duration,
    /// What it printed.
    pub(crate) output: String,
}

/// Beyond its limit, what a seed may take to be ended by the binary's own runner.
const GRACE: Duration = Duration::from_secs(20);
/// How much output of a test is kept.
const OUTPUT_MAX: usize = 4 << 20;

impl Suite {
    /// Asks `binary`, the suite of `package` in the workspace at `root`, for its tests.
    pub(crate) fn open(binary: PathBuf, package: Package, root: &Path) -> io::Result<Suite> {
        let built = Arc::new(File::open(&binary)?);
        let listed = Command::new(path_of(&built))
            .args(["--list", "--format", "terse"])
            .stdin(Stdio::null())
            .output()?;
        let list = String::from_utf8(listed.stdout).map_err(io::Error::other)?;
        let tests: Vec<_> =
            list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect();
        if !listed.status.success() || tests.is_empty() {
            return Err(io::Error::other(format!("{} lists no tests", binary.display())));
        }
        Ok(Suite { binary, built, package, directory: root.join(package.name()), tests })
    }

    pub(crate) fn package(&self) -> Package {
        self.package
    }

    /// Deletes the binary.
    pub(crate) fn remove(&self) {
        // It is in nobody's way, should it stay.
        let _ = fs::remove_file(&self.binary);
    }

    /// The tests of a lab.
    pub(crate) fn of(&self, lab: Lab) -> Vec<&str> {
        self.tests.iter().map(String::as_str).filter(|test| lab.has(test)).collect()
    }

    pub(crate) fn has(&self, test: &str) -> bool {
        self.tests.iter().any(|known| known == test)
    }

    /// Where its runs leave reports, logs and pages: `lab-reports` in the build directory.
    pub(crate) fn reports(&self) -> PathBuf {
        let beside = self.binary.parent().unwrap_or(Path::new("."));
        let target =
            if beside.ends_with("deps") { beside.ancestors().nth(2).unwrap_or(beside) } else { beside };
        target.join("lab-reports")
    }

    /// The bytes of the binary.
    pub(crate) fn bytes(&self) -> io::Result<Vec<u8>> {
        fs::read(path_of(&self.built))
    }

    /// A process for a test and nothing else, with those `LAB_` variables that `keep` says of all that are set.
    pub(crate) fn command(&self, test: &str, keep: impl Fn(&str) -> bool) -> Command {
        let mut command = Command::new(path_of(&self.built));
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("LAB_") && !keep(&text) {
                command.env_remove(name);
            }
        }
        command
            // With one thread the name is printed first, and the verdict on the same line.
            .args(["--exact", test, "--nocapture", "--test-threads=2"])
            .arg0(&self.binary)
            .current_dir(&self.directory)
            .env("CARGO_PKG_NAME", self.package.name())
            .env("CARGO_MANIFEST_DIR", &self.directory);
        command
    }

    /// Runs a test over `seeds`, up to the first that fails, and waits for the end.
    pub(crate) fn run(&self, test: &str, seeds: Seeds, manner: &Manner) -> io::Result<Outcome> {
        let mut command = self.command(test, |_| false);
        command
            // Taking one for each of thousands of failures takes its time, and changes no verdict.
            .env("RUST_BACKTRACE", "0")
            .env("LAB_SEED", seeds.first.to_string())
            .env("LAB_RUNS", seeds.count.to_string())
            .env("LAB_TIMEOUT", manner.limit.as_secs_f64().to_string())
            .env("LAB_TIMELINE", "never")
            .envs(manner.variables.iter().map(|(name, value)| (name, value)));
        let limit = (manner.limit + GRACE) * seeds.count;
        let ended = run_to_end(command, limit)?;
        let verdict = if ended.late {
            Verdict::Unknown(format!("the process of {test} did not end within {limit:?}, and was killed"))
        } else {
            Verdict::read(test, &ended.output, ended.success, &manner.rules)
        };
        Ok(Outcome { verdict, cpu: ended.cpu, output: ended.output })
    }
}

/// Where this process, and one that it starts, find an open file, whatever its name has become.
fn path_of(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// What became of a process.
pub(crate) struct Ended {
    pub(crate) success: bool,
    pub(crate) late: bool,
    pub(crate) cpu: Duration,
    pub(crate) output: String,
}

/// Runs a command with its output in one stream, and kills its process if it is not done within `limit`.
pub(crate) fn run_to_end(mut command: Command, limit: Duration) -> io::Result<Ended> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // It holds the writing ends: the reader would wait for it for ever.
    drop(command);
    let (done, output) = mpsc::channel();
    thread::spawn(move || {
        // Nobody listens any more if it took too long.
        let _ = done.send(read_at_most(File::from(reader), OUTPUT_MAX));
    });
    let read = output.recv_timeout(limit);
    let late = read.is_err();
    if late {
        // The processes that a suite starts die with it; `labsim` sees to that.
        kill_process(Pid::from_child(&child), Signal::KILL)?;
    }
    let ended = child.wait4()?;
    let output = match read {
        Ok(output) => output?,
        Err(_) => Vec::new(),
    };
    Ok(Ended {
        success: ended.status.success(),
        late,
        cpu: ended.rusage.utime + ended.rusage.stime,
        output: String::from_utf8_lossy(&output).into_owned(),
    })
}

/// Reads to the end, and keeps the last `max` bytes or more: verdicts stand at the end.
pub(crate) fn read_at_most(mut from: impl Read, max: usize) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            return Ok(kept);
        }
        kept.extend_from_slice(&buffer[..n]);
        if kept.len() > 2 * max {
            kept.drain(..kept.len() - max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_streams_come_in_order_and_the_end_is_told() {
        let ended = run_to_end(shell("echo a; echo b >&2; echo c; exit 3"), Duration::from_secs(60)).unwrap();
        assert_eq!((ended.output.as_str(), ended.success, ended.late), ("a\nb\nc\n", false, false));
    }

    #[test]
    fn cpu_time_is_that_of_children_too() {
        let loops = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
        let idle = run_to_end(shell("sleep 0.1"), Duration::from_secs(60)).unwrap();
        let busy = run_to_end(shell(&format!("sh -c '{loops}'; true")), Duration::from_secs(60)).unwrap();
        assert!(busy.cpu > idle.cpu, "{:?} {:?}", busy.cpu, idle.cpu);
    }

    #[test]
    fn what_takes_too_long_is_killed() {
        let ended = run_to_end(shell("exec sleep 1000"), Duration::from_millis(50)).unwrap();
        assert!(ended.late && !ended.success);
    }

    #[test]
    fn of_much_output_the_end_is_kept() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let kept = read_at_most(&text[..], 1000).unwrap();
        assert!((1000..=200_000).contains(&kept.len()) && text.ends_with(&kept), "{}", kept.len());
    }
}
