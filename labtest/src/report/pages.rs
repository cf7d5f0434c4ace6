//! The heart of a rule's page, for the report of a run that broke it.

/// The pages of `docs/rules`, by the names of their rules.
macro_rules! pages {
    ($($name:literal)*) => {
        const PAGES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../docs/rules/", $name, ".md")))),*];
    };
}

pages! {
    "acknowledged-entries-stay" "applied-in-order" "apply-only-committed" "calls-return"
    "clerks-are-answered" "commit-rule" "election-by-majority" "election-restriction" "election-timeout"
    "executed-once" "kill-ends-threads" "leader-append-only" "leader-completeness" "linearizable"
    "log-consistency-check" "log-matching" "log-trimmed" "no-agreement" "one-leader-per-term"
    "one-vote-per-term" "persist-before-answer" "rpc-budget" "snapshot-boundary" "snapshot-within-applied"
    "stale-term-refused" "start-and-state" "state-machine-safety" "step-down" "terms-never-go-back"
}

/// The name of the first rule that a message names as one: `rule one-vote-per-term`.
pub(super) fn named_in(message: &str) -> Option<&'static str> {
    let name_ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
    let place = |name: &str| {
        let named = format!("rule {name}");
        message
            .match_indices(&named)
            .find(|(at, _)| name_ends(&message[at + named.len()..]))
            .map(|(at, _)| at)
    };
    PAGES.iter().filter_map(|(name, _)| Some((place(name)?, *name))).min().map(|(_, name)| name)
}

/// What a rule's page says to look at, and the usual causes.
pub(super) fn heart(name: &str) -> Option<String> {
    let (_, page) = PAGES.iter().find(|(known, _)| *known == name)?;
    let part = |title: &str| {
        let (_, after) = page.split_once(&format!("\n## {title}\n"))?;
        Some(after.split("\n## ").next().unwrap_or(after).trim())
    };
    let listed = |part: &str| join(part).lines().map(|line| format!("  {line}\n")).collect::<String>();
    Some(format!(
        "what to look at (docs/rules/{name}.md):\n{}usual causes:\n{}",
        listed(part("What to look at")?),
        listed(part("Usual causes")?)
    ))
}

/// A list of a page, each of its items on one line.
fn join(list: &str) -> String {
    let mut out = String::new();
    for line in list.lines() {
        match line.strip_prefix("  ") {
            Some(more) => out += &format!(" {more}"),
            None if out.is_empty() => out += line,
            None => out += &format!("\n{line}"),
        }
    }
    out.replace(['*', '`'], "")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn all_pages_are_there_and_each_has_a_heart() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules");
        let files: BTreeSet<String> = fs::read_dir(directory)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap().replace(".md", ""))
            .collect();
        let pages: BTreeSet<String> = PAGES.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(pages, files);
        for (name, _) in PAGES {
            let heart = heart(name).unwrap_or_else(|| panic!("{name} has no heart"));
            let items = |line: &str| line.starts_with("  - ") || line.ends_with(':');
            assert!(heart.lines().count() >= 4 && heart.lines().all(items), "{heart}");
        }
    }

    #[test]
    fn a_rule_is_found_where_it_is_named() {
        assert_eq!(named_in("it voted twice\nrule one-vote-per-term: a server"), Some("one-vote-per-term"));
        assert_eq!(named_in("rule step-down-now, rule rpc-budget"), Some("rpc-budget"));
        assert_eq!(named_in("a rule of Raft"), None);
    }
}
