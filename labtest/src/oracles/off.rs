//! Rules that are not watched: to see what each oracle is worth, by what goes unnoticed without it.

use std::env;

use super::{Judged, RULES, Rule};

/// The environment variable that names them, separated by commas.
pub(crate) const VARIABLE: &str = "LAB_WITHOUT";
/// In place of a name: all of them.
const ALL: &str = "all";

/// In place of a name: these, and not even recorded.
const EVENTS: &str = "events";

/// The names of the rules that are not watched.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Off {
    rules: Vec<&'static str>,
    /// Nothing that happens is recorded.
    events: bool,
}

impl Off {
    /// As the environment says. What is malformed was refused before the run.
    pub(crate) fn here() -> Off {
        labsim::observe(|| Off::read().unwrap_or_default())
    }

    /// Whether this rule is not watched.
    pub(crate) fn has(&self, rule: &Rule) -> bool {
        self.rules.contains(&rule.id)
    }

    /// Whether no rule is watched.
    pub(crate) fn all(&self) -> bool {
        RULES.iter().all(|rule| self.has(rule))
    }

    /// Whether nothing that happens is recorded.
    pub(crate) fn events(&self) -> bool {
        self.events
    }

    /// As the environment says. The error says what it takes.
    pub(crate) fn read() -> Result<Off, String> {
        env::var_os(VARIABLE).map_or(Ok(Off::default()), |value| Off::parse(&value.to_string_lossy()))
    }

    fn parse(value: &str) -> Result<Off, String> {
        let ids = || RULES.iter().map(|rule| rule.id);
        if value == ALL || value == EVENTS {
            return Ok(Off { rules: ids().collect(), events: value == EVENTS });
        }
        let known = |name: &str| ids().find(|id| *id == name.trim());
        let rules = value.split(',').map(known).collect::<Option<_>>().ok_or_else(|| {
            let all = ids().collect::<Vec<_>>().join(", ");
            format!("{VARIABLE}={value:?}: it takes `{ALL}`, `{EVENTS}` or names out of {all}")
        })?;
        Ok(Off { rules, events: false })
    }

    /// Lets an objection under one of these rules pass.
    #[inline]
    pub(super) fn pass(&self, judged: Judged) -> Judged {
        judged.or_else(|objection| if self.has(objection.rule) { Ok(()) } else { Err(objection) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objections_under_rules_that_are_off_pass() {
        let [one, other] = [RULES[0], RULES[1]];
        let judged = |rule: &'static super::super::Rule| rule.broken::<()>("no".into(), []);
        let off = Off::parse(one.id).unwrap();
        assert!(off.pass(judged(one)).is_ok() && off.pass(judged(other)).is_err());
        let off = Off::parse(&format!("{}, {}", other.id, one.id)).unwrap();
        assert!(off.pass(judged(one)).is_ok() && off.pass(judged(other)).is_ok());
        assert!(Off::default().pass(judged(one)).is_err());
        assert!(RULES.iter().all(|rule| Off::parse(ALL).unwrap().pass(judged(rule)).is_ok()));
        assert!(!off.all() && Off::parse(ALL).unwrap().all());
        let events = Off::parse(EVENTS).unwrap();
        assert!(events.events() && events.all() && !Off::parse(ALL).unwrap().events());
    }

    #[test]
    fn a_name_that_is_no_rule_is_refused() {
        for malformed in ["", "one-vote-per-term,", "everything"] {
            let error = Off::parse(malformed).unwrap_err();
            assert!(error.starts_with(&format!(
                "LAB_WITHOUT={malformed:?}: it takes `all`, `events` or names out of "
            )));
        }
    }
}
