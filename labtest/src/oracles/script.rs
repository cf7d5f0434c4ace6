//! Hand-made histories for the oracles' tests: what happens on a cluster of which every server is alive and empty at
//! first, event by event.

use std::sync::Arc;
use std::time::Duration;

use labrpc::{CallId, MessageId, Step};

use super::{Objection, Oracles, Rule};
use crate::events::{
    Answered, AppendEntries, AppendEntriesReply, Command, Content, Death, Entry, Event, InstallSnapshot,
    Life, Number, Party, Passage, RequestVote, RequestVoteReply, What,
};
use crate::evidence;

/// A history, and what the oracles made of it.
pub(crate) struct Script {
    oracles: Oracles,
    next: Number,
    lives: Vec<Life>,
    calls: Vec<Call>,
    objection: Option<Objection>,
    servers: usize,
    events: Vec<Event>,
}

struct Call {
    from: Life,
    to: Life,
    request: Arc<Content>,
    begun: Option<Number>,
}

/// A call of the history.
pub(crate) type Handle = usize;

/// Index and term of an entry.
pub(crate) type At = (u64, u64);

impl Script {
    pub(crate) fn new(servers: usize) -> Script {
        let lives = (0..servers).map(|server| Life { server, incarnation: 0 }).collect();
        let oracles = Oracles::new(servers, super::Off::default());
        let (calls, events) = (Vec::new(), Vec::new());
        let mut script = Script { oracles, next: 0, lives, calls, objection: None, servers, events };
        for life in script.lives.clone() {
            script.push(What::Start { life, state_bytes: 0, snapshot_bytes: 0 });
        }
        script
    }

    /// The history must have made this rule's oracle object, in such words.
    #[track_caller]
    pub(crate) fn objects(&self, rule: &'static Rule, words: &str) {
        let objection = self.objection.as_ref().expect("no oracle objected to what is wrong");
        assert_eq!(objection.rule.id, rule.id, "{objection}");
        assert!(objection.text.contains(words), "{words:?} is missing in: {objection}");
        assert!(objection.evidence.iter().all(|&event| event < self.next));
        self.is_seen_again();
    }

    /// The history must have made no oracle object.
    #[track_caller]
    pub(crate) fn is_silent(&self) {
        assert!(
            self.objection.is_none(),
            "what is right was objected to: {}",
            self.objection.as_ref().unwrap()
        );
        self.is_seen_again();
    }

    // Servers.

    pub(crate) fn crash(&mut self, server: usize) {
        self.push(What::Crash { life: self.lives[server], how: Death::Kill });
    }

    pub(crate) fn restart(&mut self, server: usize) {
        self.crash(server);
        self.lives[server].incarnation += 1;
        self.push(What::Start { life: self.lives[server], state_bytes: 0, snapshot_bytes: 0 });
    }

    pub(crate) fn state(&mut self, server: usize, term: u64, is_leader: bool) {
        let life = self.lives[server];
        self.push(What::State { life, asked: self.next, term, is_leader });
    }

    pub(crate) fn accept(&mut self, server: usize, (index, term): At, command: &str) {
        let (life, command) = (self.lives[server], Command::of(command.as_bytes()));
        self.push(What::Accept { life, asked: self.next, index, term, command });
    }

    pub(crate) fn apply(&mut self, server: usize, index: u64, command: &str) {
        let command = Command::of(command.as_bytes());
        self.push(What::Apply { life: self.lives[server], index, command });
    }

    pub(crate) fn apply_snapshot(&mut self, server: usize, (index, term): At) {
        self.push(What::ApplySnapshot { life: self.lives[server], index, term });
    }

    // Any messages.

    /// A request is sent.
    fn send(&mut self, from: usize, to: usize, request: Content) -> Handle {
        let (from, to) = (self.lives[from], self.lives[to]);
        let request = Arc::new(request);
        self.calls.push(Call { from, to, request: request.clone(), begun: None });
        let handle = self.calls.len() - 1;
        self.passage(handle, Step::Sent, request, None);
        handle
    }

    /// It reaches its handler.
    pub(crate) fn arrive(&mut self, call: Handle) {
        let begun = self.next;
        self.calls[call].begun.get_or_insert(begun);
        self.passage(call, Step::Delivered, self.calls[call].request.clone(), None);
    }

    /// Its reply leaves.
    fn reply(&mut self, call: Handle, reply: Content) {
        let Call { request, begun, .. } = &self.calls[call];
        let answered = Answered { request: request.clone(), begun: begun.expect("it has arrived") };
        self.passage(call, Step::Sent, Arc::new(reply), Some(answered));
    }

    fn passage(&mut self, call: Handle, step: Step, content: Arc<Content>, answers: Option<Answered>) {
        let Call { from, to, .. } = self.calls[call];
        let (from, to) = if answers.is_some() { (to, from) } else { (from, to) };
        self.push(What::Message(Passage {
            id: MessageId(self.next),
            call: CallId(call as u64),
            method: "",
            from: Party::Server(from),
            to: Party::Server(to),
            stranger: None,
            is_reply: answers.is_some(),
            sender_lives: self.lives[from.server] == from,
            bytes: 0,
            content,
            answers,
            step,
        }));
    }

