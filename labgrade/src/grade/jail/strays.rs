//! What a jail without a pid namespace leaves running: this process inherits it, finds it and kills it.

use std::fs;
use std::io;
use std::process;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// Makes this process the parent of all descendants whose own parents have died.
pub(super) fn adopt() -> io::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// Kills all descendants of this process and waits for them. To be called when none of them is to live.
pub(crate) fn kill_all() -> io::Result<()> {
    loop {
        let children = children();
        if children.is_empty() {
            return Ok(());
        }
        for child in children {
            // It may have ended by itself. What it has started comes to us next.
            let _ = kill_process(child, Signal::KILL);
            let _ = waitpid(Some(child), WaitOptions::empty());
        }
    }
}

/// The children of all threads of this process.
fn children() -> Vec<Pid> {
    let tasks = format!("/proc/{}/task", process::id());
    let of_task = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
    let all = fs::read_dir(tasks).into_iter().flatten().flatten().map(of_task);
    let all: Vec<String> = all.collect();
    all.iter()
        .flat_map(|line| line.split_whitespace())
        .filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
        .collect()
}
