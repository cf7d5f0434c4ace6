//! Commands committed and applied per second: three peers in one process, real time, a network without
//! latency but with real encoding, 64-byte commands. One JSON line per figure.
//!
//! `clients` wait for each of their commands before they send the next; `in_flight` is how many each has
//! under way. `vs_ring` is the ratio to a ring of threads that pass a token on through condition variables,
//! measured in the same run, with as many hand-overs in a lap as a command needs from a client and back to
//! it: client, replicator, follower, reply, applier, service, client.
//!
//! `cargo bench -p raft -- [seconds per round]`
#![forbid(unsafe_code)]

#[path = "../../../labrpc/benches/rpc/measure.rs"]
#[allow(dead_code)] // The other benchmark's yardstick is in it too.
mod measure;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use futures::channel::oneshot;
use futures::executor::LocalPool;
use futures::future::join_all;
use labrpc::{Network, NetworkOptions, Server, Spawn, Threads};
use measure::{Rate, rate};
use parking_lot::{Condvar, Mutex};
use raft::{ApplyMsg, Persister, Raft, RaftClient, RaftService};

const PEERS: usize = 3;
const COMMAND_BYTES: usize = 64;
const HAND_OVERS: usize = 6;
/// How often a service makes a snapshot, in commands, so that logs stay short as in real use.
const SNAPSHOT_INTERVAL: u64 = 20_000;

/// A running cluster, its leader known; ends when dropped.
struct Cluster {
    network: Network,
    rafts: Vec<Raft>,
    leader: usize,
    clients: Arc<Clients>,
}

/// The clients as the leader's service sees them: it tells them what it has applied.
#[derive(Default)]
struct Clients {
    /// How many commands have been applied, for the client that blocks.
    applied: Mutex<u64>,
    grown: Condvar,
    /// Clients that wait as tasks, in the order of their commands, which is that of the log.
    tasks: Mutex<VecDeque<oneshot::Sender<()>>>,
}

impl Clients {
    fn answer_one(&self) {
        *self.applied.lock() += 1;
        self.grown.notify_one();
        if let Some(task) = self.tasks.lock().pop_front() {
            let _ = task.send(());
        }
    }

    /// Blocks until more than `known` commands are applied and returns how many.
    fn more_than(&self, known: u64) -> u64 {
        let mut applied = self.applied.lock();
        self.grown.wait_while(&mut applied, |applied| *applied <= known);
        *applied
    }
}

impl Cluster {
    fn start() -> Cluster {
        let network =
            Network::new(NetworkOptions { latency: Duration::ZERO..=Duration::ZERO, ..Default::default() });
        let nodes: Vec<Arc<dyn Spawn>> = (0..PEERS).map(|_| Arc::new(Threads) as Arc<dyn Spawn>).collect();
        let (mut rafts, mut services) = (Vec::new(), Vec::new());
        for (me, node) in nodes.iter().enumerate() {
            let peers = (0..PEERS).map(|to| {
                let client = network.client(&me.to_string(), &to.to_string(), node.clone());
                network.enable(&client, true);
                RaftClient::new(client)
            });
            let (apply, messages) = unbounded();
            let raft = Raft::new(peers.collect(), me, Persister::new(), apply);
            let mut server = Server::new(&me.to_string(), node.clone());
            server.add(raft.clone().into_service());
            network.add_server(server);
            services.push(messages);
            rafts.push(raft);
        }
        let leader = loop {
            std::thread::sleep(Duration::from_millis(20));
            if let Some(leader) = rafts.iter().position(|raft| raft.state().is_leader) {
                break leader;
            }
        };
        let clients = Arc::new(Clients::default());
        for (me, messages) in services.into_iter().enumerate() {
            let (raft, clients) = (rafts[me].clone(), (me == leader).then(|| clients.clone()));
            std::thread::spawn(move || serve(&raft, &messages, clients.as_deref()));
        }
        Cluster { network, rafts, leader, clients }
    }

    fn propose(&self) {
        self.rafts[self.leader].start(vec![b'x'; COMMAND_BYTES]).expect("nothing disturbs the leader");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for (me, raft) in self.rafts.iter().enumerate() {
            self.network.delete_server(&me.to_string());
            raft.kill();
        }
    }
}

