//! Tests that a page quotes stand in the suites as they are quoted.

use std::fs;

use labdocs::workspace::{files, root};

use crate::check;

/// The blocks of a page in a language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let head = format!("```{language}\n");
    page.split(&head).skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)).collect()
}

/// The blocks that stand in no file of raft's tests with that extension.
fn made_up(page: &str, language: &str, extension: &str) -> Vec<String> {
    let sources = files(&root().join("raft/tests"), extension);
    let sources: Vec<String> = sources.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let blocks = blocks(page, language).into_iter();
    blocks.filter(|block| !sources.iter().any(|it| it.contains(*block))).map(String::from).collect()
}

#[test]
fn quoted_tests_stand_in_the_suites() {
    let page = fs::read_to_string(root().join("docs/staff/how-it-works.md")).unwrap();
    assert!(!blocks(&page, "rust").is_empty() && !blocks(&page, "scenario").is_empty());
    check([made_up(&page, "rust", "rs"), made_up(&page, "scenario", "txt")].concat());
}

#[test]
fn a_quotation_that_stands_nowhere_is_noticed() {
    let page = "```rust\nfn re_election_2A() {\n```\n\n```rust\nfn no_such_election_2A() {\n```\n";
    assert_eq!(made_up(page, "rust", "rs"), ["fn no_such_election_2A() {\n"]);
}
