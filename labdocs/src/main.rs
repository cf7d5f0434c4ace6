//! `cargo run -p labdocs`: runs the commands of the README and the guides, as they stand there, in a fresh clone.
//!
//! What a page shows or promises of a command's output is compared, where it is the same on any machine. It takes a
//! quarter of an hour of CPU time, since it builds the labs from nothing, and the starter and the grader too. Commands that take much longer, or
//! that change what they are run in, are left out, and are named with the reason.
#![forbid(unsafe_code)]

mod shown;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use labdocs::markdown::Page;
use labdocs::workspace::{files, root};

/// Commands that are not run, by a part of them, and why.
const LEFT_OUT: [(&str, &str); 19] = [
    ("<", "has a gap to fill"),
    ("$", "has a gap to fill"),
    ("make mutants", "takes an hour"),
    ("make check_mutants", "builds each mutant: it has a run of its own"),
    ("make check_attacks", "takes minutes: it has a run of its own"),
    ("make check", "runs all tests: it has a run of its own"),
    ("make test", "runs all tests: it has a run of its own"),
    ("make bench", "measures"),
    ("cargo bench", "measures"),
    ("make measure_page", "needs Node.js and a browser"),
    ("make screenshots", "needs Node.js and a browser"),
    ("make book", "needs mdbook"),
    ("cargo nextest", "needs nextest"),
    ("cargo doc", "documents everything: part of `make check`"),
    ("cargo check", "is what an editor runs"),
    ("cargo clean", "throws away what was built"),
    ("cargo lab merge", "needs parts of a class from several machines"),
    ("cargo lab policy check", "builds and grades the solution with all seeds of a course"),
    ("cargo lab batch", "builds and grades a class with all seeds of a course"),
];

/// Commands that are spoken of, without what they would need to run.
const NAMES: [&str; 4] = ["cargo lab", "cargo lab grade", "cargo lab mutants", "cargo lab stress"];

fn main() -> ExitCode {
    let begun = Instant::now();
    let fresh = match Fresh::make() {
        Ok(fresh) => fresh,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let mut failed = 0;
    for command in commands(&fresh.clone) {
        match left_out(&command) {
            Some(why) => println!("left out  {command}  ({why})"),
            None => failed += usize::from(!fresh.succeeds(&command)),
        }
    }
    for check in [shown::not_selected, shown::misspelt, shown::starter, shown::unchanged, shown::mistake] {
        if let Err(objection) = check(&fresh) {
            println!("FAILED    {objection}");
            failed += 1;
        }
    }
    println!("{failed} failed, {:.0} s in all", begun.elapsed().as_secs_f64());
    ExitCode::from(u8::from(failed > 0))
}

/// Why a command is not run, if it is not.
fn left_out(command: &str) -> Option<&'static str> {
    if NAMES.contains(&command) {
        return Some("is a name");
    }
    LEFT_OUT.iter().find(|(part, _)| command.contains(part)).map(|(_, why)| *why)
}

/// The commands of the README and the guides, each once.
fn commands(tree: &Path) -> Vec<String> {
    let docs = tree.join("docs");
    let english = files(&docs, "md").into_iter().filter(|path| !path.starts_with(docs.join("zh")));
    let pages: Vec<PathBuf> = std::iter::once(tree.join("README.md")).chain(english).collect();
    let mut seen = BTreeSet::new();
    let all = pages.iter().flat_map(|path| Page::read(path).commands());
    all.map(|command| with_few_seeds(&command)).filter(|command| seen.insert(command.clone())).collect()
}

/// The command with fewer seeds than it asks for: whether it works does not depend on that.
fn with_few_seeds(command: &str) -> String {
    let few =
        |word: &str| if word.starts_with("LAB_RUNS=") { "LAB_RUNS=2".to_string() } else { word.to_string() };
    let mut words: Vec<String> = command.split(' ').map(few).collect();
    if let Some(at) = words.iter().position(|word| word == "--seeds") {
        words[at + 1] = "4".to_string();
    } else if command.starts_with("cargo lab stress")
        && !command.contains("--help")
        && !NAMES.contains(&command)
    {
        words.extend(["--seeds", "4"].map(String::from));
    }
    words.join(" ")
}

/// A clone of what is committed, with what the pages suppose to be there.
struct Fresh {
    /// The directory of all of it; the starter is made beside the clone.
    dir: PathBuf,
    clone: PathBuf,
}

/// What came of a command.
struct Ended {
    success: bool,
    /// Both streams, one after the other.
    output: String,
}

impl Fresh {
    fn make() -> Result<Fresh, String> {
        let dir = root().join("target/docs");
        let clone = dir.join("clone");
        for old in ["clone", "my-raft"] {
            let _ = fs::remove_dir_all(dir.join(old));
        }
        let cloned = Command::new("git").args(["clone", "--quiet"]).arg(root()).arg(&clone).status();
        if !cloned.is_ok_and(|status| status.success()) {
            return Err(format!("cannot clone {}", root().display()));
        }
        let fresh = Fresh { dir, clone };
        // A submission, and a course with its policy, as the page about grading has them.
        let page = fs::read_to_string(fresh.clone.join("docs/staff/grading.md"))
            .map_err(|error| error.to_string())?;
        let policy = page.split_once("```toml\n").and_then(|(_, rest)| rest.split_once("```"));
        let (policy, _) = policy.ok_or("docs/staff/grading.md shows no policy")?;
        fs::create_dir_all(fresh.clone.join("course")).map_err(|error| error.to_string())?;
        fs::write(fresh.clone.join("course/policy.toml"), policy).map_err(|error| error.to_string())?;
        fs::write(fresh.clone.join("course/secret"), "sixteen bytes and more")
            .map_err(|error| error.to_string())?;
        let archived = fresh.run("git archive --format=zip -o ../alice.zip HEAD raft/src kvraft/src");
        if archived.success { Ok(fresh) } else { Err(archived.output) }
    }

    /// Runs a command in the clone.
    fn run(&self, command: &str) -> Ended {
        self.run_in(&self.clone, "target", command)
    }

    /// Runs a command in a directory, and builds into one of that name: two trees with the same packages must not share
    /// one.
    fn run_in(&self, directory: &Path, target: &str, command: &str) -> Ended {
        let target = self.dir.join(target);
        let ran = Command::new("sh")
            .args(["-c", command])
            .current_dir(directory)
            .env("CARGO_TARGET_DIR", target)
            .output();
        match ran {
            Ok(ran) => Ended {
                success: ran.status.success(),
                output: [&*String::from_utf8_lossy(&ran.stdout), &*String::from_utf8_lossy(&ran.stderr)]
                    .concat(),
            },
            Err(error) => Ended { success: false, output: error.to_string() },
        }
    }

    /// Runs a command of a page, and says how long it took or what is wrong.
    fn succeeds(&self, command: &str) -> bool {
        let begun = Instant::now();
        let ended = self.run(command);
        let wrong =
            if ended.success { shown::objection(self, command, &ended.output) } else { Some(ended.output) };
        match &wrong {
            None => println!("{:7.1} s  {command}", begun.elapsed().as_secs_f64()),
            Some(why) => println!("FAILED    {command}\n{why}"),
        }
        wrong.is_none()
    }
}
