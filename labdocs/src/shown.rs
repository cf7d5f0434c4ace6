//! What the pages show or promise of the output of commands, compared with what the commands say.

use std::fs;

use labdocs::markdown::Page;

use crate::Fresh;

/// What is wrong with the output of a command that succeeded.
pub(crate) fn objection(fresh: &Fresh, command: &str, output: &str) -> Option<String> {
    if let Some(lab) = command.strip_prefix("cargo test ").filter(|lab| lab.len() == 2) {
        let told = told(fresh, lab);
        let passed = passed(output);
        return (told != passed)
            .then(|| format!("README.md tells of {told} tests of lab {lab}, {passed} passed\n{output}"));
    }
    let promised: &[&str] = match command {
        "cargo lab doctor" => &["All that the labs need is there."],
        "cargo lab stress --help" => &["Exit code", "--for", "--until-fail"],
        "cargo lab replay rejoin_2B 2" => &["rejoin_2B", ".timeline.html"],
        _ => &[],
    };
    let missing = promised.iter().find(|text| !output.contains(**text))?;
    Some(format!("its output lacks {missing:?}:\n{output}"))
}

/// How many tests a lab has, by the README.
fn told(fresh: &Fresh, lab: &str) -> usize {
    let rows = Page::read(&fresh.clone.join("README.md")).rows();
    let row = rows.iter().find(|row| row[0] == lab).unwrap_or_else(|| panic!("README.md: no row of {lab}"));
    row[2].split(' ').next().unwrap_or_default().parse().expect("a number of tests")
}

/// How many tests passed, by the summaries of `cargo test`.
fn passed(output: &str) -> usize {
    let summaries =
        output.lines().filter_map(|line| line.strip_prefix("test result: ok. ")?.split_once(" passed"));
    summaries.filter_map(|(count, _)| count.parse::<usize>().ok()).sum()
}

/// A lab's name in lower case selects a part of its tests only, and what no test is called selects nothing.
pub(crate) fn not_selected(fresh: &Fresh) -> Result<(), String> {
    let (part, none) = (fresh.run("cargo test 2b"), fresh.run("cargo test no_such"));
    if !part.success || passed(&part.output) >= told(fresh, "2B") {
        return Err(format!("cargo test 2b: it should select a part of lab 2B only\n{}", part.output));
    }
    let nothing = none.success && passed(&none.output) == 0 && none.output.contains("0 passed; 0 failed");
    if nothing {
        Ok(())
    } else {
        Err(format!("cargo test no_such: it should select nothing\n{}", none.output))
    }
}

/// A variable that is misspelt is noticed.
pub(crate) fn misspelt(fresh: &Fresh) -> Result<(), String> {
    let ended = fresh.run("LAB_SEDE=1 cargo test initial_election");
    if ended.success && ended.output.contains("warning: LAB_SEDE is set, but nothing reads it") {
        return Ok(());
    }
    Err(format!("with LAB_SEDE set, cargo test should succeed and warn\n{}", ended.output))
}

/// In the tree that students get each test fails, and says which function to write.
pub(crate) fn starter(fresh: &Fresh) -> Result<(), String> {
    let tree = fresh.dir.join("my-raft");
    let ended = fresh.run_in(&tree, "starter", "find . -type f -exec touch {} + && cargo test 2A");
    let failed = ended.output.matches("not yet implemented: 2A: write ").count();
    if !ended.success && failed >= told(fresh, "2A") {
        return Ok(());
    }
    Err(format!("cargo test 2A in the starter: {failed} tests name a function to write\n{}", ended.output))
}

/// None of the commands changed a file of the repository.
pub(crate) fn unchanged(fresh: &Fresh) -> Result<(), String> {
    let status = fresh.run("git status --porcelain --untracked-files=no");
    if status.success && status.output.is_empty() {
        Ok(())
    } else {
        Err(format!("files were changed:\n{}", status.output))
    }
}

/// The README shows what a commit index that runs ahead looks like: with that mistake put in, `cargo lab stress` says it,
/// but for numbers, which are those of one build.
pub(crate) fn mistake(fresh: &Fresh) -> Result<(), String> {
    let readme = fs::read_to_string(fresh.clone.join("README.md")).map_err(|error| error.to_string())?;
    let (_, rest) = readme.split_once("```text\nFAILED  ").ok_or("README.md shows no failure")?;
    let (shown, _) = rest.split_once("```").ok_or("README.md: a block has no end")?;
    let patched = fresh.run("git apply mutants/24-commit-to-own-last-index.patch");
    if !patched.success {
        return Err(patched.output);
    }
    let ended = fresh.run("cargo lab stress rejoin_2B --seeds 64 --fresh");
    let said = masked(&ended.output);
    if !ended.success && said.contains(masked(&format!("FAILED  {shown}")).trim_end()) {
        return Ok(());
    }
    Err(format!("cargo lab stress rejoin_2B, with mutant 24: not as README.md shows it:\n{}", ended.output))
}

/// The text with `#` for each number.
fn masked(text: &str) -> String {
    let mut masked = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if masked.ends_with('#') => {}
            '0'..='9' => masked.push('#'),
            _ => masked.push(c),
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use labdocs::workspace::root;

    use super::*;

    #[test]
    fn tests_that_passed_are_added_up() {
        let output =
            "test result: ok. 0 passed; 0 failed\nx\ntest result: ok. 3 passed; 0 failed; 1 ignored\n";
        assert_eq!(passed(output), 3);
        let here = Fresh { dir: root(), clone: root() };
        assert!(objection(&here, "cargo test 2A", output).is_some());
        assert!(objection(&here, "cargo lab doctor", "lacking").is_some());
        assert_eq!(objection(&here, "cargo lab doctor", "x\nAll that the labs need is there.\n"), None);
    }

    #[test]
    fn numbers_are_masked_and_words_are_not() {
        assert_eq!(masked("35 of 64 seeds: server 1"), "# of # seeds: server #");
        assert_ne!(masked("index 3"), masked("term 3"));
    }
}
