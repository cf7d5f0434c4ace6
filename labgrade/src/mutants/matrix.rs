//! The kill matrix: what is kept of a whole run, as JSON, and as a page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};

use super::catalogue::{Kind, Mutant};
use super::trial::{CorrectTrial, Kill, MutantTrial, Off, Pursuit, Role};
use crate::labs::Lab;

/// Of the JSON form. Counts up when a field changes its meaning or goes away; fields may be added without.
pub(crate) const VERSION: u32 = 2;

/// Everything that was measured. Its JSON form is `matrix.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Matrix {
    pub(crate) version: u32,
    /// Of safety mutants.
    pub(crate) pursuit: Pursuit,
    /// The seeds that other mutants get at most.
    pub(crate) others: u32,
    /// The rule that was switched off, if one was.
    pub(crate) without: Option<String>,
    /// As `rustc --version` says.
    pub(crate) compiler: String,
    pub(crate) mutants: Vec<MutantRow>,
    /// Mutants that do not fit a correct variant, as `mutant@variant`.
    pub(crate) unfit: Vec<String>,
    pub(crate) correct: Vec<CorrectRow>,
    /// Of which of both the result is from an earlier state of the sources.
    #[serde(default)]
    pub(crate) earlier: Vec<String>,
}

/// A bug of the catalogue of classic ones.
#[derive(Clone, Debug)]
pub(crate) struct Classic {
    pub(crate) name: String,
    /// What the original suites make of it.
    pub(crate) measured: String,
    /// Why there is no mutant of it; empty if there is one.
    pub(crate) reason: String,
}

/// One mutant: what is said of it, and what became of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MutantRow {
    pub(crate) id: String,
    pub(crate) number: u32,
    pub(crate) variant: Option<String>,
    pub(crate) bug: String,
    pub(crate) rule: String,
    pub(crate) paper: String,
    pub(crate) student_sees: String,
    pub(crate) kind: Kind,
    pub(crate) argument: String,
    pub(crate) labs: Vec<Lab>,
    pub(crate) expect: Option<String>,
    pub(crate) result: Tried<MutantTrial>,
}

/// One correct solution.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CorrectRow {
    pub(crate) name: String,
    /// In what it differs from the solution.
    pub(crate) differs_in: String,
    pub(crate) result: Tried<CorrectTrial>,
}

/// Whether the suites could be tried at all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tried<T> {
    /// It was built in so many seconds, and this is what the suites said.
    Done {
        build_s: f64,
        #[serde(flatten)]
        trial: T,
    },
    /// It does not apply or does not compile, or its tests cannot be run; why.
    Broken(String),
}

impl<T> Tried<T> {
    pub(crate) fn trial(&self) -> Option<&T> {
        match self {
            Tried::Done { trial, .. } => Some(trial),
            Tried::Broken(_) => None,
        }
    }
}

impl MutantRow {
    pub(crate) fn new(mutant: &Mutant, result: Tried<MutantTrial>) -> MutantRow {
        let header = mutant.header.clone();
        MutantRow {
            id: mutant.id.clone(),
            number: mutant.number,
            variant: mutant.variant.clone(),
            bug: header.bug,
            rule: header.rule,
            paper: header.paper,
            student_sees: header.student_sees,
            kind: header.kind,
            argument: header.argument,
            labs: header.labs,
            expect: header.expect,
            result,
        }
    }

    pub(crate) fn first_kill(&self) -> Option<&Kill> {
        self.result.trial()?.first_kill()
    }

    fn troubles(&self) -> &[String] {
        match &self.result {
            Tried::Done { trial, .. } => &trial.troubles,
            Tried::Broken(why) => std::slice::from_ref(why),
        }
    }

    /// Whether this is as it should be: killed, or, if it is equivalent, not.
    fn is_right(&self) -> bool {
        self.troubles().is_empty() && (self.kind == Kind::Equivalent) == self.first_kill().is_none()
    }
}

impl CorrectRow {
    pub(crate) fn is_accused(&self) -> bool {
        self.result.trial().is_some_and(|trial| !trial.accusations.is_empty())
    }

    fn troubles(&self) -> &[String] {
        match &self.result {
            Tried::Done { trial, .. } => &trial.troubles,
            Tried::Broken(why) => std::slice::from_ref(why),
        }
    }
}

