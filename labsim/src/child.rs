//! One run in a fresh process: the same test binary, told to run the one test, and what becomes of it.
//!
//! Nothing outlives the test: the child dies with the thread that started it, and its process group with it.
//! Address randomisation is off in the child where the system allows that.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::build_id::executable;
use crate::judge::is_judged;
use crate::sim;
use crate::wire::Finished;

/// Names the test, the seed and where to write, to the process that is to run it.
const VARIABLE: &str = "LABSIM_CHILD";
/// Leaves address randomisation on, to show that what must not depend on it does not.
const KEEP_RANDOMIZATION: &str = "LABSIM_KEEP_RANDOMIZATION";
/// Output kept of one child, of its beginning and of its end.
const OUTPUT_KEPT: usize = 256 << 10;
/// Of a longer result the rest is left; then it is none.
const RESULT_MAX: usize = 1 << 30;
/// No child is waited for longer than a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// After its time limit a child has this long to say so itself, with the stack of what ran.
const GRACE: Duration = Duration::from_secs(10);

/// What the child is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) test: String,
    pub(crate) seed: u64,
    pub(crate) record: bool,
    /// Of an earlier run of the same seed: mutexes to watch, so that the failure says who holds them.
    pub(crate) locks: Vec<u64>,
}

/// What became of a child.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) finished: Result<Finished, String>,
    pub(crate) fate: Fate,
    /// Everything it wrote to standard output and standard error, in order.
    pub(crate) output: String,
}

/// How its process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// By its own doing.
    Exited,
    /// By a SIGKILL that was not ours.
    Killed,
    /// By ours, since it was late; with so much CPU time used.
    Late(Duration),
}

/// The child's end: what to do and where to write.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) task: Task,
    output: RawFd,
    result: RawFd,
}

