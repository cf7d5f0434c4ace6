//! What is said of a whole class: a table for people, one for programs, and who failed alike.
//!
//! For the staff only: tests and reports that students do not see are in it.

use std::collections::{BTreeMap, BTreeSet};

use super::batch::first_line;
use super::formats::markdown::plain;
use super::results::{Results, State, Status, number};
use crate::cause::without_numbers;
use crate::labs::Lab;

/// A submission.
pub(super) struct Member {
    pub(super) name: String,
    /// `None` if there is no result.
    pub(super) results: Option<Results>,
}

pub(super) struct Class {
    pub(super) members: Vec<Member>,
}

/// What failed: a test, and what was said, without the numbers in it. Two runs that go wrong in the same way seldom do so at the
/// same index.
type Cause = (String, String);

/// Pairs of submissions are listed from this share of common causes on.
const ALIKE: f64 = 0.6;
/// With fewer causes in common they are alike by chance.
const COMMON_MIN: usize = 3;
/// How a `todo!` begins.
const UNWRITTEN: &str = "not yet implemented";
/// Longer lists are cut.
const LINES_MAX: usize = 100;

impl Member {
    fn state(&self) -> &'static str {
        match self.results.as_ref().map(|results| &results.state) {
            None => "missing",
            Some(State::Unfinished) => "unfinished",
            Some(State::Refused(_)) => "refused",
            Some(State::Graded) => "graded",
            Some(State::Incomplete) => "incomplete",
        }
    }

    fn points(&self) -> f64 {
        self.results.as_ref().map_or(0.0, Results::final_points)
    }

    /// Each test that failed, with the seed that showed it.
    fn causes(&self) -> BTreeMap<Cause, Option<u64>> {
        let tests = self.results.iter().flat_map(|results| &results.tests);
        tests
            .filter(|test| test.status == Status::Failed && test.known > 0)
            .map(|test| ((test.short_name().to_owned(), without_numbers(&test.headline)), test.seed))
            .collect()
    }
}

impl Member {
    /// The same, without what is still to be written: two who have come equally far are not alike for that.
    fn mistakes(&self) -> BTreeMap<Cause, Option<u64>> {
        let mut causes = self.causes();
        causes.retain(|(_, cause), _| !cause.starts_with(UNWRITTEN));
        causes
    }
}

impl Class {
    pub(super) fn is_complete(&self) -> bool {
        self.members.iter().all(|member| matches!(member.state(), "graded" | "refused"))
    }

    /// In a few lines.
    pub(super) fn summary(&self) -> String {
        let states = ["graded", "refused", "incomplete", "unfinished", "missing"];
        let counts =
            states.map(|state| (self.members.iter().filter(|it| it.state() == state).count(), state));
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let counts: Vec<_> = counts.map(|(count, state)| format!("{count} {state}")).collect();
        let mut points: Vec<f64> = self.members.iter().map(Member::points).collect();
        points.sort_by(f64::total_cmp);
        let (low, high) = (points.len().saturating_sub(1) / 2, points.len() / 2);
        let at = |place: usize| points.get(place).copied().unwrap_or_default();
        let median = (at(low) + at(high)) / 2.0;
        let all = self.members.len();
        format!("{all} submissions: {}. Median: {} points.", counts.join(", "), number(median))
    }

    fn labs(&self) -> BTreeSet<Lab> {
        self.members.iter().flat_map(|it| &it.results).flat_map(|it| &it.tests).map(|test| test.lab).collect()
    }

    /// The tests by lab, in the order in which they are graded.
    fn tests(&self) -> Vec<(Lab, String)> {
        let mut tests: Vec<(Lab, String)> = Vec::new();
        for test in self.members.iter().flat_map(|it| &it.results).flat_map(|it| &it.tests) {
            let test = (test.lab, test.short_name().to_owned());
            if !tests.contains(&test) {
                tests.push(test);
            }
        }
        tests.sort_by_key(|(lab, _)| *lab);
        tests
    }

    /// A line for each submission: points of all, of each lab, and of each test the runs that passed.
    pub(super) fn csv(&self) -> String {
        let (labs, tests) = (self.labs(), self.tests());
        let mut header: Vec<String> =
            ["submission", "state", "points", "points_max", "seconds"].map(str::to_owned).into();
        header.extend(labs.iter().map(ToString::to_string));
        header.extend(tests.iter().map(|(_, test)| test.clone()));
        let mut lines = vec![header];
        for member in &self.members {
            let mut line = vec![member.name.clone(), member.state().to_owned(), number(member.points())];
            let Some(results) = &member.results else {
                line.resize(lines[0].len(), String::new());
                lines.push(line);
                continue;
            };
            line.extend([number(results.points_max()), number(results.seconds)]);
            for lab in &labs {
                let of_lab = results.tests.iter().filter(|test| test.lab == *lab);
                line.push(number(of_lab.map(|test| test.points).sum()));
            }
            for (_, name) in &tests {
                let test = results.tests.iter().find(|test| test.short_name() == name);
                line.push(test.map_or(String::new(), |test| match test.status {
                    Status::Passed | Status::Failed => format!("{} of {}", test.passed, test.wanted),
                    Status::NotJudged => "not judged".to_owned(),
                    Status::NotRun => "not run".to_owned(),
                }));
            }
            lines.push(line);
        }
        lines
            .iter()
            .map(|line| line.iter().map(|it| field(it)).collect::<Vec<_>>().join(",") + "\n")
            .collect()
    }

