//! What reports say about threads: who waits where, as the user would tell it.

use std::backtrace::Backtrace;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::locks::Lock;
use super::runtime::Runtime;
use super::scheduler::{Nanos, Scheduler, State, ThreadId, Waiting};
use crate::report::{ProcessEnd, ThreadDump};

/// Names of frames that say how a thread was started, how it was stopped, or how the stack was taken: asked only
/// where the executable has no line tables.
const PLUMBING: [&str; 14] = [
    "labsim::",
    "<labsim::",
    "std::",
    "<std::",
    "core::",
    "<core::",
    "alloc::",
    "<alloc::",
    "parking_lot",
    "<parking_lot",
    "__",
    "_start",
    "start_thread",
    "clone",
];

/// Frames shown of one stack.
const FRAMES_MAX: usize = 24;

/// The user's part of a stack, innermost first: his own frames, and the call of a library that he made last,
/// such as `std::thread::sleep`.
pub(crate) fn user_frames(stack: &Backtrace) -> Vec<String> {
    trim(&frames_of(stack))
}

fn frames_of(stack: &Backtrace) -> Vec<Frame> {
    let directory = std::env::current_dir().unwrap_or_default();
    parse(&stack.to_string(), &directory.to_string_lossy())
}

fn trim(frames: &[Frame]) -> Vec<String> {
    let (below, users) = part(frames);
    let mut users = users.peekable();
    let called = below.last().filter(|frame| !frame.is_ours() && !frame.is_of_signal());
    let called = called.filter(|_| users.peek().is_some());
    let mut shown: Vec<(String, usize)> = Vec::new();
    for frame in called.into_iter().chain(users).map(Frame::show) {
        let is_full = shown.len() == FRAMES_MAX;
        match shown.last_mut() {
            // Who calls himself does so more often than anybody wants to read.
            Some((last, times)) if *last == frame => *times += 1,
            _ if is_full => break,
            _ => shown.push((frame, 1)),
        }
    }
    let show = |(frame, times)| if times == 1 { frame } else { format!("{frame} ({times} times)") };
    shown.into_iter().map(show).collect()
}

/// The frames of libraries within the innermost of the user's frames, and the user's.
fn part(frames: &[Frame]) -> (&[Frame], impl Iterator<Item = &Frame>) {
    let placed = frames.iter().any(|frame| !frame.place.is_empty());
    let is_users =
        move |frame: &&Frame| if placed { frame.is_in_users_source() } else { !frame.is_plumbing() };
    let first = frames.iter().position(|frame| is_users(&frame)).unwrap_or(frames.len());
    (&frames[..first], frames[first..].iter().filter(is_users))
}

/// Why a thread called `abort`: judged by the names that the standard library gives to what calls it.
pub(crate) fn why_aborted(stack: &Backtrace) -> ProcessEnd {
    const CALLERS: [(&str, ProcessEnd); 3] = [
        ("stack_overflow", ProcessEnd::StackOverflow),
        ("alloc_error", ProcessEnd::OutOfMemory),
        ("panic_with_hook", ProcessEnd::Panic),
    ];
    let frames = frames_of(stack);
    let (below, _) = part(&frames);
    let caller = |frame: &Frame| CALLERS.into_iter().find(|(name, _)| frame.name.contains(name));
    below.iter().find_map(caller).map_or(ProcessEnd::Abort, |(_, end)| end)
}

#[derive(Debug)]
struct Frame {
    name: String,
    /// `file:line:column`, absolute; empty if unknown.
    place: String,
}

impl Frame {
    fn is_ours(&self) -> bool {
        const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/");
        self.place.starts_with(SOURCES) || self.name.starts_with("labsim::")
    }

    fn is_in_users_source(&self) -> bool {
        let elsewhere = ["/rustc/", "/registry/src/", "/library/std/", "/library/core/", "/library/alloc/"];
        // The C library's own line tables.
        let libc = ["/nptl/", "/sysdeps/", "/csu/"];
        !self.place.is_empty()
            && !self.is_ours()
            && !libc.iter().any(|part| self.place.contains(part))
            && !elsewhere.iter().any(|part| self.place.contains(part))
    }

