//! What of a stack a student may have written.

use std::path::Path;

use labsim::{Failure, ThreadDump};

/// The sources of the harness that call the code under test: what stands below them on a stack is theirs.
const HARNESS: [&str; 2] = ["labrpc/src/", "labtest/src/"];

/// Where the standard library and packages have their sources.
const LIBRARIES: [&str; 3] = ["/rustc/", "/rustlib/src/", "/registry/src/"];

fn is_harness(place: &str) -> bool {
    HARNESS.iter().any(|sources| place.contains(sources))
}

/// Whether a frame is of a file of the workspace, or of another folder here; those of libraries are shortened.
fn is_students(frame: &str) -> bool {
    !is_harness(frame) && frame.split_once(" at ").is_some_and(|(_, place)| Path::new(place).is_absolute())
}

/// Of a backtrace as the standard library writes it, what a student may have written: between the marks that
/// the library sets where a panic begins and where a thread begins, and without the functions of libraries.
pub(super) fn trimmed(backtrace: &str) -> String {
    let mut shown: Vec<String> = Vec::new();
    let mut lines = backtrace.lines().peekable();
    while let Some(line) = lines.next() {
        // "  12: core::panicking::panic_fmt"; one that was inlined may lack the number.
        let name = line.split_once(": ").filter(|(n, _)| n.trim().parse::<u32>().is_ok());
        let name = name.map_or(line.trim(), |(_, name)| name);
        let place = lines.next_if(|line| line.trim_start().starts_with("at ")).map(str::trim);
        if name.contains("__rust_end_short_backtrace") {
            shown.clear();
        } else if name.contains("__rust_begin_short_backtrace") {
            break;
        } else if place.is_some_and(is_harness) {
            if !shown.is_empty() {
                break;
            }
        } else if !place.is_some_and(|place| LIBRARIES.iter().any(|sources| place.contains(sources))) {
            let place = place.map_or(String::new(), |place| format!("           {place}\n"));
            shown.push(format!("{name}\n{place}"));
        }
    }
    shown.iter().enumerate().map(|(i, function)| format!("{i:>4}: {function}")).collect()
}

/// A thread with what it may have been written by a student of its stack, and the calls from there into libraries, in
/// names that fit on a line.
pub(super) fn of_thread(thread: &ThreadDump) -> ThreadDump {
    let mut shown: Vec<String> = Vec::new();
    let theirs = thread.stack.iter().position(|frame| is_students(frame)).unwrap_or(0);
    for (at, frame) in thread.stack.iter().enumerate() {
        // Of what the harness does for a student, the call alone: `wait`, and not what waits within it.
        if frame.starts_with("<unknown>") || (is_harness(frame) && at + 1 < theirs) {
            continue;
        }
        if is_harness(frame) && at > theirs && !shown.is_empty() {
            break;
        }
        shown.push(tidy(frame));
    }
    ThreadDump { stack: shown, ..thread.clone() }
}

/// The threads that a failure names, each with as much.
pub(super) fn of_failure(failure: &Failure) -> Failure {
    let all = |threads: &[ThreadDump]| threads.iter().map(of_thread).collect::<Vec<_>>();
    match failure {
        Failure::Reported(_) | Failure::Panicked(_) => failure.clone(),
        Failure::Deadlock(threads) => Failure::Deadlock(all(threads)),
        Failure::Livelock(threads) => Failure::Livelock(all(threads)),
        Failure::Stuck(stuck, others) => Failure::Stuck(all(stuck), all(others)),
        Failure::BusyLoop(thread) => Failure::BusyLoop(of_thread(thread)),
        Failure::WallLimit(limit, thread) => Failure::WallLimit(*limit, of_thread(thread)),
        Failure::CpuLimit(limit, thread) => Failure::CpuLimit(*limit, of_thread(thread)),
        Failure::OutsideWait(thread) => Failure::OutsideWait(of_thread(thread)),
        Failure::MemoryLimit(limit, thread) => Failure::MemoryLimit(*limit, of_thread(thread)),
        Failure::ProcessEnded(end, thread) => Failure::ProcessEnded(*end, of_thread(thread)),
    }
}

