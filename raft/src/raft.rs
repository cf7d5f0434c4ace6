//! [`Raft`]: the rules of [`Core`] with a mutex around them and the threads that set them in motion.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crossbeam_channel::Sender;
use labnode::{ApplyMsg, NotLeader, Persister, Start, State};
use labrpc::RpcError;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::apply::ToApply;
use crate::core::Core;
use crate::messages::{
    AppendEntriesArgs, AppendEntriesReply, InstallSnapshotArgs, InstallSnapshotReply, RaftClient,
    RaftService, RequestVoteArgs, RequestVoteReply,
};
use crate::persist::Storage;
use crate::replication::Sent;

/// The longest command that [`Raft::start`] takes, in bytes.
pub const MAX_COMMAND_BYTES: usize = 1 << 20;

/// A Raft peer: one of several servers that keep the same log.
///
/// A cheap handle; clones are the same peer. Dropping handles stops nothing, [`kill`](Raft::kill) does.
#[derive(Clone)]
pub struct Raft {
    shared: Arc<Shared>,
}

/// What the threads of one peer share.
struct Shared {
    me: usize,
    peers: Vec<RaftClient>,
    locked: Mutex<Locked>,
    /// The role changed so that the election timer runs again.
    election: Condvar,
    /// `replicators[peer]`: there is something to send to `peer`.
    replicators: Vec<Condvar>,
    /// There is something to apply.
    applier: Condvar,
    /// The highest index that the service has been or is just being handed.
    handed_over: AtomicU64,
    /// Set once, by `kill`, under the mutex: who holds it and has looked cannot miss the wake-up.
    dead: AtomicBool,
}

struct Locked {
    core: Core,
    storage: Storage,
}

/// What a replicator sends.
enum Outgoing {
    AppendEntries(AppendEntriesArgs),
    InstallSnapshot(InstallSnapshotArgs),
}

impl Raft {
    /// Starts the peer at position `me` of `peers`, with what its disk holds, and returns at once.
    ///
    /// `peers[i]` reaches server `i`; `peers[me]` is never called. Committed commands and snapshots go to
    /// `apply_ch`, from one thread, in order; that thread may wait there without holding up the others.
    ///
    /// # Panics
    /// If `peers` is empty or has no position `me`, and if the persisted state cannot be read: a server that
    /// does not know what it has promised must not run.
    pub fn new(peers: Vec<RaftClient>, me: usize, persister: Persister, apply_ch: Sender<ApplyMsg>) -> Raft {
        assert!(!peers.is_empty(), "Raft::new: a cluster needs at least one peer, `peers` is empty");
        assert!(
            me < peers.len(),
            "Raft::new: `me` is {me}, expected a position among the {} peers, 0 to {}",
            peers.len(),
            peers.len() - 1
        );
        let state_size = persister.state_size();
        let (storage, persistent) = Storage::load(persister).unwrap_or_else(|error| {
            panic!(
                "Raft::new: server {me} cannot read its persisted state of {state_size} bytes, \
                 expected a journal of votes, snapshot marks and log entries: {error}"
            )
        });
        let core = Core::new(me, peers.len(), persistent, Instant::now());
        let shared = Arc::new(Shared {
            me,
            election: Condvar::new(),
            replicators: peers.iter().map(|_| Condvar::new()).collect(),
            applier: Condvar::new(),
            handed_over: AtomicU64::new(core.last_applied),
            dead: AtomicBool::new(false),
            locked: Mutex::new(Locked { core, storage }),
            peers,
        });
        shared.spawn("election", Shared::run_elections);
        for peer in (0..shared.peers.len()).filter(|&peer| peer != me) {
            shared.spawn(&format!("replicator-{peer}"), move |shared| shared.replicate_to(peer));
        }
        shared.spawn("applier", move |shared| shared.apply_to(&apply_ch));
        Raft { shared }
    }

    /// Asks for agreement on `command`. A leader answers at once with the place the command has in its log,
    /// which is no promise that it will ever be committed.
    ///
    /// # Errors
    /// [`NotLeader`] if this server does not lead, and after [`kill`](Raft::kill).
    ///
    /// # Panics
    /// If the command is longer than [`MAX_COMMAND_BYTES`].
    pub fn start(&self, command: Vec<u8>) -> Result<Start, NotLeader> {
        assert!(
            command.len() <= MAX_COMMAND_BYTES,
            "Raft::start: a command of {} bytes is above the limit of {MAX_COMMAND_BYTES}",
            command.len()
        );
        let mut locked = self.shared.lock().ok_or(NotLeader)?;
        let index = locked.core.append_command(command).ok_or(NotLeader)?;
        let term = locked.core.current_term;
        self.shared.settle(&mut locked, Instant::now());
        Ok(Start { index, term })
    }