    /// Where the kernel lets a handler begin.
    fn is_of_signal(&self) -> bool {
        self.name == "<unknown>" || self.name.contains("restore_rt")
    }

    fn is_plumbing(&self) -> bool {
        PLUMBING.iter().any(|prefix| self.name.starts_with(prefix))
    }

    fn show(&self) -> String {
        let place = ["/registry/src/", "/library/"].iter().find_map(|part| self.place.split_once(part));
        match place.map_or(self.place.as_str(), |(_, rest)| rest) {
            "" => self.name.clone(),
            place => format!("{} at {place}", self.name),
        }
    }
}

/// The frames of a printed backtrace; `directory` is what `./` stands for in places.
fn parse(text: &str, directory: &str) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    for line in text.lines().map(str::trim_start) {
        if let Some(place) = line.strip_prefix("at ") {
            if let Some(frame) = frames.last_mut() {
                frame.place = place
                    .strip_prefix("./")
                    .map_or_else(|| place.to_owned(), |rest| format!("{directory}/{rest}"));
            }
        } else if let Some((number, name)) = line.split_once(": ") {
            if number.bytes().all(|b| b.is_ascii_digit()) {
                frames.push(Frame { name: name.to_owned(), place: String::new() });
            }
        }
    }
    frames
}

/// What a thread does that did not get a lock at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slow {
    /// Waits for a mutex of the standard library.
    Std,
    /// Waits for one of `parking_lot`.
    ParkingLot,
    /// Waits for a lock that several may hold.
    Shared,
}

/// For which kind of lock the thread waits, if it is not for a signal or a message: judged by the names that `std` and
/// `parking_lot` give to the slow paths of their locks.
pub(crate) fn at_lock(stack: &Backtrace) -> Option<Slow> {
    const SLOW_PATHS: [(&str, Slow); 6] = [
        ("lock_slow", Slow::ParkingLot),
        ("lock_contended", Slow::Std),
        ("lock_exclusive_slow", Slow::Shared),
        ("lock_shared_slow", Slow::Shared),
        ("read_contended", Slow::Shared),
        ("write_contended", Slow::Shared),
    ];
    let frames = parse(&stack.to_string(), "");
    let named = |path: &str| frames.iter().any(|frame| frame.name.contains(path));
    SLOW_PATHS.into_iter().find(|(path, _)| named(path)).map(|(_, slow)| slow)
}

/// The mutex for which the thread waits, which showed this stack.
pub(super) fn waited_for(runtime: &Runtime, id: ThreadId, stack: &Backtrace) -> Option<Lock> {
    let State::Waiting(Waiting { futex: Some((address, _)), .. }) =
        runtime.scheduler.borrow().thread(id).state
    else {
        return None;
    };
    Lock::waited_for(address, at_lock(stack)?)
}

/// Threads that have waited for long, or keep others waiting.
#[derive(Debug, Default)]
pub(super) struct Waits {
    pub(super) at_lock: Vec<ThreadDump>,
    pub(super) elsewhere: Vec<ThreadDump>,
    /// The mutexes waited for.
    pub(super) locks: Vec<Lock>,
}

/// What these stacks show: which of them end in a lock.
pub(super) fn waits(runtime: &Runtime, stacks: &[(ThreadId, Backtrace)]) -> Waits {
    let mut waits = Waits::default();
    for (id, stack) in stacks {
        // To find the names of a stack takes a while, but is no busy loop.
        runtime.progress.fetch_add(1, Ordering::Relaxed);
        let dump = dump(runtime, *id, Some(stack));
        if at_lock(stack).is_some() {
            waits.at_lock.push(dump)
        } else {
            waits.elsewhere.push(dump)
        }
        waits.locks.extend(waited_for(runtime, *id, stack));
    }
    waits
}

/// A thread of a run that is over, or stands still.
pub(crate) fn dump(runtime: &Runtime, id: ThreadId, stack: Option<&Backtrace>) -> ThreadDump {
    let name = runtime.name_of(id);
    let lock = stack.and_then(|stack| waited_for(runtime, id, stack));
    let holder = lock.and_then(|lock| runtime.watched.holder(lock));
    let scheduler = runtime.scheduler.borrow();
    let slot = scheduler.thread(id);
    ThreadDump {
        name,
        node: scheduler.node(slot.node).name.clone(),
        state: describe(runtime, &scheduler, slot.state, slot.since)
            + &held_by(runtime, &scheduler, id, holder),
        stack: stack.map(user_frames).unwrap_or_default(),
    }
}

