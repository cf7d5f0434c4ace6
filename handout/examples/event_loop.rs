//! Another way to build a peer: no mutex, one thread that owns all state and takes events from a channel.
//!
//! It fits the same contract as the mutex of the starter: put it in place of `raft/src/raft.rs` and `cargo test 2A`
//! passes. It does elections and heartbeats, lab 2A, and leaves the log to you. What to notice:
//! - handlers and reply callbacks only put an event into the channel; a handler then waits for the loop's answer;
//! - the loop never waits for anything but the next event or the next deadline, so it can always answer;
//! - what another thread may ask (`state`) is an event too.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use labrpc::RpcError;

use crate::messages::{
    AppendEntriesArgs, AppendEntriesReply, InstallSnapshotArgs, InstallSnapshotReply, RaftClient,
    RaftService, RequestVoteArgs, RequestVoteReply,
};
use crate::{ApplyMsg, NotLeader, Persister, Start, State};

const HEARTBEAT: Duration = Duration::from_millis(100);

/// Everything that can happen to a peer. A `Sender` inside takes the loop's answer.
enum Event {
    RequestVote(RequestVoteArgs, Sender<RequestVoteReply>),
    AppendEntries(AppendEntriesArgs, Sender<AppendEntriesReply>),
    /// A reply to a request of ours: for which term we asked, and what came back.
    Vote(u64, RequestVoteReply),
    Appended(AppendEntriesReply),
    GetState(Sender<State>),
    Kill,
}

#[derive(Clone)]
pub struct Raft {
    events: Sender<Event>,
}

impl Raft {
    pub fn new(peers: Vec<RaftClient>, me: usize, _disk: Persister, _apply_ch: Sender<ApplyMsg>) -> Raft {
        assert!(me < peers.len(), "server {me} is not among the {} peers", peers.len());
        let (events, inbox) = unbounded();
        let (role, deadline) = (Role::Follower, election_deadline());
        let peer = Peer { me, peers, events: events.clone(), term: 0, voted_for: None, role, deadline };
        std::thread::Builder::new()
            .name(format!("raft-{me}"))
            .spawn(move || peer.run(&inbox))
            .expect("a thread");
        Raft { events }
    }

    pub fn start(&self, _command: Vec<u8>) -> Result<Start, NotLeader> {
        todo!("2B: an event that carries the command, and the loop's answer")
    }

    pub fn state(&self) -> State {
        self.ask(Event::GetState).unwrap_or(State { term: 0, is_leader: false })
    }

    pub fn snapshot(&self, _index: u64, _snapshot: Vec<u8>) {
        todo!("2D: an event that carries the snapshot")
    }

    pub fn kill(&self) {
        let _ = self.events.send(Event::Kill);
    }

    /// Puts an event into the loop and waits for its answer; none comes from a loop that has ended.
    fn ask<A>(&self, event: impl FnOnce(Sender<A>) -> Event) -> labrpc::Result<A> {
        let (answer, answered) = bounded(1);
        self.events.send(event(answer)).map_err(|_| RpcError::Stopped)?;
        answered.recv().map_err(|_| RpcError::Stopped)
    }
}

impl RaftService for Raft {
    fn request_vote(&self, args: RequestVoteArgs) -> labrpc::Result<RequestVoteReply> {
        self.ask(|answer| Event::RequestVote(args, answer))
    }

    fn append_entries(&self, args: AppendEntriesArgs) -> labrpc::Result<AppendEntriesReply> {
        self.ask(|answer| Event::AppendEntries(args, answer))
    }

    fn install_snapshot(&self, _args: InstallSnapshotArgs) -> labrpc::Result<InstallSnapshotReply> {
        todo!("2D: an event like the others")
    }
}

enum Role {
    Follower,
    Candidate { votes: usize },
    Leader,
}

/// The state of the peer: owned by the loop's thread alone.
struct Peer {
    me: usize,
    peers: Vec<RaftClient>,
    events: Sender<Event>,
    term: u64,
    voted_for: Option<usize>,
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
                Err(_) => self.on_deadline(),
            }
        }
    }

    /// A leader sends heartbeats, the others start an election.
    fn on_deadline(&mut self) {
        if matches!(self.role, Role::Leader) {
            let args = AppendEntriesArgs { term: self.term, leader_id: self.me, ..Default::default() };
            for peer in self.others() {
                let events = self.events.clone();
                peer.append_entries(&args).on_reply(move |reply| {
                    let _ = reply.map(|reply| events.send(Event::Appended(reply)));
                });
            }
            self.deadline = Instant::now() + HEARTBEAT;
            return;
        }
        self.term += 1;
        self.voted_for = Some(self.me);
        self.role = Role::Candidate { votes: 1 };
        let args = RequestVoteArgs { term: self.term, candidate_id: self.me, ..Default::default() };
        for peer in self.others() {
            let (events, asked) = (self.events.clone(), self.term);
            peer.request_vote(&args).on_reply(move |reply| {
                let _ = reply.map(|reply| events.send(Event::Vote(asked, reply)));
            });
        }
        self.deadline = election_deadline();
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::RequestVote(args, answer) => {
                self.observe_term(args.term);
                let vote_granted =
                    args.term == self.term && self.voted_for.is_none_or(|voted| voted == args.candidate_id);
                if vote_granted {
                    self.voted_for = Some(args.candidate_id);
                    self.deadline = election_deadline();
                }
                let _ = answer.send(RequestVoteReply { term: self.term, vote_granted });
            }
            Event::AppendEntries(args, answer) => {
                self.observe_term(args.term);
                let success = args.term == self.term;
                if success {
                    self.role = Role::Follower;
                    self.deadline = election_deadline();
                }
                let _ = answer.send(AppendEntriesReply { term: self.term, success, ..Default::default() });
            }
            Event::Vote(asked, reply) => {
                self.observe_term(reply.term);
                if let Role::Candidate { votes } = &mut self.role {
                    *votes += usize::from(asked == self.term && reply.vote_granted);
                    if *votes > self.peers.len() / 2 {
                        self.role = Role::Leader;
                        self.deadline = Instant::now();
                    }
                }
            }
            Event::Appended(reply) => self.observe_term(reply.term),
            Event::GetState(answer) => {
                let is_leader = matches!(self.role, Role::Leader);
                let _ = answer.send(State { term: self.term, is_leader });
            }
            Event::Kill => unreachable!("ends the loop"),
        }
    }

    fn observe_term(&mut self, term: u64) {
        if term > self.term {
            if matches!(self.role, Role::Leader) {
                self.deadline = election_deadline();
            }
            (self.term, self.voted_for, self.role) = (term, None, Role::Follower);
        }
    }

    fn others(&self) -> impl Iterator<Item = &RaftClient> {
        self.peers.iter().enumerate().filter(|(id, _)| *id != self.me).map(|(_, peer)| peer)
    }
}

fn election_deadline() -> Instant {
    Instant::now() + Duration::from_millis(rand::random_range(350..700))
}
