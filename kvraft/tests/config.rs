//! The cluster that the tests speak of: key/value servers, each over its Raft peer, and clerks that ask them.
//!
//! A [`Config`] can be used by many threads at once. Its waits end when the run is over; its checks fail the run
//! with a message for the student, at the line of the test. All that clerks are told is recorded, and judged when
//! the run is over.

mod anew;
mod calls;
mod clerk;
mod clerks;
mod evidence;
mod history;
mod post;

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kvraft::{Clerk, KvClient, KvServer, KvService};
use labnode::State;
use labrpc::{Faults, Network, NetworkOptions};
use labtest::{Cluster, Node, Rule, Run, Seat, Task, TestName, rules, servers};
use parking_lot::Mutex;
use raft::{Raft, RaftClient, RaftService};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::wire;
pub(crate) use clerk::{Store, TestClerk};
use clerks::Clerks;
use history::Record;
pub(crate) use post::{End, Post};

/// The time in which a cluster should elect a leader, several times over.
pub(crate) const ELECTION: Duration = Duration::from_secs(1);

/// In these tests the service makes no snapshots.
pub(crate) const NO_SNAPSHOTS: Option<usize> = None;

/// How many seeds each test runs with, where the environment does not say: clerks that go on for 15 s make some
/// thousand operations, and a lab should not take longer than ten seconds or so.
const SEEDS: u32 = 5;

/// The same for tests of one schedule, which hardly depends on chance.
const TARGETED_SEEDS: u32 = 8;

/// The Raft state on disk may have so many times the bytes at which the service is to make a snapshot.
const STATE_FACTOR: usize = 8;

/// How the network behaves. It tells within 0.1 s that a server cannot be reached.
#[derive(Clone, Copy)]
pub(crate) enum Net {
    /// A message takes 1 to 10 ms.
    ///
    /// Not the millisecond or so of the Raft tests: clerks that go on for 5 s would make some 5,000 operations then, as many
    /// as real time never let them. A solution may save its whole log with each entry, and would need minutes for that.
    Reliable,
    /// As short a way as in the Raft tests: for those that measure time, or play one schedule.
    Near,
    /// Requests are late by up to 26 ms, and a tenth of all requests and replies is lost.
    Unreliable,
    /// Unreliable, and a tenth of the requests arrives twice, a tenth 0.2 to 2.2 s late.
    Overtaking,
}

impl Net {
    fn faults(self) -> Faults {
        match self {
            Net::Reliable | Net::Near => Faults::reliable(),
            Net::Unreliable => Faults::unreliable(),
            Net::Overtaking => Faults { duplicate: 0.1, long_request_delay: 0.1, ..Faults::unreliable() },
        }
    }

    /// How long a message takes.
    fn latency(self) -> RangeInclusive<Duration> {
        match self {
            Net::Near => NetworkOptions::default().latency,
            _ => Duration::from_millis(1)..=Duration::from_millis(10),
        }
    }
}

/// A test on `servers` servers, all connected. They make a snapshot when their Raft state has `max_raft_state` bytes.
pub(crate) fn kv_test<F>(servers: usize, net: Net, max_raft_state: Option<usize>, body: F)
where
    F: Fn(&Config) + Send + Sync + 'static,
{
    run(SEEDS, servers, net, max_raft_state, body);
}

/// A test of one schedule on a reliable and near network, which only its [`Post`] disturbs.
pub(crate) fn targeted_test<F>(servers: usize, max_raft_state: Option<usize>, body: F)
where
    F: Fn(&Config) + Send + Sync + 'static,
{
    run(TARGETED_SEEDS, servers, Net::Near, max_raft_state, body);
}

fn run<F>(seeds: u32, servers: usize, net: Net, max_raft_state: Option<usize>, body: F)
where
    F: Fn(&Config) + Send + Sync + 'static,
{
    let name = TestName::of::<F>();
    let setting = Setting { servers, net, max_raft_state, clerk: |servers| Box::new(Clerk::new(servers)) };
    labtest::run_reviewed(name, seeds, Some(evidence::review), move |run| {
        body(&Config::new(run, name, setting))
    });
}

