//! A jail: one command with its own view of the system, within limits, and nothing of it left behind.
//!
//! [`Jail::start`] runs this program again as `labgrade jail`, with a description of the jail. That process ([`inside`])
//! makes the jail around itself and then starts the command in it:
//!
//! - *namespaces*: a mount namespace whose root is a small, read-only tree of just those directories that were named,
//!   without `/proc` where the command can do without; a pid namespace, so that everything in it dies with its first process;
//!   a network namespace with nothing in it, also no sockets of others; ipc and uts. A user who is not root gets
//!   them by way of a user namespace; root gives up being root instead, and the command runs as [`NOBODY`];
//! - *limits* on CPU time, address space, processes, open files and file sizes; no core dumps;
//! - no capabilities, nor any by executing something; an environment with nothing but what was named; a session and a
//!   process group of its own.
//!
//! Where the system refuses namespaces, as most container engines do, the rest still holds, and the grader says what
//! is missing ([`Strength`]). Then what the command has left running is found as descendants of the grader, which
//! inherits them, and killed.

mod inside;
mod strays;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde::{Deserialize, Serialize};
use wait4::Wait4;

pub(crate) use inside::{Args, run};
pub(crate) use strays::kill_all;

/// The user, and group, that a command of root's becomes. Nobody's else, so that its processes can be counted.
pub(crate) const NOBODY: u32 = 64_173;
/// Output of a command that is kept, of its end.
const OUTPUT_MAX: usize = 256 << 10;

/// How a command is jailed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Jail {
    /// Directories and files that it may read, at the paths that they have outside.
    pub(crate) readable: Vec<PathBuf>,
    /// Directories that it may write into.
    pub(crate) writable: Vec<PathBuf>,
    /// A `/proc` for compilers, which look there for themselves. Else there is nothing but the name of this executable.
    pub(crate) proc: Proc,
    /// Where it runs.
    pub(crate) directory: PathBuf,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) limits: Limits,
    pub(crate) command: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Proc {
    Whole,
    /// Only `/proc/self/exe`, which names this file.
    Only(PathBuf),
}

/// For each process of the jail, but for `processes`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Limits {
    pub(crate) cpu_s: u64,
    pub(crate) address_space: u64,
    pub(crate) file_size: u64,
    pub(crate) open_files: u64,
    /// And threads, of all together.
    pub(crate) processes: u64,
    /// In `/tmp`, of all together.
    pub(crate) scratch: u64,
}

/// What the system lets a jail have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Strength {
    /// Everything.
    Namespaces,
    /// No namespaces.
    Limits,
}

/// What became of a command.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) success: bool,
    /// It had to be killed for taking too long.
    pub(crate) late: bool,
    /// User and system time of everything in the jail that was waited for.
    pub(crate) cpu: Duration,
    /// The end of what it printed to standard output, and to standard error.
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Strength {
    /// Tries what the system allows, or only what is `weak`; and says why it is weak. Blocks for some milliseconds.
    pub(crate) fn find(weak: bool) -> io::Result<(Strength, Option<String>)> {
        let probe = |strength| {
            let mut jail = Jail::of(&["/usr/bin/true"], Path::new("/"));
            jail.readable = system_libraries();
            jail.readable.push(PathBuf::from("/usr/bin"));
            jail.run(strength, Stdio::null(), Duration::from_secs(20))
        };
        let mut why = "as was asked for".to_owned();
        if !weak {
            let strong = probe(Strength::Namespaces)?;
            if strong.success {
                return Ok((Strength::Namespaces, None));
            }
            strong.stderr.trim().clone_into(&mut why);
        }
        let weak = probe(Strength::Limits)?;
        if weak.success {
            return Ok((Strength::Limits, Some(why)));
        }
        Err(io::Error::other(format!("no jail can be made here: {}", weak.stderr.trim())))
    }
}