fn describe(runtime: &Runtime, scheduler: &Scheduler, state: State, since: Nanos) -> String {
    let waiting = match state {
        State::Runnable => return "can run".into(),
        State::Held => return "can run, but its node is frozen".into(),
        State::Finished => return "has ended".into(),
        State::Crashed => return "its node crashed".into(),
        State::Waiting(waiting) => waiting,
    };
    let mut text = if let Some(target) = waiting.join {
        let state = if scheduler.is_stopped(target) { ", whose node crashed," } else { "" };
        format!("waits for the end of thread '{}'{state}", runtime.name_of(target))
    } else if waiting.futex.is_some() {
        "waits for a lock or a signal".into()
    } else if waiting.stalled {
        "can run, but has lost its processor".into()
    } else {
        "sleeps".into()
    };
    text += &format!(" since {:.6} s", seconds(since));
    if let Some(deadline) = waiting.deadline {
        text += &format!(", until {:.6} s", seconds(deadline));
    }
    text
}

/// Who holds the mutex for which `id` waits, if that is known.
fn held_by(runtime: &Runtime, scheduler: &Scheduler, id: ThreadId, holder: Option<ThreadId>) -> String {
    match holder {
        None => String::new(),
        Some(holder) if holder == id => "; it holds that lock itself".into(),
        Some(holder) => {
            let (crashed, ended) =
                (scheduler.is_stopped(holder), scheduler.thread(holder).state == State::Finished);
            let state = if crashed {
                ", whose node crashed,"
            } else if ended {
                ", which has ended,"
            } else {
                ""
            };
            format!("; thread '{}'{state} holds that lock", runtime.name_of(holder))
        }
    }
}

fn seconds(at: Nanos) -> f64 {
    Duration::from_nanos(at).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::{parse, trim};

    #[test]
    fn a_stack_shows_the_call_that_waits_and_the_users_frames() {
        let sources = env!("CARGO_MANIFEST_DIR");
        let text = format!(
            "   0: std::backtrace::Backtrace::create
   1: wait
             at {sources}/src/sim/runtime.rs:10:5
   2: futex_wait
             at /rustc/59807/library/std/src/sys/futex.rs:72:9
   3: send<u32>
             at /home/s/.cargo/registry/src/index-1949/crossbeam-channel-0.5.17/src/channel.rs:442:46
   4: apply_loop
             at ./raft/src/raft.rs:42:13
   5: call_once
             at /rustc/59807/library/core/src/ops/function.rs:250:5
   6: start_thread
             at ./nptl/pthread_create.c:442:8
"
        );
        let shown = [
            "send<u32> at index-1949/crossbeam-channel-0.5.17/src/channel.rs:442:46",
            "apply_loop at /home/s/labs/raft/src/raft.rs:42:13",
        ];
        assert_eq!(trim(&parse(&text, "/home/s/labs")), shown);
    }

    #[test]
    fn who_calls_himself_is_shown_once() {
        let frame =
            |number, name: &str| format!("{number:>4}: {name}\n             at /home/s/raft.rs:7:9\n");
        let text: String = (0..9).map(|n| frame(n, if n == 8 { "ticker" } else { "deeper" })).collect();
        let shown = ["deeper at /home/s/raft.rs:7:9 (8 times)", "ticker at /home/s/raft.rs:7:9"];
        assert_eq!(trim(&parse(&text, "/")), shown);
    }

    #[test]
    fn without_line_tables_names_decide() {
        let text = "   0: std::thread::sleep\n   1: raft::tick\n   2: start_thread\n";
        assert_eq!(trim(&parse(text, "/")), ["std::thread::sleep", "raft::tick"]);
        assert_eq!(trim(&parse("   0: std::backtrace::Backtrace::create\n", "/")), Vec::<String>::new());
    }
}