    /// This server's term, and whether it believes that it leads. Answers at once.
    pub fn state(&self) -> State {
        let locked = self.shared.locked.lock();
        let is_leader = locked.core.is_leader() && !self.shared.is_dead();
        State { term: locked.core.current_term, is_leader }
    }

    /// Tells Raft that the service's state after applying `index` is `snapshot`, so that the log up to there
    /// is no longer needed (section 7). A snapshot no newer than the last one is ignored, as is any after
    /// [`kill`](Raft::kill).
    ///
    /// # Panics
    /// If `index` is beyond what this server has been handed to apply.
    pub fn snapshot(&self, index: u64, snapshot: Vec<u8>) {
        let Some(mut locked) = self.shared.lock() else { return };
        let handed_over = self.shared.handed_over.load(Ordering::Acquire);
        assert!(
            index <= handed_over,
            "Raft::snapshot: index {index} of server {} is beyond {handed_over}, the last one applied",
            self.shared.me
        );
        let Locked { core, storage } = &mut *locked;
        if core.take_snapshot(index) {
            storage.save_snapshot(core, snapshot);
        }
    }

    /// Ends this peer: its threads stop soon, its handlers give no more answers. Returns at once; a second
    /// time does nothing.
    pub fn kill(&self) {
        self.shared.kill();
    }
}

/// The handlers: each is one rule, and its answer leaves after what it says has been saved.
impl RaftService for Raft {
    fn request_vote(&self, args: RequestVoteArgs) -> labrpc::Result<RequestVoteReply> {
        let mut locked = self.shared.lock().ok_or(RpcError::Stopped)?;
        let now = Instant::now();
        let reply = locked.core.handle_request_vote(&args, now);
        self.shared.settle(&mut locked, now);
        Ok(reply)
    }

    fn append_entries(&self, args: AppendEntriesArgs) -> labrpc::Result<AppendEntriesReply> {
        let mut locked = self.shared.lock().ok_or(RpcError::Stopped)?;
        let now = Instant::now();
        let reply = locked.core.handle_append_entries(args, now);
        self.shared.settle(&mut locked, now);
        Ok(reply)
    }

    fn install_snapshot(&self, args: InstallSnapshotArgs) -> labrpc::Result<InstallSnapshotReply> {
        let mut locked = self.shared.lock().ok_or(RpcError::Stopped)?;
        let now = Instant::now();
        let (reply, news) = locked.core.handle_install_snapshot(&args, now);
        if news {
            let Locked { core, storage } = &mut *locked;
            storage.save_snapshot(core, args.data);
        }
        self.shared.settle(&mut locked, now);
        Ok(reply)
    }
}

