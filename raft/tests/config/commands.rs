//! Giving commands to servers, and waiting until they are applied.

use std::fmt::Display;
use std::time::{Duration, Instant};

use labtest::{Applied, count, rules, servers, show};
use raft::{NotLeader, Start, State};

use super::Config;

/// How long [`Config::one`] goes on giving its command to servers.
const AGREE_LIMIT: Duration = Duration::from_secs(10);

/// How long it waits for a command that a leader has accepted.
const APPLY_LIMIT: Duration = Duration::from_secs(2);

impl Config {
    /// Gives a command to a server. A crashed one is no leader.
    #[track_caller]
    pub(crate) fn start(&self, server: usize, command: impl Display) -> Result<Start, NotLeader> {
        self.run.check_on();
        let (node, incarnation) = self.cluster.node(server).ok_or(NotLeader)?;
        let command = command.to_string().into_bytes();
        let start = self.cluster.offer(&incarnation, &command, || node.raft.start(command.clone()))?;
        self.check_under(&rules::START_AND_STATE, start.index > 0, || {
            format!(
                "server {server} put {} at index 0, but the first index is 1 (figure 2, log[])",
                show(&command)
            )
        });
        // What a crashed server's threads still say counts no more.
        if incarnation.is_alive() {
            self.note_leader(server, start.term);
        }
        Ok(start)
    }

    /// Gives a command to the leader, for a test that needs its term to last. The error says how it did not.
    /// Fails if the answer contradicts what the leader says of itself.
    #[track_caller]
    pub(crate) fn start_steadily(&self, leader: usize, command: impl Display) -> Result<Start, String> {
        let before = self.state(leader);
        let answer = self.start(leader, command);
        let after = self.state(leader);
        if let (Some(before), Some(after)) = (before, after) {
            if let Some(contradiction) = contradiction(leader, before, answer, after) {
                self.fail_under(&rules::START_AND_STATE, contradiction);
            }
        }
        answer.map_err(|NotLeader| format!("server {leader} was the leader a moment ago, but no longer is"))
    }

    /// Gives a command to the leader, who must accept it.
    #[track_caller]
    pub(crate) fn start_on_leader(&self, leader: usize, command: impl Display) -> Start {
        let command = command.to_string();
        match self.start(leader, &command) {
            Ok(start) => start,
            Err(NotLeader) => self
                .fail(format!("server {leader} was the leader a moment ago, but did not accept `{command}`")),
        }
    }

    /// Gives a command to the leader, whoever that is, and waits until `expected` living servers have applied
    /// it. Returns its index. Fails if an accepted command is not applied within 2 s, or none is accepted
    /// within 10 s.
    #[track_caller]
    pub(crate) fn one(&self, command: impl Display, expected: usize) -> u64 {
        self.agree(&command.to_string(), expected, false)
    }

    /// As [`one`](Config::one), but a command that was accepted and not applied is given again, for 10 s in
    /// all: for times when leaders may be deposed. It may then be applied more than once.
    #[track_caller]
    pub(crate) fn one_retry(&self, command: impl Display, expected: usize) -> u64 {
        self.agree(&command.to_string(), expected, true)
    }

    /// As [`one`](Config::one); the command must come to stand at `index`.
    #[track_caller]
    pub(crate) fn one_at(&self, index: u64, command: impl Display, expected: usize) {
        let command = command.to_string();
        let got = self.one(&command, expected);
        self.check_under(&rules::START_AND_STATE, got == index, || {
            format!(
                "{} was agreed on at index {got}, expected index {index}: the log holds the commands given to \
                 start() and nothing else, from index 1 on",
                show(command.as_bytes())
            )
        });
    }

    #[track_caller]
    fn agree(&self, command: &str, expected: usize, retry: bool) -> u64 {
        let shown = show(command.as_bytes());
        let begun = Instant::now();
        let mut server = 0;
        let mut attempts = 0;
        let mut last_attempt = "no connected server accepted it: each said it was not the leader".to_string();
        while begun.elapsed() < AGREE_LIMIT {
            let Some((leader, start)) = self.offer(&mut server, command) else {
                self.sleep(Duration::from_millis(50));
                continue;
            };
            attempts += 1;
            let accepted = format!(
                "server {leader} accepted it at index {} as leader of term {}",
                start.index, start.term
            );
            let applied = || {
                let applied = self.cluster.applied().lock();
                match applied.command(start.index) {
                    Some(other) if other != command.as_bytes() => (!retry).then_some(false),
                    _ => (applied.living(start.index).len() >= expected).then_some(true),
                }
            };
            let outcome = self.run.wait_until(APPLY_LIMIT, applied);
            if outcome == Some(true) {
                self.look_if_calm(start.index);
                return start.index;
            }
            let fate = fate(&self.cluster.applied().lock(), start.index, command.as_bytes());
            if outcome == Some(false) {
                self.fail_under(
                    &rules::NO_AGREEMENT,
                    format!("{shown} can no longer be applied where it was put: {accepted}, but {fate}"),
                );
            }
            last_attempt = format!("{accepted}, but {fate}");
            if !retry {
                self.fail_under(
                    &rules::NO_AGREEMENT,
                    format!(
                        "{shown} was not applied by {} within {} s: {last_attempt}",
                        count(expected, "server"),
                        APPLY_LIMIT.as_secs()
                    ),
                );
            }
        }
        self.fail_under(
            &rules::NO_AGREEMENT,
            format!(
                "{shown} was not applied by {} within {} s, accepted {}: {last_attempt}",
                count(expected, "server"),
                AGREE_LIMIT.as_secs(),
                count(attempts, "time")
            ),
        )
    }

