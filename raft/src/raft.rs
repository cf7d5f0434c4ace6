//! [`Raft`]: the rules of [`Core`] with a mutex around them and the threads that set them in motion.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crossbeam_channel::Sender;
use futures::channel::oneshot;
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
use crate::progress::Sent;
use crate::read_index::ReadIndexError;

/// The longest command that [`Raft::start`] takes, in bytes.
pub const MAX_COMMAND_BYTES: usize = 1 << 20;

/// The longest snapshot that [`Raft::snapshot`] takes, in bytes: it must fit into one message.
pub const MAX_SNAPSHOT_BYTES: usize = 32 << 20;

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
    /// What the service does when this server has ceased to lead.
    on_deposed: OnceLock<Box<dyn Fn() + Send + Sync>>,
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
    AppendEntries(AppendEntriesArgs, Sent),
    InstallSnapshot(InstallSnapshotArgs),
}

impl Raft {
    /// Starts the peer at position `me` of `peers`, with what its disk holds, and returns at once.
    ///
    /// `peers[i]` reaches server `i`; `peers[me]` is never called. Committed commands and snapshots go to
    /// `apply_ch`, from one thread, in order; that thread may wait there without holding up the others. A service
    /// that restores itself from the snapshot on disk reads it before this call: later it may find a newer one.
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
            on_deposed: OnceLock::new(),
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
    /// If `index` is beyond what this server has been handed to apply, or if the snapshot is longer than
    /// [`MAX_SNAPSHOT_BYTES`].
    pub fn snapshot(&self, index: u64, snapshot: Vec<u8>) {
        assert!(
            snapshot.len() <= MAX_SNAPSHOT_BYTES,
            "Raft::snapshot: a snapshot of {} bytes is above the limit of {MAX_SNAPSHOT_BYTES}",
            snapshot.len()
        );
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

    /// Asks for an index such that a service which has applied it may answer a read from its own state, as if the
    /// read had been a command of the log now (thesis, section 6.4). The answer takes a round of messages to a
    /// majority, which all that ask meanwhile share; its channel ends without one if this server ceases to lead
    /// first, or is killed. Returns at once.
    ///
    /// # Errors
    /// See [`ReadIndexError`]. A read that gets one can be a command of the log, or ask another server.
    pub fn read_index(&self) -> Result<oneshot::Receiver<u64>, ReadIndexError> {
        let mut locked = self.shared.lock().ok_or(ReadIndexError::NotLeader)?;
        let (answer, index) = oneshot::channel();
        locked.core.begin_read(answer)?;
        self.shared.settle(&mut locked, Instant::now());
        Ok(index)
    }

    /// Has `f` called whenever this server has ceased to lead and lives, so that a service can give up what it has
    /// proposed and may never see applied. On a thread of this peer, with no lock held; `f` must not wait for other
    /// servers. Only the first `f` counts.
    pub fn on_deposed(&self, f: impl Fn() + Send + Sync + 'static) {
        let _ = self.shared.on_deposed.set(Box::new(f));
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
        let mut locked = self.locked.lock();
        locked.core.end_reads();
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
        if core.deposed {
            self.election.notify_one();
        }
        core.answer_reads();
    }

    /// The election thread: "if election timeout elapses without receiving AppendEntries RPC from current
    /// leader or granting vote to candidate: convert to candidate" (rules for followers).
    fn run_elections(self: &Arc<Self>) {
        let mut locked = self.locked.lock();
        while !self.is_dead() {
            let now = Instant::now();
            if std::mem::take(&mut locked.core.deposed) {
                if let Some(on_deposed) = self.on_deposed.get() {
                    MutexGuard::unlocked(&mut locked, on_deposed);
                }
            } else if locked.core.election_is_due(now) {
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
                    Some(Outgoing::AppendEntries(args, sent)) => self.send_append_entries(peer, &args, sent),
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
        let (args, sent) = locked.core.append_entries_for(peer, now)?;
        Some(Outgoing::AppendEntries(args, sent))
    }

    fn send_append_entries(self: &Arc<Self>, peer: usize, args: &AppendEntriesArgs, sent: Sent) {
        let shared = Arc::clone(self);
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
                        if !self.hand_over(apply_ch, index, ApplyMsg::Command { index, command }) {
                            break;
                        }
                    }
                }),
            }
        }
    }

    /// Gives the service its next message. False once this server is dead.
    fn hand_over(&self, apply_ch: &Sender<ApplyMsg>, index: u64, message: ApplyMsg) -> bool {
        self.handed_over.store(index, Ordering::Release);
        if apply_ch.send(message).is_err() {
            // The service has gone: a server that can apply nothing is dead.
            self.kill();
        }
        !self.is_dead()
    }
}

