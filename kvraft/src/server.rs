//! [`KvServer`]: one server of the service, between its clerks and its Raft peer.

use std::iter;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Select, bounded};
use futures::channel::oneshot;
use futures::executor::block_on;
use labnode::{ApplyMsg, Persister};
use labrpc::RpcError;
use parking_lot::{Mutex, MutexGuard};
use raft::{Raft, RaftClient, ReadIndexError};

use crate::messages::{KvService, Op, Reply, Request};
use crate::state_machine::StateMachine;
use crate::waiters::Waiters;

/// How many messages Raft may be ahead of the service, and how many are executed under one lock.
const APPLY_CAPACITY: usize = 256;

/// One server of the service. A cheap handle; clones are the same server. Dropping handles stops nothing,
/// [`kill`](KvServer::kill) does.
#[derive(Clone)]
pub struct KvServer {
    raft: Raft,
    state: Arc<Mutex<State>>,
    reads: Reads,
}

/// How a leader answers a `Get`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reads {
    /// From its own state, once a majority has confirmed that it leads; through the log where that cannot be done yet.
    #[default]
    ByIndex,
    /// Through the log, like a write.
    ByLog,
}

#[derive(Default)]
struct State {
    machine: StateMachine,
    /// The index of the last message applied; 0 if there was none since the start, even if there was a snapshot on
    /// disk: an index that Raft lets us read at is beyond that.
    applied: u64,
    waiters: Waiters,
    /// The server has ended: nothing more will be applied, and nobody gets an answer.
    dead: bool,
}

impl KvServer {
    /// Starts server `me` of `servers`, with what its disk holds, and returns at once. When the persisted Raft state
    /// passes `max_raft_state` bytes, the server makes a snapshot; without a limit it never does.
    ///
    /// # Panics
    /// If `servers` is empty or has no position `me`, and if what is on disk cannot be read: a server that does not
    /// know what it has executed must not run.
    pub fn new(
        servers: Vec<RaftClient>,
        me: usize,
        persister: Persister,
        max_raft_state: Option<usize>,
    ) -> KvServer {
        KvServer::with_reads(servers, me, persister, max_raft_state, Reads::default())
    }

    /// As [`new`](KvServer::new), with a choice of how reads are answered.
    pub fn with_reads(
        servers: Vec<RaftClient>,
        me: usize,
        persister: Persister,
        max_raft_state: Option<usize>,
        reads: Reads,
    ) -> KvServer {
        // Before Raft starts, which may replace it by a newer one.
        let machine = restore(me, &persister.snapshot());
        let state = Arc::new(Mutex::new(State { machine, ..State::default() }));
        let (apply_ch, messages) = bounded(APPLY_CAPACITY);
        let raft = Raft::new(servers, me, persister.clone(), apply_ch);
        let given_up = Arc::clone(&state);
        raft.on_deposed(move || given_up.lock().waiters.clear());
        let server = KvServer { raft, state, reads };
        let applier = server.clone();
        thread::Builder::new()
            .name(format!("kv-{me}-applier"))
            .spawn(move || applier.apply_all(&messages, &persister, max_raft_state))
            .expect("the system gives us a thread");
        server
    }

    /// This server's Raft peer.
    pub fn raft(&self) -> Raft {
        self.raft.clone()
    }

    /// Ends this server: its threads stop soon, and nobody gets an answer. Returns at once; a second time does
    /// nothing.
    pub fn kill(&self) {
        // First, so that those who are woken by Raft's end know why.
        self.state.lock().dead = true;
        self.raft.kill();
        self.end();
    }

    fn end(&self) {
        let mut state = self.state.lock();
        state.dead = true;
        state.waiters.clear();
    }

    /// Has the request executed by way of the log, and blocks until it has been. `None` if this server does not lead,
    /// or no longer: then it is not known whether it was, or will be.
    fn agree_on(&self, request: &Request) -> Option<String> {
        let command = labcodec::encode(request).expect("what came as a message can be one");
        let answer = {
            // One lock over both steps: the command must not be applied before its waiter is there.
            let mut state = self.state.lock();
            if state.machine.has_executed(request) {
                return Some(String::new());
            }
            let start = self.raft.start(command).ok()?;
            state.waiters.add(start.index, request.id)
        };
        wait(answer)
    }

    /// Blocks until Raft has named the index to read at and this server has applied it; returns the value of `key` then.
    fn read_at(&self, index: oneshot::Receiver<u64>, key: &str) -> Option<String> {
        let index = wait(index)?;
        let applied = {
            let mut state = self.state.lock();
            if state.applied >= index {
                return Some(state.machine.get(key).to_owned());
            }
            if state.dead {
                return None;
            }
            state.waiters.add_read(index)
        };
        wait(applied)?;
        Some(self.state.lock().machine.get(key).to_owned())
    }

