//! The record of what every server applied, and the strict rules of applying.
//!
//! A server's life between two crashes is an *incarnation*. Within one, commands arrive exactly once and in
//! order, from the snapshot it started with or was given; a snapshot never moves it back (figure 2, "Rules
//! for Servers", all 1; section 7). Across servers and incarnations, an index has one command for ever
//! (figure 3, State Machine Safety).
//!
//! Because the rules are checked at each message, an incarnation is described by one number, the last index
//! it has applied, and the commands stand in one list for all. Plain data: no thread, no lock, no clock.

use std::collections::BTreeMap;

use labnode::{ApplyMsg, Start};

use crate::events::Command;
use crate::oracles::{Judged, STATE_MACHINE};
use crate::rules::{APPLIED_IN_ORDER, SNAPSHOT_BOUNDARY};
use crate::snapshot::ServiceSnapshot;
use crate::text::{count, show};

/// What was applied in a run, by whom. A method that breaks a rule answers with the objection, in words.
#[derive(Debug)]
pub struct Applied {
    /// The command at index `i` is `agreed[i - 1]`.
    agreed: Vec<Agreed>,
    /// Per server, the last index its living incarnation has applied; `None` while it is crashed.
    last: Vec<Option<u64>>,
    /// Per index, the commands for which `start` was answered with it, in the order in which that was noted.
    given: BTreeMap<u64, Vec<Given>>,
    /// Per index of a delivered snapshot, its term, and the server that delivered it first.
    snapshot_terms: BTreeMap<u64, (u64, usize)>,
}

/// A command that a server accepted as leader; only for telling.
#[derive(Debug)]
struct Given {
    command: Command,
    server: usize,
    term: u64,
}

/// A command that some server applied, and may therefore never be another.
#[derive(Debug)]
struct Agreed {
    command: Vec<u8>,
    /// The server that applied it first.
    first: usize,
    /// All servers that ever applied it, in whichever incarnation, themselves or by a snapshot.
    servers: Vec<bool>,
}

impl Applied {
    /// A record for `servers` crashed servers that never ran.
    pub fn new(servers: usize) -> Applied {
        Applied {
            agreed: Vec::new(),
            last: vec![None; servers],
            given: BTreeMap::new(),
            snapshot_terms: BTreeMap::new(),
        }
    }

    /// A new incarnation of `server` begins, with the snapshot on its disk; empty bytes mean none.
    pub fn begin(&mut self, server: usize, snapshot: &[u8]) -> Judged {
        self.last[server] = Some(0);
        if snapshot.is_empty() {
            return Ok(());
        }
        self.install(server, snapshot, None).map_err(|why| {
            why.after(&format!("server {server} restarted, but the snapshot on its disk cannot be used: "))
        })
    }

    /// The incarnation of `server` is dead: what it may still apply counts for nothing.
    pub fn end(&mut self, server: usize) {
        self.last[server] = None;
    }

    /// `server` applied a message. One of a dead incarnation is ignored.
    pub fn apply(&mut self, server: usize, message: &ApplyMsg) -> Judged {
        match message {
            _ if self.last[server].is_none() => Ok(()),
            ApplyMsg::Command { index, command } => self.apply_command(server, *index, command),
            ApplyMsg::Snapshot { index, term, data } => self
                .install(server, data, Some(*index))
                .and_then(|()| self.snapshot_term(server, *index, *term))
                .map_err(|why| {
                    why.after(&format!("server {server} delivered a snapshot for index {index}, but "))
                }),
        }
    }

    /// `server` answered `start` of a command. This is no rule, but helps to tell what went wrong.
    pub fn given(&mut self, server: usize, start: Start, command: &[u8]) {
        let given = Given { command: Command::of(command), server, term: start.term };
        self.given.entry(start.index).or_default().push(given);
    }

    fn apply_command(&mut self, server: usize, index: u64, command: &[u8]) -> Judged {
        let last = self.last[server].unwrap_or(0);
        // For objections only: to show each would take longer than to check it.
        let shown = || show(command);
        if index == 0 {
            let shown = shown();
            return APPLIED_IN_ORDER.broken(
                format!("server {server} applied {shown} at index 0, but a log starts at index 1"),
                [],
            );
        }
        if index <= last {
            return APPLIED_IN_ORDER.broken(
                format!(
                    "server {server} applied {} at index {index} again: it had already applied everything up \
                 to index {last}, with {} at index {index}",
                    shown(),
                    show(&self.agreed[index as usize - 1].command)
                ),
                [],
            );
        }
        if index > last + 1 {
            return APPLIED_IN_ORDER.broken(
                format!(
                    "server {server} applied {} at index {index} out of order: the last index it had applied \
                 is {last}, so index {} must come next",
                    shown(),
                    last + 1
                ),
                [],
            );
        }
        self.agree(server, index, command).map_err(|why| why.after(&format!("server {server} applied ")))?;
        self.last[server] = Some(index);
        Ok(())
    }