/// The rules have their tests where they stand; these are about the threads around them, in real time.
#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use crossbeam_channel::{Receiver, bounded};
    use futures::executor::block_on;
    use labrpc::{
        AnyMessage, CallId, Client, Event, Network, NetworkOptions, Observer, Server, Spawn, Step, Threads,
    };

    use super::*;

    /// Much longer than anything here takes.
    const SOON: Duration = Duration::from_secs(30);

    struct Cluster {
        network: Network,
        clients: Vec<Vec<Client>>,
        disks: Vec<Persister>,
        rafts: Vec<Raft>,
        applied: Vec<Receiver<ApplyMsg>>,
    }

    impl Cluster {
        /// Peers `0`, `1`, ... all connected.
        fn start(size: usize) -> Cluster {
            let network = Network::new(NetworkOptions::default());
            let disks: Vec<Persister> = (0..size).map(|_| Persister::new()).collect();
            let (mut clients, mut rafts, mut applied) = (Vec::new(), Vec::new(), Vec::new());
            for (me, disk) in disks.iter().enumerate() {
                let node: Arc<dyn Spawn> = Arc::new(Threads);
                let own: Vec<Client> = (0..size)
                    .map(|to| network.client(&me.to_string(), &to.to_string(), node.clone()))
                    .collect();
                own.iter().for_each(|client| network.enable(client, true));
                let (apply, messages) = bounded(0);
                let peers = own.iter().cloned().map(RaftClient::new).collect();
                let raft = Raft::new(peers, me, disk.clone(), apply);
                let mut server = Server::new(&me.to_string(), node);
                server.add(raft.clone().into_service());
                network.add_server(server);
                clients.push(own);
                rafts.push(raft);
                applied.push(messages);
            }
            Cluster { network, clients, disks, rafts, applied }
        }

        fn leader(&self) -> usize {
            let mut leader = None;
            until("a leader is elected", || {
                leader = self.rafts.iter().position(|raft| raft.state().is_leader);
                leader.is_some()
            });
            leader.unwrap()
        }

        fn connect(&self, peer: usize, yes: bool) {
            for other in 0..self.rafts.len() {
                self.network.enable(&self.clients[peer][other], yes);
                self.network.enable(&self.clients[other][peer], yes);
            }
        }
    }

    fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < SOON, "not within {SOON:?}: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Looks at the sender's disk whenever a message leaves.
    struct Auditor {
        disks: Vec<Persister>,
        asked: Mutex<HashMap<CallId, Box<dyn AnyMessage>>>,
        /// How many promises of each kind were made, and those that the disk did not hold.
        made: Mutex<HashMap<&'static str, usize>>,
        broken: Mutex<Vec<String>>,
    }

    impl Auditor {
        fn check(&self, kind: &'static str, message: &dyn AnyMessage, saved: bool) {
            *self.made.lock().entry(kind).or_default() += 1;
            if !saved {
                self.broken.lock().push(format!("{kind} left before it was saved: {message:?}"));
            }
        }
    }

    impl Observer for Auditor {
        fn observe(&self, event: &Event<'_>) {
            let (Step::Sent, Some(message)) = (event.step, event.envelope.message()) else { return };
            let sender: usize = event.envelope.from.parse().unwrap();
            let disk = Storage::load(self.disks[sender].fork()).unwrap().1;
            let mut asked = self.asked.lock();
            let request = asked.get(&event.envelope.call);
            if let Some(args) = message.downcast_ref::<RequestVoteArgs>() {
                let saved = (disk.current_term, disk.voted_for) == (args.term, Some(sender));
                self.check("a candidacy", &*message, saved || disk.current_term > args.term);
            } else if let Some(args) = message.downcast_ref::<AppendEntriesArgs>() {
                let saved = disk.log.last_index() >= args.prev_log_index + args.entries.len() as u64;
                self.check("an entry", &*message, saved);
            } else if let Some(reply) = message.downcast_ref::<RequestVoteReply>() {
                let args = request.unwrap().downcast_ref::<RequestVoteArgs>().unwrap();
                let saved = (disk.current_term, disk.voted_for) == (args.term, Some(args.candidate_id));
                self.check(
                    "a vote",
                    &*message,
                    !reply.vote_granted || saved || disk.current_term > args.term,
                );
            } else if let Some(reply) = message.downcast_ref::<AppendEntriesReply>() {
                let args = request.unwrap().downcast_ref::<AppendEntriesArgs>().unwrap();
                let saved = disk.log.last_index() >= args.prev_log_index + args.entries.len() as u64;
                self.check("an acknowledgement", &*message, !reply.success || saved);
            } else if message.downcast_ref::<InstallSnapshotReply>().is_some() {
                let args = request.unwrap().downcast_ref::<InstallSnapshotArgs>().unwrap();
                let saved = disk.log.snapshot_index() >= args.last_included_index;
                self.check("an installed snapshot", &*message, saved);
            }
            asked.entry(event.envelope.call).or_insert(message);
        }
    }

    /// Figure 2: "Updated on stable storage before responding to RPCs".
    #[test]
    fn nothing_leaves_before_what_it_promises_is_saved() {
        let cluster = Cluster::start(3);
        let auditor = Arc::new(Auditor {
            disks: cluster.disks.clone(),
            asked: Mutex::default(),
            made: Mutex::default(),
            broken: Mutex::default(),
        });
        cluster.network.observe(auditor.clone());
        let ends: Vec<Arc<AtomicU64>> = (0..3).map(|_| Arc::default()).collect();
        for (peer, end) in ends.iter().enumerate() {
            let (raft, messages, end) =
                (cluster.rafts[peer].clone(), cluster.applied[peer].clone(), end.clone());
            std::thread::spawn(move || {
                for message in messages {
                    let index = match message {
                        ApplyMsg::Command { index, .. } | ApplyMsg::Snapshot { index, .. } => index,
                    };
                    end.store(index, Ordering::Relaxed);
                    if index % 10 == 0 {
                        raft.snapshot(index, b"state".to_vec());
                    }
                }
            });
        }
        // On a busy machine the leader may change at any time, so commands are given until enough are applied.
        let reached = |index: u64| ends.iter().filter(|end| end.load(Ordering::Relaxed) >= index).count();
        let propose =
            |peers: &[usize]| peers.iter().any(|&peer| cluster.rafts[peer].start(b"x".to_vec()).is_ok());
        until("all servers apply 5 commands", || propose(&[0, 1, 2]) && reached(5) == 3);
        let late = (cluster.leader() + 1) % 3;
        let others = [(late + 1) % 3, (late + 2) % 3];
        cluster.connect(late, false);
        let end = ends[late].load(Ordering::Relaxed) + 30;
        until("the majority applies 30 commands more", || propose(&others) && reached(end) == 2);
        cluster.connect(late, true);
        until("the server that was cut off catches up", || reached(end) == 3);

        cluster.rafts.iter().for_each(Raft::kill);
        assert_eq!(*auditor.broken.lock(), [""; 0]);
        let made = auditor.made.lock();
        for kind in ["a candidacy", "a vote", "an entry", "an acknowledgement", "an installed snapshot"] {
            assert!(made.contains_key(kind), "{kind} was never seen: {made:?}");
        }
    }

    #[test]
    fn the_largest_snapshot_reaches_a_follower_and_a_larger_one_is_refused() {
        let cluster = Cluster::start(3);
        let late = (cluster.leader() + 1) % 3;
        let others = [(late + 1) % 3, (late + 2) % 3];
        cluster.connect(late, false);
        for peer in others {
            let mut applied = None;
            until("the majority applies a command", || {
                let _ = others.map(|other| cluster.rafts[other].start(b"x".to_vec()));
                applied = cluster.applied[peer].try_recv().ok();
                applied.is_some()
            });
            let Some(ApplyMsg::Command { index, .. }) = applied else { panic!("{applied:?}") };
            let raft = &cluster.rafts[peer];
            let larger = || raft.snapshot(index, vec![7; MAX_SNAPSHOT_BYTES + 1]);
            let refusal = std::panic::catch_unwind(std::panic::AssertUnwindSafe(larger)).unwrap_err();
            let expected = "a snapshot of 33554433 bytes is above the limit of 33554432";
            let said = refusal.downcast_ref::<String>();
            assert!(said.is_some_and(|said| said.contains(expected)), "{said:?}");
            raft.snapshot(index, vec![7; MAX_SNAPSHOT_BYTES]);
        }
        cluster.connect(late, true);
        let arrived = |message| matches!(message, ApplyMsg::Snapshot { data, .. } if data == vec![7; MAX_SNAPSHOT_BYTES]);
        until("the snapshot arrives", || cluster.applied[late].try_recv().is_ok_and(arrived));
        cluster.rafts.iter().for_each(Raft::kill);
    }

    /// A service that waits for what it has proposed or asked must not wait for ever: nothing may be applied any more.
    #[test]
    fn a_service_learns_that_its_server_has_ceased_to_lead() {
        let cluster = Cluster::start(3);
        let old = cluster.leader();
        let (deposed, news) = bounded(1);
        cluster.rafts[old].on_deposed(move || deposed.send(()).unwrap());
        cluster.applied.iter().for_each(|messages| {
            let messages = messages.clone();
            std::thread::spawn(move || messages.iter().count());
        });
        cluster.rafts[old].start(b"x".to_vec()).unwrap();
        until("the command is committed", || cluster.rafts[old].read_index().is_ok());
        let confirmed = cluster.rafts[old].read_index().unwrap();
        assert_eq!(block_on(confirmed), Ok(1));

        cluster.connect(old, false);
        let unconfirmed = cluster.rafts[old].read_index().unwrap();
        until("another leads", || (0..3).any(|peer| peer != old && cluster.rafts[peer].state().is_leader));
        cluster.connect(old, true);
        news.recv_timeout(SOON).expect("the service is told");
        assert_eq!(block_on(unconfirmed), Err(oneshot::Canceled));
        cluster.rafts.iter().for_each(Raft::kill);
    }

    /// A killed server once handed over the rest of its batch.
    #[test]
    fn kill_ends_the_threads_and_nothing_more_is_applied() {
        let cluster = Cluster::start(1);
        let raft = &cluster.rafts[cluster.leader()];
        for _ in 0..100 {
            raft.start(b"x".to_vec()).unwrap();
        }
        cluster.applied[0].recv_timeout(SOON).unwrap();
        raft.kill();
        raft.kill();
        // The message that was being handed over may still come.
        let rest = cluster.applied[0].iter().count();
        assert!(rest <= 1, "{rest} messages after kill");
        cluster.network.delete_server("0");
        until("all threads have ended", || Arc::strong_count(&raft.shared) == 1);
        assert_eq!((raft.start(Vec::new()), raft.state().is_leader), (Err(NotLeader), false));
    }

    /// A server that can apply nothing must not go on leading.
    #[test]
    fn a_server_whose_service_is_gone_is_dead() {
        let mut cluster = Cluster::start(1);
        let leader = cluster.leader();
        cluster.applied.clear();
        cluster.rafts[leader].start(b"x".to_vec()).unwrap();
        until("the server has noticed", || !cluster.rafts[leader].state().is_leader);
    }
}
