//! [`Picture`]: how the servers of a cluster stand, as far as messages and answers show it.
//!
//! It is drawn for readers, not for judges: a server is taken to do what figures 2 and 13 say, until a message of its
//! own shows something else, and then that is believed. Disks are taken to be written as they should be.

use labrpc::Step;

use super::seen_log::{Cell, SeenLog};
use super::{AppendEntries, Content, Event, InstallSnapshot, Life, Party, Passage, RequestVote, What};

/// What a server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// It was never started, or crashed.
    #[default]
    Dead,
    Follower,
    Candidate,
    Leader,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Dead => "dead",
            Role::Follower => "follower",
            Role::Candidate => "candidate",
            Role::Leader => "leader",
        }
    }
}

/// All servers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Picture {
    pub(crate) servers: Vec<Peer>,
    /// Servers reach each other within these groups.
    pub(crate) groups: Vec<Vec<usize>>,
    /// Whether anything was seen to be applied. A service of its own kind, as in lab 3, takes what its server applies
    /// where nobody outside sees it.
    pub(crate) applies: bool,
}

/// One server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    /// Its present life, or its last one.
    pub(crate) life: Option<Life>,
    pub(crate) frozen: bool,
    pub(crate) is: Standing,
    pub(crate) log: SeenLog,
    /// Of a leader, by follower.
    pub(crate) progress: Vec<Progress>,
}

/// A server's small state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) role: Role,
    pub(crate) term: u64,
    /// In that term.
    pub(crate) voted_for: Option<usize>,
    /// Of that term.
    pub(crate) leader: Option<usize>,
    pub(crate) commit: u64,
    pub(crate) applied: u64,
}

/// How far a leader has come with a follower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The index after the last entry it has sent; 0 if it has sent nothing.
    pub(crate) next: u64,
    /// The highest index acknowledged to it.
    pub(crate) matched: u64,
}

/// What an event changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Servers of which something may be new.
    pub(crate) servers: Vec<usize>,
    /// From which index on a server's log is another.
    pub(crate) logs: Vec<(usize, u64)>,
    /// Servers with a new snapshot, and whether the rest of the log went.
    pub(crate) compacted: Vec<usize>,
    /// Leader and follower.
    pub(crate) progress: Vec<(usize, usize)>,
}

impl Picture {
    /// Takes an event in; `changes` is told what became of it.
    pub(crate) fn see(&mut self, event: &Event, changes: &mut Changes) {
        *changes = Changes::default();
        match &event.what {
            What::Start { life, state_bytes, .. } => self.start(*life, *state_bytes, changes),
            What::Crash { life, .. } => {
                let is = &mut self.peer(*life, changes).is;
                (is.role, is.leader) = (Role::Dead, None);
            }
            What::Freeze { life } => self.peer(*life, changes).frozen = true,
            What::Thaw { life } => self.peer(*life, changes).frozen = false,
            What::Links { groups } => self.groups.clone_from(groups),
            What::Message(passage) => self.message(passage, event, changes),
            What::Apply { life, index, command } => {
                self.applies = true;
                let peer = self.peer(*life, changes);
                peer.applies(*index);
                if let Some(from) = peer.log.shows(*index, *command) {
                    changes.logs.push((life.server, from));
                }
            }
            What::ApplySnapshot { life, index, term } => {
                self.applies = true;
                let peer = self.peer(*life, changes);
                peer.applies(*index);
                // Its own word, whatever snapshot it was sent.
                if peer.log.has_base(*index, *term) {
                    changes.compacted.push(life.server);
                }
                self.installs(life.server, *index, *term, changes);
            }
            What::State { life, term, is_leader, .. } => {
                let peer = self.peer(*life, changes);
                peer.learn(*term);
                if peer.is.term == *term {
                    if *is_leader {
                        self.leads(life.server, *term, changes);
                    } else if peer.is.role == Role::Leader {
                        peer.is.role = Role::Follower;
                    }
                }
            }
            What::Accept { life, index, term, command, .. } => {
                self.peer(*life, changes);
                self.leads(life.server, *term, changes);
                let cell = Cell { term: *term, command: Some(*command) };
                let changed = self.servers[life.server].log.has_cell(*index, cell);
                changes.logs.extend(changed.map(|from| (life.server, from)));
            }
            What::Snapshot { life, index } => {
                if self.peer(*life, changes).log.compact(*index, None) {
                    changes.compacted.push(life.server);
                }
            }
            What::Phase { .. } | What::Call { .. } | What::Return { .. } => {}
        }
    }