    /// `server` takes over a snapshot: all its commands count as applied. `announced` is the index that the
    /// message around it names.
    fn install(&mut self, server: usize, bytes: &[u8], announced: Option<u64>) -> Judged {
        let snapshot = ServiceSnapshot::decode(bytes).or_else(|why| SNAPSHOT_BOUNDARY.broken(why, []))?;
        let index = snapshot.index();
        if announced.is_some_and(|announced| announced != index) {
            return SNAPSHOT_BOUNDARY.broken(format!(
                "its data is the service's state after index {index}: `index` must be the last index that \
                 the data covers (figure 13, lastIncludedIndex)"
            ), []);
        }
        let last = self.last[server].unwrap_or(0);
        if index < last {
            return SNAPSHOT_BOUNDARY.broken(format!(
                "it had already applied everything up to index {last}: a snapshot must not move the service \
                 back (section 7)"
            ), []);
        }
        for (i, command) in (1..).zip(&snapshot.commands) {
            self.agree(server, i, command).map_err(|why| why.after("it holds "))?;
        }
        self.last[server] = Some(index);
        Ok(())
    }

    /// A server delivered a snapshot of this term: that of the entry at its last index, whoever tells.
    fn snapshot_term(&mut self, server: usize, index: u64, term: u64) -> Judged {
        const RULE: &str = "`term` must be the term of the entry at `index` (figure 13, lastIncludedTerm)";
        if term == 0 {
            return SNAPSHOT_BOUNDARY
                .broken(format!("with term 0, and no entry is of a term before 1: {RULE}"), []);
        }
        let &mut (known, first) = self.snapshot_terms.entry(index).or_insert((term, server));
        if known != term {
            return SNAPSHOT_BOUNDARY.broken(format!(
                "with term {term}, while server {first} delivered one for the same index with term {known}: {RULE}"
            ), []);
        }
        Ok(())
    }

    /// Notes that `server` has `command` at `index`, which is at most one beyond the agreed list.
    fn agree(&mut self, server: usize, index: u64, command: &[u8]) -> Judged {
        let at = index as usize - 1;
        if at == self.agreed.len() {
            let servers = vec![false; self.last.len()];
            self.agreed.push(Agreed { command: command.to_vec(), first: server, servers });
        }
        let agreed = &self.agreed[at];
        if agreed.command != command {
            return STATE_MACHINE.broken(format!(
                "{} at index {index}, but server {} has applied {} there: once a server has applied an entry, \
                 no server ever applies another at its index (figure 3, State Machine Safety){}",
                show(command),
                agreed.first,
                show(&agreed.command),
                // Which of the two is wrong is not known; this may tell.
                self.given_at(index).map_or(String::new(), |given| format!("; {given}"))
            ), []);
        }
        self.agreed[at].servers[server] = true;
        Ok(())
    }

    /// The highest index ever applied; 0 if none was.
    pub fn highest(&self) -> u64 {
        self.agreed.len() as u64
    }

    /// The command at `index`, if any server ever applied one.
    pub fn command(&self, index: u64) -> Option<&[u8]> {
        self.agreed(index).map(|agreed| agreed.command.as_slice())
    }

    /// The first index at which any server ever applied `command`.
    pub fn index_of(&self, command: &[u8]) -> Option<u64> {
        (1..).zip(&self.agreed).find(|(_, agreed)| agreed.command == command).map(|(index, _)| index)
    }

    /// In words, for which commands `start` was answered with `index`, by whom; `None` if for none that is
    /// known yet: an entry may be applied before the answer to its `start` is noted.
    pub fn given_at(&self, index: u64) -> Option<String> {
        const SHOWN: usize = 3;
        let given = self.given.get(&index)?;
        let earlier = given.len().saturating_sub(SHOWN);
        let mut list: Vec<String> = given[earlier..]
            .iter()
            .map(|Given { command, server, term }| format!("for {command} by server {server} in term {term}"))
            .collect();
        if earlier > 0 {
            list.insert(0, count(earlier, "time") + " earlier");
        }
        Some(format!("start() was answered with index {index}: {}", list.join(", ")))
    }

    /// Whether any `start` was accepted yet.
    pub fn given_anything(&self) -> bool {
        !self.given.is_empty()
    }

    /// The servers that ever applied `index`, whatever became of them.
    pub fn ever(&self, index: u64) -> Vec<usize> {
        let Some(agreed) = self.agreed(index) else { return Vec::new() };
        (0..self.last.len()).filter(|&server| agreed.servers[server]).collect()
    }

