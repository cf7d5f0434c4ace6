//! `cargo run -p labdocs`: runs the commands of the README and the guides, as they stand there, in a fresh clone.
//!
//! It takes some minutes, since it builds the labs from nothing. Commands that take much longer, or that change what they
//! are run in, are left out, and are named with the reason.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use labdocs::markdown::Page;
use labdocs::workspace::{files, root};

/// Commands that are not run, by a part of them, and why.
const LEFT_OUT: [(&str, &str); 12] = [
    ("<", "has a gap to fill"),
    ("$", "has a gap to fill"),
    ("make mutants", "takes an hour"),
    ("make check", "runs all tests: it has a run of its own"),
    ("make seeds", "takes an hour"),
    ("make bench", "measures"),
    ("cargo bench", "measures"),
    ("make fix", "changes files"),
    ("make page", "needs Node.js"),
    ("make test", "runs all tests: it has a run of its own"),
    ("cargo nextest", "needs nextest"),
    ("cargo lab", "needs minutes each"),
];

fn main() -> ExitCode {
    let dir = root().join("target/docs");
    let clone = dir.join("clone");
    for old in ["clone", "my-raft"] {
        let _ = fs::remove_dir_all(dir.join(old));
    }
    let cloned = Command::new("git").args(["clone", "--quiet"]).arg(root()).arg(&clone).status();
    if !cloned.is_ok_and(|status| status.success()) {
        eprintln!("error: cannot clone {}", root().display());
        return ExitCode::from(2);
    }
    let mut failed = 0;
    for command in commands() {
        match LEFT_OUT.iter().find(|(part, _)| command.contains(part)) {
            Some((_, why)) => println!("left out  {command}  ({why})"),
            None if runs(&command, &clone, &dir.join("target")) => {}
            None => failed += 1,
        }
    }
    println!("{failed} commands failed");
    ExitCode::from(u8::from(failed > 0))
}

/// The commands of the README and the guides, each once. With fewer seeds than they ask for: whether they work does
/// not depend on that.
fn commands() -> Vec<String> {
    let mut pages = vec![root().join("README.md")];
    pages.extend(
        files(&root().join("docs"), "md")
            .into_iter()
            .filter(|path| !path.starts_with(root().join("docs/zh"))),
    );
    let mut seen = BTreeSet::new();
    let all = pages.iter().flat_map(|path| Page::read(path).commands());
    let few_seeds = |command: String| {
        let words =
            command.split(' ').map(|word| if word.starts_with("LAB_RUNS=") { "LAB_RUNS=2" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    all.map(few_seeds).filter(|command| seen.insert(command.clone())).collect()
}

fn runs(command: &str, within: &Path, target: &Path) -> bool {
    let begun = Instant::now();
    let output = Command::new("sh")
        .arg("-c")
        .arg(command)
        .current_dir(within)
        .env("CARGO_TARGET_DIR", target)
        .output();
    let took = begun.elapsed().as_secs_f64();
    match output {
        Ok(output) if output.status.success() => println!("{took:7.1} s  {command}"),
        Ok(output) => {
            let (out, error) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            println!("FAILED    {command}\n{out}\n{error}");
            return false;
        }
        Err(error) => {
            println!("FAILED    {command}: {error}");
            return false;
        }
    }
    true
}