    /// Gives a command to one connected server after the other, from the one after `last` on, until one accepts.
    #[track_caller]
    fn offer(&self, last: &mut usize, command: &str) -> Option<(usize, Start)> {
        for _ in self.all() {
            *last = self.after(*last, 1);
            if self.is_connected(*last) {
                if let Ok(start) = self.start(*last, command) {
                    return Some((*last, start));
                }
            }
        }
        None
    }

    /// Looks whether the term has settled, once all servers have applied `index`.
    #[track_caller]
    fn look_if_calm(&self, index: u64) {
        let by_all = self.cluster.applied().lock().living(index).len() == self.servers();
        if by_all && self.elections.lock().wants_look() {
            let states = self.connected_states();
            self.elections.lock().look(&states);
        }
    }

    /// The command applied at `index` by any server, dead or alive.
    pub(crate) fn applied_anywhere(&self, index: u64) -> Option<String> {
        let applied = self.cluster.applied().lock();
        applied.command(index).map(|command| String::from_utf8_lossy(command).into_owned())
    }

    /// Whether any server has ever applied this command.
    pub(crate) fn was_applied(&self, command: &[u8]) -> bool {
        self.cluster.applied().lock().index_of(command).is_some()
    }

    /// The living servers that have applied this command.
    pub(crate) fn appliers_of(&self, command: &[u8]) -> Vec<usize> {
        let applied = self.cluster.applied().lock();
        applied.index_of(command).map_or(Vec::new(), |index| applied.living(index))
    }

    /// The highest index that any server has ever applied.
    pub(crate) fn highest_applied(&self) -> u64 {
        self.cluster.applied().lock().highest()
    }

    /// Fails if any server, dead or alive, connected or not, has ever applied `index`.
    #[track_caller]
    pub(crate) fn check_applied_nowhere(&self, index: u64) {
        let objection = too_early(&self.cluster.applied().lock(), index);
        if let Some(objection) = objection {
            self.fail_under(&rules::COMMIT, objection);
        }
    }

    /// Waits until `expected` living servers have applied `index`; the command there. Fails after about 31 s.
    #[track_caller]
    pub(crate) fn wait(&self, index: u64, expected: usize) -> String {
        match self.wait_while(index, expected, || Ok(())) {
            Ok(command) => command,
            Err(why) => self.fail(why),
        }
    }

    /// As [`wait`](Config::wait), as long as no living server has left `term` behind; the error names one that has.
    #[track_caller]
    pub(crate) fn wait_in_term(&self, index: u64, expected: usize, term: u64) -> Result<String, String> {
        self.wait_while(index, expected, || {
            let states = self.all().filter_map(|server| Some((server, self.state(server)?)));
            match states.max_by_key(|(_, state)| state.term).filter(|(_, state)| state.term > term) {
                None => Ok(()),
                Some((server, state)) => Err(format!(
                    "server {server} was in term {} before index {index}, put in the log in term {term}, was applied \
                     by {}",
                    state.term,
                    count(expected, "server")
                )),
            }
        })
    }

    #[track_caller]
    fn wait_while(
        &self,
        index: u64,
        expected: usize,
        go_on: impl Fn() -> Result<(), String>,
    ) -> Result<String, String> {
        self.check(index > 0, || "the test waits for index 0, but the first index is 1".to_string());
        let living = || self.cluster.applied().lock().living(index);
        let mut pause = Duration::from_millis(10);
        for _ in 0..30 {
            let enough = || self.applied_anywhere(index).filter(|_| living().len() >= expected);
            if let Some(command) = self.run.wait_until(pause, enough) {
                return Ok(command);
            }
            go_on()?;
            if pause < Duration::from_secs(1) {
                pause *= 2;
            }
        }
        self.fail_under(
            &rules::NO_AGREEMENT,
            format!(
                "index {index} was not applied by {} in about 31 s: of those alive, {} applied it",
                count(expected, "server"),
                servers(&living())
            ),
        )
    }
}

