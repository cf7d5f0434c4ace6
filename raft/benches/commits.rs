//! Commands committed and applied per second: three peers in one process, real time, a network without
//! latency but with real encoding, 64-byte commands. One JSON line per figure.
//!
//! `clients` wait for each of their commands before they send the next; `in_flight` is how many one client
//! has under way. Beside the single waiting client stands a ring of threads that pass a token on through
//! condition variables, with as many hand-overs in a lap as a command needs from `start` to its client:
//! client, replicator, follower, reply, applier, service, client.
#![forbid(unsafe_code)]

mod measure;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use futures::channel::oneshot;
use futures::executor::LocalPool;
use futures::task::LocalSpawnExt;
use labrpc::{Network, NetworkOptions, Server, Spawn};
use measure::{Sample, print_row};
use parking_lot::{Condvar, Mutex};
use raft::{ApplyMsg, Persister, Raft, RaftClient, RaftService};

const PEERS: usize = 3;
const COMMAND_BYTES: usize = 64;
const HAND_OVERS: usize = 6;
/// How often a service takes a snapshot, in commands, so that logs stay short as in real use.
const SNAPSHOT_INTERVAL: u64 = 20_000;

struct Threads;

impl Spawn for Threads {
    fn spawn(&self, name: String, run: Box<dyn FnOnce() + Send>) {
        std::thread::Builder::new().name(name).spawn(run).expect("a thread");
    }
}

/// A running cluster, its leader found; ends when dropped.
struct Cluster {
    network: Network,
    rafts: Vec<Raft>,
    leader: usize,
    applied: Arc<Applied>,
}

/// How many commands the leader's service has applied.
#[derive(Default)]
struct Applied {
    count: Mutex<usize>,
    grown: Condvar,
    ended: AtomicBool,
}

impl Applied {
    fn add_one(&self) {
        *self.count.lock() += 1;
        self.grown.notify_one();
    }

    /// Waits until more than `known` commands are applied and returns how many; `None` once the cluster has ended.
    fn more_than(&self, known: usize) -> Option<usize> {
        let mut count = self.count.lock();
        self.grown.wait_while(&mut count, |count| *count <= known && !self.ended.load(Ordering::Relaxed));
        (*count > known).then_some(*count)
    }
}

impl Cluster {
    fn start() -> Cluster {
        let network =
            Network::new(NetworkOptions { latency: Duration::ZERO..=Duration::ZERO, ..Default::default() });
        let nodes: Vec<Arc<dyn Spawn>> = (0..PEERS).map(|_| Arc::new(Threads) as Arc<dyn Spawn>).collect();
        let mut rafts = Vec::new();
        let mut services = Vec::new();
        for me in 0..PEERS {
            let clients = (0..PEERS).map(|to| {
                let client = network.client(&me.to_string(), &to.to_string(), nodes[me].clone());
                network.enable(&client, true);
                RaftClient::new(client)
            });
            let (apply_tx, apply_rx) = unbounded();
            let raft = Raft::new(clients.collect(), me, Persister::new(), apply_tx);
            let mut server = Server::new(&me.to_string(), nodes[me].clone());
            server.add(raft.clone().into_service());
            network.add_server(server);
            services.push(apply_rx);
            rafts.push(raft);
        }
        let leader = loop {
            std::thread::sleep(Duration::from_millis(20));
            if let Some(leader) = (0..PEERS).find(|&me| rafts[me].state().is_leader) {
                break leader;
            }
        };
        let applied = Arc::new(Applied::default());
        for (me, apply_rx) in services.into_iter().enumerate() {
            let (raft, applied) = (rafts[me].clone(), (me == leader).then(|| applied.clone()));
            std::thread::spawn(move || serve(&raft, &apply_rx, applied.as_deref()));
        }
        Cluster { network, rafts, leader, applied }
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
        self.applied.ended.store(true, Ordering::Relaxed);
        let _count = self.applied.count.lock();
        self.applied.grown.notify_all();
    }
}

/// The service above one peer: takes what is applied and a snapshot now and then.
fn serve(raft: &Raft, apply_rx: &Receiver<ApplyMsg>, applied: Option<&Applied>) {
    for message in apply_rx {
        let ApplyMsg::Command { index, .. } = message else { continue };
        if let Some(applied) = applied {
            applied.add_one();
        }
        if index % SNAPSHOT_INTERVAL == 0 {
            raft.snapshot(index, Vec::new());
        }
    }
}