/// The service above one peer: takes what is applied, and makes a snapshot now and then.
fn serve(raft: &Raft, messages: &Receiver<ApplyMsg>, clients: Option<&Clients>) {
    for message in messages {
        let ApplyMsg::Command { index, .. } = message else { continue };
        if let Some(clients) = clients {
            clients.answer_one();
        }
        if index % SNAPSHOT_INTERVAL == 0 {
            raft.snapshot(index, Vec::new());
        }
    }
}

/// One client that has `in_flight` commands under way until the time is over. Returns how many were applied.
fn one_client(cluster: &Cluster, in_flight: u64, end: Instant) -> u64 {
    let start = *cluster.clients.applied.lock();
    let (mut applied, mut proposed) = (start, start);
    loop {
        let room = if Instant::now() < end { applied + in_flight } else { applied };
        while proposed < room {
            cluster.propose();
            proposed += 1;
        }
        if applied == proposed {
            return applied - start;
        }
        applied = cluster.clients.more_than(applied);
    }
}

/// Many clients, each waiting for its command: tasks on one thread, as an asynchronous server would have them.
fn many_clients(cluster: &Cluster, clients: usize, end: Instant) -> u64 {
    let client = || async {
        let mut count = 0;
        while Instant::now() < end {
            let (done, answer) = oneshot::channel();
            cluster.clients.tasks.lock().push_back(done);
            cluster.propose();
            answer.await.expect("the service runs");
            count += 1;
        }
        count
    };
    LocalPool::new().run_until(join_all((0..clients).map(|_| client()))).iter().sum()
}

/// One place in a ring of threads: where the token arrives.
#[derive(Default)]
struct Seat {
    token: Mutex<Option<Token>>,
    arrived: Condvar,
}

#[derive(Clone, Copy, PartialEq)]
enum Token {
    Pass,
    /// The time is over: pass it on and go.
    Leave,
}

impl Seat {
    fn give(&self, token: Token) {
        *self.token.lock() = Some(token);
        self.arrived.notify_one();
    }

    fn take(&self) -> Token {
        let mut token = self.token.lock();
        self.arrived.wait_while(&mut token, |token| token.is_none());
        token.take().expect("waited for")
    }
}

/// Threads in a ring that pass a token on: the least that a chain of hand-overs can cost. Returns the laps.
fn ring(threads: usize, end: Instant) -> u64 {
    let seats: Vec<Seat> = (0..threads).map(|_| Seat::default()).collect();
    std::thread::scope(|scope| {
        for pair in seats.windows(2) {
            scope.spawn(|| {
                while pair[0].take() == Token::Pass {
                    pair[1].give(Token::Pass);
                }
                pair[1].give(Token::Leave);
            });
        }
        // This thread is the last of the ring and counts.
        let mut laps = 0;
        while Instant::now() < end {
            seats[0].give(Token::Pass);
            seats[threads - 1].take();
            laps += 1;
        }
        seats[0].give(Token::Leave);
        laps
    })
}

fn report(clients: usize, in_flight: u64, rate: &Rate, ring: Option<&Rate>) {
    let ring = ring
        .map(|ring| format!(r#","vs_ring":{:.2}"#, rate.per_second / ring.per_second))
        .unwrap_or_default();
    println!(
        r#"{{"bench":"raft_commits","clients":{clients},"in_flight":{in_flight},"per_second":{:.0},"cpu_us":{:.1}{ring}}}"#,
        rate.per_second, rate.cpu_us
    );
}

fn main() {
    let round = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(0.5);
    let round = Duration::from_secs_f64(round);
    let ring = rate(round, |end| ring(HAND_OVERS, end));
    println!(
        r#"{{"bench":"ring","hand_overs":{HAND_OVERS},"laps_per_second":{:.0},"cpu_us":{:.1}}}"#,
        ring.per_second, ring.cpu_us
    );
    let cluster = Cluster::start();
    report(1, 1, &rate(round, |end| one_client(&cluster, 1, end)), Some(&ring));
    for clients in [16, 256] {
        let cluster = Cluster::start();
        report(clients, 1, &rate(round, |end| many_clients(&cluster, clients, end)), None);
    }
    let cluster = Cluster::start();
    report(1, 256, &rate(round, |end| one_client(&cluster, 256, end)), None);
}
