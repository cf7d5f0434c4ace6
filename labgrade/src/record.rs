//! One run, once more, with everything recorded: its report, its event log, and the page that shows it.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use crate::files::write_whole;
use crate::runner::{Suite, run_to_end};
use crate::verdict::Verdict;

/// The harness's limit of real time for a run, where the user sets none.
const WALL_MAX: Duration = Duration::from_secs(150);
/// Beyond it, what the suite may take to end a run.
const GRACE: Duration = Duration::from_secs(60);

/// A run to be recorded.
pub(crate) struct Recording<'a> {
    pub(crate) suite: &'a Suite,
    /// The test's full name.
    pub(crate) test: &'a str,
    pub(crate) seed: u64,
    /// The build that the seed was found with.
    pub(crate) build: Option<&'a str>,
    /// Of the environment.
    pub(crate) variables: Vec<(&'static str, String)>,
}

/// What there is of a run.
pub(crate) struct Recorded {
    pub(crate) verdict: Verdict,
    /// What was printed, as for the terminal.
    pub(crate) shown: String,
    /// The same without colours, as a file. These three are there if the run came so far that they were written.
    pub(crate) report: Option<PathBuf>,
    pub(crate) log: Option<PathBuf>,
    pub(crate) page: Option<PathBuf>,
    /// The build, as seeds are given with it.
    pub(crate) build: Option<String>,
}

impl Recording<'_> {
    /// Makes the run. Blocks to its end. `rules` are the known rules.
    pub(crate) fn make(&self, rules: &[String]) -> io::Result<Recorded> {
        let Recording { suite, test, seed, build, variables } = self;
        let kept = |name: &str| {
            matches!(
                name,
                "LAB_TIME" | "LAB_TIMEOUT" | "LAB_MEMORY" | "LAB_HANDOVER" | "LAB_LOG" | "LAB_WITHOUT"
            )
        };
        let mut command = suite.command(test, kept);
        command
            .env("LAB_SEED", build.map_or(seed.to_string(), |build| format!("{seed}@{build}")))
            .env("LAB_TIMELINE", "always")
            .envs(variables.iter().map(|(name, value)| (name, value)));
        if io::stdout().is_terminal() {
            command.env("CLICOLOR_FORCE", "1");
            if let Ok(size) = rustix::termios::tcgetwinsize(io::stdout()) {
                command.env("COLUMNS", size.ws_col.to_string());
            }
        }
        let stem = format!("{}-seed-{seed}", test.replace("::", "."));
        let file = |kind: &str| suite.reports().join(format!("{stem}{kind}"));
        let (log, page, report) = (file(".ndjson"), file(".timeline.html"), file(".txt"));
        // Of an earlier run, perhaps of another build.
        for old in [&log, &page, &report] {
            match fs::remove_file(old) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let limit = std::env::var("LAB_TIMEOUT").ok().and_then(|seconds| seconds.parse().ok());
        let limit = limit.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(WALL_MAX);
        let ended = run_to_end(command, limit + GRACE)?;
        let plain = without_colours(&ended.output);
        let verdict = Verdict::read(test, &plain, ended.success, rules);
        write_whole(&report, without_frame(&plain, test))?;
        let there = |path: PathBuf| path.is_file().then_some(path);
        let log = there(log);
        Ok(Recorded {
            verdict,
            shown: without_frame(&ended.output, test).to_owned(),
            report: there(report),
            build: log.as_ref().and_then(|log| build_in(&fs::read_to_string(log).ok()?)),
            log,
            page: there(page),
        })
    }
}

impl Recorded {
    /// Where the files are, a line each.
    pub(crate) fn places(&self) -> String {
        let places = [("report", &self.report), ("log", &self.log), ("page", &self.page)];
        let there = places.iter().filter_map(|(what, path)| Some((what, path.as_ref()?)));
        there.map(|(what, path)| format!("  {what:<8}{}\n", path.display())).collect()
    }
}

/// What the test said, without the words of the test harness around it.
fn without_frame<'a>(output: &'a str, test: &str) -> &'a str {
    let output = output.trim_start();
    let output = output.strip_prefix("running 1 test\n").unwrap_or(output);
    let end = output.rfind(&format!("\ntest {test} ... ")).unwrap_or(output.len());
    output[..end].trim_end()
}

/// The text without escape sequences.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    // A sequence ends with its first letter.
    parts.for_each(|part| {
        plain += part.trim_start_matches(|c: char| !c.is_ascii_alphabetic()).get(1..).unwrap_or("")
    });
    plain
}

/// The build that the head of an event log names.
fn build_in(log: &str) -> Option<String> {
    let head: serde_json::Value = serde_json::from_str(log.lines().next()?).ok()?;
    Some(head["build"].as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_harness_of_tests_has_no_say() {
        let output =
            "\nrunning 1 test\nnote: x\na::b: FAILED with seed 3\nwhy\n\ntest a::b ... FAILED\n\nfailures:\n";
        assert_eq!(without_frame(output, "a::b"), "note: x\na::b: FAILED with seed 3\nwhy");
        assert_eq!(without_frame("it ended", "a::b"), "it ended");
    }

    #[test]
    fn colours_are_taken_away() {
        assert_eq!(without_colours("a\x1b[1;31mred\x1b[0m, ä\x1b[2m"), "ared, ä");
        assert_eq!(without_colours("plain [0m"), "plain [0m");
    }

    #[test]
    fn the_build_stands_in_the_head_of_a_log() {
        assert_eq!(build_in("{\"build\":\"155f6068\"}\n{}").as_deref(), Some("155f6068"));
        assert_eq!(build_in("no json"), None);
    }
}