/// The report of a test that must fail, whose files go into the directory `files`; `None` if it passes.
pub(crate) fn objection<F>(setting: Setting, files: &Path, body: F) -> Option<String>
where
    F: Fn(&Config) + Send + Sync + 'static,
{
    let name = TestName::of::<F>();
    labtest::objection(name, Some(files.to_path_buf()), move |run| body(&Config::new(run, name, setting)))
}

/// What a test begins with.
#[derive(Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) servers: usize,
    pub(crate) net: Net,
    pub(crate) max_raft_state: Option<usize>,
    /// Makes a clerk.
    pub(crate) clerk: fn(Vec<KvClient>) -> Box<dyn Store>,
}

/// A cluster under test. Clones are handles to the same one.
#[derive(Clone)]
pub(crate) struct Config {
    run: Run,
    cluster: Cluster<Server>,
    clerks: Arc<Clerks>,
    record: Arc<Record>,
    random: Arc<Mutex<StdRng>>,
    setting: Setting,
    /// Whether servers were ever parted. A server in a minority can do nothing about the length of its log.
    parted: Arc<AtomicBool>,
}

/// A living server, and its Raft peer.
#[derive(Clone)]
struct Server {
    kv: KvServer,
    raft: Raft,
}

impl Node for Server {
    fn services(&self) -> Vec<labrpc::Service> {
        vec![self.raft.clone().into_service(), self.kv.clone().into_service()]
    }

    fn state(&self) -> State {
        self.raft.state()
    }

    fn kill(&self) {
        self.kv.kill();
    }
}

impl Server {
    fn new(seat: Seat, max_raft_state: Option<usize>) -> Server {
        let peers = seat.peers.into_iter().map(RaftClient::new).collect();
        let kv = KvServer::new(peers, seat.me, seat.disk, max_raft_state);
        Server { raft: kv.raft(), kv }
    }
}

impl Config {
    fn new(run: &Run, name: TestName, setting: Setting) -> Config {
        let Setting { servers, net, max_raft_state, .. } = setting;
        let network = Network::new(NetworkOptions {
            seed: run.seed(),
            clock: Cluster::<Server>::clock(),
            latency: net.latency(),
            ..NetworkOptions::default()
        });
        network.set_faults(net.faults());
        let cluster = Cluster::new(run, network, servers, move |seat| Server::new(seat, max_raft_state));
        cluster.watch(wire::neutral);
        let record = Record::new(run, name);
        let clerks = Clerks::new(run, cluster.network());
        (0..servers).for_each(|server| cluster.start(server));
        (0..servers).for_each(|server| cluster.connect(server));
        let random = Arc::new(Mutex::new(run.rng("test")));
        Config { run: run.clone(), cluster, clerks, record, random, setting, parted: Arc::default() }
    }

    // What a test tells its reader.

    /// Begins a part of the test; reports show its title.
    pub(crate) fn phase(&self, title: impl Into<String>) {
        self.run.phase(title);
    }

    /// Fails the test unless something holds.
    #[track_caller]
    pub(crate) fn check(&self, holds: bool, message: impl FnOnce() -> String) {
        if !holds {
            self.run.fail(message());
        }
    }

    /// Fails the test because a rule was broken.
    #[track_caller]
    pub(crate) fn fail_under(&self, rule: &'static Rule, message: impl Display) -> ! {
        self.run.fail_under(rule, message)
    }

    /// Fails the test unless something holds that a rule demands.
    #[track_caller]
    pub(crate) fn check_under(&self, rule: &'static Rule, holds: bool, message: impl FnOnce() -> String) {
        if !holds {
            self.run.fail_under(rule, message());
        }
    }

    /// Prints something that is no failure, but must not go unnoticed.
    pub(crate) fn warn(&self, message: impl Display) {
        self.run.warn(message);
    }

    /// Notes something that happens to servers or links: in the log, and beside the history of the clerks.
    fn note(&self, what: impl Into<String>) {
        let what = what.into();
        log::info!("{what}");
        self.record.mark(&what);
    }

    // Time, threads and chance.

    pub(crate) fn sleep(&self, duration: Duration) {
        self.run.sleep(duration);
    }