    /// The table, what failed for whom, and whose failures are alike.
    pub(super) fn markdown(&self) -> String {
        let labs: Vec<Lab> = self.labs().into_iter().collect();
        let mut text = format!("# The class\n\nFor the staff only.\n\n{}\n\n", self.summary());
        let names: Vec<_> = labs.iter().map(ToString::to_string).collect();
        text += &format!("| submission | state | points | {} |\n", names.join(" | "));
        text += &format!("|---|---|---|{}\n", "---|".repeat(labs.len()));
        for member in &self.members {
            let of_labs: Vec<_> = labs.iter().map(|lab| member.of_lab(*lab)).collect();
            let points = format!("{} of {}", number(member.points()), number(member.points_max()));
            let state = match member.results.as_ref().map(|it| &it.state) {
                Some(State::Refused(why)) => format!("refused: {}", first_line(why)),
                _ => member.state().to_owned(),
            };
            let [name, state] = [&member.name, &state].map(|text| plain(text));
            text += &format!("| {name} | {state} | {points} | {} |\n", of_labs.join(" | "));
        }
        text += &self.notes();
        text += &self.common_causes();
        text + &self.pairs()
    }

    /// What the grader had to say to the staff.
    fn notes(&self) -> String {
        let mut of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for member in &self.members {
            for note in member.results.iter().flat_map(|it| &it.staff_notes) {
                of.entry(note).or_default().push(&member.name);
            }
        }
        let lines: Vec<String> = of
            .iter()
            .map(|(note, names)| format!("- {}: {}\n", listed(names.iter().copied()), plain(note.trim())))
            .take(LINES_MAX)
            .collect();
        if lines.is_empty() { String::new() } else { format!("\n## To look at\n\n{}", lines.concat()) }
    }

    fn common_causes(&self) -> String {
        // One mistake fails many tests: they share a line.
        let mut of: BTreeMap<String, (BTreeSet<String>, BTreeSet<&str>)> = BTreeMap::new();
        for member in &self.members {
            for (test, cause) in member.causes().into_keys() {
                let (tests, names) = of.entry(cause).or_default();
                tests.insert(test);
                names.insert(&member.name);
            }
        }
        let mut causes: Vec<_> = of.into_iter().collect();
        causes.sort_by_key(|(_, (tests, names))| std::cmp::Reverse((names.len(), tests.len())));
        let lines: Vec<String> = causes
            .iter()
            .map(|(cause, (tests, names))| {
                let (tests, of) = (listed(tests.iter().map(String::as_str)), listed(names.iter().copied()));
                format!("| {} | {} | {tests} | {of} |\n", names.len(), plain(cause))
            })
            .take(LINES_MAX)
            .collect();
        if lines.is_empty() {
            return String::new();
        }
        format!(
            "\n## What failed, and for whom\n\nN stands for any number. What many share may want a word in class.\n\n\
             | submissions | cause | tests | of |\n|---|---|---|---|\n{}",
            lines.concat()
        )
    }

    fn pairs(&self) -> String {
        let causes: Vec<_> = self.members.iter().map(|member| (&member.name, member.mistakes())).collect();
        let mut pairs = Vec::new();
        for (place, (one, theirs)) in causes.iter().enumerate() {
            for (other, others) in &causes[place + 1..] {
                let (share, common, seeds) = alike(theirs, others);
                if share >= ALIKE && common >= COMMON_MIN {
                    pairs.push((share, common, seeds, one, other));
                }
            }
        }
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)).then((a.3, a.4).cmp(&(b.3, b.4))));
        let lines: Vec<String> = pairs
            .iter()
            .map(|(share, common, seeds, one, other)| {
                let share = (share * 100.0).round();
                format!("| {} | {} | {share} % | {common} | {seeds} |\n", plain(one), plain(other))
            })
            .take(LINES_MAX)
            .collect();
        if lines.is_empty() {
            return String::new();
        }
        format!(
            "\n## Submissions that fail alike\n\nOf all causes that either has, the share that both have; and how many show with the \
             same seed first. The same mistake may have been made twice: this proves nothing, it says where to look.\n\n\
             | submission | submission | alike | causes in common | with the same seed |\n|---|---|---|---|---|\n{}",
            lines.concat()
        )
    }
}