impl Order {
    /// What this process was started for; `None` if it is no child.
    pub(crate) fn received() -> Option<Order> {
        let text = std::env::var(VARIABLE).ok()?;
        let mut parts = text.splitn(6, ' ');
        let mut number = || parts.next()?.parse::<u64>().ok();
        let [output, result, seed, record] = [number()?, number()?, number()?, number()?];
        let locks =
            parts.next()?.split_terminator(',').map(|lock| lock.parse().ok()).collect::<Option<_>>()?;
        let test = parts.next()?.to_owned();
        is_judged();
        // Both are ours alone, and not for processes that the test may start: they could answer in our place.
        for fd in [output, result] {
            // SAFETY: changes a flag of a descriptor.
            unsafe { libc::fcntl(fd as RawFd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
        let task = Task { test, seed, record: record != 0, locks };
        Some(Order { task, output: output as RawFd, result: result as RawFd })
    }

    /// Lets everything written from here on go to the parent; what the test harness wrote before does not.
    pub(crate) fn take_output(&self) {
        let _ = io::stdout().flush();
        // SAFETY: both are open: the parent made the one, every process starts with the other.
        unsafe {
            libc::dup2(self.output, libc::STDOUT_FILENO);
            libc::dup2(self.output, libc::STDERR_FILENO);
            libc::close(self.output);
        }
        if statics_are_randomised() {
            eprintln!(
                "note: address randomisation cannot be switched off here, and this test binary is not linked with \
                 -no-pie: if threads contend for locks in statics, a seed may not replay"
            );
        }
    }

    /// Reports and ends the process, at once: other threads are in the midst of things. If one is in the midst of
    /// printing, for good, what of the output has no line end yet is lost.
    pub(crate) fn answer(self, finished: &Finished) -> ! {
        // SAFETY: the parent made it for us alone.
        let mut result = unsafe { File::from_raw_fd(self.result) };
        let written = result.write_all(&finished.encode());
        if finished.simulated {
            sim::end_rather_than_wait();
        }
        let _ = io::stdout().flush();
        // SAFETY: no arguments to speak of.
        unsafe { libc::_exit(i32::from(written.is_err())) }
    }
}

/// Runs `task` in a child and waits for it; real time is limited to `wall_max` and some grace. A run that fails with
/// threads that wait for mutexes is repeated, to learn who holds them. Its environment has these variables too.
pub(crate) fn run(task: &Task, wall_max: Duration, told: &[(&'static str, String)]) -> io::Result<Ended> {
    let mut ended = run_once(task, wall_max, told)?;
    let locks = ended.finished.as_ref().map(|finished| finished.locks.clone()).unwrap_or_default();
    if !locks.is_empty() {
        let again = run_once(&Task { locks, ..task.clone() }, wall_max, told);
        if let (Ok(finished), Ok(Ended { finished: Ok(again), .. })) = (&ended.finished, again) {
            if finished.trace == again.trace {
                ended.finished = Ok(again);
            }
        }
    }
    Ok(ended)
}

fn run_once(task: &Task, wall_max: Duration, told: &[(&'static str, String)]) -> io::Result<Ended> {
    let (output, output_of_child) = pipe()?;
    let (result, result_of_child) = socket_pair()?;
    let order = format!(
        "{} {} {} {} {} {}",
        output_of_child.as_raw_fd(),
        result_of_child.as_raw_fd(),
        task.seed,
        u8::from(task.record),
        task.locks.iter().map(u64::to_string).collect::<Vec<_>>().join(","),
        task.test
    );
    let inherited = [output_of_child.as_raw_fd(), result_of_child.as_raw_fd()];
    let randomize = std::env::var_os(KEEP_RANDOMIZATION).is_some();
    // SAFETY: no arguments.
    let parent = unsafe { libc::getpid() };
    let mut command = Command::new(executable()?);
    command
        .args(["--exact", &task.test, "--nocapture", "--test-threads=1", "--include-ignored"])
        .env(VARIABLE, order)
        .envs(told.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output_of_child.try_clone()?);
    // SAFETY: between fork and exec only system calls.
    unsafe { command.pre_exec(move || prepare(parent, inherited, randomize)) };
    let mut child = command.spawn()?;
    drop((output_of_child, result_of_child));
    let collected = collect(&child, output, result, Instant::now() + wall_max.min(LONGEST) + GRACE);
    kill_group(&child);
    let status = child.wait()?;
    let Collected { output, result, late } = collected?;
    let fate = match (late, status.signal()) {
        (Some(cpu), _) => Fate::Late(cpu),
        (None, Some(libc::SIGKILL)) => Fate::Killed,
        _ => Fate::Exited,
    };
    let output = output.into_text();
    let finished = match Finished::decode(&result.head) {
        Some(finished) if late.is_none() => Ok(finished),
        _ => Err(why(status, late.is_some(), &output, wall_max)),
    };
    Ok(Ended { finished, fate, output })
}

/// Whether the executable lies elsewhere in each process.
fn statics_are_randomised() -> bool {
    static HERE: u8 = 0;
    /// Executables with a fixed address lie in the lowest gigabytes.
    const FIXED_BELOW: usize = 1 << 32;
    // SAFETY: asks, and changes nothing.
    let personality = unsafe { libc::personality(0xffff_ffff) };
    &raw const HERE as usize >= FIXED_BELOW && personality & libc::ADDR_NO_RANDOMIZE == 0
}

/// In the child, before it becomes the test binary.
fn prepare(parent: libc::pid_t, inherited: [RawFd; 2], randomize: bool) -> io::Result<()> {
    // SAFETY: plain system calls on this process.
    unsafe {
        libc::setpgid(0, 0);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid() != parent {
            // The parent died before it could take us along.
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if !randomize {
            // May be refused; then heap and stacks of run threads lie where they should all the same.
            libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong);
        }
        for fd in inherited {
            libc::fcntl(fd, libc::F_SETFD, 0);
        }
    }
    Ok(())
}

/// Reading end and writing end, both closed by exec.
fn pipe() -> io::Result<(File, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: writes two descriptors, which then are ours alone.
    unsafe {
        if libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((File::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}

/// Two ends of a channel, both closed by exec. Unlike a pipe it cannot be opened by its name under `/proc`, so that
/// safe code in the child cannot answer in the runtime's place.
fn socket_pair() -> io::Result<(File, OwnedFd)> {
    let (one, other) = UnixStream::pair()?;
    Ok((File::from(OwnedFd::from(one)), OwnedFd::from(other)))
}

fn kill_group(child: &Child) {
    // SAFETY: the group was made for this child, which was not yet waited for.
    unsafe { libc::kill(-(child.id() as libc::pid_t), libc::SIGKILL) };
}

/// What one pipe gave so far: all of it, or its beginning and its end.
#[derive(Debug)]
struct Stream {
    kept_each: usize,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: usize,
    ended: bool,
}

impl Stream {
    fn new(kept_each: usize) -> Self {
        Stream { kept_each, head: Vec::new(), tail: VecDeque::new(), dropped: 0, ended: false }
    }

    /// Reads what is there.
    fn read_some(&mut self, from: &mut File) {
        let mut buffer = [0; 64 << 10];
        match from.read(&mut buffer) {
            Ok(0) => self.ended = true,
            Ok(n) => self.take(&buffer[..n]),
            Err(error) => self.ended = error.kind() != io::ErrorKind::Interrupted,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let (head, tail) = bytes.split_at(bytes.len().min(self.kept_each - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(tail);
        let excess = self.tail.len().saturating_sub(self.kept_each);
        self.tail.drain(..excess);
        self.dropped += excess;
    }

    fn into_text(self) -> String {
        let mut bytes = self.head;
        if self.dropped > 0 {
            bytes.extend(format!("\n[... {} bytes of output are not shown ...]\n", self.dropped).bytes());
        }
        bytes.extend(self.tail);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

struct Collected {
    output: Stream,
    result: Stream,
    /// It had not ended by the deadline, and had used so much CPU time.
    late: Option<Duration>,
}

/// CPU time of a child that was not yet waited for.
fn cpu_of(child: &Child) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let mut clock = 0;
    // SAFETY: both write to what they are given. Where there is no such clock the time stays 0.
    unsafe {
        if libc::clock_getcpuclockid(child.id() as libc::pid_t, &mut clock) == 0 {
            libc::clock_gettime(clock, &mut time);
        }
    }
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Reads both pipes until the child has ended or the deadline has passed.
fn collect(child: &Child, mut output: File, mut result: File, deadline: Instant) -> io::Result<Collected> {
    let (all, ends) = (Stream::new(RESULT_MAX), Stream::new(OUTPUT_KEPT));
    let mut got = Collected { output: ends, result: all, late: None };
    // SAFETY: our child, not yet waited for; the descriptor is ours.
    let process = unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, child.id() as libc::pid_t, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd as RawFd)
    };
    let mut ended = false;
    loop {
        let left = if ended { Duration::ZERO } else { deadline.saturating_duration_since(Instant::now()) };
        let watch = |fd: RawFd, unless: bool| libc::pollfd {
            fd: if unless { -1 } else { fd },
            events: libc::POLLIN,
            revents: 0,
        };
        let mut polled = [
            watch(output.as_raw_fd(), got.output.ended),
            watch(result.as_raw_fd(), got.result.ended),
            watch(process.as_raw_fd(), ended),
        ];
        let timeout = left.as_millis().min(i32::MAX as u128 - 1) as i32 + i32::from(!left.is_zero());
        // SAFETY: three entries.
        let ready = unsafe { libc::poll(polled.as_mut_ptr(), 3, timeout) };
        // A child that never stops writing is late, too. After its end: the pipes are empty, though something may still
        // hold them open.
        got.late = (!ended && Instant::now() >= deadline).then(|| cpu_of(child));
        if ready == 0 || got.late.is_some() {
            return Ok(got);
        }
        let [from_output, from_result, from_process] = polled.map(|fd| ready > 0 && fd.revents != 0);
        if from_output {
            got.output.read_some(&mut output);
        }
        if from_result {
            got.result.read_some(&mut result);
        }
        if from_process {
            ended = true;
            // Whatever it has started goes with it, and writes no more.
            kill_group(child);
        }
        if ended && got.output.ended && got.result.ended {
            return Ok(got);
        }
    }
}

/// Why a child gave no result.
fn why(status: ExitStatus, late: bool, output: &str, wall_max: Duration) -> String {
    let why = if late {
        format!("the run did not end within {wall_max:?} of real time, and did not answer")
    } else if let Some(signal) = status.signal() {
        match signal {
            libc::SIGABRT if output.contains("has overflowed its stack") => "stack overflow (SIGABRT)".into(),
            libc::SIGABRT if output.contains("memory allocation of") => "out of memory (SIGABRT)".into(),
            libc::SIGABRT => "the process aborted (SIGABRT)".into(),
            libc::SIGSEGV => "invalid memory access (SIGSEGV)".into(),
            libc::SIGBUS => "invalid memory access (SIGBUS)".into(),
            libc::SIGILL => "invalid instruction (SIGILL)".into(),
            libc::SIGFPE => "arithmetic fault (SIGFPE)".into(),
            libc::SIGXCPU => "CPU limit: the process used more CPU time than it may (SIGXCPU)".into(),
            libc::SIGKILL => "killed (SIGKILL): by the system for want of memory, or by hand".into(),
            other => format!("the process was ended by signal {other}"),
        }
    } else {
        match status.code().unwrap_or_default() {
            0 => "the test's process ended before the test: something called `exit(0)`, or the test binary has no \
                  test of this name"
                .into(),
            101 => "a panic outside the run ended the test's process: see the output above".into(),
            code => format!(
                "the test's process ended before the test, with exit code {code}: something called `exit`"
            ),
        }
    };
    format!("{why}\nWhat was recorded of the run was lost with its process: there is no report, and no page.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_much_output_both_ends_are_kept() {
        let mut stream = Stream::new(4);
        for part in ["abc", "defgh", "ijk", "l"] {
            stream.take(part.as_bytes());
        }
        assert_eq!(stream.into_text(), "abcd\n[... 4 bytes of output are not shown ...]\nijkl");
        let mut stream = Stream::new(4);
        stream.take(b"abcdef");
        assert_eq!(stream.into_text(), "abcdef");
    }

    #[test]
    fn a_child_that_never_stops_writing_is_late() {
        let mut command = Command::new("yes");
        let mut child = command.process_group(0).stdout(Stdio::piped()).spawn().unwrap();
        let output = File::from(OwnedFd::from(child.stdout.take().unwrap()));
        let result = File::open("/dev/null").unwrap();
        let got = collect(&child, output, result, Instant::now() + Duration::from_millis(50)).unwrap();
        kill_group(&child);
        child.wait().unwrap();
        assert!(got.late.is_some() && got.output.into_text().starts_with("y\ny\n"));
    }
}
