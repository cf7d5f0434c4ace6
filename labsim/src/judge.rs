//! Runs for a grader: which seeds it wants, and a private channel for what became of them.
//!
//! A program that grades starts the test binary for one test with [`VARIABLE`] set and a Unix socket as standard input, and
//! writes an order into it. This process, in which no code under test ever runs, tries every seed of the order, each
//! in a child of its own, and answers with a record for each as soon as it is known, and one for the end. What the
//! code under test prints is in the records, and nowhere else; a grader need not believe a word on standard output.
//!
//! A run that passes may leave evidence, for [`Review`] in this process: a second look at what the harness has seen, by
//! code that shared no process with the code under test. The grader asks for it by [`REVIEW`], since it takes time.
//!
//! All numbers are 8 bytes, least significant first.
//!
//! | message | parts |
//! |---|---|
//! | order | nonce (16 bytes), number of seeds, the seeds |
//! | record | nonce, what became of it (see [`Became`]), seed, nanoseconds on the run's clock, length of the text, length of the output, text, output |
//! | end | nonce, 4, number of records, 0, 0, 0 |
//!
//! The code under test cannot reach the channel: the child's standard input is another, and a socket cannot be opened
//! a second time by its name under `/proc`, as a pipe can. Nor can it read this process's memory there, or its own:
//! both are made undumpable.

use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::child::{self, Fate, Task};
use crate::slots;
use crate::wire::Finished;

/// Says that standard input is a grader's socket. The child has it too, to know that it is watched.
const VARIABLE: &str = "LABSIM_JUDGE";
/// Set, it asks for reviews; the child has it too, to know that evidence is wanted.
const REVIEW: &str = "LABSIM_REVIEW";
/// CPU time for a run, in seconds. A grader that gives it takes a run that has not come so far within its real time for
/// one of which nothing is known: the machine was busy.
const CPU: &str = "LABSIM_CPU";
/// More seeds in an order are a mistake.
const SEEDS_MAX: u64 = 1 << 20;
/// The number of a record that is the end.
const END: u64 = 4;

/// An order that was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Judge {
    nonce: [u8; 16],
    seeds: Vec<u64>,
}

/// What became of a seed, as a grader is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Became {
    Passed = 0,
    /// A check objected, or the process ended before the test, by its own doing.
    Failed = 1,
    /// The process was killed from outside: for want of memory, or by hand. That judges nobody.
    Killed = 2,
    /// The system gave no process.
    NotRun = 3,
    /// Its real time was over before its CPU time, of which the machine gave it too little.
    Starved = 5,
}

/// Looks at the evidence of a run that has passed by its own account; the error says what contradicts that.
pub(crate) type Review = Box<dyn Fn(&[u8]) -> Result<(), String> + Send + Sync>;

/// What holds for all runs of an order.
pub(crate) struct Terms {
    /// Of real time.
    pub(crate) wall_max: Duration,
    /// Of CPU time, if the grader has set one.
    pub(crate) cpu_max: Option<Duration>,
    pub(crate) real: bool,
    pub(crate) review: Option<Review>,
}

/// Whether runs that pass are to leave evidence for a review.
pub(crate) fn is_reviewed() -> bool {
    std::env::var_os(VARIABLE).is_some() && std::env::var_os(REVIEW).is_some()
}

/// The limit of CPU time, if a grader has set one.
pub(crate) fn cpu_max() -> Option<Duration> {
    std::env::var(CPU).ok()?.parse().ok().map(Duration::from_secs)
}

/// Whether a grader listens; then this process, and its memory, are made unreadable for others of the same user.
pub(crate) fn is_judged() -> bool {
    let judged = std::env::var_os(VARIABLE).is_some();
    if judged {
        // SAFETY: changes an attribute of this process.
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
    }
    judged
}

impl Judge {
    /// Reads the order, if a grader listens. The error says why it cannot be read.
    pub(crate) fn asked() -> Option<io::Result<Judge>> {
        is_judged().then(|| Judge::read(&*channel()))
    }

    fn read(mut from: impl Read) -> io::Result<Judge> {
        let mut nonce = [0; 16];
        from.read_exact(&mut nonce)?;
        let mut number = || {
            let mut bytes = [0; 8];
            from.read_exact(&mut bytes).map(|()| u64::from_le_bytes(bytes))
        };
        let count = number()?;
        if count > SEEDS_MAX {
            return Err(io::Error::other(format!("{count} seeds are too many")));
        }
        let seeds = (0..count).map(|_| number()).collect::<io::Result<_>>()?;
        Ok(Judge { nonce, seeds })
    }