    /// Runs `f` at the same time as the rest of the test.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        name: impl Into<String>,
        f: impl FnOnce(&Config) -> T + Send + 'static,
    ) -> Task<T> {
        let cfg = self.clone();
        self.run.spawn(name, move || f(&cfg))
    }

    /// A random stream of its own for each `purpose`.
    pub(crate) fn rng(&self, purpose: &str) -> StdRng {
        self.run.rng(purpose)
    }

    /// A number from 0 to `end - 1`.
    pub(crate) fn random_below(&self, end: u64) -> u64 {
        self.random.lock().random_range(0..end)
    }

    // The servers.

    pub(crate) fn network(&self) -> &Network {
        self.cluster.network()
    }

    /// How many there are.
    pub(crate) fn servers(&self) -> usize {
        self.cluster.servers()
    }

    pub(crate) fn all(&self) -> std::ops::Range<usize> {
        0..self.servers()
    }

    /// Joins all servers with one another, and lets every clerk reach every server.
    pub(crate) fn connect_all(&self) {
        self.note("all are connected");
        self.all().for_each(|server| self.cluster.connect(server));
        let all: Vec<usize> = self.all().collect();
        self.clerks.desks().iter().for_each(|desk| desk.reach(self.cluster.network(), &all));
    }

    /// Cuts the links between servers of different sides. Clerks go on reaching the servers that they reached.
    pub(crate) fn partition(&self, sides: &[&[usize]]) {
        let shown: Vec<String> = sides.iter().map(|side| servers(side)).collect();
        self.note(format!("partition: {}", shown.join(" | ")));
        self.parted.store(true, Ordering::SeqCst);
        self.cluster.partition(sides);
    }

    /// Draws, for each of the clerks that there are, whether it reaches all servers or those of one side only.
    pub(crate) fn scatter_clerks(&self, sides: [&[usize]; 2]) {
        let all: Vec<usize> = self.all().collect();
        for desk in self.clerks.desks() {
            let reach = sides.get(self.random_below(4) as usize).copied().unwrap_or(&all);
            desk.reach(self.cluster.network(), reach);
        }
    }

    /// A majority of the servers without the leader, and the others with it.
    #[track_caller]
    pub(crate) fn majority_without_leader(&self) -> (Vec<usize>, Vec<usize>) {
        let leader = self.leader();
        let (mut majority, mut minority) = (Vec::new(), vec![leader]);
        for server in self.all().filter(|&server| server != leader) {
            let side = if majority.len() <= self.servers() / 2 { &mut majority } else { &mut minority };
            side.push(server);
        }
        (majority, minority)
    }

    /// The server that leads the highest term. Fails if there is none in about five seconds.
    #[track_caller]
    pub(crate) fn leader(&self) -> usize {
        for _ in 0..50 {
            if let Some(leader) = self.leader_now() {
                return leader;
            }
            self.sleep(ELECTION / 10);
        }
        self.fail_under(
            &rules::NO_AGREEMENT,
            "no leader was elected in about 5 s, though all servers are connected (section 5.2)",
        )
    }

    /// The server that leads the highest term, if one does at this moment.
    pub(crate) fn leader_now(&self) -> Option<usize> {
        let states = self.all().filter_map(|server| Some((server, self.cluster.state(server)?)));
        let leaders = states.filter(|(_, state)| state.is_leader);
        leaders.max_by_key(|(_, state)| state.term).map(|(leader, _)| leader)
    }

    /// Kills a server. Its disk stays.
    pub(crate) fn shut_down(&self, server: usize) {
        self.note(format!("server {server} crashes"));
        self.cluster.crash(server);
    }

    /// Starts a server from its disk. It is not connected.
    pub(crate) fn start(&self, server: usize) {
        self.note(format!("server {server} starts"));
        self.cluster.start(server);
    }

    /// Whether the clock is virtual; if not, says why the test is no use then.
    pub(crate) fn needs_virtual_time(&self, why: &str) -> bool {
        if !labtest::is_simulated() {
            self.run.warn(format!("skipped in real time: {why}"));
        }
        labtest::is_simulated()
    }

    /// Stops a server's threads, as a machine that stalls, until [`thaw`](Config::thaw). In virtual time only.
    pub(crate) fn freeze(&self, server: usize) {
        self.note(format!("server {server} stalls"));
        self.cluster.freeze(server);
    }

    pub(crate) fn thaw(&self, server: usize) {
        self.note(format!("server {server} goes on"));
        self.cluster.thaw(server);
    }

    /// Lets each thread of a server stall now and then for up to `max`, at one in `one_in` of the schedule's
    /// preemptions; with 0, no more. In virtual time only.
    pub(crate) fn set_stalls(&self, server: usize, one_in: u32, max: Duration) {
        self.cluster.set_stalls(server, one_in, max);
    }

    /// Lets a server's clock run fast by so many parts per million; slow if negative. In virtual time only.
    pub(crate) fn set_drift(&self, server: usize, ppm: i64) {
        self.cluster.set_drift(server, ppm);
    }

    /// How many bytes the newest snapshot of a server has on its disk; 0 if there is none.
    pub(crate) fn snapshot_size(&self, server: usize) -> usize {
        self.cluster.disk(server).snapshot_size()
    }

    /// How many bytes a server has on its disk.
    pub(crate) fn disk_size(&self, server: usize) -> usize {
        let disk = self.cluster.disk(server);
        disk.state_size() + disk.snapshot_size()
    }

    /// Fails if a server that was killed 10 s ago, or longer, still has threads. In real time nobody knows them.
    #[track_caller]
    pub(crate) fn check_killed_threads_ended(&self) {
        let overdue = self.run.overdue_threads();
        self.check_under(&rules::KILL_ENDS, overdue.is_empty(), || {
            format!(
                "{}: kill() must make every thread end, whatever it waits for, and so must the end of Raft's apply \
                 channel",
                overdue.join("; ")
            )
        });
    }

    /// Fails if a Raft log was not trimmed, or if a service that is to make no snapshots has made one.
    #[track_caller]
    pub(crate) fn check_log_sizes(&self) {
        for server in self.all() {
            let disk = self.cluster.disk(server);
            let (state, snapshot) = (disk.state_size(), disk.snapshot_size());
            if let Some(objection) = size_objection(server, state, snapshot, self.setting.max_raft_state) {
                self.fail_under(&rules::LOG_TRIMMED, objection);
            }
        }
    }

    /// The same after each operation, wherever a majority can always commit.
    #[track_caller]
    fn check_log_sizes_meanwhile(&self) {
        if self.setting.max_raft_state.is_some() && !self.parted.load(Ordering::SeqCst) {
            self.check_log_sizes();
        }
    }

    /// How many calls clerks have made.
    pub(crate) fn clerk_calls(&self) -> u64 {
        self.clerks.calls_made()
    }

    /// Fails if a snapshot has more than `max` bytes.
    #[track_caller]
    pub(crate) fn check_snapshot_sizes(&self, max: usize) {
        for server in self.all() {
            let size = self.cluster.disk(server).snapshot_size();
            self.check_under(&rules::LOG_TRIMMED, size <= max, || {
                format!(
                    "the snapshot of server {server} has {size} bytes, more than {max}: it should hold the state of \
                     the service, which is one short value, and what is needed to detect duplicates; not a history"
                )
            });
        }
    }
}