/// The line for a mutant when it is done.
impl fmt::Display for MutantRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tried::Done { build_s, trial } = &self.result else {
            let Tried::Broken(why) = &self.result else { unreachable!() };
            return write!(f, "BROKEN    {}: {why}", self.id);
        };
        match (trial.first_kill(), self.kind) {
            (Some(kill), _) => {
                let word = if self.kind == Kind::Equivalent { "OBJECTED" } else { "killed" };
                let said = kill.failure.rule.as_ref().unwrap_or(&kill.failure.headline);
                let (seeds, cpu) = (kill.seeds, kill.cpu_s);
                write!(f, "{word:9} {}: seed {seeds}, {cpu:.2} s CPU, {}: {said}", self.id, kill.test)?;
            }
            (None, kind) => {
                let word = if kind == Kind::Equivalent { "silent" } else { "SURVIVED" };
                let own = &trial.labs[0];
                write!(
                    f,
                    "{word:9} {}: {} seeds of {}, {:.1} s CPU",
                    self.id, own.seeds, own.lab, own.cpu_s
                )?;
            }
        }
        write!(f, " (built in {build_s:.1} s)")?;
        trial.troubles.iter().try_for_each(|trouble| write!(f, "\n          no verdict: {trouble}"))
    }
}

impl fmt::Display for CorrectRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.result {
            Tried::Broken(why) => write!(f, "BROKEN    {}: {why}", self.name),
            Tried::Done { build_s, trial } => {
                let word = if trial.accusations.is_empty() { "acquitted" } else { "ACCUSED" };
                write!(f, "{word:9} {}: {}, {:.1} s CPU", self.name, extent(trial), trial.cpu_s)?;
                write!(f, " (built in {build_s:.1} s)")?;
                for it in &trial.accusations {
                    write!(
                        f,
                        "\n          {} with seed {}: {}",
                        it.test, it.failure.seed, it.failure.headline
                    )?;
                }
                trial.troubles.iter().try_for_each(|trouble| write!(f, "\n          no verdict: {trouble}"))
            }
        }
    }
}

/// The last line of all.
pub(crate) struct Summary {
    killed: usize,
    safety: usize,
    accused: usize,
    correct: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { killed, safety, accused, correct } = self;
        write!(
            f,
            "killed {killed} of {safety} safety mutants; accused {accused} of {correct} correct variants"
        )
    }
}

impl Matrix {
    pub(crate) fn summary(&self) -> Summary {
        let safety: Vec<_> = self.of(Kind::Safety).collect();
        Summary {
            killed: safety.iter().filter(|row| row.first_kill().is_some()).count(),
            safety: safety.len(),
            accused: self.correct.iter().filter(|row| row.is_accused()).count(),
            correct: self.correct.len(),
        }
    }