impl Member {
    fn points_max(&self) -> f64 {
        self.results.as_ref().map_or(0.0, Results::points_max)
    }

    fn of_lab(&self, lab: Lab) -> String {
        let tests = self.results.iter().flat_map(|it| &it.tests).filter(|test| test.lab == lab);
        number(tests.map(|test| test.points).sum())
    }
}

/// The share of causes that both have among those that either has; how many both have, and of those how many with the
/// same seed.
fn alike(one: &BTreeMap<Cause, Option<u64>>, other: &BTreeMap<Cause, Option<u64>>) -> (f64, usize, usize) {
    let common: Vec<_> = one.iter().filter_map(|(cause, seed)| Some((seed, other.get(cause)?))).collect();
    let either = one.len() + other.len() - common.len();
    let seeds = common.iter().filter(|(one, other)| one == other).count();
    (common.len() as f64 / either.max(1) as f64, common.len(), seeds)
}

fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 8;
    let more = names.len().saturating_sub(SHOWN);
    let shown: Vec<_> = names.take(SHOWN).map(plain).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(", ") + &more
}

/// A field of a line of CSV, as RFC 4180 has it. Spreadsheets take what begins like a formula for one: names are their owners'.
fn field(text: &str) -> String {
    let text =
        if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::example;
    use super::*;

    fn member(name: &str, change: impl FnOnce(&mut Results)) -> Member {
        let mut results = example();
        change(&mut results);
        Member { name: name.to_owned(), results: Some(results) }
    }

    /// All four tests fail, for causes that begin with `cause`.
    fn failing(name: &str, cause: &str, seed: u64) -> Member {
        member(name, |results| {
            results.state = State::Graded;
            for (place, test) in results.tests.iter_mut().enumerate() {
                test.status = Status::Failed;
                test.known = 30;
                test.headline = format!("{cause} {place} at index {seed}");
                test.seed = Some(seed);
            }
        })
    }

    #[test]
    fn each_submission_has_a_line_and_spreadsheets_calculate_nothing() {
        let missing = Member { name: "carl, \"jr\"".into(), results: None };
        let class = Class { members: vec![member("=alice()", |_| {}), missing] };
        let csv = class.csv();
        let lines: Vec<_> = csv.lines().collect();
        assert_eq!(
            lines[0],
            "submission,state,points,points_max,seconds,2B,basic_agree_2B,backup_2B,count_2B,secret_2B"
        );
        assert_eq!(lines[1], "'=alice(),incomplete,2,8,61.25,2,30 of 30,29 of 30,not judged,0 of 30");
        assert_eq!(lines[2], "\"carl, \"\"jr\"\"\",missing,0,,,,,,,");
        assert_eq!(lines.len(), 3);
        assert!(!class.is_complete());
        assert_eq!(class.summary(), "2 submissions: 1 incomplete, 1 missing. Median: 1 points.");
    }

    #[test]
    fn hostile_names_and_causes_stay_text() {
        let class = Class { members: vec![member("<b>|alice", |_| {})] };
        let text = class.markdown();
        assert!(text.contains("&lt;b>\\|alice") && !text.contains("<b>"), "{text}");
        assert!(text.contains("## To look at") && text.contains("for staff only"), "{text}");
        assert!(text.contains("| 1 | server N applied \\`..\\` at index N | backup_2B | "), "{text}");
    }

    #[test]
    fn who_fails_alike_is_found_and_nobody_else() {
        let [a, b, c] = [failing("a", "lost", 3), failing("b", "lost", 4), failing("c", "stuck", 3)];
        assert_eq!(alike(&a.causes(), &b.causes()), (1.0, 4, 0));
        assert_eq!(alike(&a.causes(), &c.causes()), (0.0, 0, 0));
        assert_eq!(alike(&a.causes(), &a.causes()), (1.0, 4, 4));
        // Nobody is like those who fail nothing.
        let good = member("d", |results| {
            results.tests.iter_mut().for_each(|test| test.status = Status::Passed);
        });
        assert_eq!(alike(&good.causes(), &good.causes()), (0.0, 0, 0));
        let text = Class { members: vec![a, b, c, good] }.markdown();
        assert!(text.contains("| a | b | 100 % | 4 | 0 |"), "{text}");
        assert!(
            !text.contains("| a | c |") && !text.contains("| b | c |") && !text.contains("| d |  |"),
            "{text}"
        );
        let tests = "backup_2B, basic_agree_2B, count_2B, secret_2B";
        assert!(text.contains(&format!("| 2 | lost N at index N | {tests} | a, b |")), "{text}");
        // What is still to be written is told, but makes nobody alike.
        let unwritten = || ["e", "f"].map(|name| failing(name, "not yet implemented: 2B", 3));
        let text = Class { members: unwritten().into() }.markdown();
        assert!(text.contains("not yet implemented") && !text.contains("| e | f |"), "{text}");
    }
}
