//! Giving commands to servers, and waiting until they are applied.

use std::fmt::Display;
use std::time::{Duration, Instant};

use labtest::{count, servers, show};
use raft::{NotLeader, Start};

use super::Config;

/// How long [`Config::one`] goes on giving its command to servers.
const AGREE_LIMIT: Duration = Duration::from_secs(10);

/// How long it waits for a command that a leader has accepted.
const APPLY_LIMIT: Duration = Duration::from_secs(2);

impl Config {
    /// Gives a command to a server. A crashed one is no leader.
    pub(crate) fn start(&self, server: usize, command: impl Display) -> Result<Start, NotLeader> {
        self.run.check_on();
        let (node, incarnation) = self.cluster.node(server).ok_or(NotLeader)?;
        let command = command.to_string().into_bytes();
        self.run.calling(&incarnation, "start()", || node.raft.start(command))
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
        self.check(got == index, || {
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
            let accepted = self.all().find_map(|_| {
                server = self.after(server, 1);
                let asked = self.is_connected(server).then(|| self.start(server, command));
                Some((server, asked?.ok()?))
            });
            let Some((leader, start)) = accepted else {
                self.sleep(Duration::from_millis(50));
                continue;
            };
            attempts += 1;
            self.calm_leader(start.term);
            let applied = || {
                let applied = self.cluster.applied().lock();
                match applied.command(start.index) {
                    Some(other) if other != command.as_bytes() => (!retry).then_some(false),
                    _ => (applied.living(start.index).len() >= expected).then_some(true),
                }
            };
            if self.run.wait_until(APPLY_LIMIT, applied) == Some(true) {
                return start.index;
            }
            last_attempt = format!(
                "server {leader} accepted it at index {} as leader of term {}, but {}",
                start.index,
                start.term,
                self.who_applied(start.index, command)
            );
            if !retry {
                self.fail(format!(
                    "{shown} was not applied by {} within {} s: {last_attempt}",
                    count(expected, "server"),
                    APPLY_LIMIT.as_secs()
                ));
            }
        }
        self.fail(format!(
            "{shown} was not applied by {} within {} s, accepted {}: {last_attempt}",
            count(expected, "server"),
            AGREE_LIMIT.as_secs(),
            count(attempts, "time")
        ))
    }

    /// What became of a command that was accepted at `index`.
    fn who_applied(&self, index: u64, command: &str) -> String {
        let applied = self.cluster.applied().lock();
        match applied.command(index) {
            None => "no server has applied that index".to_string(),
            Some(other) if other != command.as_bytes() => {
                format!("{} was applied there by {}", show(other), servers(&applied.ever(index)))
            }
            Some(_) => format!("only {} applied it (of those alive)", servers(&applied.living(index))),
        }
    }

    /// The command applied at `index` by any server, dead or alive.
    pub(crate) fn applied_anywhere(&self, index: u64) -> Option<String> {
        let applied = self.cluster.applied().lock();
        applied.command(index).map(|command| String::from_utf8_lossy(command).into_owned())
    }

    /// Fails if any server, dead or alive, connected or not, has ever applied `index`.
    #[track_caller]
    pub(crate) fn check_applied_nowhere(&self, index: u64) {
        let who = self.cluster.applied().lock().ever(index);
        if let Some(command) = self.applied_anywhere(index) {
            self.fail(format!(
                "`{command}` was applied at index {index} by {}, but no majority can have agreed on it: an entry is \
                 committed once it is replicated on a majority of the servers (section 5.3)",
                servers(&who)
            ));
        }
    }

    /// Waits until `expected` living servers have applied `index`; the command there. Fails after about 31 s.
    #[track_caller]
    pub(crate) fn wait(&self, index: u64, expected: usize) -> String {
        match self.wait_while(index, expected, || true) {
            Some(command) => command,
            None => unreachable!("the wait has no condition to end it"),
        }
    }

    /// As [`wait`](Config::wait), as long as no living server has left `term` behind; then `None`.
    #[track_caller]
    pub(crate) fn wait_in_term(&self, index: u64, expected: usize, term: u64) -> Option<String> {
        self.wait_while(index, expected, || {
            self.all().filter_map(|server| self.cluster.state(server)).all(|state| state.term <= term)
        })
    }

    #[track_caller]
    fn wait_while(&self, index: u64, expected: usize, go_on: impl Fn() -> bool) -> Option<String> {
        let living = || self.cluster.applied().lock().living(index);
        let mut pause = Duration::from_millis(10);
        for _ in 0..30 {
            let enough = || (living().len() >= expected).then(|| self.applied_anywhere(index));
            if let Some(command) = self.run.wait_until(pause, enough) {
                return command;
            }
            if !go_on() {
                return None;
            }
            if pause < Duration::from_secs(1) {
                pause *= 2;
            }
        }
        self.fail(format!(
            "index {index} was not applied by {} in about 31 s: of those alive, {} applied it",
            count(expected, "server"),
            servers(&living())
        ))
    }
}
