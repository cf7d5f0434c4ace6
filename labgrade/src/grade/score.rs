//! From runs to a verdict on a test.
//!
//! A test scores if all its runs pass. Runs on which nothing can be said are tried again, twice; if nothing can be said of them
//! even then, and no run has failed, the test is not judged. Seeds go in three batches; as long as no run at all has passed, what
//! follows a batch is left: a submission that does nothing right should not take half an hour to say so. Nor should one whose
//! runs each stay within their limit and go on for hours together: it has failed when they have used up the test's CPU time.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use super::results::{Status, TestResult};
use crate::judge::{Became, Run};

/// Seeds in the first batch.
const FIRST_BATCH: usize = 3;
/// How often unknown runs are tried.
const ATTEMPTS: usize = 3;
/// What is kept of a report, and of a headline.
const REPORT_MAX: usize = 8 << 10;
const HEADLINE_MAX: usize = 200;

/// What became of some seeds.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) runs: BTreeMap<u64, Run>,
    /// Why there is nothing on the others.
    pub(crate) broken: Option<String>,
    pub(crate) cpu: Duration,
}

/// Runs a test over its `seeds` by `run`, and enters what came of it. `published` of the seeds are no secret, and the
/// first. All runs together have `cpu_max` of CPU time. The error is one of the grader's own, after which nothing was entered.
pub(crate) fn judge(
    test: &mut TestResult,
    seeds: &[u64],
    published: usize,
    cpu_max: Duration,
    mut run: impl FnMut(&[u64]) -> io::Result<Batch>,
) -> io::Result<()> {
    let mut known: BTreeMap<u64, Run> = BTreeMap::new();
    let mut why = None;
    let mut cpu = Duration::ZERO;
    // Without what was spent on attempts that the machine has spoiled.
    let mut counted = Duration::ZERO;
    let mut used_up = false;
    let first = FIRST_BATCH.min(seeds.len());
    let published = published.clamp(first, seeds.len());
    for batch in [&seeds[..first], &seeds[first..published], &seeds[published..]] {
        let mut left = batch.to_vec();
        if counted > cpu_max {
            used_up = true;
            break;
        }
        for attempt in 0..ATTEMPTS {
            if left.is_empty() {
                break;
            }
            let Batch { runs, broken, cpu: used } = run(&left)?;
            cpu += used;
            if attempt == 0 {
                counted += used;
            }
            for (seed, run) in runs {
                if run.became == Became::Unknown {
                    why = Some(run.text);
                } else {
                    known.insert(seed, run);
                }
            }
            why = broken.or(why);
            left.retain(|seed| !known.contains_key(seed));
        }
        if !known.values().any(|run| run.became == Became::Passed) {
            break;
        }
    }
    test.cpu_s = cpu.as_secs_f64();
    test.known = known.len() as u32;
    test.passed = known.values().filter(|run| run.became == Became::Passed).count() as u32;
    // In the order in which they were tried, published ones first: those a student can try too.
    let failed = seeds
        .iter()
        .find_map(|seed| Some((*seed, known.get(seed).filter(|run| run.became == Became::Failed)?)));
    match failed {
        Some((seed, run)) => {
            test.status = Status::Failed;
            test.seed = Some(seed);
            test.headline = headline(test.short_name(), &run.text);
            test.report = report(&run.text);
        }
        None if known.len() == seeds.len() => {
            test.status = Status::Passed;
            test.points = test.points_max;
            test.headline.clear();
        }
        None if used_up => {
            test.status = Status::Failed;
            test.headline = format!("its runs used more than {} s of CPU time together", cpu_max.as_secs());
        }
        None => {
            test.status = Status::NotJudged;
            let why = why.unwrap_or_else(|| "nothing was said of some runs".into());
            test.headline = format!("the grader could not run it: {why}");
        }
    }
    Ok(())
}

/// The first line of substance of a run's report.
fn headline(test: &str, report: &str) -> String {
    let mut lines = report.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut line = lines.next().unwrap_or("no reason given");
    if line.starts_with(&format!("{test} failed ")) {
        line = lines.next().unwrap_or(line);
    }
    if line.starts_with("thread '") && line.contains(" panicked ") {
        return cut(&format!("panic: {}", lines.next().unwrap_or("without a message")), HEADLINE_MAX, "...");
    }
    cut(line, HEADLINE_MAX, "...")
}

fn report(text: &str) -> String {
    cut(text.trim(), REPORT_MAX, "\n[... more of this ...]")
}

