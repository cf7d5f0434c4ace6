//! Tries suites on one solution: on a wrong one until a test objects, on a right one over all seeds.

use std::collections::BTreeSet;
use std::io;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::labs::{Lab, Package};
use crate::runner::{Manner, Outcome, Seeds, Suite};
use crate::verdict::{Failure, Verdict};

/// How far a mutant is pursued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pursuit {
    pub(crate) first_seed: u64,
    /// Seeds that the labs get which are to kill it.
    pub(crate) seeds: u32,
    /// Seeds that the labs above its own get.
    pub(crate) above: u32,
    /// Not only until the first test objects, but until each has, or has used up its seeds.
    pub(crate) every_test: bool,
    /// Seeds that its own lab gets once more without the test, and without the oracle, that alone had objected.
    pub(crate) turns: u32,
}

/// Why a lab's suite was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// The bug's own lab, which must kill it.
    Own,
    /// It is to kill it too.
    Listed,
    /// Students get there later.
    Above,
}

/// What one lab's suite made of a mutant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LabTrial {
    pub(crate) lab: Lab,
    pub(crate) role: Role,
    /// How many tests it has.
    pub(crate) tests: usize,
    /// Seeds that each test was given, unless it objected earlier.
    pub(crate) seeds: u32,
    /// User and system time of all runs, in seconds.
    pub(crate) cpu_s: f64,
    /// The tests that objected, the first one first: by seed, then in the order of the suite.
    pub(crate) kills: Vec<Kill>,
}

/// A test's objection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kill {
    pub(crate) test: String,
    /// How many seeds it took.
    pub(crate) seeds: u32,
    /// User and system time of the suite until then, in seconds: as if the tests were run one after the other.
    pub(crate) cpu_s: f64,
    #[serde(flatten)]
    pub(crate) failure: Failure,
}

/// What the suites made of a mutant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct MutantTrial {
    /// Its own lab's first.
    pub(crate) labs: Vec<LabTrial>,
    /// Who else would have objected.
    pub(crate) turns: Vec<Turn>,
    /// Runs that were no verdict.
    pub(crate) troubles: Vec<String>,
    /// What the first test to object printed.
    #[serde(skip)]
    pub(crate) report: Option<String>,
}

/// What can be switched off.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Off {
    /// One test, by its full name.
    Test(String),
    /// One rule's oracle.
    Rule(String),
}

impl Off {
    fn test(&self) -> Option<&str> {
        match self {
            Off::Test(test) => Some(test),
            Off::Rule(_) => None,
        }
    }

    fn rule(&self) -> Option<&str> {
        match self {
            Off::Test(_) => None,
            Off::Rule(rule) => Some(rule),
        }
    }
}

/// What a mutant's own lab made of it when the only one that had objected was switched off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Turn {
    pub(crate) off: Off,
    /// Seeds that each other test was given, unless one objected earlier.
    pub(crate) seeds: u32,
    /// The first objection.
    pub(crate) kill: Option<Kill>,
    /// Runs that were no verdict.
    pub(crate) troubles: Vec<String>,
}

impl Turn {
    /// Whether nobody else noticed.
    pub(crate) fn is_missed(&self) -> bool {
        self.kill.is_none() && self.troubles.is_empty()
    }
}

impl MutantTrial {
    /// The first objection of its own lab.
    pub(crate) fn first_kill(&self) -> Option<&Kill> {
        self.labs.iter().find(|lab| lab.role == Role::Own)?.kills.first()
    }
}

/// What the suites made of a correct solution.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct CorrectTrial {
    pub(crate) labs: Vec<Control>,
    /// User and system time, in seconds.
    pub(crate) cpu_s: f64,
    pub(crate) accusations: Vec<Accusation>,
    /// Runs that were no verdict.
    pub(crate) troubles: Vec<String>,
    /// What the first test to object printed.
    #[serde(skip)]
    pub(crate) report: Option<String>,
}

