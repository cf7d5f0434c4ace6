//! The conformance table names what there is, and leaves no rule out.

use std::fs;

use labdocs::markdown::Page;
use labdocs::workspace::{files, lab_tests, root};

use crate::check;

/// The rules, as the table names them.
const RULES: [&str; 45] = [
    "currentTerm",
    "votedFor",
    "log",
    "first index",
    "commitIndex",
    "lastApplied",
    "nextIndex",
    "matchIndex",
    "RequestVote 1",
    "RequestVote 2, votedFor",
    "RequestVote 2, log",
    "AppendEntries 1",
    "AppendEntries 2",
    "AppendEntries 3",
    "AppendEntries 4",
    "AppendEntries 5",
    "All servers 1",
    "All servers 2",
    "Followers 1",
    "Followers 2",
    "Candidates 1",
    "Candidates 2",
    "Candidates 3",
    "Candidates 4",
    "Leaders 1",
    "Leaders 2, append",
    "Leaders 2, answer",
    "Leaders 3, send",
    "Leaders 3, success",
    "Leaders 3, refusal",
    "Leaders 4",
    "Election Safety",
    "Leader Append-Only",
    "Log Matching",
    "Leader Completeness",
    "State Machine Safety",
    "Sender",
    "lastIncludedTerm",
    "InstallSnapshot 1",
    "InstallSnapshot 2 to 4",
    "InstallSnapshot 5",
    "InstallSnapshot 6",
    "InstallSnapshot 7",
    "InstallSnapshot 8",
    "InstallSnapshot, answer",
];

/// What a table may name.
struct Known {
    tests: Vec<String>,
    /// Number and kind of each mutant, and whether it is one of labs 2A to 2D.
    mutants: Vec<(String, String, bool)>,
}

fn known() -> Known {
    let header = |text: &str, name: &str| {
        text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_string())).unwrap_or_default()
    };
    let mutant = |file: std::path::PathBuf| {
        let (stem, text) =
            (file.file_stem().unwrap().to_string_lossy().into_owned(), fs::read_to_string(&file).unwrap());
        let number = stem.split('-').next().unwrap().to_string();
        (number, header(&text, "Kind:"), header(&text, "Labs:").starts_with('2'))
    };
    // Not those of other solutions, in directories of their own.
    let own = |file: &std::path::PathBuf| file.parent() == Some(&root().join("mutants"));
    Known {
        tests: lab_tests().into_iter().map(|(_, test)| test).collect(),
        mutants: files(&root().join("mutants"), "patch").into_iter().filter(own).map(mutant).collect(),
    }
}

/// The names in a cell.
fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Whether `file::function` is there: among the tests of the file, or before them.
fn has_function(name: &str, test: bool) -> bool {
    let Some((module, function)) = name.rsplit_once("::") else { return false };
    let path = match module.split_once('/') {
        Some((package, module)) => format!("{package}/src/{module}.rs"),
        None => format!("raft/src/{module}.rs"),
    };
    let Ok(text) = fs::read_to_string(root().join(path)) else { return false };
    let (code, tests) = text
        .split_once("#[cfg(test)]\nmod tests")
        .or(text.split_once("#[cfg(test)]\npub(crate) mod tests"))
        .unwrap_or((&text, ""));
    let part = if test { tests } else { code };
    part.contains(&format!("fn {function}(")) || part.contains(&format!("fn {function}<"))
}

fn objections(page: &Page, known: &Known) -> Vec<String> {
    let rows = page.rows();
    let mut objections = Vec::new();
    for row in &rows {
        let [rule, _, functions, units, watched, mutants] = &row[..] else {
            objections.push(format!("a row has {} cells: {row:?}", row.len()));
            continue;
        };
        let mut none = |what: &str, name: &str| objections.push(format!("{rule}: there is no {what} {name}"));
        if names(functions).is_empty() {
            none("function", "at all");
        }
        names(functions)
            .into_iter()
            .filter(|it| !has_function(it, false))
            .for_each(|it| none("function", it));
        if names(units).is_empty() {
            none("unit test", "at all");
        }
        names(units).into_iter().filter(|it| !has_function(it, true)).for_each(|it| none("unit test", it));
        // That pages of rules exist is for the links to tell.
        if watched.is_empty() {
            none("oracle or test", "at all");
        }
        names(watched)
            .into_iter()
            .filter(|it| !known.tests.iter().any(|test| test == it))
            .for_each(|it| none("test", it));
        let numbers = names(mutants);
        if numbers.is_empty() && !mutants.starts_with("none: ") {
            none("mutant", "at all, and no reason");
        }
        numbers
            .into_iter()
            .filter(|it| !known.mutants.iter().any(|(number, ..)| number == it))
            .for_each(|it| none("mutant", it));
    }
    for rule in RULES {
        let times = rows.iter().filter(|row| row[0] == rule).count();
        if times != 1 {
            objections.push(format!("{rule} stands in the table {times} times"));
        }
    }
    if rows.len() != RULES.len() {
        objections.push(format!("the table has {} rows for {} rules", rows.len(), RULES.len()));
    }
    let mentioned: Vec<&str> = rows.iter().flat_map(|row| names(row.last().unwrap())).collect();
    let safety = known.mutants.iter().filter(|(_, kind, raft)| kind == "safety" && *raft);
    for (number, ..) in safety.filter(|(number, ..)| !mentioned.contains(&number.as_str())) {
        objections.push(format!("mutant {number} breaks no rule of the table"));
    }
    objections
}

#[test]
fn the_table_names_what_there_is_and_leaves_nothing_out() {
    check(objections(&Page::read(&root().join("docs/staff/conformance.md")), &known()));
}

#[test]
fn wrong_names_and_gaps_are_noticed() {
    let path = root().join("docs/staff/conformance.md");
    let text = fs::read_to_string(&path).unwrap();
    for (right, wrong) in [
        ("`election::is_up_to_date`", "`election::is_out_of_date`"),
        ("`replication::a_majority_commits`", "`replication::advance_commit_index`"),
        ("`commit_bound_2B`", "`commit_unbound_2B`"),
        ("`24`, `114`", "`999`, `114`"),
        ("| Leaders 4 |", "| Leaders 5 |"),
        ("| none: a snapshot is sent whole |", "| none |"),
    ] {
        assert!(text.contains(right), "{right}");
        let wrong = Page::parse(&path, &text.replacen(right, wrong, 1));
        assert!(!objections(&wrong, &known()).is_empty(), "{right}");
    }
}