/// Without control characters, which may come from the code under test, and no longer than `max` bytes or so.
fn cut(text: &str, max: usize, ending: &str) -> String {
    let mut kept: String = text.chars().filter(|c| *c == '\n' || *c == '\t' || !c.is_control()).collect();
    if let Some((end, _)) = kept.char_indices().find(|(at, _)| *at >= max) {
        kept.truncate(end);
        kept += ending;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::policy::Visibility;
    use super::*;

    /// Judges ten seeds, four of them published, of which `became` says what becomes of them at which attempt.
    fn judged(became: impl Fn(u64, usize) -> Option<Became>) -> (TestResult, Vec<Vec<u64>>) {
        judged_within(Duration::MAX, became)
    }

    fn judged_within(
        cpu_max: Duration,
        became: impl Fn(u64, usize) -> Option<Became>,
    ) -> (TestResult, Vec<Vec<u64>>) {
        let mut test = TestResult::waiting("lab::a_2B", "2B".parse().unwrap(), Visibility::Visible, 2.0, 10);
        let seeds: Vec<u64> = (1..=10).collect();
        let mut asked: Vec<Vec<u64>> = Vec::new();
        judge(&mut test, &seeds, 4, cpu_max, |seeds| {
            asked.push(seeds.to_vec());
            let one = |seed: &u64| {
                let attempt = asked.iter().filter(|batch| batch.contains(seed)).count();
                let text = "a_2B failed after 1 s:\n\nit does not hold".to_owned();
                let became = became(*seed, attempt)?;
                Some((*seed, Run { became, text, output: String::new(), elapsed: Duration::ZERO }))
            };
            let runs: BTreeMap<_, _> = seeds.iter().filter_map(one).collect();
            let broken = (runs.len() < seeds.len()).then(|| "it ended".to_owned());
            Ok(Batch { runs, broken, cpu: Duration::from_secs(1) })
        })
        .unwrap();
        (test, asked)
    }

    #[test]
    fn a_test_scores_if_all_its_runs_pass() {
        let (test, asked) = judged(|_, _| Some(Became::Passed));
        assert_eq!((test.status, test.points, test.passed, test.cpu_s), (Status::Passed, 2.0, 10, 3.0));
        assert_eq!(asked, [vec![1, 2, 3], vec![4], vec![5, 6, 7, 8, 9, 10]]);
    }

    #[test]
    fn one_failure_is_a_zero_and_all_the_same_every_seed_is_tried() {
        let (test, _) = judged(|seed, _| Some(if seed == 9 { Became::Failed } else { Became::Passed }));
        assert_eq!((test.status, test.points, test.passed, test.known), (Status::Failed, 0.0, 9, 10));
        assert_eq!((test.seed, test.headline.as_str()), (Some(9), "it does not hold"));
    }

    /// Seed 4 is a batch by itself: once that was taken for a solution that does nothing right.
    #[test]
    fn a_batch_that_fails_after_others_have_passed_ends_nothing() {
        let (test, _) = judged(|seed, _| Some(if seed == 4 { Became::Failed } else { Became::Passed }));
        assert_eq!((test.seed, test.passed, test.known), (Some(4), 9, 10));
    }

    #[test]
    fn where_nothing_passes_the_rest_is_left() {
        let (test, asked) = judged(|_, _| Some(Became::Failed));
        assert_eq!((test.status, test.passed, test.known, asked.len()), (Status::Failed, 0, 3, 1));
    }

    #[test]
    fn what_is_unknown_is_tried_again_and_is_no_zero() {
        let (test, asked) = judged(|seed, attempt| {
            Some(if seed == 6 && attempt < 3 { Became::Unknown } else { Became::Passed })
        });
        assert_eq!((test.status, test.points), (Status::Passed, 2.0));
        assert_eq!(asked[3..], [vec![6], vec![6]]);
        let (test, _) = judged(|seed, _| (seed != 6).then_some(Became::Passed));
        assert_eq!((test.status, test.points, test.known), (Status::NotJudged, 0.0, 9));
        assert!(test.headline.ends_with("it ended"), "{}", test.headline);
        let (test, _) = judged(|_, _| Some(Became::Unknown));
        assert_eq!((test.status, test.seed), (Status::NotJudged, None));
        // A failure is one whatever else is not known.
        let (test, _) =
            judged(|seed, _| (seed != 2).then_some(if seed == 3 { Became::Failed } else { Became::Passed }));
        assert_eq!((test.status, test.seed), (Status::Failed, Some(3)));
    }

    /// The first attempt at each batch takes a second here; what the machine has spoiled is not counted.
    #[test]
    fn a_test_that_uses_up_its_cpu_time_has_failed() {
        let second = Duration::from_secs(1);
        let (test, asked) = judged_within(second, |_, _| Some(Became::Passed));
        assert_eq!((test.status, test.points, test.known, asked.len()), (Status::Failed, 0.0, 4, 2));
        assert_eq!(test.headline, "its runs used more than 1 s of CPU time together");
        let (test, asked) = judged_within(second, |seed, attempt| {
            Some(if seed == 2 && attempt < 3 { Became::Unknown } else { Became::Passed })
        });
        assert_eq!((test.status, test.known, asked.len()), (Status::Failed, 4, 4));
        // What a run has shown says more. Whoever is done is not asked what it took.
        let one_fails = |seed, _| Some(if seed == 3 { Became::Failed } else { Became::Passed });
        assert_eq!(judged_within(second, one_fails).0.seed, Some(3));
        let (test, asked) = judged_within(2 * second, |_, _| Some(Became::Passed));
        assert_eq!((test.status, test.known, asked.len()), (Status::Passed, 10, 3));
    }

    #[test]
    fn headlines_and_reports_are_short_and_harmless() {
        assert_eq!(
            headline("a", "thread 'x' of node 'y' panicked 1 s into the run, at a.rs:\nbroken"),
            "panic: broken"
        );
        assert_eq!(headline("a", ""), "no reason given");
        assert_eq!(report(" \u{1b}[31mred\u{0}\n"), "[31mred");
        assert!(report(&"ä".repeat(REPORT_MAX)).ends_with("more of this ...]"));
    }
}
