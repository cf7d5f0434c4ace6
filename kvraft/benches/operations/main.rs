//! Operations of clerks per second: three servers in one process, real time, a network without latency but with
//! real encoding. Each clerk works on a key of its own, in turn a put, three appends and four gets, so that values
//! stay short, and has one operation under way. One JSON line per figure.
//!
//! `reads` says how the servers answer gets: `index` asks a majority whether the leader still leads, `log` makes
//! each get a command of the log. `vs_ping_pong` is the ratio to how often two threads hand a token to and fro,
//! measured in the same run. A write is handed over by the clerk to the leader's handler, replicator, a
//! follower, the reply, applier, service and back to the clerk.
//!
//! `cargo bench -p kvraft -- [seconds per round]`
#![forbid(unsafe_code)]

#[path = "../../../labrpc/benches/rpc/measure.rs"]
mod measure;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use kvraft::{Clerk, KvClient, KvServer, KvService, Persister, RaftClient, Reads};
use labrpc::{Network, NetworkOptions, Server, Spawn, Threads};
use measure::{Rate, ping_pong, rate};
use raft::RaftService;

const SERVERS: usize = 3;
/// So that logs stay short, as in real use.
const MAX_RAFT_STATE: usize = 1 << 20;

/// A running service; ends when dropped.
struct Cluster {
    network: Network,
    servers: Vec<KvServer>,
    node: Arc<dyn Spawn>,
}

impl Cluster {
    fn start(reads: Reads) -> Cluster {
        let network =
            Network::new(NetworkOptions { latency: Duration::ZERO..=Duration::ZERO, ..Default::default() });
        let mut servers = Vec::new();
        for me in 0..SERVERS {
            let node: Arc<dyn Spawn> = Arc::new(Threads);
            let peers = (0..SERVERS).map(|to| {
                let client = network.client(&me.to_string(), &to.to_string(), node.clone());
                network.enable(&client, true);
                RaftClient::new(client)
            });
            let kv = KvServer::with_reads(peers.collect(), me, Persister::new(), Some(MAX_RAFT_STATE), reads);
            let mut server = Server::new(&me.to_string(), node);
            server.add(kv.raft().into_service());
            server.add(kv.clone().into_service());
            network.add_server(server);
            servers.push(kv);
        }
        Cluster { network, servers, node: Arc::new(Threads) }
    }

    fn clerk(&self, name: &str) -> Clerk {
        let servers = (0..SERVERS).map(|to| {
            let client = self.network.client(name, &to.to_string(), self.node.clone());
            self.network.enable(&client, true);
            KvClient::new(client)
        });
        Clerk::new(servers.collect())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for (me, server) in self.servers.iter().enumerate() {
            self.network.delete_server(&me.to_string());
            server.kill();
        }
    }
}

/// One clerk's work until the time is over. Returns how many operations it was.
fn operate(clerk: &mut Clerk, key: &str, end: Instant) -> u64 {
    let mut count = 0;
    while Instant::now() < end {
        match count % 8 {
            0 => clerk.put(key, "0 "),
            2 | 4 | 6 => clerk.append(key, "more "),
            _ => assert!(clerk.get(key).starts_with("0 ")),
        }
        count += 1;
    }
    count
}

fn measure(reads: Reads, clerks: usize, round: Duration) -> Rate {
    let cluster = Cluster::start(reads);
    let mut clerks: Vec<(String, Clerk)> = (0..clerks)
        .map(|number| (format!("key {number}"), cluster.clerk(&format!("clerk {number}"))))
        .collect();
    rate(round, |end| {
        thread::scope(|scope| {
            let at_work: Vec<_> =
                clerks.iter_mut().map(|(key, clerk)| scope.spawn(move || operate(clerk, key, end))).collect();
            at_work.into_iter().map(|clerk| clerk.join().expect("a clerk does not panic")).sum()
        })
    })
}

fn main() {
    let round = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(0.5);
    let round = Duration::from_secs_f64(round);
    let ping_pong = ping_pong(round).per_second;
    for clerks in [1, 16, 256] {
        for (reads, name) in [(Reads::ByIndex, "index"), (Reads::ByLog, "log")] {
            let Rate { per_second, cpu_us } = measure(reads, clerks, round);
            println!(
                r#"{{"bench":"kv_operations","clerks":{clerks},"reads":"{name}","per_second":{per_second:.0},"cpu_us":{cpu_us:.1},"vs_ping_pong":{:.3}}}"#,
                per_second / ping_pong
            );
        }
    }
}
