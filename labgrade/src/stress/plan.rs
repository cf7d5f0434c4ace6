//! [`StressPlan`]: the seeds from 1 on, of all tests evenly.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

use super::state::State;
use crate::board::Board;
use crate::cause::cause;
use crate::judge::{Became, Run};
use crate::trials::{News, Plan, Unit};
use crate::verdict::Failure;
use crate::workspace::Selection;

/// Seeds that a process of a suite is given at a time.
pub(super) const UNIT: usize = 64;
/// How often what was found is written.
const WRITE_EVERY: Duration = Duration::from_secs(5);
/// How often a run of which nothing can be said is tried in a session.
const ATTEMPTS: u8 = 3;

/// How far it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// For each test, those of earlier sessions among them; without end if not given.
    pub(super) seeds: Option<u64>,
    /// At a time.
    pub(super) unit: usize,
    pub(super) until_fail: bool,
}

/// What was done since the command began.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) runs: u64,
    failed: u64,
    pub(super) cpu: Duration,
    pub(super) unknown: u64,
    /// Of the last one.
    pub(super) why_unknown: String,
}

pub(super) struct StressPlan<'a> {
    selection: &'a Selection,
    state: State,
    pace: Pace,
    rules: &'a [String],
    board: Board,
    tests: Vec<Trial>,
    session: Session,
    begun: Instant,
    written: Instant,
}

/// Where a test is.
struct Trial {
    /// All seeds below are tried, being tried, or waiting.
    next: u64,
    /// Those that have to be tried again.
    again: BTreeSet<u64>,
    vain: BTreeMap<u64, u8>,
    units: u32,
}

impl<'a> StressPlan<'a> {
    pub(super) fn new(
        selection: &'a Selection,
        state: State,
        pace: Pace,
        rules: &'a [String],
        board: Board,
    ) -> StressPlan<'a> {
        let trial = |_| Trial { next: 1, again: BTreeSet::new(), vain: BTreeMap::new(), units: 0 };
        let tests = selection.tests.iter().map(trial).collect();
        let now = Instant::now();
        let session = Session::default();
        StressPlan { selection, state, pace, rules, board, tests, session, begun: now, written: now }
    }

    /// Writes what was found, for the last time.
    pub(super) fn finish(self) -> io::Result<(State, Session)> {
        self.state.write()?;
        Ok((self.state, self.session))
    }

    /// Seeds of a test that are to be tried now.
    fn seeds(&mut self, test: usize) -> Vec<u64> {
        let tried = &self.state.of(&self.selection.tests[test].name).tried;
        let trial = &mut self.tests[test];
        let last = self.pace.seeds.unwrap_or(u64::MAX);
        let mut seeds = Vec::new();
        while seeds.len() < self.pace.unit {
            if let Some(seed) = trial.again.pop_first() {
                seeds.push(seed);
            } else if trial.next <= last {
                if !tried.has(trial.next) {
                    seeds.push(trial.next);
                }
                trial.next += 1;
            } else {
                break;
            }
        }
        seeds
    }

    fn ran(&mut self, test: usize, seed: u64, run: &Run) {
        if run.became == Became::Unknown {
            return self.in_vain(test, seed, &run.text);
        }
        let name = &self.selection.tests[test].name;
        let found = self.state.of(name);
        found.tried.add(seed);
        self.session.runs += 1;
        if run.became == Became::Failed {
            self.session.failed += 1;
            let failure = Failure::of_report(name, seed, &run.text, self.rules);
            let (cause, known) = (cause(&failure, &run.text), found.causes());
            found.fail(seed, cause.clone(), failure.headline);
            if found.causes() > known {
                let short = self.selection.tests[test].short_name();
                self.board.print(&format!("FAILED  {short} with seed {seed}: {cause}"));
            }
        }
    }

    fn in_vain(&mut self, test: usize, seed: u64, why: &str) {
        let trial = &mut self.tests[test];
        let attempts = trial.vain.entry(seed).or_default();
        *attempts += 1;
        if *attempts < ATTEMPTS {
            trial.again.insert(seed);
        } else {
            self.session.unknown += 1;
            why.clone_into(&mut self.session.why_unknown);
        }
    }

    fn show(&mut self, test: usize) {
        let name = self.selection.tests[test].short_name();
        if self.tests[test].units == 0 {
            self.board.idle(name);
        } else {
            let found = self.state.of(&self.selection.tests[test].name);
            let (tried, failed) = (found.tried.count(), found.failed);
            self.board.doing(name, format!("{name:<32} {tried:>7} seeds, {failed} failed"));
        }
        let Session { runs, failed, cpu, .. } = &self.session;
        let took = self.begun.elapsed().as_secs_f64();
        let wanted = self.pace.seeds.map(|seeds| {
            let all = seeds * self.selection.tests.len() as u64;
            let tried: u64 = self.state.tests().map(|(_, found)| found.tried.count().min(seeds)).sum();
            format!("{} % done, ", 100 * tried / all.max(1))
        });
        self.board.whole(|| {
            format!(
                "{}{runs} runs, {failed} failed, {:.0} a second, {:.1} cores busy",
                wanted.unwrap_or_default(),
                *runs as f64 / took,
                cpu.as_secs_f64() / took
            )
        });
    }
}

impl Plan for StressPlan<'_> {
    fn next(&mut self) -> Option<Unit> {
        // The one that is least far, so that all go on evenly.
        let mut order: Vec<usize> = (0..self.tests.len()).collect();
        order.sort_by_key(|test| (self.tests[*test].again.is_empty(), self.tests[*test].next));
        for test in order {
            let seeds = self.seeds(test);
            if !seeds.is_empty() {
                self.tests[test].units += 1;
                self.show(test);
                return Some(Unit { test, seeds });
            }
        }
        None
    }

    fn hear(&mut self, news: News) -> io::Result<()> {
        let test = match news {
            News::Ran { test, seed, run } => {
                self.ran(test, seed, &run);
                test
            }
            News::Ended { test, cpu, untried, broken } => {
                self.tests[test].units -= 1;
                self.session.cpu += cpu;
                if let Some(broken) = broken {
                    untried.into_iter().for_each(|seed| self.in_vain(test, seed, &broken));
                }
                test
            }
        };
        self.show(test);
        if self.written.elapsed() >= WRITE_EVERY {
            self.written = Instant::now();
            self.state.write()?;
        }
        Ok(())
    }

    fn has_enough(&self) -> bool {
        self.pace.until_fail && self.session.failed > 0
    }
}
