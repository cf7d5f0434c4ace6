//! [`RunPlan`]: every test with its seeds, test after test.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;

use crate::board::Board;
use crate::judge::{Became, Run};
use crate::trials::{News, Plan, Unit};
use crate::verdict::Failure;
use crate::workspace::Selection;

/// Seeds that a process of a suite is given at a time: some, since each costs a moment; few, since what it cost is told
/// when it is over.
const UNIT: usize = 8;
/// If so many have failed and none has passed, the rest is left.
const HOPELESS: u32 = 8;
/// How often a run of which nothing can be said is tried.
const ATTEMPTS: u8 = 3;

/// What became of a test.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) wanted: u32,
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    /// The smallest seed that failed.
    pub(crate) first: Option<First>,
    /// Seeds of which nothing could be said, with the reason.
    pub(crate) unknown: BTreeMap<u64, String>,
    pub(crate) cpu: Duration,
}

/// A failure that is shown.
#[derive(Debug)]
pub(crate) struct First {
    pub(crate) seed: u64,
    pub(crate) headline: String,
    pub(crate) report: String,
}

/// A test that is being tried.
struct Trial {
    name: String,
    tally: Tally,
    waiting: VecDeque<u64>,
    /// How often seeds were tried in vain.
    vain: BTreeMap<u64, u8>,
    /// Processes that are at it.
    units: u32,
    told: bool,
}

pub(crate) struct RunPlan<'a> {
    trials: Vec<Trial>,
    unit: usize,
    rules: &'a [String],
    board: Board,
}

impl<'a> RunPlan<'a> {
    /// For each test of the selection its `seeds`.
    pub(crate) fn new(
        selection: &Selection,
        seeds: Vec<Vec<u64>>,
        real: bool,
        rules: &'a [String],
        board: Board,
    ) -> RunPlan<'a> {
        let trial = |(test, seeds): (&crate::workspace::Test, Vec<u64>)| Trial {
            name: test.name.clone(),
            tally: Tally { wanted: seeds.len() as u32, ..Tally::default() },
            waiting: seeds.into(),
            vain: BTreeMap::new(),
            units: 0,
            told: false,
        };
        let trials = selection.tests.iter().zip(seeds).map(trial).collect();
        RunPlan { trials, unit: if real { 1 } else { UNIT }, rules, board }
    }

    pub(crate) fn into_tallies(self) -> Vec<Tally> {
        self.trials.into_iter().map(|trial| trial.tally).collect()
    }

    /// Brings the display up to date about a test, and about the whole.
    fn show(&mut self, test: usize) {
        let trial = &mut self.trials[test];
        let name = trial.short_name().to_owned();
        if trial.is_over() && !trial.told {
            trial.told = true;
            self.board.idle(&name);
            self.board.print(&trial.tally.line(&name));
        } else if !trial.is_over() {
            self.board.doing(&name, trial.tally.progress(&name));
        }
        let trials = &self.trials;
        self.board.whole(|| {
            let sum = |of: fn(&Tally) -> u32| trials.iter().map(|trial| of(&trial.tally)).sum::<u32>();
            let over = trials.iter().filter(|trial| trial.told).count();
            let (tried, failed) = (sum(|tally| tally.passed + tally.failed), sum(|tally| tally.failed));
            let wanted = sum(|tally| tally.wanted);
            format!("{over} of {} tests, {tried} of {wanted} runs, {failed} failed", trials.len())
        });
    }
}

impl Plan for RunPlan<'_> {
    fn next(&mut self) -> Option<Unit> {
        let size = self.unit;
        let (test, trial) =
            self.trials.iter_mut().enumerate().find(|(_, trial)| !trial.waiting.is_empty())?;
        let seeds = trial.waiting.drain(..size.min(trial.waiting.len())).collect();
        trial.units += 1;
        self.show(test);
        Some(Unit { test, seeds })
    }

    fn hear(&mut self, news: News) -> io::Result<()> {
        let test = match news {
            News::Ran { test, seed, run } => {
                self.trials[test].ran(seed, run, self.rules);
                test
            }
            News::Ended { test, cpu, untried, broken } => {
                let trial = &mut self.trials[test];
                trial.units -= 1;
                trial.tally.cpu += cpu;
                if let Some(broken) = broken {
                    untried.into_iter().for_each(|seed| trial.in_vain(seed, broken.clone()));
                }
                test
            }
        };
        self.show(test);
        Ok(())
    }
}

impl Trial {
    fn short_name(&self) -> &str {
        self.name.rsplit("::").next().unwrap_or(&self.name)
    }

    fn is_over(&self) -> bool {
        self.units == 0 && self.waiting.is_empty()
    }

    fn ran(&mut self, seed: u64, run: Run, rules: &[String]) {
        match run.became {
            Became::Passed => self.tally.passed += 1,
            Became::Failed => {
                self.tally.failed += 1;
                if self.tally.first.as_ref().is_none_or(|first| seed < first.seed) {
                    let headline = Failure::of_report(&self.name, seed, &run.text, rules).headline;
                    self.tally.first = Some(First { seed, headline, report: run.text });
                }
                if self.tally.passed == 0 && self.tally.failed >= HOPELESS {
                    self.waiting.clear();
                }
            }
            Became::Unknown => self.in_vain(seed, run.text),
        }
    }

    /// Nothing can be said of a run: it is tried again, but not for ever.
    fn in_vain(&mut self, seed: u64, why: String) {
        let attempts = self.vain.entry(seed).or_default();
        *attempts += 1;
        if *attempts < ATTEMPTS {
            self.waiting.push_back(seed);
        } else {
            self.tally.unknown.insert(seed, why);
        }
    }
}

impl Tally {
    /// Seeds of which something is known.
    pub(crate) fn tried(&self) -> u32 {
        self.passed + self.failed
    }