    fn peer(&mut self, life: Life, changes: &mut Changes) -> &mut Peer {
        if self.servers.len() <= life.server {
            self.servers.resize_with(life.server + 1, Peer::default);
        }
        if !changes.servers.contains(&life.server) {
            changes.servers.push(life.server);
        }
        &mut self.servers[life.server]
    }

    fn start(&mut self, life: Life, state_bytes: usize, changes: &mut Changes) {
        let peer = self.peer(life, changes);
        if state_bytes == 0 {
            *peer = Peer::default();
        }
        let base = peer.log.base().0;
        peer.life = Some(life);
        peer.frozen = false;
        peer.progress.clear();
        let Standing { term, voted_for, .. } = peer.is;
        peer.is =
            Standing { role: Role::Follower, term, voted_for, leader: None, commit: base, applied: base };
        changes.logs.push((life.server, base.saturating_add(1)));
    }

    fn message(&mut self, passage: &Passage, event: &Event, changes: &mut Changes) {
        let (Party::Server(from), Party::Server(to)) = (passage.from, passage.to) else { return };
        if let Some(answer) = event.seen().answer {
            if answer.sender_lives {
                self.peer(from, changes);
                self.answers(from.server, to.server, answer.request, answer.reply, changes);
            }
        } else if passage.answers.is_none() && passage.step == Step::Sent && passage.sender_lives {
            self.peer(from, changes);
            self.asks(from.server, to.server, &passage.content, changes);
        } else if let (Some(answered), Step::Delivered) = (&passage.answers, passage.step) {
            let lives = |peer: &Peer| peer.life == Some(to) && peer.is.role != Role::Dead;
            if self.servers.get(to.server).is_some_and(lives) {
                self.peer(to, changes);
                self.is_told(to.server, from.server, &answered.request, &passage.content, changes);
            }
        }
    }

    /// A server sends a request.
    fn asks(&mut self, server: usize, to: usize, request: &Content, changes: &mut Changes) {
        let peer = &mut self.servers[server];
        match request {
            Content::RequestVote(RequestVote { term, last_log_index, last_log_term }) => {
                peer.learn(*term);
                let is_late = peer.is.term != *term || peer.is.role == Role::Leader;
                if is_late || peer.is.voted_for.is_some_and(|other| other != server) {
                    return;
                }
                (peer.is.role, peer.is.voted_for) = (Role::Candidate, Some(server));
                let changed = peer.log.ends(*last_log_index, *last_log_term);
                changes.logs.extend(changed.map(|from| (server, from)));
            }
            Content::AppendEntries(append) => {
                let AppendEntries { term, prev_log_index, prev_log_term, entries, leader_commit } = append;
                if !self.leads(server, *term, changes) {
                    return;
                }
                let peer = &mut self.servers[server];
                peer.is.commit = peer.is.commit.max(*leader_commit);
                let changed = peer.log.has(*prev_log_index, *prev_log_term, entries);
                changes.logs.extend(changed.map(|from| (server, from)));
                self.sent(server, to, append.last_index(), changes);
            }
            Content::InstallSnapshot(install) => {
                let InstallSnapshot { term, last_included_index: index, last_included_term, .. } = *install;
                if !self.leads(server, term, changes) {
                    return;
                }
                let peer = &mut self.servers[server];
                peer.is.commit = peer.is.commit.max(index);
                if peer.log.compact(index, Some(last_included_term)) {
                    changes.compacted.push(server);
                }
                self.sent(server, to, index, changes);
            }
            _ => {}
        }
    }