/// What is wrong with the answer of `leader` to `start`, given what it said of itself just before and after.
fn contradiction(
    leader: usize,
    before: State,
    answer: Result<Start, NotLeader>,
    after: State,
) -> Option<String> {
    match answer {
        // In between, its term only grows.
        Ok(start) if !(before.term..=after.term).contains(&start.term) => Some(format!(
            "server {leader} answered start() with term {}, but state() just before with term {} and just after \
             with term {}: a leader puts a command in its log with its current term (figure 2, Rules for Servers: \
             leaders)",
            start.term, before.term, after.term
        )),
        // In one term, a leader that has stepped down does not come back.
        Err(NotLeader) if before == after && before.is_leader => Some(format!(
            "server {leader} answered start() with NotLeader, but state() just before and after says that it leads \
             term {}",
            before.term
        )),
        _ => None,
    }
}

/// What became of a command that was accepted at `index`.
fn fate(applied: &Applied, index: u64, command: &[u8]) -> String {
    let there = match applied.command(index) {
        Some(it) if it == command => {
            return format!("only {} applied it (of those alive)", servers(&applied.living(index)));
        }
        None => "no server has applied that index".to_string(),
        Some(other) => format!("{} was applied there by {}", show(other), servers(&applied.ever(index))),
    };
    match applied.index_of(command) {
        None => there,
        Some(other) => {
            format!("{there}; it was applied at index {other} by {}", servers(&applied.ever(other)))
        }
    }
}

/// The objection to `index` if any server has applied it, when none can have.
fn too_early(applied: &Applied, index: u64) -> Option<String> {
    const NO_OP: &str = "does a new leader append a no-op? In these labs the log holds the commands given to \
         start() and nothing else";
    let command = applied.command(index)?;
    let why = match applied.given_at(index) {
        Some(given) => format!(
            "but no majority can have agreed on it: an entry is committed once it is replicated on a majority of \
             the servers (section 5.3); {given}"
        ),
        None if applied.given_anything() => {
            format!("but start() has answered with that index for no command: {NO_OP}")
        }
        None => format!("but no command was given to any server yet: {NO_OP}"),
    };
    Some(format!(
        "{} was applied at index {index} by {}, {why}",
        show(command),
        servers(&applied.ever(index))
    ))
}

#[cfg(test)]
mod tests {
    use raft::ApplyMsg;

    use super::*;

    /// Of three servers, server 0 has applied `100` at index 1 and `200` at index 2, server 1 the first of them.
    fn applied() -> Applied {
        let mut applied = Applied::new(3);
        (0..3).for_each(|server| applied.begin(server, b"").unwrap());
        for (server, index, command) in [(0, 1, "100"), (0, 2, "200"), (1, 1, "100")] {
            let command = command.as_bytes().to_vec();
            applied.apply(server, &ApplyMsg::Command { index, command }).unwrap();
        }
        applied
    }

    #[track_caller]
    fn assert_says(text: &str, parts: &[&str]) {
        for part in parts {
            assert!(text.contains(part), "{part:?} is missing in: {text}");
        }
    }

    #[test]
    fn a_command_applied_elsewhere_is_found() {
        assert_says(&fate(&applied(), 1, b"100"), &["only servers 0 and 1 applied it"]);
        assert_eq!(fate(&applied(), 3, b"300"), "no server has applied that index");
        assert_eq!(fate(&applied(), 2, b"300"), "`200` was applied there by server 0");
        let elsewhere = fate(&applied(), 2, b"100");
        assert_says(&elsewhere, &["`200` was applied there", "it was applied at index 1 by servers 0 and 1"]);
        assert_says(&fate(&applied(), 3, b"200"), &["that index; it was applied at index 2 by server 0"]);
    }

    #[test]
    fn what_was_applied_too_early_is_told_from_a_no_op() {
        let mut applied = applied();
        assert_eq!(too_early(&applied, 3), None);
        let objection = too_early(&applied, 1).unwrap();
        assert_says(
            &objection,
            &["`100` was applied at index 1 by servers 0 and 1", "given to any", "no-op"],
        );
        applied.given(2, Start { index: 1, term: 4 }, b"100");
        assert_says(&too_early(&applied, 1).unwrap(), &["no majority", "`100` by server 2 in term 4"]);
        assert_says(&too_early(&applied, 2).unwrap(), &["answered with that index for no command", "no-op"]);
    }

    #[test]
    fn start_and_state_must_agree() {
        let leads = |term| State { term, is_leader: true };
        let follows = |term| State { term, is_leader: false };
        let accepted = |term| Ok(Start { index: 1, term });
        for (before, term, after) in [(leads(2), 2, leads(2)), (follows(1), 3, follows(4))] {
            assert_eq!(contradiction(0, before, accepted(term), after), None);
        }
        for term in [0, 1, 3] {
            let objection = contradiction(0, leads(2), accepted(term), leads(2)).unwrap();
            assert_says(&objection, &["server 0", &format!("start() with term {term}"), "with term 2"]);
        }
        for (before, after) in [(leads(2), follows(2)), (leads(2), leads(4)), (follows(2), leads(2))] {
            assert_eq!(contradiction(0, before, Err(NotLeader), after), None);
        }
        let objection = contradiction(0, leads(2), Err(NotLeader), leads(2)).unwrap();
        assert_says(&objection, &["server 0", "NotLeader", "leads term 2"]);
    }
}
