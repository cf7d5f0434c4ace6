//! A peer without a mutex: one thread, the loop, owns all state and takes events from a channel. A second one hands
//! over what is committed, so that the loop never waits for the service.
//!
//! New entries go out as soon as the channel is empty, whether earlier ones have been answered or not.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use futures::channel::oneshot;
use labrpc::RpcError;
use serde::{Deserialize, Serialize};

use crate::messages::{
    AppendEntriesArgs, AppendEntriesReply, InstallSnapshotArgs, InstallSnapshotReply, LogEntry, RaftClient,
    RaftService, RequestVoteArgs, RequestVoteReply,
};
use crate::{ApplyMsg, NotLeader, Persister, Start, State};

/// The longest command, in bytes.
pub const MAX_COMMAND_BYTES: usize = 1 << 20;

const HEARTBEAT: Duration = Duration::from_millis(100);
/// When a snapshot that was not acknowledged is sent again.
const SNAPSHOT_RETRY: Duration = Duration::from_millis(1000);
/// How much one AppendEntries carries, if it is more than one entry.
const MAX_BATCH_BYTES: usize = 1 << 20;

/// Everything that can happen to a peer. A `Sender` inside takes the loop's answer.
enum Event {
    RequestVote(RequestVoteArgs, Sender<RequestVoteReply>),
    AppendEntries(AppendEntriesArgs, Sender<AppendEntriesReply>),
    InstallSnapshot(InstallSnapshotArgs, Sender<InstallSnapshotReply>),
    /// Replies to requests of ours, with what is to be remembered of these.
    Voted {
        peer: usize,
        term: u64,
        reply: RequestVoteReply,
    },
    Appended {
        peer: usize,
        sent: Sent,
        reply: labrpc::Result<AppendEntriesReply>,
    },
    Installed {
        peer: usize,
        term: u64,
        index: u64,
        reply: InstallSnapshotReply,
    },
    Start(Vec<u8>, Sender<Option<Start>>),
    Snapshot(u64, Vec<u8>, Sender<()>),
    GetState(Sender<State>),
    Kill,
}

#[derive(Clone, Copy)]
struct Sent {
    term: u64,
    prev: u64,
    count: u64,
    /// How often the leader had gone back for this follower.
    turns: u64,
}

/// For the thread that talks to the service.
enum Message {
    Apply(u64, ApplyMsg),
    Deposed,
}

type Callback = Box<dyn Fn() + Send + Sync>;

/// A handle to the loop.
#[derive(Clone)]
pub struct Raft {
    me: usize,
    events: Sender<Event>,
    handed_over: Arc<AtomicU64>,
    on_deposed: Arc<OnceLock<Callback>>,
}

/// Why a leader cannot serve a read without the log: this one never can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadIndexError {
    /// This server does not lead.
    NotLeader,
    /// It leads, and the read is to go through the log.
    NothingCommitted,
}

impl Raft {
    /// Starts a peer.
    pub fn new(peers: Vec<RaftClient>, me: usize, disk: Persister, apply_ch: Sender<ApplyMsg>) -> Raft {
        assert!(me < peers.len(), "server {me} is not among the {} peers", peers.len());
        let (events, inbox) = unbounded();
        let (service, messages) = unbounded();
        let saved = disk.state();
        let durable = if saved.is_empty() {
            Durable::default()
        } else {
            labcodec::decode(&saved)
                .unwrap_or_else(|error| panic!("server {me} cannot read its term, vote and log: {error}"))
        };
        let base = durable.base;
        let peer = Peer {
            me,
            peers,
            events: events.clone(),
            service,
            disk,
            durable,
            changed: false,
            commit: base,
            queued: base,
            role: Role::Follower,
            deadline: election_deadline(),
        };
        let handed_over = Arc::new(AtomicU64::new(base));
        let raft = Raft { me, events, handed_over, on_deposed: Arc::default() };
        spawn(format!("raft-{me}"), move || peer.run(&inbox));
        let own = raft.clone();
        spawn(format!("raft-{me}-service"), move || own.serve(&messages, &apply_ch));
        raft
    }

    /// Asks for agreement on a command.
    pub fn start(&self, command: Vec<u8>) -> Result<Start, NotLeader> {
        assert!(command.len() <= MAX_COMMAND_BYTES, "a command of {} bytes is too long", command.len());
        self.ask(|answer| Event::Start(command, answer)).ok().flatten().ok_or(NotLeader)
    }