    fn progress(&self, name: &str) -> String {
        let failed = if self.failed > 0 { format!(", {} failed", self.failed) } else { String::new() };
        format!(
            "{name:<32} {:>5} of {} seeds{failed}, {:.1} s CPU",
            self.tried(),
            self.wanted,
            self.cpu.as_secs_f64()
        )
    }

    /// The line that stays.
    fn line(&self, name: &str) -> String {
        let cpu = self.cpu.as_secs_f64();
        match (&self.first, self.unknown.first_key_value()) {
            (Some(first), _) => {
                let left = self.wanted - self.tried() - self.unknown.len() as u32;
                let left = if left > 0 { format!(" ({left} not tried)") } else { String::new() };
                format!(
                    "FAILED  {name:<32} {:>5} of {} seeds failed{left}, {cpu:.1} s CPU; seed {}: {}",
                    self.failed,
                    self.tried(),
                    first.seed,
                    first.headline
                )
            }
            (None, Some((seed, why))) => {
                format!(
                    "unknown {name:<32} nothing can be said of {} seeds; seed {seed}: {why}",
                    self.unknown.len()
                )
            }
            (None, None) => format!("ok      {name:<32} {:>5} seeds, {cpu:.1} s CPU", self.passed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labs::Lab;
    use crate::workspace::Test;

    fn plan(seeds: &[&[u64]]) -> RunPlan<'static> {
        let names = ["lab::a_2A", "lab::b_2A"];
        let test =
            |name: &&str| Test { name: (*name).to_owned(), lab: Lab::of_test(name).unwrap(), suite: 0 };
        let tests = names.iter().take(seeds.len()).map(test).collect();
        let selection = Selection { suites: Vec::new(), tests };
        RunPlan::new(&selection, seeds.iter().map(|seeds| seeds.to_vec()).collect(), false, &[], Board::new())
    }

    fn run(became: Became) -> Run {
        let text = "a_2A failed after 1 s:\n\nit is wrong\n".to_owned();
        Run { became, text, output: String::new(), elapsed: Duration::ZERO }
    }

    /// Carries a plan out, where `becomes` says what becomes of a test's seed; how many runs were made.
    fn carried_out(plan: &mut RunPlan<'_>, becomes: impl Fn(usize, u64) -> Became) -> usize {
        let mut runs = 0;
        while let Some(Unit { test, seeds }) = plan.next() {
            for seed in seeds {
                runs += 1;
                plan.hear(News::Ran { test, seed, run: run(becomes(test, seed)) }).unwrap();
            }
            let cpu = Duration::from_millis(10);
            plan.hear(News::Ended { test, cpu, untried: Vec::new(), broken: None }).unwrap();
        }
        runs
    }

    #[test]
    fn each_seed_is_tried_once_and_counted() {
        let seeds: Vec<u64> = (1..=20).collect();
        let mut plan = plan(&[&seeds, &[7]]);
        let runs =
            carried_out(&mut plan, |_, seed| if seed % 9 == 0 { Became::Failed } else { Became::Passed });
        let tallies = plan.into_tallies();
        assert_eq!((runs, tallies[0].passed, tallies[0].failed, tallies[1].passed), (21, 18, 2, 1));
        assert_eq!(tallies[0].cpu, Duration::from_millis(30));
        let line = tallies[0].line("a_2A");
        assert!(line.starts_with("FAILED  a_2A") && line.ends_with("seed 9: it is wrong"), "{line}");
        assert!(tallies[1].line("b_2A").starts_with("ok      b_2A"));
    }

    #[test]
    fn the_smallest_failing_seed_is_kept_in_whatever_order_they_come() {
        let mut plan = plan(&[&[1, 2, 3]]);
        plan.next().unwrap();
        for (seed, became) in [(3, Became::Failed), (2, Became::Failed), (1, Became::Passed)] {
            plan.hear(News::Ran { test: 0, seed, run: run(became) }).unwrap();
        }
        assert_eq!(plan.into_tallies()[0].first.as_ref().unwrap().seed, 2);
    }

    #[test]
    fn where_all_fails_not_all_is_tried_and_that_is_said() {
        let seeds: Vec<u64> = (1..=100).collect();
        let mut plan = plan(&[&seeds]);
        assert_eq!(carried_out(&mut plan, |_, _| Became::Failed), 8);
        let line = plan.into_tallies()[0].line("a_2A");
        assert!(line.contains("8 of 8 seeds failed (92 not tried)"), "{line}");
    }

    #[test]
    fn what_cannot_be_said_is_tried_three_times_and_then_told() {
        let mut plan = plan(&[&[1, 2]]);
        let runs = carried_out(&mut plan, |_, seed| if seed == 1 { Became::Unknown } else { Became::Passed });
        let tally = &plan.into_tallies()[0];
        assert_eq!((runs, tally.passed, tally.unknown.len()), (4, 1, 1));
        assert!(tally.line("a_2A").starts_with("unknown a_2A"));
    }

    #[test]
    fn seeds_that_a_broken_process_has_left_are_tried_again() {
        let mut plan = plan(&[&[1, 2]]);
        let unit = plan.next().unwrap();
        let news =
            |untried| News::Ended { test: 0, cpu: Duration::ZERO, untried, broken: Some("it died".into()) };
        plan.hear(news(unit.seeds)).unwrap();
        assert_eq!(plan.next().unwrap().seeds, [1, 2]);
        plan.hear(news(vec![1, 2])).unwrap();
        plan.next().unwrap();
        plan.hear(news(vec![1, 2])).unwrap();
        assert_eq!(plan.next(), None);
        assert_eq!(plan.into_tallies()[0].unknown.len(), 2);
    }
}