/// A frame without type arguments, with a place within the workspace, or a package: `start at raft/src/raft.rs:128:45`.
fn tidy(frame: &str) -> String {
    let (name, place) = frame.split_once(" at ").unwrap_or((frame, ""));
    // One that begins with a bracket is a method of a trait: there the types tell something.
    let name = name.split_once('<').map_or(name, |(head, _)| if head.is_empty() { name } else { head });
    if place.is_empty() {
        return name.to_string();
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"));
    let inside = Path::new(place).strip_prefix(workspace).ok().and_then(Path::to_str);
    let of_package = |place: &str| {
        let (_, rest) = place.split_once('/')?;
        let version = rest.split('/').next()?.rsplit_once('-')?.1;
        version.starts_with(|c: char| c.is_ascii_digit()).then(|| rest.to_string())
    };
    let place = inside.map(str::to_string).or_else(|| of_package(place)).unwrap_or(place.to_string());
    format!("{name} at {place}")
}

#[cfg(test)]
mod tests {
    use std::backtrace::Backtrace;

    use super::*;

    #[test]
    fn a_backtrace_shows_the_functions_between_the_panic_and_the_start_of_the_thread() {
        let backtrace = "   0: caught
             at ./src/failure.rs:77:21
   1: std::sys::backtrace::__rust_end_short_backtrace::<std::panicking::panic_handler::{closure#0}, !>
             at /rustc/59807616/library/std/src/sys/backtrace.rs:182:18
   2: core::panicking::panic_fmt
             at /rustc/59807616/library/core/src/panicking.rs:80:14
   3: raft::election::run
      raft::inlined
             at ./src/election.rs:12:3
   4: core::ops::function::FnOnce::call_once
             at /home/me/.rustup/toolchains/stable/lib/rustlib/src/rust/library/core/src/ops/function.rs:250:5
   5: unlocked<parking_lot::raw_mutex::RawMutex, raft::State>
             at /home/me/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/lock_api-0.4.14/src/mutex.rs:613:9
   5: raft::raft::spawn
             at ./src/raft.rs:7:9
   6: __rust_begin_short_backtrace<raft::spawn::{closure#0}, ()>
             at /rustc/59807616/library/std/src/sys/backtrace.rs:166:18
   7: start_thread
             at ./nptl/pthread_create.c:442:8
";
        let shown = "   0: raft::election::run
   1: raft::inlined
           at ./src/election.rs:12:3
   2: raft::raft::spawn
           at ./src/raft.rs:7:9
";
        assert_eq!(trimmed(backtrace), shown);
    }

    #[test]
    fn a_stack_ends_where_the_harness_calls() {
        let thread = |stack: &[&str]| ThreadDump {
            name: "rpc-0".to_string(),
            stack: stack.iter().map(|frame| frame.to_string()).collect(),
            ..ThreadDump::default()
        };
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().display();
        let shown = of_thread(&thread(&[
            "<unknown>",
            "lock<RawMutex, Vec<u8>> at registry-1949/lock_api-0.4.14/src/mutex.rs:213:18",
            "<T as raft::Service>::ask at alloc/src/vec/mod.rs:3:5",
            &format!("start at {here}/raft/src/raft.rs:128:45"),
            &format!("run at {here}/labrpc/src/job.rs:32:59"),
            "main",
        ]));
        let expected = [
            "lock at lock_api-0.4.14/src/mutex.rs:213:18",
            "<T as raft::Service>::ask at alloc/src/vec/mod.rs:3:5",
            "start at raft/src/raft.rs:128:45",
        ];
        assert_eq!(shown, thread(&expected));
        // Whoever waits for a reply waits within the harness.
        let shown = of_thread(&thread(&[
            "recv<Vec<u8>> at registry-1949/crossbeam-channel-0.5.15/src/channel.rs:1:2",
            &format!("recv at {here}/labrpc/src/job.rs:3:4"),
            &format!("wait at {here}/labrpc/src/call.rs:5:6"),
            &format!("elect at {here}/raft/src/raft.rs:128:45"),
            &format!("run at {here}/labtest/src/job.rs:32:59"),
        ]));
        let expected = [
            "recv at crossbeam-channel-0.5.15/src/channel.rs:1:2",
            "wait at labrpc/src/call.rs:5:6",
            "elect at raft/src/raft.rs:128:45",
        ];
        assert_eq!(shown, thread(&expected));
        // What the harness itself waits for is all there is to show.
        assert_eq!(of_thread(&thread(&["wait at /x/labtest/src/run.rs:1:2"])).stack.len(), 1);
    }

    /// Should the standard library ever write its backtraces in another way.
    #[test]
    fn a_real_backtrace_is_trimmed() {
        let thread = std::thread::spawn(|| Backtrace::force_capture().to_string());
        let (whole, here) = (thread.join().unwrap(), "report/backtrace.rs:");
        assert!(whole.contains("__rust_begin_short_backtrace") && whole.contains(here), "{whole}");
        let shown = trimmed(&whole);
        // That is a test of the harness's own, which calls itself.
        let shown =
            if shown.is_empty() { trimmed(&whole.replace("labtest/src/", "raft/src/")) } else { shown };
        assert!(shown.contains(here) && shown.lines().count() <= 4, "{shown} is left of {whole}");
    }
}
