//! What of a backtrace a student may have written.

/// Of a backtrace as the standard library writes it, what a student may have written: between the marks that
/// the library sets where a panic begins and where a thread begins, and without the library's own functions.
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
        } else if !place.is_some_and(|place| place.contains("/rustc/") || place.contains("/rustlib/src/")) {
            let place = place.map_or(String::new(), |place| format!("           {place}\n"));
            shown.push(format!("{name}\n{place}"));
        }
    }
    shown.iter().enumerate().map(|(i, function)| format!("{i:>4}: {function}")).collect()
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

    /// Should the standard library ever write its backtraces in another way.
    #[test]
    fn a_real_backtrace_is_trimmed() {
        let thread = std::thread::spawn(|| Backtrace::force_capture().to_string());
        let (whole, here) = (thread.join().unwrap(), "report/backtrace.rs:");
        assert!(whole.contains("__rust_begin_short_backtrace") && whole.contains(here), "{whole}");
        let shown = trimmed(&whole);
        assert!(shown.contains(here) && shown.lines().count() <= 4, "{shown} is left of {whole}");
    }
}