    /// A server answers a request of `asker`.
    fn answers(
        &mut self,
        server: usize,
        asker: usize,
        request: &Content,
        reply: &Content,
        changes: &mut Changes,
    ) {
        let peer = &mut self.servers[server];
        match (request, reply) {
            (Content::RequestVote(asked), Content::RequestVoteReply(reply)) => {
                peer.learn(reply.term);
                if reply.granted {
                    peer.learn(asked.term);
                    if peer.is.term == asked.term {
                        peer.is.voted_for = Some(asker);
                    }
                }
            }
            (Content::AppendEntries(asked), Content::AppendEntriesReply(reply)) => {
                peer.learn(reply.term);
                if !peer.follows(asker, asked.term) || !reply.success {
                    return;
                }
                let changed = peer.log.has(asked.prev_log_index, asked.prev_log_term, &asked.entries);
                changes.logs.extend(changed.map(|from| (server, from)));
                peer.is.commit = peer.is.commit.max(asked.leader_commit.min(asked.last_index()));
            }
            (Content::InstallSnapshot(asked), Content::InstallSnapshotReply { term, .. }) => {
                peer.learn(*term);
                if peer.follows(asker, asked.term) {
                    self.installs(server, asked.last_included_index, asked.last_included_term, changes);
                }
            }
            _ => {}
        }
    }

    /// A server has an answer of `follower`.
    fn is_told(
        &mut self,
        server: usize,
        follower: usize,
        request: &Content,
        reply: &Content,
        changes: &mut Changes,
    ) {
        let (term, acknowledged) = match (request, reply) {
            (Content::AppendEntries(asked), Content::AppendEntriesReply(reply)) => {
                (reply.term, reply.success.then_some((asked.term, asked.last_index())))
            }
            (Content::InstallSnapshot(asked), Content::InstallSnapshotReply { term, .. }) => {
                (*term, (*term == asked.term).then_some((asked.term, asked.last_included_index)))
            }
            (_, Content::RequestVoteReply(reply)) => (reply.term, None),
            _ => return,
        };
        let peer = &mut self.servers[server];
        peer.learn(term);
        let Some((reign, index)) = acknowledged else { return };
        if (peer.is.role, peer.is.term) == (Role::Leader, reign) {
            let progress = peer.progress_of(follower);
            let before = *progress;
            progress.matched = progress.matched.max(index);
            progress.next = progress.next.max(index.saturating_add(1));
            if *progress != before {
                changes.progress.push((server, follower));
            }
        }
    }

    /// The server shows that it leads `term`. Whether that is its term.
    fn leads(&mut self, server: usize, term: u64, changes: &mut Changes) -> bool {
        let peer = &mut self.servers[server];
        peer.learn(term);
        if peer.is.term != term || peer.is.role == Role::Dead {
            return false;
        }
        if peer.is.role != Role::Leader {
            (peer.is.role, peer.is.leader) = (Role::Leader, Some(server));
            peer.progress.clear();
        }
        if !changes.servers.contains(&server) {
            changes.servers.push(server);
        }
        true
    }

    /// A leader has sent what a follower then has up to `last`.
    fn sent(&mut self, server: usize, to: usize, last: u64, changes: &mut Changes) {
        let progress = self.servers[server].progress_of(to);
        let next = last.saturating_add(1);
        if progress.next != next {
            progress.next = next;
            changes.progress.push((server, to));
        }
    }

    /// "If existing log entry has same index and term as snapshot's last included entry, retain log entries following
    /// it"; else "discard the entire log" (figure 13).
    fn installs(&mut self, server: usize, index: u64, term: u64, changes: &mut Changes) {
        let Peer { log, is, .. } = &mut self.servers[server];
        if index <= log.base().0 {
            return;
        }
        let news = if log.term_is(index, term) {
            log.compact(index, Some(term))
        } else {
            changes.logs.push((server, index.saturating_add(1)));
            log.replace(index, term)
        };
        if news {
            changes.compacted.push(server);
        }
        is.commit = is.commit.max(index);
    }
}

impl Peer {
    /// "If RPC request or response contains term T > currentTerm: set currentTerm = T, convert to follower" (figure 2).
    fn learn(&mut self, term: u64) {
        let is = &mut self.is;
        if term > is.term {
            let role = if is.role == Role::Dead { Role::Dead } else { Role::Follower };
            *is = Standing { role, term, voted_for: None, leader: None, ..*is };
        }
    }