impl Shared {
    fn spawn(self: &Arc<Self>, task: &str, run: impl FnOnce(&Arc<Self>) + Send + 'static) {
        let shared = Arc::clone(self);
        std::thread::Builder::new()
            .name(format!("raft-{}-{task}", self.me))
            .spawn(move || run(&shared))
            .expect("the system gives us a thread");
    }

    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// The state of a peer that lives.
    fn lock(&self) -> Option<MutexGuard<'_, Locked>> {
        let locked = self.locked.lock();
        (!self.is_dead()).then_some(locked)
    }

    fn kill(&self) {
        let _locked = self.locked.lock();
        self.dead.store(true, Ordering::Release);
        self.election.notify_all();
        self.applier.notify_all();
        self.replicators.iter().for_each(|replicator| {
            replicator.notify_all();
        });
    }

    /// What follows every rule, before the mutex is released: save what changed, then wake who has work. A
    /// thread that is woken while the mutex is held starts when it is released.
    fn settle(&self, locked: &mut Locked, now: Instant) {
        let Locked { core, storage } = locked;
        storage.save_changes(core);
        if core.has_something_to_apply() {
            self.applier.notify_one();
        }
        for peer in core.others().filter(|&peer| core.wants_to_send(peer, now)) {
            self.replicators[peer].notify_one();
        }
        if std::mem::take(&mut core.deposed) {
            self.election.notify_one();
        }
    }

    /// The election thread: "if election timeout elapses without receiving AppendEntries RPC from current
    /// leader or granting vote to candidate: convert to candidate" (rules for followers).
    fn run_elections(self: &Arc<Self>) {
        let mut locked = self.locked.lock();
        while !self.is_dead() {
            let now = Instant::now();
            if locked.core.election_is_due(now) {
                if let Some(args) = locked.core.become_candidate(now) {
                    self.settle(&mut locked, now);
                    MutexGuard::unlocked(&mut locked, || self.request_votes(&args));
                }
            } else if locked.core.is_leader() {
                self.election.wait(&mut locked);
            } else {
                // Whoever puts the deadline off need not wake us: we look again when it would have passed.
                let deadline = locked.core.election_deadline;
                self.election.wait_until(&mut locked, deadline);
            }
        }
    }

    /// "It ... issues RequestVote RPCs in parallel to each of the other servers" (section 5.2).
    fn request_votes(self: &Arc<Self>, args: &RequestVoteArgs) {
        for peer in (0..self.peers.len()).filter(|&peer| peer != self.me) {
            let (shared, asked) = (Arc::clone(self), args.clone());
            self.peers[peer].request_vote(args).on_reply(move |reply| {
                let (Ok(reply), Some(mut locked)) = (reply, shared.lock()) else { return };
                let now = Instant::now();
                locked.core.handle_request_vote_reply(peer, &asked, &reply, now);
                shared.settle(&mut locked, now);
            });
        }
    }

    /// A replicator thread: sends `peer` what it lacks, and heartbeats, for as long as this server leads.
    fn replicate_to(self: &Arc<Self>, peer: usize) {
        let mut locked = self.locked.lock();
        while !self.is_dead() {
            let now = Instant::now();
            if locked.core.wants_to_send(peer, now) {
                let message = Self::message_for(&mut locked, peer, now);
                MutexGuard::unlocked(&mut locked, || match message {
                    Some(Outgoing::AppendEntries(args)) => self.send_append_entries(peer, &args),
                    Some(Outgoing::InstallSnapshot(args)) => self.send_install_snapshot(peer, args),
                    None => {}
                });
            } else if let Some(due) = locked.core.heartbeat_due(peer) {
                self.replicators[peer].wait_until(&mut locked, due);
            } else {
                self.replicators[peer].wait(&mut locked);
            }
        }
    }

    /// Entries or a heartbeat, unless the follower needs entries that only the snapshot has.
    fn message_for(locked: &mut Locked, peer: usize, now: Instant) -> Option<Outgoing> {
        if let Some(mut args) = locked.core.install_snapshot_for(peer, now) {
            args.data = locked.storage.snapshot();
            return Some(Outgoing::InstallSnapshot(args));
        }
        locked.core.append_entries_for(peer, now).map(Outgoing::AppendEntries)
    }

    fn send_append_entries(self: &Arc<Self>, peer: usize, args: &AppendEntriesArgs) {
        let (shared, sent) = (Arc::clone(self), Sent::of(args));
        self.peers[peer].append_entries(args).on_reply(move |reply| {
            let Some(mut locked) = shared.lock() else { return };
            let now = Instant::now();
            match reply {
                Ok(reply) => locked.core.handle_append_entries_reply(peer, sent, &reply, now),
                Err(_) => locked.core.handle_append_entries_lost(peer, sent),
            }
            shared.settle(&mut locked, now);
        });
    }

    fn send_install_snapshot(self: &Arc<Self>, peer: usize, mut args: InstallSnapshotArgs) {
        let shared = Arc::clone(self);
        let answer = self.peers[peer].install_snapshot(&args);
        // The answer needs the rest, not the data.
        args.data = Vec::new();
        answer.on_reply(move |reply| {
            let Some(mut locked) = shared.lock() else { return };
            let now = Instant::now();
            match reply {
                Ok(reply) => locked.core.handle_install_snapshot_reply(peer, &args, &reply, now),
                Err(_) => locked.core.handle_install_snapshot_lost(peer, args.term, now),
            }
            shared.settle(&mut locked, now);
        });
    }

    /// The applier thread: hands over what is committed, one after the other and without the lock, since the
    /// service may take its time, and may call [`Raft::snapshot`] before it takes the next.
    fn apply_to(self: &Arc<Self>, apply_ch: &Sender<ApplyMsg>) {
        let mut locked = self.locked.lock();
        while !self.is_dead() {
            match locked.core.next_to_apply() {
                None => self.applier.wait(&mut locked),
                Some(ToApply::Snapshot { index, term }) => {
                    let message = ApplyMsg::Snapshot { index, term, data: locked.storage.snapshot() };
                    MutexGuard::unlocked(&mut locked, || self.hand_over(apply_ch, index, message));
                }
                Some(ToApply::Commands { first, commands }) => MutexGuard::unlocked(&mut locked, || {
                    for (index, command) in (first..).zip(commands) {
                        self.hand_over(apply_ch, index, ApplyMsg::Command { index, command });
                    }
                }),
            }
        }
    }

    fn hand_over(&self, apply_ch: &Sender<ApplyMsg>, index: u64, message: ApplyMsg) {
        self.handed_over.store(index, Ordering::Release);
        if apply_ch.send(message).is_err() {
            // The service has gone: a server that can apply nothing is dead.
            self.kill();
        }
    }
}