    /// Whether every safety mutant was killed, no correct solution accused, and every run had a verdict.
    pub(crate) fn is_good(&self) -> bool {
        let all_killed = self.of(Kind::Safety).all(|row| row.first_kill().is_some());
        let troubles = self.mutants.iter().flat_map(MutantRow::troubles);
        let troubles = troubles.chain(self.correct.iter().flat_map(CorrectRow::troubles));
        all_killed && troubles.count() == 0 && !self.correct.iter().any(CorrectRow::is_accused)
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &MutantRow> {
        self.mutants.iter().filter(move |row| row.kind == kind)
    }

    /// The same without those of correct variants.
    fn of_solution(&self, kind: Kind) -> impl Iterator<Item = &MutantRow> {
        self.of(kind).filter(|row| row.variant.is_none())
    }

    /// The matrix as a page. `classic` are the classic bugs, by number; `rules` are those that
    /// have a page.
    pub(crate) fn markdown(&self, classic: &BTreeMap<u32, Classic>, rules: &[String]) -> String {
        let mut out = String::new();
        self.write_markdown(&mut out, classic, rules).expect("writing to a string");
        out
    }

    fn write_markdown(
        &self,
        out: &mut String,
        classic: &BTreeMap<u32, Classic>,
        rules: &[String],
    ) -> fmt::Result {
        writeln!(out, "# Kill matrix\n")?;
        writeln!(
            out,
            "Written by `make mutants`; changes made here are lost. `mutants/README.md` says what a mutant is.\n"
        )?;
        writeln!(out, "**{}**\n", self.summary())?;
        self.write_figures(out)?;
        let (Pursuit { first_seed, seeds, above, .. }, others) = (self.pursuit, self.others);
        writeln!(
            out,
            "Every mutant is tried with the suite of its own lab, the first of its labs, with up to {seeds} seeds from \
             {first_seed} on: all tests with one seed, then with one more, two more, four more, until a test objects. \
             *Seeds* is how many that took, *CPU s* the user and system time of the suite until then. The other labs \
             that are to kill it get as many; labs above those get {above}. Mutants that are no safety bugs get at most \
             {others}. *Original suites*: which tests object in \
             the spring 2023 edition of these labs, in how many runs (`mutants/classic.tsv`).\n"
        )?;
        if let Some(rule) = &self.without {
            writeln!(out, "The rule {rule} was switched off.\n")?;
        }
        if !self.earlier.is_empty() {
            writeln!(
                out,
                "Of {} mutants and variants, marked \\*, the result is from an earlier state of the suites; all others are from \
                 the present one.\n",
                self.earlier.len()
            )?;
        }
        for kind in Kind::ALL {
            if self.of_solution(kind).next().is_some() {
                self.write_kind(out, kind, classic, rules)?;
            }
        }
        self.write_of_variants(out, rules)?;
        self.write_correct(out)?;
        self.write_worth(out, rules)?;
        self.write_without_mutant(out, classic)
    }

    fn write_figures(&self, out: &mut String) -> fmt::Result {
        let kills: Vec<_> = self.of(Kind::Safety).filter_map(MutantRow::first_kill).collect();
        if kills.is_empty() {
            return Ok(());
        }
        let within_ten = kills.iter().filter(|kill| kill.seeds <= 10).count();
        let mut cpu: Vec<f64> = kills.iter().map(|kill| kill.cpu_s).collect();
        cpu.sort_by(f64::total_cmp);
        let (median, most) = (cpu[cpu.len() / 2], cpu[cpu.len() - 1]);
        writeln!(
            out,
            "Of the safety mutants, {within_ten} of {} were killed within 10 seeds. CPU time to the first kill: median \
             {median:.2} s, most {most:.1} s. {}.\n",
            self.of(Kind::Safety).count(),
            self.compiler
        )?;
        let wrong: Vec<_> = self.mutants.iter().filter(|row| !row.is_right()).collect();
        if !wrong.is_empty() {
            writeln!(out, "Not as it should be:\n")?;
            wrong.iter().try_for_each(|row| writeln!(out, "- `{}`", cell(&row.to_string())))?;
            writeln!(out)?;
        }
        Ok(())
    }

    fn write_kind(
        &self,
        out: &mut String,
        kind: Kind,
        classic: &BTreeMap<u32, Classic>,
        rules: &[String],
    ) -> fmt::Result {
        let title = match kind {
            Kind::Safety => "Safety mutants",
            Kind::Liveness => "Liveness mutants",
            Kind::Efficiency => "Efficiency mutants",
            Kind::Equivalent => "Equivalent mutants",
        };
        writeln!(out, "## {title}\n")?;
        if kind == Kind::Equivalent {
            writeln!(
                out,
                "| mutant | bug | why it is none here | objections | original suites |\n|---|---|---|---|---|"
            )?;
        } else {
            writeln!(
                out,
                "| mutant | bug | first objector | seeds | CPU s | other labs | original suites |"
            )?;
            writeln!(out, "|---|---|---|---|---|---|---|")?;
        }
        for row in self.of_solution(kind) {
            let classic = classic.get(&row.number).map_or("", |classic| classic.measured.as_str());
            let (id, bug) = (self.marked(&row.id), cell(&row.bug));
            if kind == Kind::Equivalent {
                let objector = objector(row, rules).unwrap_or_else(|| "none".into());
                writeln!(out, "| {id} | {bug} | {} | {objector} | {classic} |", cell(&row.argument))?;
                continue;
            }
            let argument =
                if row.argument.is_empty() { String::new() } else { format!(" ({})", cell(&row.argument)) };
            let (objector, seeds, cpu) = match (row.first_kill(), objector(row, rules)) {
                (Some(kill), Some(objector)) => {
                    (objector, kill.seeds.to_string(), format!("{:.2}", kill.cpu_s))
                }
                _ => ("**none**".into(), "-".into(), "-".into()),
            };
            let others = others(row);
            writeln!(
                out,
                "| {id} | {bug}{argument} | {objector} | {seeds} | {cpu} | {others} | {classic} |"
            )?;
        }
        writeln!(out)
    }

    fn write_of_variants(&self, out: &mut String, rules: &[String]) -> fmt::Result {
        let rows = || self.mutants.iter().filter(|row| row.variant.is_some());
        if rows().next().is_none() {
            return Ok(());
        }
        writeln!(
            out,
            "## Mutants of correct variants\n\nThe same bugs in other solutions, tried with the suites that are to kill \
             them.\n\n| mutant | first objector | seeds | CPU s | other labs |\n|---|---|---|---|---|"
        )?;
        for row in rows() {
            let (id, others) = (self.marked(&row.id), others(row));
            match (row.first_kill(), objector(row, rules)) {
                (Some(kill), Some(objector)) => {
                    writeln!(out, "| {id} | {objector} | {} | {:.2} | {others} |", kill.seeds, kill.cpu_s)?;
                }
                _ => writeln!(out, "| {id} | **none** | - | - | {others} |")?,
            }
        }
        if !self.unfit.is_empty() {
            let unfit = self.unfit.join(", ");
            writeln!(out, "\nNot tried, since what the patch changes is not there: {unfit}.")?;
        }
        writeln!(out)
    }

    /// The name, marked if its result is an earlier one.
    fn marked(&self, name: &str) -> String {
        let mark = if self.earlier.iter().any(|earlier| earlier == name) { " \\*" } else { "" };
        format!("{name}{mark}")
    }

    /// What would be missed without a test or a rule.
    fn write_worth(&self, out: &mut String, rules: &[String]) -> fmt::Result {
        // By test and by rule: which mutants they object to in their own labs, and whether nobody else does.
        let mut tests: BTreeMap<&str, Vec<(&str, bool)>> = BTreeMap::new();
        let mut by_rule: BTreeMap<&str, Vec<(&str, bool)>> = BTreeMap::new();
        for row in self.mutants.iter().filter(|row| row.kind != Kind::Equivalent) {
            let labs = row.result.trial().map_or(&[][..], |trial| &trial.labs);
            let Some(own) = labs.iter().find(|lab| lab.role == Role::Own) else { continue };
            let objectors: BTreeSet<&str> = own.kills.iter().map(|kill| short(&kill.test)).collect();
            let named: BTreeSet<Option<&str>> =
                own.kills.iter().map(|kill| kill.failure.rule.as_deref()).collect();
            for test in &objectors {
                tests.entry(test).or_default().push((&row.id, objectors.len() == 1));
            }
            for rule in named.iter().flatten().filter(|rule| rules.iter().any(|known| known == *rule)) {
                by_rule.entry(rule).or_default().push((&row.id, named.len() == 1));
            }
        }
        if tests.is_empty() {
            return Ok(());
        }
        let turns = match self.pursuit.turns {
            0 => "Nobody was switched off to see who else would have found them (`--turns`).".to_string(),
            turns => format!(
                "Whoever objected alone was switched off then, a test or a rule's oracle, and the mutant tried again with \
                 {turns} seeds at least: *missed without it* are those to which nobody else objected. Rules without an \
                 oracle are checks of single tests."
            ),
        };
        writeln!(
            out,
            "\n## What each test and each rule is worth\n\nWithin the seeds that the first objection took, in a mutant's own \
             lab. {turns}\n"
        )?;
        let turns = self.mutants.iter().filter_map(|row| Some((row, row.result.trial()?)));
        let missed: Vec<(&Off, &str)> = turns
            .flat_map(|(row, trial)| trial.turns.iter().map(|turn| (row.id.as_str(), turn)))
            .filter(|(_, turn)| turn.is_missed())
            .map(|(id, turn)| (&turn.off, id))
            .collect();
        for (title, table) in [("test", &tests), ("rule", &by_rule)] {
            writeln!(out, "| {title} | objects to | alone to | missed without it |\n|---|---|---|---|")?;
            for (name, mutants) in table {
                let alone = mutants.iter().filter(|(_, alone)| *alone).count();
                let is_it = |off: &Off| match off {
                    Off::Test(test) => title == "test" && short(test) == *name,
                    Off::Rule(rule) => title == "rule" && rule == name,
                };
                let missed = missed.iter().filter(|(off, _)| is_it(off)).map(|(_, id)| *id);
                let missed: Vec<&str> = missed.collect();
                writeln!(out, "| {name} | {} | {alone} | {} |", mutants.len(), missed.join(", "))?;
            }
            writeln!(out)?;
        }
        let silent: Vec<&str> =
            rules.iter().map(String::as_str).filter(|it| !by_rule.contains_key(it)).collect();
        if !silent.is_empty() {
            writeln!(out, "Rules that objected to none: {}.\n", silent.join(", "))?;
        }
        let all = self.correct.iter().filter_map(|row| row.result.trial()).flat_map(|trial| &trial.labs);
        let all: BTreeSet<&str> = all.flat_map(|lab| &lab.tests).map(|test| short(test)).collect();
        let silent: Vec<&str> = all.into_iter().filter(|it| !tests.contains_key(it)).collect();
        if !silent.is_empty() {
            writeln!(out, "Tests that objected to none: {}.", silent.join(", "))?;
        }
        Ok(())
    }

    /// The classic bugs that there is no mutant of; in a run of some mutants only, nothing.
    fn write_without_mutant(&self, out: &mut String, classic: &BTreeMap<u32, Classic>) -> fmt::Result {
        let missing = |number: &u32| self.mutants.iter().all(|row| row.number != *number);
        let mut reasons =
            classic.iter().filter(|(number, it)| !it.reason.is_empty() && missing(number)).peekable();
        if reasons.peek().is_none() {
            return Ok(());
        }
        writeln!(out, "\n## Classic bugs without a mutant\n\n| bug | | why |\n|---|---|---|")?;
        reasons.try_for_each(|(number, it)| {
            writeln!(out, "| {number} | {} | {} |", cell(&it.name), cell(&it.reason))
        })
    }

    fn write_correct(&self, out: &mut String) -> fmt::Result {
        if self.correct.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "## Correct variants\n\n| variant | differs in | tests and seeds each | CPU s | accusations |\n|---|---|---|---|---|"
        )?;
        for row in &self.correct {
            let Some(trial) = row.result.trial() else {
                writeln!(
                    out,
                    "| {} | {} | - | - | `{}` |",
                    row.name,
                    cell(&row.differs_in),
                    cell(&row.to_string())
                )?;
                continue;
            };
            let CorrectTrial { cpu_s, accusations, .. } = trial;
            let accusations: Vec<_> = accusations
                .iter()
                .map(|it| {
                    format!("{} with seed {}: {}", it.test, it.failure.seed, cell(&it.failure.headline))
                })
                .collect();
            let accusations = if accusations.is_empty() { "none".into() } else { accusations.join("; ") };
            let (name, differs_in, extent) = (self.marked(&row.name), cell(&row.differs_in), extent(trial));
            writeln!(out, "| {name} | {differs_in} | {extent} | {cpu_s:.0} | {accusations} |")?;
        }
        Ok(())
    }
}