/// How a lab was tried on a correct solution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Control {
    pub(crate) lab: Lab,
    pub(crate) tests: Vec<String>,
    /// That each test was given, unless it objected earlier.
    pub(crate) seeds: u32,
}

/// An objection to what is right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Accusation {
    pub(crate) test: String,
    #[serde(flatten)]
    pub(crate) failure: Failure,
}

/// Runs one test over some seeds; [`Suite::run`] where the tests are real.
pub(crate) trait RunTests {
    fn tests_of(&self, lab: Lab) -> Vec<&str>;

    /// Whether an oracle watches over this rule, which can be switched off.
    fn has_oracle(&self, rule: &str) -> bool;

    /// The test, with this rule's oracle switched off.
    fn run_test(&self, test: &str, seeds: Seeds, without: Option<&str>) -> io::Result<Outcome>;
}

/// Tells the harness which rule's oracle to switch off.
pub(crate) const WITHOUT: &str = "LAB_WITHOUT";

/// Suites, and how they are run.
pub(crate) struct Runnable<'a> {
    pub(crate) suites: Vec<Suite>,
    pub(crate) manner: Manner,
    /// The rules that oracles watch over.
    pub(crate) oracles: &'a [String],
}

impl RunTests for Runnable<'_> {
    fn tests_of(&self, lab: Lab) -> Vec<&str> {
        let suite = self.suites.iter().find(|suite| suite.package() == lab.package());
        suite.map_or_else(Vec::new, |suite| suite.of(lab))
    }

    fn has_oracle(&self, rule: &str) -> bool {
        self.oracles.iter().any(|known| known == rule)
    }

    fn run_test(&self, test: &str, seeds: Seeds, without: Option<&str>) -> io::Result<Outcome> {
        let suite = self.suites.iter().find(|suite| suite.has(test));
        let mut manner = self.manner.clone();
        manner.variables.extend(without.map(|rule| (WITHOUT.to_owned(), rule.to_owned())));
        suite.ok_or_else(|| io::Error::other(format!("no suite has {test}")))?.run(test, seeds, &manner)
    }
}

/// Tries the suites of `labs`, which are to kill it, and of those above its own.
pub(crate) fn pursue(on: &impl RunTests, labs: &[Lab], pursuit: Pursuit) -> io::Result<MutantTrial> {
    let mut trial = MutantTrial::default();
    let own = labs[0];
    let above = Lab::all().filter(|lab| *lab > own && lab.package() == own.package() && !labs.contains(lab));
    let listed = labs[1..].iter().map(|lab| (*lab, Role::Listed, pursuit.seeds));
    let above = above.map(|lab| (lab, Role::Above, pursuit.above));
    for (lab, role, seeds) in [(own, Role::Own, pursuit.seeds)].into_iter().chain(listed).chain(above) {
        if seeds > 0 {
            let tried = pursue_in(on, lab, role, Pursuit { seeds, ..pursuit }, None, &mut trial)?;
            trial.labs.push(tried);
        }
    }
    if pursuit.turns > 0 {
        for off in alone(on, &trial.labs[0]) {
            let mut again = MutantTrial::default();
            // Not fewer seeds than it had with everything switched on.
            let seeds = pursuit.turns.max(trial.labs[0].seeds);
            let pursuit = Pursuit { seeds, every_test: false, ..pursuit };
            let LabTrial { seeds, kills, .. } =
                pursue_in(on, own, Role::Own, pursuit, Some(&off), &mut again)?;
            let kill = kills.into_iter().next();
            trial.turns.push(Turn { off, seeds, kill, troubles: again.troubles });
        }
    }
    Ok(trial)
}

/// The test that alone objected, and the rule that all objections name, if an oracle watches over it.
fn alone(on: &impl RunTests, lab: &LabTrial) -> Vec<Off> {
    let tests: BTreeSet<&str> = lab.kills.iter().map(|kill| kill.test.as_str()).collect();
    let rules: BTreeSet<Option<&str>> = lab.kills.iter().map(|kill| kill.failure.rule.as_deref()).collect();
    let test = tests.first().filter(|_| tests.len() == 1).map(|test| Off::Test((*test).to_owned()));
    let rule = rules.first().copied().flatten().filter(|rule| rules.len() == 1 && on.has_oracle(rule));
    test.into_iter().chain(rule.map(|rule| Off::Rule(rule.to_owned()))).collect()
}

