//! Rules that are not watched: to see what each oracle is worth, by what goes unnoticed without it.

use std::env;

use super::{Judged, RULES};

/// The environment variable that names them, separated by commas.
pub(crate) const VARIABLE: &str = "LAB_WITHOUT";
/// In place of a name: all of them.
const ALL: &str = "all";

/// The names of the rules that are not watched.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Off(Vec<&'static str>);

impl Off {
    /// As the environment says. The error says what it takes.
    pub(crate) fn read() -> Result<Off, String> {
        env::var_os(VARIABLE).map_or(Ok(Off::default()), |value| Off::parse(&value.to_string_lossy()))
    }

    fn parse(value: &str) -> Result<Off, String> {
        let ids = || RULES.iter().map(|rule| rule.id);
        if value == ALL {
            return Ok(Off(ids().collect()));
        }
        let known = |name: &str| ids().find(|id| *id == name.trim());
        value.split(',').map(known).collect::<Option<_>>().map(Off).ok_or_else(|| {
            let all = ids().collect::<Vec<_>>().join(", ");
            format!("{VARIABLE}={value:?}: it takes `{ALL}` or names out of {all}")
        })
    }

    /// Lets an objection under one of these rules pass.
    pub(super) fn pass(&self, judged: Judged) -> Judged {
        judged.or_else(|objection| if self.0.contains(&objection.rule.id) { Ok(()) } else { Err(objection) })
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
    }

    #[test]
    fn a_name_that_is_no_rule_is_refused() {
        for malformed in ["", "one-vote-per-term,", "everything"] {
            let error = Off::parse(malformed).unwrap_err();
            assert!(
                error.starts_with(&format!("LAB_WITHOUT={malformed:?}: it takes `all` or names out of "))
            );
        }
    }
}
