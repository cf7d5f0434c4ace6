//! [`Filter`]: which log lines are shown (`LAB_LOG`).

use log::{Level, LevelFilter};

/// The environment variable.
pub(crate) const VARIABLE: &str = "LAB_LOG";

/// Which lines are shown: those up to a level, which may be another for some topics, of all servers or of some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    level: LevelFilter,
    /// The last one that fits decides.
    topics: Vec<(String, LevelFilter)>,
    /// `None` for what belongs to no server; without any, all are shown.
    whose: Vec<Option<usize>>,
}

impl Filter {
    /// Nothing.
    pub(crate) const OFF: Filter = Filter { level: LevelFilter::Off, topics: Vec::new(), whose: Vec::new() };

    /// Reads words separated by commas: a level, `topic=level`, the number of a server, `test`. The error says what it takes.
    pub(super) fn parse(value: &str) -> Result<Filter, String> {
        let mut filter = Filter::OFF;
        let mut says_what = false;
        for word in value.split(',').map(str::trim) {
            let taken = if let Some((topic, level)) = word.split_once('=') {
                let level = level.parse().ok().filter(|_| !topic.is_empty());
                level.map(|level| filter.topics.push((topic.to_string(), level))).map(|()| true)
            } else if let Ok(level) = word.parse() {
                filter.level = level;
                Some(true)
            } else if word == "test" {
                filter.whose.push(None);
                Some(false)
            } else {
                word.parse().ok().map(|server| filter.whose.push(Some(server))).map(|()| false)
            };
            let Some(is_level) = taken else {
                let takes = "one of off, error, warn, info, debug, trace; with commas also `topic=level`, server \
                             numbers and `test`: `debug,election=trace,0,2`";
                return Err(format!("{VARIABLE}={value:?}: it takes {takes}"));
            };
            says_what |= is_level;
        }
        if !says_what {
            // Servers alone: everything of theirs.
            filter.level = LevelFilter::Trace;
        }
        Ok(filter)
    }

    /// Whether a line is shown.
    pub(super) fn shows(&self, level: Level, target: &str, server: Option<usize>) -> bool {
        let topic = self.topics.iter().rfind(|(topic, _)| is_about(target, topic));
        level <= topic.map_or(self.level, |(_, level)| *level)
            && (self.whose.is_empty() || self.whose.contains(&server))
    }
}

/// Whether a target is a topic or within one: `raft::election` is of the topics `raft`, `election` and itself.
fn is_about(target: &str, topic: &str) -> bool {
    target.match_indices(topic).any(|(at, _)| {
        let (before, after) = (&target[..at], &target[at + topic.len()..]);
        (before.is_empty() || before.ends_with("::")) && (after.is_empty() || after.starts_with("::"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(filter: &str, level: Level, target: &str, server: Option<usize>) -> bool {
        Filter::parse(filter).unwrap().shows(level, target, server)
    }

    #[test]
    fn levels_topics_and_servers_are_read() {
        for (filter, expected) in [
            ("debug", [true, false, true, true]),
            ("info,election=trace", [false, true, false, true]),
            ("election=debug", [false, false, false, true]),
            ("debug,0,test", [true, false, false, false]),
            ("2", [false, true, true, true]),
            ("off", [false; 4]),
        ] {
            let lines = [
                (Level::Debug, "raft::replication", Some(0)),
                (Level::Trace, "raft::election", Some(2)),
                (Level::Debug, "reelection", Some(2)),
                (Level::Debug, "raft::election::timer", Some(2)),
            ];
            let seen = lines.map(|(level, target, server)| shown(filter, level, target, server));
            assert_eq!(seen, expected, "{filter}");
        }
        assert!(
            shown("debug,test", Level::Debug, "suite", None)
                && !shown("debug,1", Level::Debug, "suite", None)
        );
    }

    #[test]
    fn what_is_none_of_these_is_refused() {
        for malformed in ["", "loud", "debug,", "election=loud", "=debug", "-1"] {
            let error = Filter::parse(malformed).unwrap_err();
            let expected = format!("LAB_LOG={malformed:?}: it takes one of off, error");
            assert!(error.starts_with(&expected), "{error}");
        }
    }
}
