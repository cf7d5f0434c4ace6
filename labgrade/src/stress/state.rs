//! [`State`]: what was found of each test, kept in a file from one session to the next.
//!
//! There is a file for each build of a suite and kind of time: with another build a seed means another run. It is
//! written beside its place and then put there, so that whoever ends the command by force loses some seconds' work and
//! nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::write_whole;
use crate::runner::Suite;
use crate::time::Time;
use crate::tree::fingerprint;
use crate::workspace::Selection;

/// Of these, for each test and cause, the smallest.
const SEEDS_MAX: usize = 5;
/// Causes of a test; what comes after them is counted together.
const CAUSES_MAX: usize = 50;
const OTHERS: &str = "other causes";
/// Files of earlier builds that are kept.
const FILES_MAX: usize = 8;

/// All that was found.
#[derive(Debug)]
pub(crate) struct State {
    path: PathBuf,
    /// In the order in which they are tried.
    names: Vec<String>,
    found: BTreeMap<String, Found>,
}

/// Of a test.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) tried: Seeds,
    pub(crate) failed: u64,
    causes: BTreeMap<String, Cause>,
}

/// Failures that are alike.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Cause {
    count: u64,
    /// Some, the smallest.
    seeds: Vec<u64>,
    /// What was said with the smallest.
    headline: String,
}

/// A set of seeds, most of them one after the other: first ones and last ones of what has no gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Seeds(BTreeMap<u64, u64>);

impl Seeds {
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    pub(crate) fn has(&self, seed: u64) -> bool {
        self.0.range(..=seed).next_back().is_some_and(|(_, last)| seed <= *last)
    }

    pub(crate) fn add(&mut self, seed: u64) {
        if self.has(seed) {
            return;
        }
        let before = self.0.range(..seed).next_back().filter(|(_, last)| **last + 1 == seed);
        let first = before.map_or(seed, |(first, _)| *first);
        let after = seed.checked_add(1).and_then(|next| self.0.remove(&next));
        self.0.insert(first, after.unwrap_or(seed));
    }
}

impl State {
    /// What is known of the selection's tests, with these builds of their suites.
    pub(crate) fn open(selection: &Selection, time: Time, fresh: bool) -> io::Result<State> {
        let binaries = selection.suites.iter().map(Suite::bytes).collect::<io::Result<Vec<_>>>()?;
        let builds = fingerprint(binaries.iter().map(Vec::as_slice));
        let reports = selection.suites.first().map(|suite| suite.reports()).unwrap_or_default();
        let directory = reports.with_file_name("lab-stress");
        let names = selection.tests.iter().map(|test| test.name.clone()).collect();
        let state = State::read(directory.join(format!("{builds:016x}-{time}.json")), names, fresh)?;
        prune(&directory, &state.path)?;
        Ok(state)
    }

