//! The formats in which results are written, each for a program that documents what it takes.
//!
//! A format is a pure function from [`Results`] to a file's contents, so that any of them can be written at any time. All strings may
//! come from the code under test: each format escapes as its own rules say.

mod autolab;
mod classroom;
mod codegrade;
mod gradescope;
mod html;
mod junit;
pub(super) mod markdown;
mod prairielearn;

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::results::Results;
use crate::files::write_whole;

/// A format of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// results.json as Gradescope's autograders write it
    Gradescope,
    /// classroom.json, and its Base64 form for GitHub Classroom's autograding-grading-reporter
    Classroom,
    /// prairielearn.json, for /grade/results/results.json
    Prairielearn,
    /// autolab.txt, whose lines are to be the last ones on standard output
    Autolab,
    /// codegrade.jsonl, for CodeGrade's descriptor 3
    Codegrade,
    /// junit.xml
    Junit,
    /// grade.json: everything, for staff only
    Json,
    /// grade.md
    Markdown,
    /// grade.html
    Html,
}

impl Format {
    /// The files, by name, with their contents.
    fn render(self, results: &Results) -> io::Result<Vec<(&'static str, String)>> {
        let theirs = results.for_students();
        Ok(match self {
            Format::Gradescope => vec![("results.json", gradescope::render(results))],
            Format::Classroom => {
                let json = classroom::render(&theirs);
                vec![("classroom.base64", BASE64_STANDARD.encode(&json)), ("classroom.json", json)]
            }
            Format::Prairielearn => vec![("prairielearn.json", prairielearn::render(&theirs))],
            Format::Autolab => vec![("autolab.txt", autolab::render(&theirs))],
            Format::Codegrade => vec![("codegrade.jsonl", codegrade::render(&theirs))],
            Format::Junit => vec![("junit.xml", junit::render(&theirs).map_err(io::Error::other)?)],
            Format::Json => vec![("grade.json", serde_json::to_string_pretty(results)?)],
            Format::Markdown => vec![("grade.md", markdown::render(&theirs))],
            Format::Html => vec![("grade.html", html::render(&theirs))],
        })
    }
}

/// Writes all formats into `out`, each file in one piece.
pub(crate) fn write(results: &Results, formats: &[Format], out: &Path) -> io::Result<()> {
    for format in formats {
        for (name, contents) in format.render(results)? {
            write_whole(&out.join(name), contents)?;
        }
    }
    Ok(())
}

/// JSON for people and programs.
fn pretty(value: &serde_json::Value) -> String {
    // Of values that are in memory already nothing can fail.
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::ValueEnum;

    use super::super::results::tests::example;
    use super::*;

    #[test]
    fn every_format_is_written_and_only_staff_reads_what_is_theirs() {
        let place = tempfile::tempdir().unwrap();
        write(&example(), Format::value_variants(), place.path()).unwrap();
        let mut names = Vec::new();
        for entry in fs::read_dir(place.path()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let text = fs::read_to_string(entry.path()).unwrap();
            assert!(text.len() > 10, "{name}");
            // Gradescope keeps hidden tests back by itself.
            if !["grade.json", "results.json"].contains(&name.as_str()) {
                for secret in ["secret_2B", "confidential", "staff only"] {
                    assert!(!text.contains(secret), "{name}: {secret}");
                }
            }
            names.push(name);
        }
        assert_eq!(names.len(), 10, "{names:?}");
    }
}
