//! [`Rule`]: what an oracle watches over; [`Objection`]: that it was broken.

use std::fmt;

use crate::events::Number;

/// A rule of Raft. `docs/rules/<id>.md` tells more of each.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, and its page's.
    pub id: &'static str,
    /// The rule in a sentence.
    pub says: &'static str,
    /// Where the paper has it.
    pub paper: &'static str,
}

/// What breaks a rule.
#[derive(Debug)]
pub struct Objection {
    pub(crate) rule: &'static Rule,
    /// Who did what, and what that contradicts.
    pub(crate) text: String,
    /// The earlier events that it contradicts, and once it is told the last one.
    pub(crate) evidence: Vec<Number>,
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text, self.rule.id)
    }
}

impl Objection {
    /// The same, told with these words before it.
    pub(crate) fn after(mut self: Box<Self>, words: &str) -> Box<Objection> {
        self.text.insert_str(0, words);
        self
    }
}

/// What an oracle thinks of an event, or a check of what it was shown.
pub type Judged = Result<(), Box<Objection>>;

/// As failures name it.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {}: {} ({})", self.id, self.says, self.paper)
    }
}

impl Rule {
    /// An objection under this rule.
    pub(crate) fn broken<T>(
        &'static self,
        text: String,
        evidence: impl IntoIterator<Item = Number>,
    ) -> Result<T, Box<Objection>> {
        Err(Box::new(Objection { rule: self, text, evidence: evidence.into_iter().collect() }))
    }
}

/// All rules that an objection can name.
pub const RULES: [&Rule; 16] = [
    &super::one_vote::RULE,
    &crate::shadow::RULE,
    &super::terms::RULE,
    &super::stale_term::RULE,
    &super::one_leader::RULE,
    &super::election_majority::RULE,
    &super::held::KEPT,
    &super::held::RESTRICTION,
    &super::log_matching::RULE,
    &super::append_only::RULE,
    &super::consistency_check::RULE,
    &super::leader_completeness::RULE,
    &super::commit_rule::COMMIT,
    &super::commit_rule::APPLY,
    &super::state_machine::RULE,
    &super::snapshot_bounds::RULE,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Of oracles and of checks.
    fn all() -> impl Iterator<Item = &'static Rule> {
        RULES.into_iter().chain(crate::rules::CHECKED)
    }

    #[test]
    fn each_rule_has_a_page_and_each_page_a_rule() {
        let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules");
        let pages: BTreeSet<String> = fs::read_dir(pages)
            .unwrap()
            .map(|page| page.unwrap().file_name().into_string().unwrap())
            .collect();
        let rules: BTreeSet<String> = all().map(|rule| format!("{}.md", rule.id)).collect();
        assert_eq!(rules.len(), all().count(), "two rules share a name");
        assert_eq!(rules, pages);
    }

    #[test]
    fn a_page_begins_with_its_rule_and_names_the_place_in_the_paper() {
        for rule in all() {
            let page = format!("{}/../docs/rules/{}.md", env!("CARGO_MANIFEST_DIR"), rule.id);
            let page = fs::read_to_string(page).unwrap();
            assert!(page.starts_with(&format!("# {}\n", rule.id)), "{}", rule.id);
            assert!(page.contains(rule.paper), "{} does not name {}", rule.id, rule.paper);
            for part in ["\n## Usual causes\n", "\n## What to look at\n"] {
                assert!(page.contains(part), "{} lacks {part:?}", rule.id);
            }
        }
    }
}