    fn read(path: PathBuf, names: Vec<String>, fresh: bool) -> io::Result<State> {
        let mut found: BTreeMap<String, Found> = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| {
                io::Error::other(format!("{}: {error}; delete it, and begin anew", path.display()))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        if fresh {
            found.retain(|name, _| !names.contains(name));
        }
        Ok(State { path, names, found })
    }

    pub(crate) fn write(&self) -> io::Result<()> {
        write_whole(&self.path, serde_json::to_string_pretty(&self.found)?)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The selected tests of which something is known.
    pub(crate) fn tests(&self) -> impl Iterator<Item = (&str, &Found)> {
        self.names.iter().filter_map(|name| Some((name.as_str(), self.found.get(name)?)))
    }

    pub(crate) fn of(&mut self, test: &str) -> &mut Found {
        self.found.entry(test.to_owned()).or_default()
    }

    /// The selected tests' failures, by test and cause, and how many seeds found none.
    pub(crate) fn summary(&self) -> String {
        let mut text = String::new();
        let (mut tried, mut failed) = (0, 0);
        for (name, found) in self.tests() {
            tried += found.tried.count();
            failed += found.failed;
            if found.failed == 0 {
                continue;
            }
            let short = name.rsplit("::").next().unwrap_or(name);
            text += &format!("\nFAILED  {short}: {} of {} seeds\n", found.failed, found.tried.count());
            let mut causes: Vec<_> = found.causes.iter().collect();
            causes.sort_by_key(|(name, cause)| (std::cmp::Reverse(cause.count), *name));
            for (name, cause) in causes {
                let seeds: Vec<_> = cause.seeds.iter().map(u64::to_string).collect();
                let more = if cause.count > cause.seeds.len() as u64 { ", .." } else { "" };
                text += &format!(
                    "  {:>6} x  {name}\n            seeds {}{more}\n",
                    cause.count,
                    seeds.join(", ")
                );
                if let Some(seed) = cause.seeds.first() {
                    text += &format!(
                        "            {}\n            cargo lab replay {short} {seed}\n",
                        cause.headline
                    );
                }
            }
        }
        text + &format!("\n{tried} seeds were tried in all, {failed} of them failed\n")
    }
}

impl Found {
    /// Enters a run that failed.
    pub(crate) fn fail(&mut self, seed: u64, cause: String, headline: String) {
        self.failed += 1;
        let known = self.causes.contains_key(&cause) || self.causes.len() < CAUSES_MAX;
        let cause = self.causes.entry(if known { cause } else { OTHERS.to_owned() }).or_default();
        cause.count += 1;
        if cause.seeds.first().is_none_or(|first| seed < *first) {
            cause.headline = headline;
        }
        let place = cause.seeds.partition_point(|known| *known < seed);
        cause.seeds.insert(place, seed);
        cause.seeds.truncate(SEEDS_MAX);
    }

    pub(crate) fn causes(&self) -> usize {
        self.causes.len()
    }
}

/// Removes all but the newest files of other builds.
fn prune(directory: &Path, own: &Path) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.path() != own {
            files.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    files.sort();
    let excess = files.len().saturating_sub(FILES_MAX);
    files[..excess].iter().try_for_each(|(_, path)| fs::remove_file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_set_whatever_their_order() {
        let mut seeds = Seeds::default();
        for seed in [5, 3, 4, 10, 1, 2, 4, u64::MAX, 9] {
            seeds.add(seed);
        }
        assert_eq!(seeds, Seeds([(1, 5), (9, 10), (u64::MAX, u64::MAX)].into()));
        assert_eq!(seeds.count(), 8);
        let there: Vec<u64> = (0..12).filter(|seed| seeds.has(*seed)).collect();
        assert_eq!(there, [1, 2, 3, 4, 5, 9, 10]);
    }

    #[test]
    fn what_was_found_is_found_again_and_the_smallest_seeds_are_kept() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("lab-stress/x.json");
        let names = || vec!["lab::a_2A".to_owned(), "lab::b_2A".to_owned()];
        let mut state = State::read(path.clone(), names(), false).unwrap();
        for seed in (1..=9).rev() {
            let found = state.of("lab::a_2A");
            found.tried.add(seed);
            found.fail(seed, "it is wrong".into(), format!("wrong with {seed}"));
        }
        state.of("lab::a_2A").fail(1, "it is late".into(), "late".into());
        state.of("lab::b_2A").tried.add(7);
        state.write().unwrap();

        let state = State::read(path.clone(), names(), false).unwrap();
        let summary = state.summary();
        let wrong = "\nFAILED  a_2A: 10 of 9 seeds\n       9 x  it is wrong\n            seeds 1, 2, 3, 4, 5, ..\n            \
                     wrong with 1\n            cargo lab replay a_2A 1\n       1 x  it is late\n";
        assert!(summary.starts_with(wrong), "{summary}");
        assert!(summary.ends_with("\n10 seeds were tried in all, 10 of them failed\n"), "{summary}");
        assert_eq!(State::read(path.clone(), names(), true).unwrap().tests().count(), 0, "fresh");
        fs::write(&path, "{").unwrap();
        let error = State::read(path, names(), false).unwrap_err().to_string();
        assert!(error.contains("x.json") && error.contains("delete it"), "{error}");
    }

    #[test]
    fn there_are_so_many_causes_and_no_more() {
        let mut found = Found::default();
        for seed in 0..1000 {
            found.fail(seed, format!("cause {seed}"), String::new());
        }
        assert_eq!((found.failed, found.causes()), (1000, CAUSES_MAX + 1));
        assert_eq!(found.causes[OTHERS].count, 950);
    }

    #[test]
    fn files_of_old_builds_are_removed() {
        let place = tempfile::tempdir().unwrap();
        for number in 0..12 {
            fs::write(place.path().join(format!("{number:02}.json")), "{}").unwrap();
        }
        prune(place.path(), &place.path().join("00.json")).unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), FILES_MAX + 1);
        assert!(place.path().join("00.json").exists());
    }
}