    fn push(&mut self, what: What) {
        let event = Event { number: self.next, at: Duration::from_millis(self.next), what };
        self.next += 1;
        if self.objection.is_none() {
            self.objection = self.oracles.see(&event).err().map(|objection| *objection);
        }
        self.events.push(event);
    }

    /// Whoever is shown the evidence of this history says the same.
    #[track_caller]
    fn is_seen_again(&self) {
        let evidence = evidence::encode(self.servers, &self.events, b"");
        let said = self.objection.as_ref().map(|objection| format!("{}\n{}", objection.text, objection.rule));
        assert_eq!(evidence::review(&evidence, None).err(), said);
        // Bytes changed at will make nobody panic who reads them.
        for at in (0..evidence.len()).step_by(7) {
            let mut changed = evidence.clone();
            changed[at] ^= 0xff;
            evidence::can_be_read(&changed);
        }
    }

    /// An own message of the solution, to which there is an own answer.
    pub(crate) fn opaque(&mut self, from: usize, to: usize) {
        let call = self.send(from, to, Content::Other);
        self.arrive(call);
        self.reply(call, Content::Other);
    }

    // Elections.

    /// A candidate whose log ends at `last` asks for a vote.
    pub(crate) fn ask(&mut self, from: usize, to: usize, term: u64, last: At) -> Handle {
        let (last_log_index, last_log_term) = last;
        self.send(from, to, Content::RequestVote(RequestVote { term, last_log_index, last_log_term }))
    }

    pub(crate) fn ask_and_arrive(&mut self, from: usize, to: usize, term: u64, last: At) -> Handle {
        let call = self.ask(from, to, term, last);
        self.arrive(call);
        call
    }

    pub(crate) fn vote(&mut self, call: Handle, term: u64, granted: bool) {
        self.reply(call, Content::RequestVoteReply(RequestVoteReply { term, granted }));
    }

    /// The whole exchange, with the term of the request in the reply.
    pub(crate) fn votes(&mut self, candidate: usize, voter: usize, term: u64, last: At, granted: bool) {
        let call = self.ask_and_arrive(candidate, voter, term, last);
        self.vote(call, term, granted);
    }

    /// A candidate gets all votes.
    pub(crate) fn elect(&mut self, candidate: usize, term: u64, last: At) {
        for voter in (0..self.lives.len()).filter(|&voter| voter != candidate) {
            self.votes(candidate, voter, term, last, true);
        }
    }

    // Replication.

    /// A leader sends entries, as terms and commands, that follow `prev`.
    pub(crate) fn send_append(
        &mut self,
        leader: usize,
        follower: usize,
        term: u64,
        prev: At,
        entries: &[(u64, &str)],
        leader_commit: u64,
    ) -> Handle {
        let entry = |&(term, command): &(u64, &str)| Entry { term, command: Command::of(command.as_bytes()) };
        let append = AppendEntries {
            term,
            prev_log_index: prev.0,
            prev_log_term: prev.1,
            entries: entries.iter().map(entry).collect(),
            leader_commit,
        };
        self.send(leader, follower, Content::AppendEntries(append))
    }

    /// The same, and they arrive.
    pub(crate) fn append(
        &mut self,
        leader: usize,
        follower: usize,
        term: u64,
        prev: At,
        entries: &[(u64, &str)],
        leader_commit: u64,
    ) -> Handle {
        let call = self.send_append(leader, follower, term, prev, entries, leader_commit);
        self.arrive(call);
        call
    }

    /// The same, and the follower accepts them.
    pub(crate) fn replicate(
        &mut self,
        leader: usize,
        follower: usize,
        term: u64,
        prev: At,
        entries: &[(u64, &str)],
        leader_commit: u64,
    ) {
        let call = self.append(leader, follower, term, prev, entries, leader_commit);
        self.accepts(call);
    }

    /// A follower accepts what a leader sent: entries or a snapshot.
    pub(crate) fn accepts(&mut self, call: Handle) {
        let reply = match &*self.calls[call].request {
            Content::AppendEntries(asked) => {
                Content::AppendEntriesReply(AppendEntriesReply { term: asked.term, success: true })
            }
            Content::InstallSnapshot(asked) => {
                Content::InstallSnapshotReply { term: asked.term, plain: true }
            }
            other => panic!("{other} is not to be accepted"),
        };
        self.reply(call, reply);
    }

    /// A follower answers AppendEntries.
    pub(crate) fn answers(&mut self, call: Handle, term: u64, success: bool) {
        self.reply(call, Content::AppendEntriesReply(AppendEntriesReply { term, success }));
    }

    /// A leader sends a snapshot, and it arrives.
    pub(crate) fn snapshot(&mut self, leader: usize, follower: usize, term: u64, last: At) -> Handle {
        let (last_included_index, last_included_term) = last;
        let request = Content::InstallSnapshot(InstallSnapshot {
            term,
            last_included_index,
            last_included_term,
            data_bytes: 0,
        });
        let call = self.send(leader, follower, request);
        self.arrive(call);
        call
    }
}