/// Rule and test that objected first, or what the test said.
fn objector(row: &MutantRow, rules: &[String]) -> Option<String> {
    let kill = row.first_kill()?;
    let test = short(&kill.test);
    Some(match &kill.failure.rule {
        Some(rule) if rules.contains(rule) => format!("[{rule}](rules/{rule}.md) in {test}"),
        Some(rule) => format!("{rule} in {test}"),
        None => format!("{test}: {}", cell(&kill.failure.headline)),
    })
}

/// Which labs' tests were run, over how many seeds.
fn extent(trial: &CorrectTrial) -> String {
    let labs = trial.labs.iter().filter(|it| !it.tests.is_empty());
    let labs = labs.map(|it| format!("{}: {} x {}", it.lab, it.tests.len(), it.seeds));
    labs.collect::<Vec<_>>().join(", ")
}

/// A test's name without its module.
fn short(test: &str) -> &str {
    test.rsplit("::").next().unwrap_or(test)
}

/// After how many seeds the other labs object.
fn others(row: &MutantRow) -> String {
    let labs = row.result.trial().map_or(&[][..], |trial| &trial.labs);
    let others = labs.iter().filter(|lab| lab.role != Role::Own);
    let word = |lab: &super::trial::LabTrial| match lab.kills.first() {
        Some(kill) => format!("{}: {}", lab.lab, kill.seeds),
        None => format!("{}: -", lab.lab),
    };
    others.map(word).collect::<Vec<_>>().join(", ")
}

