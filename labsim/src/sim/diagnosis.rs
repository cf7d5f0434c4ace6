//! What reports say about threads: who waits where, as the user would tell it.

use std::backtrace::Backtrace;
use std::time::Duration;

use super::runtime::Runtime;
use super::scheduler::{Nanos, Scheduler, State, ThreadId};
use crate::report::ThreadDump;

/// Frames that say how a thread was started, how it was stopped, or how the stack was taken.
const PLUMBING: [&str; 17] = [
    "labsim::",
    "<labsim::",
    "std::",
    "<std::",
    "core::",
    "<core::",
    "alloc::",
    "<alloc::",
    "parking_lot_core::",
    "<parking_lot_core::",
    "test::",
    "__",
    "_start",
    "start_thread",
    "clone",
    "syscall",
    "<unknown>",
];

/// Frames shown of one stack.
const FRAMES_MAX: usize = 24;

/// The user's part of a stack, innermost first: his own frames, and the one call of a library, such as
/// `std::thread::sleep`, that he made last.
pub(crate) fn user_frames(stack: &Backtrace) -> Vec<String> {
    trim(&stack.to_string())
}

fn trim(text: &str) -> Vec<String> {
    let frames = parse(text);
    let hidden = |name: &str| PLUMBING.iter().any(|prefix| name.starts_with(prefix));
    let Some(first) = frames.iter().position(|(name, _)| !hidden(name)) else { return Vec::new() };
    let called = frames[..first].iter().rev().take(1).filter(|(name, _)| !name.starts_with("labsim::"));
    let rest = frames[first..].iter().filter(|(name, _)| !hidden(name));
    let show = |(name, place): &(String, String)| {
        if place.is_empty() { name.clone() } else { format!("{name} at {place}") }
    };
    called.chain(rest).take(FRAMES_MAX).map(show).collect()
}

/// Name and place of each frame of a printed backtrace.
fn parse(text: &str) -> Vec<(String, String)> {
    let mut frames: Vec<(String, String)> = Vec::new();
    for line in text.lines().map(str::trim_start) {
        if let Some(place) = line.strip_prefix("at ") {
            if let Some(frame) = frames.last_mut() {
                frame.1 = place.to_owned();
            }
        } else if let Some((number, name)) = line.split_once(": ") {
            if number.bytes().all(|b| b.is_ascii_digit()) {
                frames.push((name.to_owned(), String::new()));
            }
        }
    }
    frames
}

/// A thread of a run that is over.
pub(crate) fn dump(runtime: &Runtime, id: ThreadId, stack: Option<&Backtrace>) -> ThreadDump {
    let name = runtime.name_of(id);
    let scheduler = runtime.scheduler.borrow();
    let slot = scheduler.thread(id);
    ThreadDump {
        name,
        node: scheduler.node(slot.node).name.clone(),
        state: describe(runtime, &scheduler, slot.state, slot.since),
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
        let state = match scheduler.thread(target).state {
            State::Crashed => ", whose node crashed,",
            _ => "",
        };
        format!("waits for the end of thread '{}'{state}", runtime.name_of(target))
    } else if waiting.futex.is_some() {
        "waits for a lock or a signal".into()
    } else {
        "sleeps".into()
    };
    text += &format!(" since {:.6} s", seconds(since));
    if let Some(deadline) = waiting.deadline {
        text += &format!(", until {:.6} s", seconds(deadline));
    }
    text
}

fn seconds(at: Nanos) -> f64 {
    Duration::from_nanos(at).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::trim;

    #[test]
    fn a_stack_shows_the_call_that_waits_and_the_users_frames() {
        let text = "   0: std::backtrace::Backtrace::create
   1: labsim::sim::runtime::Inside::wait
             at ./labsim/src/sim/runtime.rs:10:5
   2: std::sys::pal::unix::futex::futex_wait
   3: std::sync::poison::condvar::Condvar::wait
   4: raft::Raft::apply_loop
             at ./raft/src/raft.rs:42:13
   5: core::ops::function::FnOnce::call_once
   6: std::sys::thread::unix::Thread::new::thread_start
   7: start_thread
";
        let shown = [
            "std::sync::poison::condvar::Condvar::wait",
            "raft::Raft::apply_loop at ./raft/src/raft.rs:42:13",
        ];
        assert_eq!(trim(text), shown);
        assert_eq!(trim("   0: std::backtrace::Backtrace::create\n"), Vec::<String>::new());
    }
}