    /// The server hears from the leader of `term`. Whether that is its term.
    fn follows(&mut self, leader: usize, term: u64) -> bool {
        let is = &mut self.is;
        if is.term != term {
            return false;
        }
        if matches!(is.role, Role::Follower | Role::Candidate) {
            (is.role, is.leader) = (Role::Follower, Some(leader));
        }
        true
    }

    fn applies(&mut self, index: u64) {
        self.is.applied = index;
        self.is.commit = self.is.commit.max(index);
    }

    fn progress_of(&mut self, follower: usize) -> &mut Progress {
        if self.progress.len() <= follower {
            self.progress.resize(follower + 1, Progress::default());
        }
        &mut self.progress[follower]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use labrpc::{CallId, MessageId};

    use super::*;
    use crate::events::{Answered, Death};

    /// A picture of a leader and a follower, and what it takes in.
    struct Scene {
        picture: Picture,
        number: u64,
    }

    const LEADER: Life = Life { server: 0, incarnation: 0 };
    const FOLLOWER: Life = Life { server: 1, incarnation: 0 };

    impl Scene {
        fn new() -> Scene {
            let mut scene = Scene { picture: Picture::default(), number: 0 };
            for life in [LEADER, FOLLOWER] {
                scene.see(What::Start { life, state_bytes: 0, snapshot_bytes: 0 });
            }
            scene
        }

        fn see(&mut self, what: What) -> Changes {
            let mut changes = Changes::default();
            let event = Event { number: self.number, at: Duration::from_millis(self.number), what };
            self.picture.see(&event, &mut changes);
            self.number += 1;
            changes
        }

        /// The follower is sent a snapshot, and `step` of its answer is taken.
        fn answer(&mut self, (index, of): (u64, u64), term: u64, step: Step) {
            let request = Arc::new(Content::InstallSnapshot(InstallSnapshot {
                term,
                last_included_index: index,
                last_included_term: of,
                data_bytes: 0,
            }));
            self.see(What::Message(Passage {
                id: MessageId(1),
                call: CallId(0),
                method: "",
                from: Party::Server(FOLLOWER),
                to: Party::Server(LEADER),
                stranger: None,
                is_reply: true,
                sender_lives: true,
                bytes: 0,
                content: Arc::new(Content::InstallSnapshotReply { term, plain: true }),
                answers: Some(Answered { request, begun: 0 }),
                step,
            }));
        }
    }

    /// A follower that kept its own entry's term in a snapshot's place was shown with the term that it had been sent.
    #[test]
    fn a_server_is_believed_what_its_snapshot_ends_with() {
        let mut scene = Scene::new();
        scene.answer((9, 3), 3, Step::Sent);
        assert_eq!(scene.picture.servers[1].log.base(), (9, 3));
        let own = What::ApplySnapshot { life: FOLLOWER, index: 9, term: 2 };
        assert_eq!(scene.see(own.clone()).compacted, [1]);
        let Peer { is, log, .. } = &scene.picture.servers[1];
        assert_eq!((is.term, is.applied, log.base()), (3, 9, (9, 2)));
        assert_eq!(scene.see(own).compacted, [0; 0], "that is no news");
    }

    /// Its machine is lost, but messages still reach it.
    #[test]
    fn a_lost_server_learns_nothing() {
        let mut scene = Scene::new();
        scene.see(What::Crash { life: LEADER, how: Death::Lost });
        scene.answer((9, 3), 7, Step::Delivered);
        assert_eq!(scene.picture.servers[0].is.term, 0);
        scene.see(What::Start { life: LEADER, state_bytes: 1, snapshot_bytes: 0 });
        assert_eq!((scene.picture.servers[0].is.role, scene.picture.servers[0].is.term), (Role::Follower, 0));
    }

    #[test]
    fn a_snapshot_of_everything_is_drawn_too() {
        let mut scene = Scene::new();
        scene.answer((u64::MAX, 1), 1, Step::Sent);
        let log = &scene.picture.servers[1].log;
        assert_eq!((log.base(), log.last(), log.from(0).len()), ((u64::MAX, 1), u64::MAX, 0));
        scene.see(What::Crash { life: FOLLOWER, how: Death::Kill });
        scene.see(What::Start { life: FOLLOWER, state_bytes: 1, snapshot_bytes: 1 });
        assert_eq!(scene.picture.servers[1].is.commit, u64::MAX);
    }
}