/// Text that fits into a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::super::trial::{Accusation, Control, LabTrial, Turn};
    use super::*;
    use crate::verdict::Failure;

    fn row(id: &str, kind: Kind, killed_after: Option<u32>) -> MutantRow {
        let failure = Failure { seed: 3, rule: Some("one-vote".into()), headline: "two | votes".into() };
        let kill =
            |seeds| Kill { test: "lab_2a::votes_2A".into(), seeds, cpu_s: 0.5, failure: failure.clone() };
        let lab = |name: &str, role| LabTrial {
            lab: name.parse().unwrap(),
            role,
            tests: 3,
            seeds: 100,
            cpu_s: 7.0,
            kills: killed_after.filter(|_| role == Role::Own).map(kill).into_iter().collect(),
        };
        let trial =
            MutantTrial { labs: vec![lab("2A", Role::Own), lab("2B", Role::Above)], ..Default::default() };
        MutantRow {
            id: id.into(),
            number: 2,
            variant: None,
            bug: "votes\ntwice".into(),
            rule: "one-vote".into(),
            paper: "5.2".into(),
            student_sees: "two leaders".into(),
            kind,
            argument: if kind == Kind::Equivalent { "no one looks".into() } else { String::new() },
            labs: vec!["2A".parse().unwrap()],
            expect: None,
            result: Tried::Done { build_s: 1.0, trial },
        }
    }

    fn correct(name: &str, accused: bool) -> CorrectRow {
        let failure = Failure { seed: 9, rule: None, headline: "no".into() };
        let accusations = accused.then(|| Accusation { test: "a_2A".into(), failure });
        let accusations = accusations.into_iter().collect();
        let tests: Vec<String> = ["a", "votes"].map(|test| format!("lab::{test}_2A")).to_vec();
        let control = |name: &str, seeds| Control { lab: name.parse().unwrap(), tests: tests.clone(), seeds };
        let labs = vec![control("2A", 1000), control("3A", 5)];
        let trial = CorrectTrial { labs, cpu_s: 99.0, accusations, ..Default::default() };
        let differs_in = "all".into();
        CorrectRow { name: name.into(), differs_in, result: Tried::Done { build_s: 1.0, trial } }
    }

    fn matrix(mutants: Vec<MutantRow>, correct: Vec<CorrectRow>) -> Matrix {
        let pursuit = Pursuit { first_seed: 1, seeds: 100, above: 4, every_test: false, turns: 7 };
        Matrix {
            version: VERSION,
            pursuit,
            others: 20,
            without: None,
            compiler: "rustc 1".into(),
            mutants,
            unfit: Vec::new(),
            correct,
            earlier: vec!["3-c".into()],
        }
    }

    #[test]
    fn the_last_line_counts_safety_mutants_and_accused_variants() {
        let it = matrix(
            vec![
                row("1-a", Kind::Safety, Some(3)),
                row("2-b", Kind::Safety, None),
                row("3-c", Kind::Liveness, None),
                row("4-d", Kind::Equivalent, None),
            ],
            vec![correct("reference", false), correct("odd", true)],
        );
        assert_eq!(it.summary().to_string(), "killed 1 of 2 safety mutants; accused 1 of 2 correct variants");
        assert!(!it.is_good());
    }

    #[test]
    fn all_is_good_only_if_all_are_killed_none_accused_and_nothing_unknown() {
        let good = || matrix(vec![row("1-a", Kind::Safety, Some(3))], vec![correct("reference", false)]);
        assert!(good().is_good());
        let spoilt = |spoil: fn(&mut Matrix)| {
            let mut it = good();
            spoil(&mut it);
            assert!(!it.is_good());
        };
        spoilt(|it| it.mutants.push(row("2-b", Kind::Safety, None)));
        spoilt(|it| it.mutants[0].result = Tried::Broken("it does not apply".into()));
        spoilt(|it| it.correct.push(correct("odd", true)));
        spoilt(|it| it.correct[0].result = Tried::Broken("it does not compile".into()));
        spoilt(|it| {
            let Tried::Done { trial, .. } = &mut it.mutants[0].result else { unreachable!() };
            trial.troubles.push("it hangs".into());
        });
    }

    #[test]
    fn the_page_has_a_line_for_each() {
        let mut it = matrix(
            vec![
                row("1-a", Kind::Safety, Some(3)),
                row("2-b", Kind::Safety, None),
                row("3-c", Kind::Efficiency, Some(20)),
                row("4-d", Kind::Equivalent, None),
                MutantRow { variant: Some("odd".into()), ..row("1-a@odd", Kind::Safety, Some(5)) },
            ],
            vec![correct("reference", false), correct("odd", true)],
        );
        it.unfit = vec!["2-b@odd".into()];
        let off = [Off::Test("lab_2a::votes_2A".into()), Off::Rule("one-vote".into())];
        for (place, missed) in [(0, [true, false]), (2, [false, true])] {
            let Tried::Done { trial, .. } = &mut it.mutants[place].result else { unreachable!() };
            let kill = trial.labs[0].kills[0].clone();
            let turn = |(off, missed): (&Off, bool)| Turn {
                off: off.clone(),
                seeds: 7,
                kill: (!missed).then(|| kill.clone()),
                troubles: Vec::new(),
            };
            trial.turns = off.iter().zip(missed).map(turn).collect();
        }
        let classic = |measured: &str, reason: &str| Classic {
            name: "a bug".into(),
            measured: measured.into(),
            reason: reason.into(),
        };
        let classic = BTreeMap::from([(2, classic("never", "")), (17, classic("not measured", "allowed"))]);
        let page = it.markdown(&classic, &["one-vote".into(), "two-votes".into()]);
        for line in [
            "**killed 2 of 3 safety mutants; accused 1 of 2 correct variants**",
            "| 1-a@odd | [one-vote](rules/one-vote.md) in votes_2A | 5 | 0.50 | 2B: - |",
            "Not tried, since what the patch changes is not there: 2-b@odd.",
            "| 17 | a bug | allowed |",
            "| votes_2A | 3 | 3 | 1-a |",
            "| one-vote | 3 | 3 | 3-c |",
            "Rules that objected to none: two-votes.",
            "Tests that objected to none: a_2A.",
            "| 3-c \\* | votes twice | [one-vote](rules/one-vote.md) in votes_2A | 20 | 0.50 | 2B: - | never |",
            "| 1-a | votes twice | [one-vote](rules/one-vote.md) in votes_2A | 3 | 0.50 | 2B: - | never |",
            "| 2-b | votes twice | **none** | - | - | 2B: - | never |",
            "- `SURVIVED  2-b: 100 seeds of 2A, 7.0 s CPU (built in 1.0 s)`",
            "## Efficiency mutants",
            "| 4-d | votes twice | no one looks | none | never |",
            "| reference | all | 2A: 2 x 1000, 3A: 2 x 5 | 99 | none |",
            "| odd | all | 2A: 2 x 1000, 3A: 2 x 5 | 99 | a_2A with seed 9: no |",
        ] {
            assert!(page.lines().any(|it| it == line), "{line}\n{page}");
        }
    }

    #[test]
    fn the_json_form_comes_back() {
        let it = matrix(vec![row("1-a", Kind::Safety, Some(3))], vec![correct("odd", true)]);
        let json = serde_json::to_string(&it).unwrap();
        let back: Matrix = serde_json::from_str(&json).unwrap();
        assert_eq!(json, serde_json::to_string(&back).unwrap());
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["mutants"][0]["result"]["done"]["labs"][0]["kills"][0]["rule"], "one-vote");
    }
}