    /// Tries every seed, whatever became of others, as many at a time as there are slots, and reports. The error is
    /// that nobody listens any more.
    pub(crate) fn run(&self, test: &str, terms: &Terms) -> io::Result<()> {
        let Terms { wall_max, real, .. } = *terms;
        let next = AtomicUsize::new(0);
        let written = Mutex::new(Ok(()));
        let write = |message: Vec<u8>| {
            let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
            if written.is_ok() {
                *written = (&*channel()).write_all(&message);
            }
        };
        let work = || {
            loop {
                let slot = if real { slots::take_all() } else { slots::take_one() };
                let Some(seed) = self.seeds.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
                let task = Task { test: test.to_owned(), seed: *seed, record: false, locks: Vec::new() };
                let ended = child::run(&task, wall_max, &[]);
                drop(slot);
                write(self.record(*seed, ended, terms));
            }
        };
        let workers = if real { 1 } else { self.seeds.len().min(slots::count()) };
        thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
        write(self.message([END, self.seeds.len() as u64, 0, 0, 0], &[]));
        written.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, seed: u64, ended: io::Result<child::Ended>, terms: &Terms) -> Vec<u8> {
        let (became, elapsed, text, output) = match ended {
            Ok(child::Ended { finished: Ok(finished), output, .. }) => {
                let (became, text) = match terms.contradiction(&finished) {
                    _ if finished.starved && terms.cpu_max.is_some() => (Became::Starved, finished.text),
                    _ if !finished.ok => (Became::Failed, finished.text),
                    None => (Became::Passed, finished.text),
                    Some(why) => (Became::Failed, why),
                };
                (became, finished.elapsed_ns, text, output)
            }
            Ok(child::Ended { finished: Err(why), fate, output }) => {
                let became = match fate {
                    Fate::Killed => Became::Killed,
                    Fate::Late(cpu) if terms.cpu_max.is_some_and(|max| cpu < max) => Became::Starved,
                    _ => Became::Failed,
                };
                (became, 0, why, output)
            }
            Err(error) => (Became::NotRun, 0, format!("no process for the run: {error}"), String::new()),
        };
        let numbers = [became as u64, seed, elapsed, text.len() as u64, output.len() as u64];
        self.message(numbers, &[text.as_bytes(), output.as_bytes()])
    }

    fn message(&self, numbers: [u64; 5], parts: &[&[u8]]) -> Vec<u8> {
        let mut bytes = self.nonce.to_vec();
        bytes.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        bytes
    }
}

impl Terms {
    /// What the evidence of a run says against its having passed.
    fn contradiction(&self, finished: &Finished) -> Option<String> {
        let review = self.review.as_ref().filter(|_| finished.ok && is_reviewed())?;
        // Whatever the evidence makes the review do, it is no pass.
        let reviewed = catch_unwind(AssertUnwindSafe(|| review(&finished.evidence)));
        let why = reviewed.unwrap_or_else(|_| Err("it cannot be read".to_owned())).err()?;
        Some(format!("the run passed by its own account, but what it recorded contradicts that: {why}"))
    }
}

/// Standard input, both ways.
fn channel() -> ManuallyDrop<File> {
    // SAFETY: every process starts with it, and it is not closed here.
    ManuallyDrop::new(unsafe { File::from_raw_fd(libc::STDIN_FILENO) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; 16] = [7; 16];

    fn order(count: u64, seeds: &[u64]) -> Vec<u8> {
        let numbers = [count].into_iter().chain(seeds.iter().copied()).flat_map(u64::to_le_bytes);
        NONCE.into_iter().chain(numbers).collect()
    }

    #[test]
    fn an_order_is_read_whole_or_not_at_all() {
        let bytes = order(2, &[5, u64::MAX]);
        assert_eq!(Judge::read(&bytes[..]).unwrap(), Judge { nonce: NONCE, seeds: vec![5, u64::MAX] });
        assert!((0..bytes.len()).all(|cut| Judge::read(&bytes[..cut]).is_err()));
        assert!(Judge::read(&order(u64::MAX, &[])[..]).is_err());
    }

    #[test]
    fn a_record_says_what_became_of_a_seed() {
        let judge = Judge { nonce: NONCE, seeds: vec![] };
        let terms = |cpu_max| Terms { wall_max: Duration::MAX, cpu_max, real: false, review: None };
        let limited = terms(Some(Duration::from_secs(60)));
        let became = |ended| judge.record(9, ended, &limited)[16];
        let finished = |ok| Ok(Finished { ok, text: "told".into(), elapsed_ns: 3, ..Finished::default() });
        let ended = |finished, fate| Ok(child::Ended { finished, fate, output: "printed".into() });
        assert_eq!(became(ended(finished(true), Fate::Exited)), 0);
        assert_eq!(became(ended(finished(false), Fate::Exited)), 1);
        assert_eq!(became(ended(Err("it ended".into()), Fate::Exited)), 1);
        assert_eq!(became(ended(Err("it was killed".into()), Fate::Killed)), 2);
        assert_eq!(became(Err(io::Error::other("no memory"))), 3);
        // Late with its CPU time used up, and without.
        assert_eq!(became(ended(Err("it is late".into()), Fate::Late(Duration::from_secs(60)))), 1);
        assert_eq!(became(ended(Err("it is late".into()), Fate::Late(Duration::from_secs(9)))), 5);
        let starved = || ended(Ok(Finished { starved: true, ..Finished::default() }), Fate::Exited);
        assert_eq!(became(starved()), 5);
        // Where no limit of CPU time was set, late is late.
        assert_eq!(judge.record(9, starved(), &terms(None))[16], 1);
        let bytes = judge.record(9, ended(finished(true), Fate::Exited), &limited);
        let numbers: Vec<u64> =
            bytes[16..56].chunks(8).map(|n| u64::from_le_bytes(n.try_into().unwrap())).collect();
        assert_eq!(numbers, [0, 9, 3, 4, 7]);
        assert!(bytes.starts_with(&NONCE) && bytes.ends_with(b"toldprinted"));
    }
}