fn pursue_in(
    on: &impl RunTests,
    lab: Lab,
    role: Role,
    pursuit: Pursuit,
    off: Option<&Off>,
    trial: &mut MutantTrial,
) -> io::Result<LabTrial> {
    let mut tests = on.tests_of(lab);
    tests.retain(|test| off.and_then(Off::test) != Some(test));
    if tests.is_empty() && role != Role::Above {
        trial.troubles.push(format!("lab {lab} has no tests"));
    }
    let mut left: Vec<(usize, &str)> = tests.iter().copied().enumerate().collect();
    let mut kills: Vec<(usize, Kill)> = Vec::new();
    let mut cpu = Duration::ZERO;
    let mut tried = 0;
    for stage in stages(pursuit.seeds) {
        let mut still_left = Vec::new();
        for (place, test) in left {
            let seeds = Seeds {
                first: pursuit.first_seed + u64::from(*stage.start()) - 1,
                count: stage.end() - stage.start() + 1,
            };
            let outcome = on.run_test(test, seeds, off.and_then(Off::rule))?;
            cpu += outcome.cpu;
            match outcome.verdict {
                Verdict::Passed => still_left.push((place, test)),
                Verdict::Failed(failure) => {
                    if trial.report.is_none() {
                        trial.report = Some(outcome.output);
                    }
                    let seeds = (failure.seed - pursuit.first_seed + 1) as u32;
                    let kill = Kill { test: test.to_owned(), seeds, cpu_s: cpu.as_secs_f64(), failure };
                    kills.push((place, kill));
                }
                // It would say the same of further seeds.
                Verdict::Unknown(why) => trial.troubles.push(format!("{test}, {seeds}: {why}")),
            }
        }
        left = still_left;
        tried = *stage.end();
        if left.is_empty() || !(kills.is_empty() || pursuit.every_test) {
            break;
        }
    }
    kills.sort_by_key(|(place, kill)| (kill.seeds, *place));
    let kills = kills.into_iter().map(|(_, kill)| kill).collect();
    Ok(LabTrial { lab, role, tests: tests.len(), seeds: tried, cpu_s: cpu.as_secs_f64(), kills })
}

/// One seed, one more, two, four, and so on: what is found early costs little, and all tests have their turn.
fn stages(seeds: u32) -> impl Iterator<Item = RangeInclusive<u32>> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let until = (2 * done).max(done + 1).min(seeds);
        let stage = (done < seeds).then_some(done + 1..=until);
        done = until;
        stage
    })
}

