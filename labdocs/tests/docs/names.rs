//! What pages name exists: tests, files, rules, variables.

use std::collections::BTreeSet;
use std::fs;

use labdocs::markdown::Page;
use labdocs::workspace::{files, lab_of, lab_tests, packages, root};

use crate::{check, name, pages};

/// The objections to what stands between backticks on a page.
fn unknown(page: &Page, tests: &BTreeSet<String>, variables: &BTreeSet<String>) -> Vec<String> {
    let mut objections = Vec::new();
    let mut object = |what: String| objections.push(format!("{}: {what}", name(page)));
    for span in page.code_spans() {
        if lab_of(&span).is_some() && is_word(&span) && !tests.contains(&span) {
            object(format!("there is no test `{span}`"));
        }
        if is_path(&span) && !root().join(&span).exists() {
            object(format!("there is no file `{span}`"));
        }
        let variable = span.split('=').next().unwrap_or_default();
        if variable.starts_with("LAB_")
            && is_word(variable)
            && !variables.contains(variable)
            && variable != "LAB_SEDE"
        {
            object(format!("nothing reads `{variable}`"));
        }
    }
    objections
}

fn is_word(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether it names a file or directory of the repository: its first part is one at the top.
fn is_path(span: &str) -> bool {
    let Some((first, rest)) = span.split_once('/') else { return false };
    let plain = span.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    let top = packages().into_iter().chain(["docs", "handout", "mutants"].map(String::from));
    // Names with a gap, such as `docs/rules/<rule>.md` or `docs/rules/....md`, are none.
    plain && !rest.contains("..") && top.into_iter().any(|it| it == first)
}

/// What the harness reads of its environment.
fn variables() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for package in ["labsim", "labtest", "labgrade"] {
        for file in files(&root().join(package).join("src"), "rs") {
            let text = fs::read_to_string(file).unwrap();
            for (at, _) in text.match_indices("\"LAB_") {
                let word = text[at + 1..].split(|c: char| !c.is_ascii_uppercase() && c != '_').next();
                found.extend(word.map(String::from));
            }
        }
    }
    found
}

fn tests() -> BTreeSet<String> {
    lab_tests().into_iter().map(|(_, test)| test).collect()
}

#[test]
fn what_is_named_exists() {
    let (tests, variables) = (tests(), variables());
    check(pages().iter().flat_map(|page| unknown(page, &tests, &variables)).collect());
}

#[test]
fn what_does_not_exist_is_noticed() {
    let text = "`basic_agree_2B` `basic_disagree_2B` `LAB_SEED` `LAB_SOOD=1` `raft/src/lib.rs` `raft/src/none.rs` `docs/rules/<id>.md`";
    let page = Page::parse(&root().join("docs/page.md"), text);
    let objections = unknown(&page, &tests(), &variables());
    assert_eq!(objections.len(), 3, "{objections:?}");
    for (objection, part) in
        objections.iter().zip(["`basic_disagree_2B`", "`LAB_SOOD`", "`raft/src/none.rs`"])
    {
        assert!(objection.contains(part), "{objection}");
    }
}

/// The rules that a text names as failures do: `rule step-down: ...`.
fn rules_of(text: &str) -> Vec<&str> {
    let named = text.match_indices("rule ").filter_map(|(at, word)| text[at + word.len()..].split_once(':'));
    named
        .map(|(rule, _)| rule)
        .filter(|rule| rule.contains('-') && rule.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
        .collect()
}

/// Whatever rule a suite objects with has a page, which tells its name.
#[test]
fn each_rule_that_a_failure_names_has_a_page() {
    let (mut objections, mut count) = (Vec::new(), 0);
    for dir in ["raft/tests", "kvraft/tests", "labtest/src"] {
        for file in ["rs", "txt"].into_iter().flat_map(|extension| files(&root().join(dir), extension)) {
            let text = fs::read_to_string(&file).unwrap();
            // Tests of the harness make rules up.
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            for rule in rules_of(text) {
                count += 1;
                let page = root().join(format!("docs/rules/{rule}.md"));
                let head = fs::read_to_string(&page).unwrap_or_default();
                if !head.starts_with(&format!("# {rule}\n")) {
                    objections.push(format!("{}: rule {rule} has no page", file.display()));
                }
            }
        }
    }
    assert!(count > 30, "only {count} rules were read");
    check(objections);
}

#[test]
fn rules_are_read() {
    assert_eq!(
        rules_of("rule step-down: server 1; a rule: x; the rule of-thumb; rule {id}: y"),
        ["step-down"]
    );
}

/// The sources of what failures say.
fn harness() -> String {
    ["labsim/src", "labtest/src"]
        .into_iter()
        .flat_map(|dir| files(&root().join(dir), "rs"))
        .map(|file| fs::read_to_string(file).unwrap())
        .collect()
}

/// The parts of a report that a page explains and no source heads anything with.
fn unheaded(page: &Page, sources: &str) -> Vec<String> {
    let heads = page.rows().into_iter().map(|row| row[0].trim_matches('`').to_string());
    let heads = heads.filter(|head| head.ends_with(':') || head.starts_with("what "));
    // Numbers differ from report to report.
    let part = |head: &str| {
        head.split(|c: char| c.is_ascii_digit() || c == ':').next().unwrap_or_default().trim().to_string()
    };
    heads.filter(|head| !sources.contains(&part(head))).collect()
}

#[test]
fn parts_of_a_report_that_are_explained_are_headed_like_that() {
    let page = Page::read(&root().join("docs/debugging.md"));
    assert!(page.rows().len() > 10, "{:?}", page.rows());
    check(unheaded(&page, &harness()));
}

#[test]
fn a_part_that_no_report_has_is_noticed() {
    let text = "| part | for |\n|---|---|\n| `phases:` | a |\n| `what nobody says` | b |\n";
    assert_eq!(
        unheaded(&Page::parse(&root().join("docs/page.md"), text), "\"phases\""),
        ["what nobody says"]
    );
}

/// What a page says a failure begins with, the harness says.
#[test]
fn failures_that_are_explained_are_worded_like_that() {
    let sources = harness();
    let page = Page::read(&root().join("docs/troubleshooting.md"));
    let rows = page.rows();
    assert!(rows.len() > 5, "{rows:?}");
    // Numbers and what is left out differ from failure to failure.
    let parts = rows
        .iter()
        .flat_map(|row| row[0].trim_matches('`').split("..."))
        .flat_map(|text| text.split(|c: char| c.is_ascii_digit()));
    let parts = parts.map(str::trim).filter(|part| part.len() > 1);
    check(
        parts
            .filter(|part| !sources.contains(part))
            .map(|part| format!("no failure says {part:?}"))
            .collect(),
    );
}
