//! [`KvServer`]: one server of the service.

use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, bounded};
use futures::channel::oneshot;
use futures::executor::block_on;
use labnode::{ApplyMsg, Persister};
use labrpc::RpcError;
use parking_lot::{Mutex, MutexGuard};
use raft::{Raft, RaftClient, ReadIndexError};

use crate::messages::{KvService, Op, Reply, Request};
use crate::state_machine::StateMachine;
use crate::waiters::Waiters;

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
    /// From its state, once a majority has confirmed that it leads; through the log where that cannot be done yet.
    #[default]
    ByIndex,
    /// Through the log, like a write.
    ByLog,
}

#[derive(Default)]
struct State {
    machine: StateMachine,
    /// The index of the last message applied. None counts before the first: Raft's commit index is beyond the
    /// snapshot on disk when it lets us read.
    applied: u64,
    waiters: Waiters,
    /// The service has ended: nothing more will be applied.
    dead: bool,
}

impl KvServer {
    /// Starts server `me` of `servers`, with what its disk holds, and returns at once. When the persisted Raft state
    /// passes `max_raft_state` bytes, the server makes a snapshot; without a limit it never does.
    ///
    /// # Panics
    /// If `servers` is empty or has no position `me`, and if what is on disk cannot be read.
    pub fn new(
        servers: Vec<RaftClient>,
        me: usize,
        persister: Persister,
        max_raft_state: Option<usize>,
    ) -> KvServer {
        KvServer::with_reads(servers, me, persister, max_raft_state, Reads::default())
    }

    /// As [`new`](KvServer::new), for a server that answers reads in a certain way.
    pub fn with_reads(
        servers: Vec<RaftClient>,
        me: usize,
        persister: Persister,
        max_raft_state: Option<usize>,
        reads: Reads,
    ) -> KvServer {
        let snapshot = persister.snapshot();
        let machine = if snapshot.is_empty() {
            StateMachine::default()
        } else {
            StateMachine::from_snapshot(&snapshot).unwrap_or_else(|error| {
                panic!(
                    "KvServer::new: server {me} cannot read its snapshot of {} bytes, expected the values and the \
                     clients' latest writes: {error}",
                    snapshot.len()
                )
            })
        };
        let state = Arc::new(Mutex::new(State { machine, ..State::default() }));
        let (apply_ch, messages) = bounded(0);
        let raft = Raft::new(servers, me, persister.clone(), apply_ch);
        let proposals = Arc::clone(&state);
        raft.on_deposed(move || proposals.lock().waiters.clear());
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
        self.raft.kill();
        self.end();
    }

    fn end(&self) {
        let mut state = self.state.lock();
        state.dead = true;
        state.waiters.clear();
    }

    /// Has the request executed by way of the log. `None` if it was not, or not that we know.
    fn agree_on(&self, request: &Request) -> Option<String> {
        let command = labcodec::encode(request).expect("a request that came as a message");
        let answer = {
            // Under one lock: the command must not be applied before its waiter is there.
            let mut state = self.state.lock();
            if state.machine.has_executed(request) {
                return Some(String::new());
            }
            let start = self.raft.start(command).ok()?;
            state.waiters.add(start.index, request.id)
        };
        wait(answer)
    }

    /// The value of `key` after what was committed when Raft was asked for `index`.
    fn read_at(&self, index: oneshot::Receiver<u64>, key: &str) -> Option<String> {
        let index = wait(index)?;
        let applied = {
            let mut state = self.state.lock();
            if state.applied >= index {
                return Some(state.machine.get(key).to_owned());
            }
            state.waiters.add_read(index)
        };
        wait(applied)?;
        Some(self.state.lock().machine.get(key).to_owned())
    }

    /// The applier thread: executes what Raft has agreed on, in order, until Raft ends.
    fn apply_all(&self, messages: &Receiver<ApplyMsg>, persister: &Persister, max_raft_state: Option<usize>) {
        while let Ok(first) = messages.recv() {
            let mut state = self.state.lock();
            // One lock for all that is there.
            for message in std::iter::once(first).chain(messages.try_iter()) {
                let index = state.apply(message);
                state.applied = index;
                state.waiters.applied_up_to(index);
                if max_raft_state.is_some_and(|limit| persister.state_size() > limit) {
                    let snapshot = state.machine.to_snapshot();
                    MutexGuard::unlocked(&mut state, || self.raft.snapshot(index, snapshot));
                }
            }
        }
        self.end();
    }
}

impl State {
    /// Applies a message, answers who waits for it, and returns its index.
    fn apply(&mut self, message: ApplyMsg) -> u64 {
        match message {
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
        }
    }

    fn execute(&mut self, index: u64, command: &[u8]) {
        let request: Request = match labcodec::decode(command) {
            Ok(request) => request,
            // Each server ignores it alike.
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
            // He may have gone.
            let _ = waiter.send(value);
        }
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

/// Blocks until there is an answer; `None` if there will be none.
fn wait<T>(answer: oneshot::Receiver<T>) -> Option<T> {
    block_on(answer).ok()
}

#[cfg(test)]
mod tests {
    use labrpc::{Network, NetworkOptions, Server, Spawn, Threads};
    use raft::RaftService;

    use super::*;
    use crate::{Clerk, KvClient};

    /// Servers in one process, all links enabled.
    struct Cluster {
        network: Network,
        servers: Vec<KvServer>,
        disks: Vec<Persister>,
    }

    impl Cluster {
        fn start(n: usize, max_raft_state: Option<usize>) -> Cluster {
            let network = Network::new(NetworkOptions::default());
            let disks: Vec<Persister> = (0..n).map(|_| Persister::new()).collect();
            let mut servers = Vec::new();
            for (me, disk) in disks.iter().enumerate() {
                let node: Arc<dyn Spawn> = Arc::new(Threads);
                let peers = (0..n)
                    .map(|to| {
                        let client = network.client(&me.to_string(), &to.to_string(), node.clone());
                        network.enable(&client, true);
                        RaftClient::new(client)
                    })
                    .collect();
                let kv = KvServer::new(peers, me, disk.clone(), max_raft_state);
                let mut server = Server::new(&me.to_string(), node);
                server.add(kv.raft().into_service());
                server.add(kv.clone().into_service());
                network.add_server(server);
                servers.push(kv);
            }
            Cluster { network, servers, disks }
        }

        fn clerk(&self) -> Clerk {
            let node: Arc<dyn Spawn> = Arc::new(Threads);
            let servers = (0..self.servers.len())
                .map(|to| {
                    let client = self.network.client("clerk", &to.to_string(), node.clone());
                    self.network.enable(&client, true);
                    KvClient::new(client)
                })
                .collect();
            Clerk::new(servers)
        }
    }

    #[test]
    fn what_is_written_is_read_after_snapshots_too() {
        let cluster = Cluster::start(3, Some(1000));
        let mut clerk = cluster.clerk();
        for i in 0..200 {
            clerk.append("x", &format!("{i} "));
        }
        assert!(cluster.disks[0].snapshot_size() > 0);
        assert!(clerk.get("x").ends_with(" 198 199 "));
        cluster.servers.iter().for_each(KvServer::kill);
    }
}