    /// The living servers whose present incarnation has applied `index`, itself or by a snapshot.
    pub fn living(&self, index: u64) -> Vec<usize> {
        let has = |server: &usize| index > 0 && self.last[*server].is_some_and(|last| last >= index);
        (0..self.last.len()).filter(has).collect()
    }

    /// The last index that the living incarnation of `server` has applied; `None` while it is crashed.
    pub fn last(&self, server: usize) -> Option<u64> {
        self.last[server]
    }

    /// The service's state after `index`, which some server must have applied.
    pub fn snapshot(&self, index: u64) -> ServiceSnapshot {
        let commands = self.agreed[..index as usize].iter().map(|agreed| agreed.command.clone()).collect();
        ServiceSnapshot { commands }
    }

    fn agreed(&self, index: u64) -> Option<&Agreed> {
        index.checked_sub(1).and_then(|at| self.agreed.get(usize::try_from(at).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three living servers with empty disks.
    fn three() -> Applied {
        let mut applied = Applied::new(3);
        for server in 0..3 {
            applied.begin(server, b"").unwrap();
        }
        applied
    }

    fn command(index: u64, text: &str) -> ApplyMsg {
        ApplyMsg::Command { index, command: text.as_bytes().to_vec() }
    }

    fn snapshot_of(commands: &[&str]) -> Vec<u8> {
        ServiceSnapshot { commands: commands.iter().map(|c| c.as_bytes().to_vec()).collect() }.encode()
    }

    fn snapshot(index: u64, commands: &[&str]) -> ApplyMsg {
        ApplyMsg::Snapshot { index, term: 1, data: snapshot_of(commands) }
    }

    /// Server 0 has applied 100, 200, 300.
    fn after_three_commands() -> Applied {
        let mut applied = three();
        for (index, text) in [(1, "100"), (2, "200"), (3, "300")] {
            applied.apply(0, &command(index, text)).unwrap();
        }
        applied
    }

    #[track_caller]
    fn assert_objects(result: Judged, parts: &[&str]) {
        let objection = result.expect_err("the checker accepted what is wrong").to_string();
        for part in parts {
            assert!(objection.contains(part), "{part:?} is missing in: {objection}");
        }
    }

    #[test]
    fn commands_in_order_are_counted() {
        let mut applied = after_three_commands();
        applied.apply(2, &command(1, "100")).unwrap();
        assert_eq!((applied.highest(), applied.command(3), applied.command(4)), (3, Some(&b"300"[..]), None));
        assert_eq!(
            (applied.living(1), applied.living(2), applied.ever(1)),
            (vec![0, 2], vec![0], vec![0, 2])
        );
        assert_eq!((applied.ever(0), applied.ever(u64::MAX)), (vec![], vec![]));
        assert_eq!((applied.living(0), applied.living(u64::MAX)), (vec![], vec![]));
        assert_eq!((applied.index_of(b"200"), applied.index_of(b"201")), (Some(2), None));
    }

    #[test]
    fn an_index_applied_twice_is_an_error() {
        assert_objects(
            after_three_commands().apply(0, &command(3, "300")),
            &["server 0 applied `300` at index 3 again", "up to index 3", "(applied-in-order)"],
        );
        // From an earlier point, with the same command: the repeat alone is wrong.
        assert_objects(
            after_three_commands().apply(0, &command(1, "100")),
            &["server 0 applied `100` at index 1 again"],
        );
    }

    #[test]
    fn a_gap_is_an_error() {
        assert_objects(
            after_three_commands().apply(0, &command(5, "500")),
            &["server 0 applied `500` at index 5 out of order", "is 3, so index 4 must come next"],
        );
        assert_objects(three().apply(1, &command(2, "200")), &["is 0, so index 1 must come next"]);
        assert_objects(three().apply(1, &command(0, "0")), &["a log starts at index 1"]);
    }

    #[test]
    fn two_commands_at_one_index_are_an_error() {
        let mut applied = after_three_commands();
        applied.apply(1, &command(1, "100")).unwrap();
        assert_objects(
            applied.apply(1, &command(2, "201")),
            &[
                "server 1 applied `201` at index 2, but server 0 has applied `200` there",
                "State Machine Safety",
            ],
        );
    }

    #[test]
    fn who_is_wrong_can_be_told_from_what_was_given() {
        let mut applied = three();
        assert!(!applied.given_anything() && applied.given_at(1).is_none());
        applied.given(0, Start { index: 1, term: 1 }, b"100");
        assert!(applied.given_anything() && applied.given_at(2).is_none());
        applied.apply(2, &command(1, "999")).unwrap();
        assert_objects(
            applied.apply(0, &command(1, "100")),
            &[
                "server 2 has applied `999` there",
                "; start() was answered with index 1: for `100` by server 0 in term 1",
            ],
        );
        for term in 2..=4 {
            applied.given(1, Start { index: 1, term }, b"100");
        }
        assert_eq!(
            applied.given_at(1).as_deref(),
            Some(
                "start() was answered with index 1: 1 time earlier, for `100` by server 1 in term 2, for `100` by \
                 server 1 in term 3, for `100` by server 1 in term 4"
            )
        );
    }

    #[test]
    fn agreement_is_checked_across_incarnations() {
        let mut applied = after_three_commands();
        applied.end(0);
        applied.begin(0, b"").unwrap();
        assert_objects(applied.apply(0, &command(1, "101")), &["server 0 has applied `100` there"]);
    }

    #[test]
    fn a_restarted_server_counts_again_only_when_it_has_applied_again() {
        let mut applied = after_three_commands();
        applied.end(0);
        assert_eq!((applied.living(1), applied.ever(1), applied.last(0)), (vec![], vec![0], None));
        applied.begin(0, b"").unwrap();
        assert_eq!((applied.living(1), applied.last(0)), (vec![], Some(0)));
        applied.apply(0, &command(1, "100")).unwrap();
        assert_eq!((applied.living(1), applied.living(2)), (vec![0], vec![]));
    }

    #[test]
    fn a_dead_incarnation_is_not_listened_to() {
        let mut applied = after_three_commands();
        applied.end(0);
        applied.apply(0, &command(9, "wrong")).unwrap();
        assert_eq!(applied.highest(), 3);
    }

    #[test]
    fn a_snapshot_stands_for_its_commands() {
        let mut applied = after_three_commands();
        applied.apply(1, &snapshot(2, &["100", "200"])).unwrap();
        assert_eq!((applied.living(2), applied.living(3)), (vec![0, 1], vec![0]));
        applied.apply(1, &snapshot(2, &["100", "200"])).unwrap();
        applied.apply(1, &command(3, "300")).unwrap();
        assert_eq!(applied.snapshot(2).encode(), snapshot_of(&["100", "200"]));
    }

    #[test]
    fn a_snapshot_that_moves_back_is_an_error() {
        assert_objects(
            after_three_commands().apply(0, &snapshot(2, &["100", "200"])),
            &[
                "server 0 delivered a snapshot for index 2",
                "already applied everything up to index 3",
                "move the service back",
            ],
        );
    }

    #[test]
    fn a_command_the_snapshot_covers_is_an_error() {
        let mut applied = after_three_commands();
        applied.apply(1, &snapshot(2, &["100", "200"])).unwrap();
        assert_objects(applied.apply(1, &command(2, "200")), &["at index 2 again"]);
        assert_objects(applied.apply(1, &command(4, "400")), &["is 2, so index 3 must come next"]);
    }

    #[test]
    fn a_snapshot_with_another_index_or_content_is_an_error() {
        assert_objects(
            after_three_commands().apply(1, &snapshot(3, &["100", "200"])),
            &["snapshot for index 3", "state after index 2", "lastIncludedIndex"],
        );
        assert_objects(
            after_three_commands().apply(1, &snapshot(2, &["100", "201"])),
            &["it holds `201` at index 2, but server 0 has applied `200`"],
        );
        for data in [b"".to_vec(), b"rubbish".to_vec()] {
            let message = ApplyMsg::Snapshot { index: 2, term: 1, data };
            assert_objects(
                after_three_commands().apply(1, &message),
                &["server 1 delivered a snapshot for index 2, but it is"],
            );
        }
    }

    #[test]
    fn a_snapshot_of_another_term_is_an_error() {
        let of_term = |term| ApplyMsg::Snapshot { index: 2, term, data: snapshot_of(&["100", "200"]) };
        let mut applied = after_three_commands();
        applied.apply(1, &of_term(3)).unwrap();
        applied.apply(1, &of_term(3)).unwrap();
        assert_objects(
            applied.apply(2, &of_term(4)),
            &[
                "server 2 delivered a snapshot for index 2, but with term 4",
                "server 1 delivered one",
                "term 3",
                "lastIncludedTerm",
            ],
        );
        assert_objects(three().apply(1, &of_term(0)), &["but with term 0"]);
    }

    #[test]
    fn a_server_that_starts_from_a_snapshot_goes_on_after_it() {
        let mut applied = after_three_commands();
        applied.end(0);
        applied.begin(0, &snapshot_of(&["100", "200"])).unwrap();
        assert_eq!((applied.living(2), applied.last(0)), (vec![0], Some(2)));
        assert_objects(applied.apply(0, &command(1, "100")), &["at index 1 again"]);
        applied.apply(0, &command(3, "300")).unwrap();
    }

    #[test]
    fn a_server_does_not_start_from_a_damaged_snapshot() {
        let mut applied = after_three_commands();
        applied.end(0);
        assert_objects(
            applied.begin(0, b"rubbish"),
            &["server 0 restarted", "not a snapshot that the service made"],
        );
    }
}