/// This very program, whatever has become of its file: it may have been built anew since it was started.
fn this_program() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("labgrade");
    command
}

/// What every program needs to start.
pub(crate) fn system_libraries() -> Vec<PathBuf> {
    ["/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache"]
        .map(PathBuf::from)
        .into_iter()
        .filter(|path| path.exists())
        .collect()
}

impl Jail {
    /// With an empty environment, no files, and modest limits.
    pub(crate) fn of(command: &[&str], directory: &Path) -> Jail {
        Jail {
            readable: Vec::new(),
            writable: Vec::new(),
            proc: Proc::Only(PathBuf::from(command[0])),
            directory: directory.to_owned(),
            environment: Vec::new(),
            limits: Limits {
                cpu_s: 60,
                address_space: 16 << 30,
                file_size: 64 << 20,
                open_files: 1024,
                processes: 512,
                scratch: 64 << 20,
            },
            command: command.iter().map(|part| (*part).to_owned()).collect(),
        }
    }

    /// Runs the command, and waits for it until it has ended or `limit` has passed. Then nothing of it is left.
    pub(crate) fn run(&self, strength: Strength, stdin: Stdio, limit: Duration) -> io::Result<Ended> {
        self.start(strength, stdin)?.wait(limit)
    }

    /// Starts the command.
    pub(crate) fn start(&self, strength: Strength, stdin: Stdio) -> io::Result<Running> {
        strays::adopt()?;
        let description = serde_json::to_string(self).map_err(io::Error::other)?;
        let mut command = this_program();
        command
            .args(["jail", &serde_json::to_string(&strength).map_err(io::Error::other)?, &description])
            .env_clear()
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        // It holds what was given as standard input: whoever reads at the other end would wait for it for ever.
        drop(command);
        let outputs = [child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from)];
        Ok(Running { child, outputs: outputs.map(|output| output.map(read_in_background)), waited: false })
    }
}

/// A command in its jail. Dropped, everything in it is killed.
pub(crate) struct Running {
    child: std::process::Child,
    outputs: [Option<mpsc::Receiver<Vec<u8>>>; 2],
    waited: bool,
}

impl Running {
    /// Waits for the end, or kills everything in the jail when `limit` has passed.
    pub(crate) fn wait(mut self, limit: Duration) -> io::Result<Ended> {
        let late = !self.ends_within(limit)?;
        if late {
            kill_process(Pid::from_child(&self.child), Signal::KILL)?;
        }
        let ended = self.child.wait4()?;
        self.waited = true;
        strays::kill_all()?;
        // All that could write is dead; only what is already written has to be read.
        let mut read = self.outputs.iter().map(|output| {
            let bytes = output.as_ref().and_then(|output| output.recv_timeout(Duration::from_secs(10)).ok());
            String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
        });
        let (stdout, stderr) = (read.next().unwrap_or_default(), read.next().unwrap_or_default());
        Ok(Ended {
            success: ended.status.success(),
            late,
            cpu: ended.rusage.utime + ended.rusage.stime,
            stdout,
            stderr,
        })
    }

    fn ends_within(&self, limit: Duration) -> io::Result<bool> {
        let process = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty())?;
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&timeout)) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.waited {
            // It may have ended by itself.
            let _ = self.child.kill();
            let _ = self.child.wait();
            let _ = strays::kill_all();
        }
    }
}

/// Reads to the end, and keeps the last part.
fn read_in_background(from: OwnedFd) -> mpsc::Receiver<Vec<u8>> {
    let (done, output) = mpsc::channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        while let Ok(n @ 1..) = rustix::io::read(&from, &mut buffer) {
            kept.extend_from_slice(&buffer[..n]);
            if kept.len() > 2 * OUTPUT_MAX {
                kept.drain(..kept.len() - OUTPUT_MAX);
            }
        }
        // Nobody listens any more if it took too long.
        let _ = done.send(kept);
    });
    output
}