/// One client that waits for its commands, `in_flight` at a time.
fn one_client(cluster: &Cluster, in_flight: usize, commands: usize) {
    for _ in 0..in_flight.min(commands) {
        cluster.propose();
    }
    let (mut applied, mut proposed) = (0, in_flight.min(commands));
    while applied < commands {
        applied = cluster.applied.more_than(applied).expect("the service runs");
        while proposed < commands.min(applied + in_flight) {
            cluster.propose();
            proposed += 1;
        }
    }
}

/// Many clients, each waiting for its command: tasks on one thread, as an asynchronous server would have them.
/// Commands are applied in the order in which they were proposed.
fn many_clients(cluster: Cluster, clients: usize, commands: usize) {
    let (cluster, waiting) = (Rc::new(cluster), Arc::new(Mutex::new(VecDeque::<oneshot::Sender<()>>::new())));
    let (applied, waiters) = (cluster.applied.clone(), waiting.clone());
    let notifier = std::thread::spawn(move || {
        let mut answered = 0;
        while let Some(count) = applied.more_than(answered) {
            for waiter in waiters.lock().drain(..count - answered) {
                let _ = waiter.send(());
            }
            answered = count;
        }
    });
    let left = Rc::new(RefCell::new(commands));
    let mut pool = LocalPool::new();
    for _ in 0..clients {
        let (cluster, waiting, left) = (cluster.clone(), waiting.clone(), left.clone());
        let client = async move {
            while take_one(&left) {
                let (done, answer) = oneshot::channel();
                waiting.lock().push_back(done);
                cluster.propose();
                answer.await.expect("the service runs");
            }
        };
        pool.spawner().spawn_local(client).expect("the pool runs");
    }
    pool.run();
    drop(cluster);
    notifier.join().expect("the notifier ends with the cluster");
}

fn take_one(left: &RefCell<usize>) -> bool {
    let mut left = left.borrow_mut();
    let some = *left > 0;
    *left -= usize::from(some);
    some
}

/// Threads in a ring that pass a token on: the least that a chain of hand-overs can cost.
fn ring(threads: usize, laps: usize) {
    let seats: Arc<Vec<(Mutex<bool>, Condvar)>> =
        Arc::new((0..threads).map(|_| Default::default()).collect());
    let members: Vec<_> = (0..threads)
        .map(|me| {
            let seats = Arc::clone(&seats);
            std::thread::spawn(move || {
                for lap in 0..laps {
                    if me > 0 || lap > 0 {
                        let (token, arrived) = &seats[me];
                        let mut token = token.lock();
                        arrived.wait_while(&mut token, |here| !*here);
                        *token = false;
                    }
                    let (token, arrived) = &seats[(me + 1) % threads];
                    *token.lock() = true;
                    arrived.notify_one();
                }
            })
        })
        .collect();
    for member in members {
        member.join().expect("a ring thread does not panic");
    }
}

fn main() {
    let ring = measure::median(5, || Sample::of(20_000, || ring(HAND_OVERS, 20_000)));
    print_row("ring", &[("hand_overs", HAND_OVERS)], &ring, None);
    let one = measure::median(5, || {
        let cluster = Cluster::start();
        Sample::of(20_000, || one_client(&cluster, 1, 20_000))
    });
    print_row(
        "raft",
        &[("clients", 1), ("in_flight", 1)],
        &one,
        Some(("ring", one.per_second() / ring.per_second())),
    );
    for clients in [16, 256] {
        let commands = 300_000;
        let many = measure::median(5, || {
            let cluster = Cluster::start();
            Sample::of(commands, || many_clients(cluster, clients, commands))
        });
        print_row("raft", &[("clients", clients), ("in_flight", 1)], &many, None);
    }
    let pipelined = measure::median(5, || {
        let cluster = Cluster::start();
        Sample::of(500_000, || one_client(&cluster, 256, 500_000))
    });
    print_row("raft", &[("clients", 1), ("in_flight", 256)], &pipelined, None);
}
