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