    /// The applier thread: executes what Raft has agreed on, in order, until Raft ends.
    fn apply_all(&self, messages: &Receiver<ApplyMsg>, persister: &Persister, max_raft_state: Option<usize>) {
        // As `messages.recv()`, which however spins and yields for a while before it sleeps.
        let mut arrival = Select::new();
        arrival.recv(messages);
        while let Ok(first) = arrival.select().recv(messages) {
            // One lock for all that has come.
            let mut state = self.state.lock();
            for message in iter::once(first).chain(messages.try_iter().take(APPLY_CAPACITY)) {
                let index = state.apply(message);
                if max_raft_state.is_some_and(|limit| persister.state_size() > limit) {
                    let snapshot = state.machine.to_snapshot();
                    // Unlocked: clerks need not wait for the disk.
                    MutexGuard::unlocked(&mut state, || self.raft.snapshot(index, snapshot));
                }
            }
        }
        self.end();
    }
}

impl KvService for KvServer {
    fn execute(&self, request: Request) -> labrpc::Result<Reply> {
        let value = match (&request.op, self.reads) {
            (Op::Get { key }, Reads::ByIndex) => match self.raft.read_index() {
                Ok(index) => self.read_at(index, key),
                Err(ReadIndexError::NothingCommitted) => self.agree_on(&request),
                Err(ReadIndexError::NotLeader) => None,
            },
            _ => self.agree_on(&request),
        };
        match value {
            Some(value) => Ok(Reply::Done(value)),
            None if self.state.lock().dead => Err(RpcError::Stopped),
            None => Ok(Reply::WrongLeader),
        }
    }
}

impl State {
    /// Applies a message, answers whoever waits for it, and returns its index.
    fn apply(&mut self, message: ApplyMsg) -> u64 {
        self.applied = match message {
            ApplyMsg::Command { index, command } => {
                self.execute(index, &command);
                index
            }
            ApplyMsg::Snapshot { index, data, .. } => {
                self.machine = StateMachine::from_snapshot(&data).unwrap_or_else(|error| {
                    panic!("cannot read the leader's snapshot at index {index}: {error}")
                });
                self.waiters.skipped_to(index);
                index
            }
        };
        self.waiters.applied_up_to(self.applied);
        self.applied
    }

    /// Executes the command at `index`.
    fn execute(&mut self, index: u64, command: &[u8]) {
        let request: Request = match labcodec::decode(command) {
            Ok(request) => request,
            // Nothing of this service's; each server ignores it alike.
            Err(error) => {
                return log::error!("ignores the command at index {index}, which is no request: {error}");
            }
        };
        let waiter = self.waiters.applied(index, request.id);
        let value = match (&waiter, &request.op) {
            (Some(_), Op::Get { key }) => self.machine.get(key).to_owned(),
            _ => String::new(),
        };
        self.machine.apply(request);
        if let Some(waiter) = waiter {
            // Whoever waited may have gone.
            let _ = waiter.send(value);
        }
    }
}

/// The state as of the snapshot on disk, empty if there is none.
fn restore(me: usize, snapshot: &[u8]) -> StateMachine {
    if snapshot.is_empty() {
        return StateMachine::default();
    }
    StateMachine::from_snapshot(snapshot).unwrap_or_else(|error| {
        panic!(
            "KvServer::new: server {me} cannot read its snapshot of {} bytes, expected all values and the clerks' \
             latest writes: {error}",
            snapshot.len()
        )
    })
}