/// Tries the suites of `labs`, every test from `first_seed` on over as many seeds as `seeds` gives to its crate, or up to
/// its first objection.
pub(crate) fn acquit(
    on: &impl RunTests,
    labs: &[Lab],
    first_seed: u64,
    seeds: impl Fn(Package) -> u32,
) -> io::Result<CorrectTrial> {
    let mut trial = CorrectTrial::default();
    let mut cpu = Duration::ZERO;
    for &lab in labs {
        let tests = on.tests_of(lab);
        let seeds = Seeds { first: first_seed, count: seeds(lab.package()) };
        let names = tests.iter().map(|test| (*test).to_owned()).collect();
        trial.labs.push(Control { lab, tests: names, seeds: seeds.count });
        for test in tests {
            let outcome = on.run_test(test, seeds, None)?;
            cpu += outcome.cpu;
            match outcome.verdict {
                Verdict::Passed => {}
                Verdict::Failed(failure) => {
                    if trial.report.is_none() {
                        trial.report = Some(outcome.output);
                    }
                    trial.accusations.push(Accusation { test: test.to_owned(), failure });
                }
                Verdict::Unknown(why) => trial.troubles.push(format!("{test}, {seeds}: {why}")),
            }
        }
    }
    trial.cpu_s = cpu.as_secs_f64();
    Ok(trial)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Tests that fail from some seed on; the verdict on `silent` is never known.
    struct Fake {
        failing_seeds: Vec<(&'static str, u64)>,
        ran: RefCell<Vec<(String, u64, u32)>>,
    }

    impl Fake {
        fn new(failing_seeds: &[(&'static str, u64)]) -> Fake {
            Fake { failing_seeds: failing_seeds.to_vec(), ran: RefCell::default() }
        }
    }

    impl RunTests for Fake {
        fn tests_of(&self, lab: Lab) -> Vec<&str> {
            self.failing_seeds.iter().map(|(test, _)| *test).filter(|test| lab.has(test)).collect()
        }

        fn has_oracle(&self, rule: &str) -> bool {
            rule == "watched"
        }

        fn run_test(&self, test: &str, seeds: Seeds, without: Option<&str>) -> io::Result<Outcome> {
            self.ran.borrow_mut().push((test.to_owned(), seeds.first, seeds.count));
            let (_, failing) = self.failing_seeds.iter().find(|(name, _)| *name == test).unwrap();
            let rule = test.starts_with("watched").then(|| "watched".to_owned());
            let mut seeds = seeds.first..seeds.first + u64::from(seeds.count);
            let seed =
                seeds.find(|seed| seed >= failing).filter(|_| rule.is_none() || without != rule.as_deref());
            let verdict = match seed {
                _ if test.starts_with("silent") => Verdict::Unknown("it hangs".into()),
                Some(seed) => Verdict::Failed(Failure { seed, rule, headline: "no".into() }),
                None => Verdict::Passed,
            };
            Ok(Outcome { verdict, cpu: Duration::from_secs(1), output: format!("{test} speaks") })
        }
    }

    const NEVER: u64 = u64::MAX;
    const PURSUIT: Pursuit = Pursuit { first_seed: 1, seeds: 10, above: 0, every_test: false, turns: 0 };

    fn labs(names: &[&str]) -> Vec<Lab> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn stages_double_and_cover_each_seed_once() {
        let stages: Vec<_> = stages(10).collect();
        assert_eq!(stages, [1..=1, 2..=2, 3..=4, 5..=8, 9..=10]);
    }

    #[test]
    fn the_pursuit_ends_with_the_stage_of_the_first_kill() {
        let fake = Fake::new(&[("a_2B", NEVER), ("b_2B", 4), ("c_2B", 3), ("d_2A", 1)]);
        let trial = pursue(&fake, &labs(&["2B"]), PURSUIT).unwrap();
        let [lab] = &trial.labs[..] else { panic!("{trial:?}") };
        assert_eq!((lab.tests, lab.seeds, lab.cpu_s), (3, 4, 9.0));
        let kills: Vec<_> =
            lab.kills.iter().map(|kill| (kill.test.as_str(), kill.seeds, kill.cpu_s)).collect();
        assert_eq!(kills, [("c_2B", 3, 9.0), ("b_2B", 4, 8.0)]);
        assert_eq!(trial.first_kill().unwrap().test, "c_2B");
        assert_eq!(trial.report.as_deref(), Some("b_2B speaks"));
    }

    #[test]
    fn every_test_may_be_pursued_to_its_own_end() {
        let fake = Fake::new(&[("a_2B", NEVER), ("b_2B", 1), ("c_2B", 9)]);
        let trial = pursue(&fake, &labs(&["2B"]), Pursuit { every_test: true, ..PURSUIT }).unwrap();
        let kills: Vec<_> = trial.labs[0].kills.iter().map(|kill| (kill.test.as_str(), kill.seeds)).collect();
        assert_eq!((kills, trial.labs[0].seeds), (vec![("b_2B", 1), ("c_2B", 9)], 10));
    }

    #[test]
    fn who_alone_objected_is_switched_off_in_turn() {
        let turns = |failing: &[(&'static str, u64)]| -> Vec<_> {
            let pursuit = Pursuit { turns: 4, ..PURSUIT };
            let trial = pursue(&Fake::new(failing), &labs(&["2B"]), pursuit).unwrap();
            let turns = trial.turns.into_iter();
            turns.map(|turn| (turn.off, turn.seeds, turn.kill.map(|kill| (kill.test, kill.seeds)))).collect()
        };
        let test = |name: &str| Off::Test(name.into());
        let rule = Off::Rule("watched".into());
        let by = |name: &str, seeds| Some((name.to_owned(), seeds));
        assert_eq!(
            turns(&[("watched_2B", 2), ("b_2B", 3)]),
            [(test("watched_2B"), 4, by("b_2B", 3)), (rule.clone(), 4, by("b_2B", 3))]
        );
        assert_eq!(
            turns(&[("watched_2B", 1), ("watched_too_2B", 1), ("b_2B", 5)]),
            [(rule.clone(), 4, None)],
            "b_2B would take more seeds"
        );
        assert_eq!(
            turns(&[("a_2B", 6), ("b_2B", NEVER)]),
            [(test("a_2B"), 8, None)],
            "as many seeds as a_2B was given"
        );
        assert_eq!(turns(&[("watched_2B", 1), ("b_2B", 1)]), [], "both object");
        assert_eq!(turns(&[("a_2B", NEVER)]), []);
    }

    #[test]
    fn only_its_own_lab_counts_and_labs_above_get_fewer_seeds() {
        let fake = Fake::new(&[("a_2B", NEVER), ("b_2C", 2), ("c_2D", 5), ("d_3A", 1), ("e_2A", 1)]);
        let pursuit = Pursuit { first_seed: 101, above: 4, ..PURSUIT };
        let trial = pursue(&fake, &labs(&["2B", "2C"]), pursuit).unwrap();
        assert!(trial.first_kill().is_none());
        let tried: Vec<_> = trial.labs.iter().map(|lab| (lab.lab.name(), lab.role, lab.seeds)).collect();
        assert_eq!(tried, [("2B", Role::Own, 10), ("2C", Role::Listed, 1), ("2D", Role::Above, 1)]);
        assert!(fake.ran.borrow().iter().all(|(_, first, _)| *first >= 101));
        assert_eq!(trial.labs[1].kills[0].seeds, 1);
    }

    #[test]
    fn no_verdict_is_no_kill() {
        let fake = Fake::new(&[("silent_2A", NEVER), ("b_2A", NEVER)]);
        let trial = pursue(&fake, &labs(&["2A"]), PURSUIT).unwrap();
        assert!(trial.first_kill().is_none());
        assert_eq!(trial.troubles, ["silent_2A, seed 1: it hangs"]);
        let trial = pursue(&Fake::new(&[]), &labs(&["2A"]), PURSUIT).unwrap();
        assert_eq!(trial.troubles, ["lab 2A has no tests"]);
    }

    #[test]
    fn accusations_are_found_in_all_labs_asked_for() {
        let fake =
            Fake::new(&[("a_2A", NEVER), ("b_3B", 7), ("silent_2B", 1), ("unit_test", 1), ("c_2C", 1)]);
        let seeds = |package| if package == Package::Raft { 9 } else { 8 };
        let trial = acquit(&fake, &labs(&["2A", "2B", "3B"]), 1, seeds).unwrap();
        let tried: Vec<_> = trial.labs.iter().map(|it| (it.lab.name(), it.tests.len(), it.seeds)).collect();
        assert_eq!((tried, trial.cpu_s), (vec![("2A", 1, 9), ("2B", 1, 9), ("3B", 1, 8)], 3.0));
        let accusations: Vec<_> =
            trial.accusations.iter().map(|it| (it.test.as_str(), it.failure.seed)).collect();
        assert_eq!(accusations, [("b_3B", 7)]);
        assert_eq!(trial.troubles, ["silent_2B, seeds 1 to 9: it hangs"]);
    }
}
