//! The chapter about log replication tells of a run that was recorded: its times are in the record.

use std::collections::BTreeSet;
use std::fs;

use labdocs::workspace::root;

use crate::check;

/// The times in a text, `600.541 ms`, in microseconds.
fn times(text: &str) -> Vec<u64> {
    let before_unit =
        text.match_indices(" ms").map(|(at, _)| text[..at].rsplit([' ', '(', '\n']).next().unwrap_or(""));
    let exact =
        before_unit.filter_map(|number| number.split_once('.')).filter(|(_, decimals)| decimals.len() == 3);
    exact.filter_map(|(whole, decimals)| format!("{whole}{decimals}").parse().ok()).collect()
}

fn record() -> String {
    fs::read_to_string(root().join("docs/runs/rejoin_2B.ndjson")).unwrap()
}

#[test]
fn the_times_of_the_chapter_are_those_of_the_run() {
    let record = record();
    let recorded: BTreeSet<u64> = record
        .lines()
        .filter_map(|line| line.split_once("\"t\":")?.1.split(',').next()?.parse().ok())
        .collect();
    let chapter = fs::read_to_string(root().join("docs/log-replication.md")).unwrap();
    let told = times(&chapter);
    assert!(told.len() > 30, "only {} times were read", told.len());
    let strange = told.iter().filter(|time| !recorded.contains(time));
    check(strange.map(|time| format!("nothing happened {time} us after the beginning")).collect());
}

#[test]
fn times_are_read() {
    assert_eq!(times("At 600.541 ms (12.000 ms), after 1.4 ms and 100 ms."), [600_541, 12_000]);
}