    /// The term, and whether this server leads.
    pub fn state(&self) -> State {
        self.ask(Event::GetState).unwrap_or(State { term: 0, is_leader: false })
    }

    /// The service has made a snapshot.
    pub fn snapshot(&self, index: u64, snapshot: Vec<u8>) {
        let last = self.handed_over.load(Ordering::Acquire);
        assert!(index <= last, "server {}: index {index} is beyond {last}, the last one applied", self.me);
        let _ = self.ask(|answer| Event::Snapshot(index, snapshot, answer));
    }

    /// Ends this peer.
    pub fn kill(&self) {
        let _ = self.events.send(Event::Kill);
    }

    /// Says whether a read may be tried at all.
    pub fn read_index(&self) -> Result<oneshot::Receiver<u64>, ReadIndexError> {
        Err(if self.state().is_leader { ReadIndexError::NothingCommitted } else { ReadIndexError::NotLeader })
    }

    /// What is to be called when this server ceases to lead.
    pub fn on_deposed(&self, f: impl Fn() + Send + Sync + 'static) {
        let _ = self.on_deposed.set(Box::new(f));
    }

    /// Puts an event into the loop and waits for its answer; none comes from a loop that has ended.
    fn ask<A>(&self, event: impl FnOnce(Sender<A>) -> Event) -> labrpc::Result<A> {
        let (answer, answered) = bounded(1);
        self.events.send(event(answer)).map_err(|_| RpcError::Stopped)?;
        answered.recv().map_err(|_| RpcError::Stopped)
    }

    /// The second thread; ends with the loop.
    fn serve(&self, messages: &Receiver<Message>, apply_ch: &Sender<ApplyMsg>) {
        for message in messages {
            match message {
                Message::Apply(index, message) => {
                    self.handed_over.store(index, Ordering::Release);
                    if apply_ch.send(message).is_err() {
                        return self.kill();
                    }
                }
                Message::Deposed => {
                    if let Some(on_deposed) = self.on_deposed.get() {
                        on_deposed();
                    }
                }
            }
        }
    }
}

impl RaftService for Raft {
    fn request_vote(&self, args: RequestVoteArgs) -> labrpc::Result<RequestVoteReply> {
        self.ask(|answer| Event::RequestVote(args, answer))
    }

    fn append_entries(&self, args: AppendEntriesArgs) -> labrpc::Result<AppendEntriesReply> {
        self.ask(|answer| Event::AppendEntries(args, answer))
    }

    fn install_snapshot(&self, args: InstallSnapshotArgs) -> labrpc::Result<InstallSnapshotReply> {
        self.ask(|answer| Event::InstallSnapshot(args, answer))
    }
}

fn spawn(name: String, run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().name(name).spawn(run).expect("a thread");
}

enum Role {
    Follower,
    Candidate { votes: HashSet<usize> },
    Leader { followers: Vec<Follower> },
}

/// What a leader knows of one follower.
#[derive(Clone)]
struct Follower {
    next: u64,
    matched: u64,
    turns: u64,
    /// No entry from here on is known to be in its log: a refusal says so, whichever message it answers, and a late one must not
    /// let the search begin again.
    differs: u64,
    /// The last thing heard of it is that a message was lost: it is sent nothing but heartbeats, with what it lacks.
    silent: bool,
    snapshot_sent: Option<Instant>,
}

/// What is on disk. Entry `log[i]` stands at index `base + 1 + i`; up to `base` there is a snapshot.
#[derive(Default, Serialize, Deserialize)]
struct Durable {
    term: u64,
    voted_for: Option<usize>,
    base: u64,
    base_term: u64,
    log: Vec<LogEntry>,
}

impl Durable {
    fn last(&self) -> u64 {
        self.base + self.log.len() as u64
    }

    fn last_term(&self) -> u64 {
        self.log.last().map_or(self.base_term, |entry| entry.term)
    }

    fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.base {
            return Some(self.base_term);
        }
        let place = index.checked_sub(self.base + 1)?;
        self.log.get(place as usize).map(|entry| entry.term)
    }

    /// The place in `log` of an index behind the snapshot.
    fn place(&self, index: u64) -> usize {
        (index - self.base - 1) as usize
    }
}

/// The state of the peer: owned by the loop's thread alone.
struct Peer {
    me: usize,
    peers: Vec<RaftClient>,
    events: Sender<Event>,
    service: Sender<Message>,
    disk: Persister,
    durable: Durable,
    /// `durable` is not what the disk holds.
    changed: bool,
    commit: u64,
    /// The last index that was given to the service's thread.
    queued: u64,
    role: Role,
    /// When a leader's next heartbeats, or anyone else's election, are due.
    deadline: Instant,
}