/// Blocks until there is an answer; `None` if there will be none.
fn wait<T>(answer: oneshot::Receiver<T>) -> Option<T> {
    block_on(answer).ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use labrpc::{Client, Network, NetworkOptions, RpcFuture, Server, Spawn, Threads};
    use raft::RaftService;

    use super::*;
    use crate::messages::RequestId;
    use crate::{Clerk, KvClient};

    /// Much longer than anything here takes.
    const SOON: Duration = Duration::from_secs(30);

    /// Servers `0`, `1`, ... in real time, all connected; they are killed when it is dropped.
    struct Cluster {
        network: Network,
        links: Vec<Vec<Client>>,
        disks: Vec<Persister>,
        servers: Vec<KvServer>,
    }

    impl Cluster {
        fn start(disks: Vec<Persister>, max_raft_state: Option<usize>) -> Cluster {
            let network = Network::new(NetworkOptions::default());
            let (mut links, mut servers) = (Vec::new(), Vec::new());
            for (me, disk) in disks.iter().enumerate() {
                let node: Arc<dyn Spawn> = Arc::new(Threads);
                let own = connect(&network, &me.to_string(), disks.len(), &node);
                let peers = own.iter().cloned().map(RaftClient::new).collect();
                let kv = KvServer::new(peers, me, disk.clone(), max_raft_state);
                let mut server = Server::new(&me.to_string(), node);
                server.add(kv.raft().into_service());
                server.add(kv.clone().into_service());
                network.add_server(server);
                links.push(own);
                servers.push(kv);
            }
            Cluster { network, links, disks, servers }
        }

        fn blank(n: usize) -> Cluster {
            Cluster::start((0..n).map(|_| Persister::new()).collect(), None)
        }

        /// Clients of the service that call each server.
        fn clients(&self) -> Vec<KvClient> {
            let node: Arc<dyn Spawn> = Arc::new(Threads);
            let links = connect(&self.network, "clerk", self.servers.len(), &node);
            links.into_iter().map(KvClient::new).collect()
        }

        fn clerk(&self) -> Clerk {
            Clerk::new(self.clients())
        }

        fn leader(&self, among: &[usize]) -> usize {
            let mut leader = None;
            until("a leader is elected", || {
                leader = among.iter().copied().find(|&server| self.servers[server].raft.state().is_leader);
                leader.is_some()
            });
            leader.unwrap()
        }

        /// Connects a server with the others, or cuts it off from them; clients reach it all the same.
        fn isolate(&self, server: usize, yes: bool) {
            for other in (0..self.servers.len()).filter(|&other| other != server) {
                self.network.enable(&self.links[server][other], !yes);
                self.network.enable(&self.links[other][server], !yes);
            }
        }
    }

    impl Drop for Cluster {
        fn drop(&mut self) {
            self.servers.iter().for_each(KvServer::kill);
        }
    }

    fn connect(network: &Network, from: &str, servers: usize, node: &Arc<dyn Spawn>) -> Vec<Client> {
        let client = |to: usize| {
            let client = network.client(from, &to.to_string(), node.clone());
            network.enable(&client, true);
            client
        };
        (0..servers).map(client).collect()
    }

    fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < SOON, "not within {SOON:?}: {what}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn append(client: u64, seq: u64, value: &str) -> Request {
        let op = Op::Append { key: "k".to_owned(), value: value.to_owned() };
        Request { id: RequestId { client, seq }, op }
    }

    fn get(client: u64, seq: u64) -> Request {
        Request { id: RequestId { client, seq }, op: Op::Get { key: "k".to_owned() } }
    }

    fn done(value: &str) -> labrpc::Result<Reply> {
        Ok(Reply::Done(value.to_owned()))
    }

    #[test]
    fn what_is_written_is_read_in_order_and_survives_restarts() {
        let cluster = Cluster::start(vec![Persister::new(), Persister::new(), Persister::new()], Some(1000));
        let mut clerk = cluster.clerk();
        assert_eq!(clerk.get("x"), "");
        clerk.put("x", "lost");
        clerk.put("x", "start");
        let mut expected = "start".to_owned();
        for i in 0..100 {
            clerk.append("x", &format!(" {i}"));
            expected.push_str(&format!(" {i}"));
        }
        assert_eq!(clerk.get("x"), expected);
        until("all servers have made a snapshot", || {
            cluster.disks.iter().all(|disk| disk.snapshot_size() > 0)
        });
        let disks = cluster.disks.iter().map(Persister::fork).collect();
        drop(cluster);
        let cluster = Cluster::start(disks, Some(1000));
        let mut clerk = cluster.clerk();
        assert_eq!(clerk.get("x"), expected);
        clerk.append("y", "new");
        assert_eq!((clerk.get("x"), clerk.get("y")), (expected, "new".to_owned()));
    }

    /// Two copies of a request may both reach the log before either is executed.
    #[test]
    fn a_repeated_request_is_executed_once() {
        let cluster = Cluster::blank(3);
        let leader = cluster.leader(&[0, 1, 2]);
        let client = &cluster.clients()[leader];
        let copies: Vec<RpcFuture<Reply>> = (0..5).map(|_| client.execute(&append(7, 1, "once"))).collect();
        for copy in copies {
            assert_eq!(copy.wait(), done(""));
        }
        assert_eq!(client.execute(&append(7, 1, "once")).wait(), done(""));
        assert_eq!(client.execute(&append(8, 1, " twice")).wait(), done(""));
        assert_eq!(client.execute(&get(7, 2)).wait(), done("once twice"));
    }

    #[test]
    fn both_ways_of_reading_see_what_was_written() {
        let mut cluster = Cluster::blank(3);
        let leader = cluster.leader(&[0, 1, 2]);
        // The first read of a leader goes through the log in any case.
        assert_eq!(cluster.servers[leader].execute(get(1, 1)), done(""));
        for (seq, reads) in [(2, Reads::ByIndex), (3, Reads::ByLog)] {
            cluster.servers[leader].reads = reads;
            assert_eq!(cluster.servers[leader].execute(append(7, seq, "x")), done(""));
            assert_eq!(cluster.servers[leader].execute(get(1, seq)), done(&"x".repeat(seq as usize - 1)));
        }
    }

    /// Nothing is ever applied that would tell these requests of the new leader.
    #[test]
    fn requests_to_a_deposed_leader_are_given_up_although_nothing_is_applied() {
        let cluster = Cluster::blank(3);
        let old = cluster.leader(&[0, 1, 2]);
        let client = &cluster.clients()[old];
        assert_eq!(client.execute(&append(7, 1, "x")).wait(), done(""));
        cluster.isolate(old, true);
        let (write, read) = (client.execute(&append(7, 2, "y")), client.execute(&get(8, 1)));
        cluster.leader(&[(old + 1) % 3, (old + 2) % 3]);
        cluster.isolate(old, false);
        assert_eq!((write.wait(), read.wait()), (Ok(Reply::WrongLeader), Ok(Reply::WrongLeader)));
    }

    #[test]
    fn a_killed_server_keeps_nobody_waiting_and_its_threads_end() {
        let cluster = Cluster::blank(3);
        let leader = cluster.leader(&[0, 1, 2]);
        assert_eq!(cluster.servers[leader].execute(append(7, 1, "x")), done(""));
        cluster.isolate(leader, true);
        let server = &cluster.servers[leader];
        let requests = [append(7, 2, "y"), get(8, 1)].map(|request| {
            let server = server.clone();
            thread::spawn(move || server.execute(request))
        });
        until("the write waits", || !server.state.lock().waiters.is_empty());
        server.kill();
        server.kill();
        for request in requests {
            assert_eq!(request.join().unwrap(), Err(RpcError::Stopped));
        }
        assert_eq!(server.execute(append(7, 3, "z")), Err(RpcError::Stopped));
        cluster.network.delete_server(&leader.to_string());
        // Two handles are the cluster's: the server itself, and what Raft calls when it is deposed.
        until("the applier has ended", || Arc::strong_count(&server.state) == 2);
    }

    #[test]
    fn a_follower_that_was_left_behind_gets_a_snapshot() {
        let cluster = Cluster::start(vec![Persister::new(), Persister::new(), Persister::new()], Some(500));
        let late = (cluster.leader(&[0, 1, 2]) + 1) % 3;
        cluster.isolate(late, true);
        let mut clerk = cluster.clerk();
        (0..50).for_each(|_| clerk.append("k", "x"));
        assert_eq!(cluster.servers[late].state.lock().machine.get("k"), "");
        cluster.isolate(late, false);
        until("it catches up", || {
            // Its return, or a busy machine, may have led to a new leader, which commits nothing before it has a command
            // of its own term.
            clerk.append("k", "x");
            cluster.servers[late].state.lock().machine.get("k").len() > 50
        });
        assert!(cluster.disks[late].snapshot_size() > 0);
    }

    #[test]
    fn a_command_that_is_no_request_changes_nothing() {
        let mut state = State::default();
        for command in [&b""[..], b"garbage", &[255; 100]] {
            state.apply(ApplyMsg::Command { index: state.applied + 1, command: command.to_vec() });
        }
        assert_eq!((state.machine, state.applied), (StateMachine::default(), 3));
    }

    #[test]
    fn a_damaged_snapshot_is_named() {
        let cause = std::panic::catch_unwind(|| restore(2, &[7; 30])).unwrap_err();
        let message = cause.downcast_ref::<String>().unwrap();
        assert!(
            message.starts_with("KvServer::new: server 2 cannot read its snapshot of 30 bytes"),
            "{message}"
        );
        let message = ApplyMsg::Snapshot { index: 9, term: 1, data: vec![7; 30] };
        let cause = std::panic::catch_unwind(|| State::default().apply(message)).unwrap_err();
        let message = cause.downcast_ref::<String>().unwrap();
        assert!(message.starts_with("cannot read the leader's snapshot at index 9"), "{message}");
    }

    #[test]
    fn a_snapshot_replaces_the_state_and_wakes_those_it_passes() {
        let mut other = StateMachine::default();
        other.apply(append(7, 1, "x"));
        let mut state = State::default();
        state.machine.apply(append(8, 1, "forgotten"));
        let [mut passed, mut later] = [3, 9].map(|index| state.waiters.add(index, get(1, 1).id));
        let mut read = state.waiters.add_read(5);
        state.apply(ApplyMsg::Snapshot { index: 5, term: 1, data: other.to_snapshot() });
        assert_eq!((&state.machine, state.applied), (&other, 5));
        assert_eq!(passed.try_recv(), Err(oneshot::Canceled));
        assert_eq!((later.try_recv(), read.try_recv()), (Ok(None), Ok(Some(()))));
    }
}