/// What is wrong with what a server has on its disk.
fn size_objection(server: usize, state: usize, snapshot: usize, max: Option<usize>) -> Option<String> {
    match max {
        None => (snapshot > 0).then(|| {
            format!(
                "server {server} has saved a snapshot of {snapshot} bytes, but `max_raft_state` is `None`: it is to \
                 make none"
            )
        }),
        Some(max) => (state > STATE_FACTOR * max).then(|| {
            format!(
                "the Raft state of server {server} has {state} bytes on disk, more than {STATE_FACTOR} times \
                 `max_raft_state`, which is {max}: when it nears that size the service must make a snapshot and give \
                 it to `snapshot()`, which discards the log up to there (section 7)"
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::size_objection;

    #[test]
    fn a_log_that_is_not_trimmed_and_a_snapshot_that_is_not_wanted_are_named() {
        let untrimmed = size_objection(2, 8001, 9, Some(1000)).unwrap();
        assert!(
            untrimmed.contains("server 2 has 8001 bytes") && untrimmed.contains("8 times"),
            "{untrimmed}"
        );
        let unwanted = size_objection(1, 5, 7, None).unwrap();
        assert!(unwanted.contains("server 1 has saved a snapshot of 7 bytes"), "{unwanted}");
        assert_eq!(size_objection(0, 8000, 99, Some(1000)), None);
        assert_eq!(size_objection(0, 1 << 20, 0, None), None);
    }
}