impl Peer {
    fn run(mut self, inbox: &Receiver<Event>) {
        loop {
            match inbox.recv_deadline(self.deadline) {
                Ok(Event::Kill) => return,
                Ok(event) => self.handle(event),
                Err(_) => {}
            }
            // Events must not keep it from its duties.
            if Instant::now() >= self.deadline {
                self.on_deadline();
            }
            if inbox.is_empty() {
                self.send_new_entries();
            }
        }
    }

    /// A leader sends heartbeats, the others start an election.
    fn on_deadline(&mut self) {
        if matches!(self.role, Role::Leader { .. }) {
            self.deadline = Instant::now() + HEARTBEAT;
            self.others().for_each(|peer| self.send_to(peer));
            return;
        }
        self.durable.term += 1;
        self.durable.voted_for = Some(self.me);
        self.save();
        self.role = Role::Candidate { votes: HashSet::from([self.me]) };
        self.deadline = election_deadline();
        let term = self.durable.term;
        let args = RequestVoteArgs {
            term,
            candidate_id: self.me,
            last_log_index: self.durable.last(),
            last_log_term: self.durable.last_term(),
        };
        for peer in self.others() {
            let events = self.events.clone();
            self.peers[peer].request_vote(&args).on_reply(move |reply| {
                let _ = reply.map(|reply| events.send(Event::Voted { peer, term, reply }));
            });
        }
        self.lead_if_elected();
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::RequestVote(args, answer) => {
                let reply = self.vote(&args);
                self.save_changes();
                let _ = answer.send(reply);
            }
            Event::AppendEntries(args, answer) => {
                let reply = self.append(args);
                self.save_changes();
                self.hand_over();
                let _ = answer.send(reply);
            }
            Event::InstallSnapshot(args, answer) => {
                let reply = self.install(args);
                self.save_changes();
                let _ = answer.send(reply);
            }
            Event::Voted { peer, term, reply } => {
                self.observe_term(reply.term);
                if term == self.durable.term && reply.vote_granted {
                    if let Role::Candidate { votes } = &mut self.role {
                        votes.insert(peer);
                    }
                    self.lead_if_elected();
                }
                self.save_changes();
            }
            Event::Appended { peer, sent, reply } => {
                match reply {
                    Ok(reply) => {
                        self.observe_term(reply.term);
                        self.appended(peer, sent, &reply);
                    }
                    Err(_) => self.lost(peer, sent),
                }
                self.save_changes();
                self.hand_over();
            }
            Event::Installed { peer, term, index, reply } => {
                self.observe_term(reply.term);
                if let Role::Leader { followers } = &mut self.role {
                    if term == self.durable.term {
                        let follower = &mut followers[peer];
                        follower.matched = follower.matched.max(index);
                        follower.next = follower.next.max(follower.matched + 1);
                        follower.snapshot_sent = None;
                    }
                }
                self.save_changes();
            }
            Event::Start(command, answer) => {
                let start = self.start(command);
                self.hand_over();
                let _ = answer.send(start);
            }
            Event::Snapshot(index, snapshot, answer) => {
                if index > self.durable.base {
                    self.trim(index);
                    self.save_with(Some(snapshot));
                }
                let _ = answer.send(());
            }
            Event::GetState(answer) => {
                let is_leader = matches!(self.role, Role::Leader { .. });
                let _ = answer.send(State { term: self.durable.term, is_leader });
            }
            Event::Kill => unreachable!("ends the loop"),
        }
    }

    fn vote(&mut self, args: &RequestVoteArgs) -> RequestVoteReply {
        self.observe_term(args.term);
        let durable = &mut self.durable;
        let up_to_date = (args.last_log_term, args.last_log_index) >= (durable.last_term(), durable.last());
        let free = durable.voted_for.is_none_or(|voted| voted == args.candidate_id);
        let vote_granted = args.term == durable.term && free && up_to_date;
        if vote_granted {
            durable.voted_for = Some(args.candidate_id);
            self.changed = true;
            self.deadline = election_deadline();
        }
        RequestVoteReply { term: durable.term, vote_granted }
    }

    fn lead_if_elected(&mut self) {
        let Role::Candidate { votes } = &self.role else { return };
        if votes.len() > self.peers.len() / 2 {
            let follower = Follower {
                next: self.durable.last() + 1,
                matched: 0,
                turns: 0,
                differs: u64::MAX,
                silent: false,
                snapshot_sent: None,
            };
            self.role = Role::Leader { followers: vec![follower; self.peers.len()] };
            self.deadline = Instant::now();
        }
    }

    fn start(&mut self, command: Vec<u8>) -> Option<Start> {
        if !matches!(self.role, Role::Leader { .. }) {
            return None;
        }
        let term = self.durable.term;
        self.durable.log.push(LogEntry { term, command });
        self.save();
        self.advance_commit();
        Some(Start { index: self.durable.last(), term })
    }

    fn append(&mut self, args: AppendEntriesArgs) -> AppendEntriesReply {
        self.observe_term(args.term);
        let term = self.durable.term;
        if args.term < term {
            return AppendEntriesReply { term, ..Default::default() };
        }
        self.role = Role::Follower;
        self.deadline = election_deadline();
        if args.prev_log_index > self.durable.base {
            let here = self.durable.term_at(args.prev_log_index);
            if here != Some(args.prev_log_term) {
                let conflict_index = match here {
                    None => self.durable.last() + 1,
                    Some(_) => self.first_of_term_at(args.prev_log_index),
                };
                return AppendEntriesReply { term, success: false, conflict_index };
            }
        }
        let last_new = args.prev_log_index + args.entries.len() as u64;
        for (index, entry) in (args.prev_log_index + 1..).zip(args.entries) {
            let here = self.durable.term_at(index);
            if index <= self.durable.base || here == Some(entry.term) {
                continue;
            }
            let place = self.durable.place(index);
            self.durable.log.truncate(place);
            self.durable.log.push(entry);
            self.changed = true;
        }
        self.commit = self.commit.max(args.leader_commit.min(last_new));
        AppendEntriesReply { term, success: true, conflict_index: 0 }
    }

    fn first_of_term_at(&self, mut index: u64) -> u64 {
        let term = self.durable.term_at(index);
        while index > self.durable.base + 1 && self.durable.term_at(index - 1) == term {
            index -= 1;
        }
        index
    }

    fn appended(&mut self, peer: usize, sent: Sent, reply: &AppendEntriesReply) {
        let Role::Leader { followers } = &mut self.role else { return };
        let follower = &mut followers[peer];
        if sent.term != self.durable.term {
            return;
        }
        follower.silent = false;
        if reply.success {
            follower.matched = follower.matched.max(sent.prev + sent.count);
            follower.next = follower.next.max(follower.matched + 1);
            follower.differs = u64::MAX;
            self.advance_commit();
        } else if sent.prev > follower.matched {
            let hint = reply.conflict_index.min(sent.prev);
            if hint < follower.differs || sent.turns == follower.turns {
                follower.differs = follower.differs.min(hint);
                follower.next = follower.differs.max(follower.matched + 1);
                follower.turns += 1;
            }
        }
    }

    /// Goes back to what was lost, once for all that was sent behind it.
    fn lost(&mut self, peer: usize, sent: Sent) {
        let Role::Leader { followers } = &mut self.role else { return };
        let follower = &mut followers[peer];
        let news = sent.turns == follower.turns && sent.prev + sent.count > follower.matched;
        if sent.term == self.durable.term && news && sent.count > 0 {
            follower.next = follower.next.min(sent.prev + 1).max(follower.matched + 1);
            follower.turns += 1;
            follower.silent = true;
        }
    }

    fn advance_commit(&mut self) {
        let Role::Leader { followers } = &self.role else { return };
        let mut held: Vec<u64> = followers.iter().map(|follower| follower.matched).collect();
        held[self.me] = self.durable.last();
        held.sort_unstable();
        let index = held[(held.len() - 1) / 2];
        if index > self.commit && self.durable.term_at(index) == Some(self.durable.term) {
            self.commit = index;
        }
    }

    fn install(&mut self, args: InstallSnapshotArgs) -> InstallSnapshotReply {
        self.observe_term(args.term);
        let reply = InstallSnapshotReply { term: self.durable.term };
        if args.term < self.durable.term {
            return reply;
        }
        self.role = Role::Follower;
        self.deadline = election_deadline();
        let (index, term) = (args.last_included_index, args.last_included_term);
        if index <= self.commit {
            return reply;
        }
        if self.durable.term_at(index) == Some(term) {
            self.trim(index);
        } else {
            self.durable.log.clear();
            (self.durable.base, self.durable.base_term) = (index, term);
        }
        (self.commit, self.queued) = (index, index);
        self.save_with(Some(args.data.clone()));
        let message = ApplyMsg::Snapshot { index, term, data: args.data };
        let _ = self.service.send(Message::Apply(index, message));
        reply
    }

    /// Forgets the entries up to `index`.
    fn trim(&mut self, index: u64) {
        let term = self.durable.term_at(index).expect("an index of the log");
        let place = self.durable.place(index);
        self.durable.log.drain(..=place);
        (self.durable.base, self.durable.base_term) = (index, term);
    }

    /// Gives the service's thread what is committed.
    fn hand_over(&mut self) {
        while self.queued < self.commit {
            self.queued += 1;
            let command = self.durable.log[self.durable.place(self.queued)].command.clone();
            let message = ApplyMsg::Command { index: self.queued, command };
            let _ = self.service.send(Message::Apply(self.queued, message));
        }
    }

    fn send_new_entries(&mut self) {
        let Role::Leader { followers } = &self.role else { return };
        let lacking = |peer: &usize| {
            let follower = &followers[*peer];
            follower.next <= self.durable.last()
                && !follower.silent
                && (follower.next > self.durable.base || follower.snapshot_sent.is_none())
        };
        let lacking: Vec<usize> = self.others().filter(lacking).collect();
        lacking.into_iter().for_each(|peer| self.send_to(peer));
    }

    /// Sends a follower what comes next for it, or a heartbeat.
    fn send_to(&mut self, peer: usize) {
        let Role::Leader { followers } = &mut self.role else { return };
        let (durable, follower) = (&self.durable, &mut followers[peer]);
        let (term, now) = (durable.term, Instant::now());
        let needs_snapshot = follower.next <= durable.base;
        if needs_snapshot && follower.snapshot_sent.is_none_or(|sent| now >= sent + SNAPSHOT_RETRY) {
            follower.snapshot_sent = Some(now);
            let index = durable.base;
            let args = InstallSnapshotArgs {
                term,
                leader_id: self.me,
                last_included_index: index,
                last_included_term: durable.base_term,
                data: self.disk.snapshot(),
            };
            let events = self.events.clone();
            self.peers[peer].install_snapshot(&args).on_reply(move |reply| {
                let _ = reply.map(|reply| events.send(Event::Installed { peer, term, index, reply }));
            });
            return;
        }
        let prev = if needs_snapshot { durable.base } else { follower.next - 1 };
        let unsent = if needs_snapshot { &[][..] } else { &durable.log[durable.place(prev + 1)..] };
        let entries = unsent[..batch(unsent)].to_vec();
        let sent = Sent { term, prev, count: entries.len() as u64, turns: follower.turns };
        follower.next += sent.count;
        let args = AppendEntriesArgs {
            term,
            leader_id: self.me,
            prev_log_index: prev,
            prev_log_term: durable.term_at(prev).expect("an index of the log"),
            entries,
            leader_commit: self.commit,
        };
        let events = self.events.clone();
        self.peers[peer].append_entries(&args).on_reply(move |reply| {
            let _ = events.send(Event::Appended { peer, sent, reply });
        });
    }

    fn observe_term(&mut self, term: u64) {
        if term > self.durable.term {
            if matches!(self.role, Role::Leader { .. }) {
                self.deadline = election_deadline();
                let _ = self.service.send(Message::Deposed);
            }
            (self.durable.term, self.durable.voted_for) = (term, None);
            self.role = Role::Follower;
            self.changed = true;
        }
    }

    fn save_changes(&mut self) {
        if self.changed {
            self.save();
        }
    }

    fn save(&mut self) {
        self.save_with(None);
    }

    fn save_with(&mut self, snapshot: Option<Vec<u8>>) {
        let state = labcodec::encode(&self.durable).expect("it can be encoded");
        self.disk.save(state, snapshot);
        self.changed = false;
    }

    fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let me = self.me;
        (0..self.peers.len()).filter(move |&peer| peer != me)
    }
}

/// How many of the entries fit into one message.
fn batch(entries: &[LogEntry]) -> usize {
    let mut bytes = 0;
    let fits = |entry: &&LogEntry| {
        bytes += entry.command.len() + 16;
        bytes <= MAX_BATCH_BYTES
    };
    entries.iter().take_while(fits).count().max(entries.len().min(1))
}

fn election_deadline() -> Instant {
    Instant::now() + Duration::from_millis(rand::random_range(400..800))
}
