//! Many seeds of one test, in parallel over the processors, up to the first that fails.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::child::{self, Task};
use crate::slots;
use crate::wire::Finished;

/// Which seeds to try, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seeds<'a> {
    pub(crate) test: &'a str,
    /// The seeds are this one and those that follow it.
    pub(crate) first: u64,
    pub(crate) runs: u64,
    pub(crate) wall_max: Duration,
    /// In real time, one after the other, with the machine to itself.
    pub(crate) real: bool,
    /// Every seed twice, and both runs must be the same.
    pub(crate) check: bool,
    /// Variables for the environment of the runs.
    pub(crate) told: &'a [(&'static str, String)],
}

/// One seed's outcome: what the child said, or the failure as it is to be shown; and its output.
#[derive(Debug)]
pub(crate) struct Outcome {
    index: u64,
    pub(crate) seed: u64,
    pub(crate) result: Result<Finished, String>,
    pub(crate) output: String,
}

impl Seeds<'_> {
    /// The outcomes in order of the seeds. Every seed before the first failing one was tried, so that one is the
    /// smallest.
    pub(crate) fn try_all(&self) -> Vec<Outcome> {
        let next = AtomicU64::new(0);
        let failed_at = AtomicU64::new(u64::MAX);
        let outcomes = Mutex::new(Vec::new());
        let work = || {
            while next.load(Ordering::Relaxed) < self.runs {
                let slot = if self.real { slots::take_all() } else { slots::take_one() };
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= self.runs || index > failed_at.load(Ordering::Relaxed) {
                    break;
                }
                let outcome = self.try_one(index);
                drop(slot);
                if outcome.result.is_err() {
                    failed_at.fetch_min(index, Ordering::Relaxed);
                }
                outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
            }
        };
        let workers = if self.real { 1 } else { self.runs.min(slots::count() as u64) };
        thread::scope(|scope| {
            for _ in 1..workers {
                scope.spawn(work);
            }
            work();
        });
        let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcomes.sort_by_key(|outcome| outcome.index);
        outcomes
    }

    fn try_one(&self, index: u64) -> Outcome {
        let seed = self.first.wrapping_add(index);
        let task = Task { test: self.test.to_owned(), seed, record: self.check, locks: Vec::new() };
        let (mut result, output) = self.run(&task);
        if let (true, Ok(one)) = (self.check, &result) {
            match self.run(&task).0 {
                Ok(other) if one.trace == other.trace => {}
                Ok(other) => result = Err(difference(one, &other)),
                Err(text) => result = Err(format!("the same seed passed, and then failed:\n{text}")),
            }
        }
        Outcome { index, seed, result, output }
    }

    fn run(&self, task: &Task) -> (Result<Finished, String>, String) {
        match child::run(task, self.wall_max, self.told) {
            Ok(ended) => {
                let result = ended.finished.and_then(|f| if f.ok { Ok(f) } else { Err(f.text) });
                (result, ended.output)
            }
            Err(error) => (Err(format!("no process for the run: {error}")), String::new()),
        }
    }
}

/// Where two runs of a seed part.
fn difference(one: &Finished, other: &Finished) -> String {
    let at = one.steps.iter().zip(&other.steps).position(|(a, b)| a != b);
    let at = at.unwrap_or(one.steps.len().min(other.steps.len()));
    let show = |finished: &Finished| match finished.steps.get(at) {
        Some([thread, now, _]) => {
            let name = finished.names.lines().nth(*thread as usize).unwrap_or("?");
            format!("resumed thread #{thread} '{name}' at {:.9} s", Duration::from_nanos(*now).as_secs_f64())
        }
        None => "had ended".into(),
    };
    format!(
        "not deterministic: the same seed gave traces {:016x} and {:016x}\nfirst difference at switch {at}: one run \
         {}, the other {}",
        one.trace,
        other.trace,
        show(one),
        show(other)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_pointed_at() {
        let run = |trace, steps: &[[u64; 3]]| Finished {
            trace,
            names: "main\nworker".into(),
            steps: steps.to_vec(),
            ..Finished::default()
        };
        let one = run(1, &[[0, 0, 9], [1, 5, 8]]);
        let text = difference(&one, &run(2, &[[0, 0, 9], [2, 5_000_000, 7]]));
        assert!(text.contains("switch 1: one run resumed thread #1 'worker' at 0.000000005 s"), "{text}");
        assert!(text.ends_with("the other resumed thread #2 '?' at 0.005000000 s"), "{text}");
        assert!(difference(&one, &run(2, &[[0, 0, 9]])).ends_with("the other had ended"));
    }
}
