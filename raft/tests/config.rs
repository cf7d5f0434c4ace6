//! The cluster that the tests speak of: Raft servers, each with a strict service above it, on a network.
//!
//! A [`Config`] can be used by many threads at once. Its waits end when the run is over; its checks fail the
//! run with a message for the student, at the line of the test.

mod anew;
mod commands;
mod elections;
mod leaders;

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use labrpc::{Faults, Network, NetworkOptions};
use labtest::{Applier, Cluster, Node, Rule, Run, Seat, Task, TestName, rules};
use parking_lot::Mutex;
use raft::{Persister, Raft, RaftClient, RaftService, State};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::{shadow, wire};
use elections::Elections;

/// The time in which a cluster should elect a leader, several times over.
pub(crate) const ELECTION: Duration = Duration::from_secs(1);

/// In lab 2D the service makes a snapshot after this many commands.
pub(crate) const SNAPSHOT_INTERVAL: u64 = 10;

/// Seeds of a targeted test, unless the environment says otherwise.
const TARGETED_SEEDS: u32 = 8;

/// How the network behaves. Calls to unreachable servers take up to 7 s to fail on each.
#[derive(Clone, Copy)]
pub(crate) enum Net {
    Reliable,
    /// Requests are late by up to 26 ms, and a tenth of all requests and replies is lost.
    Unreliable,
    /// Unreliable, and two thirds of the replies come 0.2 to 2.2 s late.
    Reordering,
}

impl Net {
    fn faults(self) -> Faults {
        let faults = match self {
            Net::Reliable => Faults::reliable(),
            Net::Unreliable => Faults::unreliable(),
            Net::Reordering => Faults { long_reordering: true, ..Faults::unreliable() },
        };
        Faults { long_delays: true, ..faults }
    }
}

/// A test on `servers` servers, all connected.
pub(crate) fn raft_test<F>(servers: usize, net: Net, body: F)
where
    F: Fn(&Config) + Send + Sync + 'static,
{
    run(servers, net, false, body);
}

/// The same with a service that makes snapshots.
pub(crate) fn snapshot_test<F>(servers: usize, net: Net, body: F)
where
    F: Fn(&Config) + Send + Sync + 'static,
{
    run(servers, net, true, body);
}

/// A test of a schedule that the paper decides: `F`, a closure in the test function, gives it its name. It disturbs the
/// servers from the beginning, and takes fewer seeds than the others, since it hardly depends on chance.
pub(crate) fn targeted_test<F>(
    servers: usize,
    net: Net,
    snapshots: bool,
    body: impl Fn(&Config) + Send + Sync + 'static,
) {
    labtest::run_seeds(TestName::of::<F>(), TARGETED_SEEDS, move |run| {
        let cfg = Config::new(run, servers, net, snapshots);
        cfg.disturb();
        body(&cfg);
    });
}

fn run<F>(servers: usize, net: Net, snapshots: bool, body: F)
where
    F: Fn(&Config) + Send + Sync + 'static,
{
    let name = TestName::of::<F>();
    // Labs 2A and 2B come before persistence.
    let persists = !["2A", "2B"].iter().any(|lab| name.short().ends_with(lab));
    labtest::run_named(name, move |run| {
        let cfg = Config::new(run, servers, net, snapshots);
        if persists {
            // One promise of each run, early or late.
            let sample = 1 << (run.seed() % 7);
            cfg.cluster.hold_to_promises(move |nth| nth == sample, shadow::question);
        }
        body(&cfg);
        cfg.check_no_needless_election();
    });
}

/// A cluster under test. Clones are handles to the same one.
#[derive(Clone)]
pub(crate) struct Config {
    run: Run,
    cluster: Cluster<Server>,
    /// By server: whether its service makes no snapshots for now.
    hoards: Arc<[AtomicBool]>,
    random: Arc<Mutex<StdRng>>,
    elections: Arc<Mutex<Elections>>,
}

/// A living server: the peer, and the service that takes what it applies.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) raft: Raft,
    applier: Arc<Applier>,
}

impl Node for Server {
    fn services(&self) -> Vec<labrpc::Service> {
        vec![self.raft.clone().into_service()]
    }

    fn state(&self) -> State {
        self.raft.state()
    }

    fn kill(&self) {
        self.raft.kill();
        self.applier.stop();
    }
}

impl Server {
    fn new(seat: Seat, snapshots: bool, hoards: Arc<[AtomicBool]>) -> Server {
        let Seat { me, peers, disk, incarnation, applied } = seat;
        // A rendezvous channel: who holds a lock while sending on it holds it until the service comes for the
        // message, which may be while it is itself calling `snapshot`.
        let (apply, messages) = crossbeam_channel::bounded(0);
        let snapshot = disk.snapshot();
        let raft = Raft::new(peers.into_iter().map(RaftClient::new).collect(), me, disk, apply);
        let (peer, whose, record) = (raft.clone(), incarnation.clone(), applied.clone());
        let applier = Applier::start(&incarnation, applied, &snapshot, messages, move |index| {
            let is_due = (index + 1) % SNAPSHOT_INTERVAL == 0;
            if snapshots && is_due && !hoards[me].load(Ordering::Relaxed) {
                let data = labtest::shielded(|| record.lock().snapshot(index).encode());
                whose.note_snapshot(index);
                whose.run().calling(&whose, "snapshot()", || peer.snapshot(index, data));
            }
        });
        Server { raft, applier: Arc::new(applier) }
    }
}

/// How long a message takes: what the network's default says, or so many milliseconds as a measurement asks for
/// (`labsim/benches/labs`), so that labs with another idea of a network can be compared.
fn latency() -> RangeInclusive<Duration> {
    let asked = std::env::var("LABS_BENCH_LATENCY_MS").ok();
    asked.map_or(NetworkOptions::default().latency, |range| {
        let ends =
            range.split_once('-').and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)));
        let (low, high) = ends.expect("LABS_BENCH_LATENCY_MS takes two numbers with a hyphen: 1-10");
        Duration::from_millis(low)..=Duration::from_millis(high)
    })
}

impl Config {
    fn new(run: &Run, servers: usize, net: Net, snapshots: bool) -> Config {
        let network = Network::new(NetworkOptions {
            seed: run.seed(),
            clock: Cluster::<Server>::clock(),
            latency: latency(),
            ..NetworkOptions::default()
        });
        network.set_faults(net.faults());
        let hoards: Arc<[AtomicBool]> = (0..servers).map(|_| AtomicBool::new(false)).collect();
        let theirs = hoards.clone();
        let cluster =
            Cluster::new(run, network, servers, move |seat| Server::new(seat, snapshots, theirs.clone()));
        cluster.watch(wire::neutral);
        (0..servers).for_each(|server| cluster.start(server));
        (0..servers).for_each(|server| cluster.connect(server));
        let random = Arc::new(Mutex::new(run.rng("test")));
        Config { run: run.clone(), cluster, hoards, random, elections: Arc::default() }
    }

    // What a test tells its reader.

    /// Begins a part of the test; reports show its title.
    pub(crate) fn phase(&self, title: impl Into<String>) {
        self.run.phase(title);
    }

    /// Fails the test.
    #[track_caller]
    pub(crate) fn fail(&self, message: impl Display) -> ! {
        self.run.fail(message)
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

    // Time, threads and chance.

    /// Waits at most `limit` until `ready` answers, asking it whenever a message has moved or something was applied.
    pub(crate) fn wait_until<T>(&self, limit: Duration, ready: impl FnMut() -> Option<T>) -> Option<T> {
        self.run.wait_until(limit, ready)
    }

    /// The same for what nobody tells of, such as a server's opinion of itself: `ready` is asked every 10 ms.
    pub(crate) fn wait_until_asked<T>(
        &self,
        limit: Duration,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        const PAUSE: Duration = Duration::from_millis(10);
        for _ in 0..limit.as_millis() / PAUSE.as_millis() {
            if let Some(answer) = ready() {
                return Some(answer);
            }
            self.sleep(PAUSE);
        }
        ready()
    }

    /// Tells those who wait that a message has moved.
    pub(crate) fn notify(&self) {
        self.run.notify();
    }

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

    /// A number from 0 to `end - 1`.
    pub(crate) fn random_below(&self, end: u64) -> u64 {
        self.random.lock().random_range(0..end)
    }

    /// True in `percent` of a hundred cases.
    pub(crate) fn chance(&self, percent: u64) -> bool {
        self.random_below(100) < percent
    }

    pub(crate) fn random_server(&self) -> usize {
        self.random.lock().random_range(0..self.servers())
    }

    /// A command that differs from all others of the run, but for a freak of chance.
    pub(crate) fn random_command(&self) -> String {
        self.random_below(1 << 32).to_string()
    }

    /// A command of `len` letters.
    pub(crate) fn random_text(&self, len: usize) -> String {
        let mut random = self.random.lock();
        (0..len).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect()
    }

    // The servers.

    /// How many there are.
    pub(crate) fn servers(&self) -> usize {
        self.cluster.servers()
    }

    pub(crate) fn all(&self) -> std::ops::Range<usize> {
        0..self.servers()
    }

    /// The server `i` places after `server`, in a circle.
    pub(crate) fn after(&self, server: usize, i: usize) -> usize {
        (server + i) % self.servers()
    }

    pub(crate) fn is_alive(&self, server: usize) -> bool {
        self.cluster.node(server).is_some()
    }

    pub(crate) fn is_connected(&self, server: usize) -> bool {
        self.cluster.is_connected(server)
    }

    /// Joins a server with all that are connected.
    pub(crate) fn connect(&self, server: usize) {
        self.disturb();
        log::info!("connects server {server}");
        self.cluster.connect(server);
    }

    /// Cuts a server off from all others.
    pub(crate) fn disconnect(&self, server: usize) {
        self.disturb();
        log::info!("disconnects server {server}");
        self.cluster.disconnect(server);
    }

    /// Disconnects and crashes a server: it is killed, or just stops. Its disk stays.
    pub(crate) fn crash(&self, server: usize) {
        self.disturb();
        log::info!("crashes server {server}");
        self.cluster.crash(server);
    }

    /// Disconnects a server and calls its `kill`.
    pub(crate) fn kill(&self, server: usize) {
        self.disturb();
        log::info!("kills server {server}");
        self.cluster.kill(server);
    }

    /// Starts a server from its disk, after a crash if it is alive. It is not connected.
    pub(crate) fn restart(&self, server: usize) {
        self.disturb();
        log::info!("restarts server {server}");
        self.cluster.start(server);
    }

    /// From now on nothing that a server says or saves counts, until it is crashed back to what it has saved by now.
    pub(crate) fn take_for_lost(&self, server: usize) {
        self.cluster.take_for_lost(server);
    }

    /// From now on, until the server's next crash, shows `cut` its disk right after each write that leaves less of the log
    /// than was there before, or another snapshot. Before the write returns, so that the server has no time to say
    /// anything, and with the disk locked: `cut` is given a copy.
    pub(crate) fn on_cut(&self, server: usize, cut: impl Fn(&Persister) + Send + 'static) {
        let disk = self.cluster.disk(server);
        let mut last = disk.fork();
        disk.on_write(move |now| {
            if now.state_size() < last.state_size() || now.snapshot() != last.snapshot() {
                cut(now);
            }
            last = now.clone();
        });
    }

    /// Crashes a server that will restart from `disk`.
    pub(crate) fn crash_back_to(&self, server: usize, disk: &Persister) {
        self.disturb();
        log::info!("crashes server {server}, back to what it had saved a moment ago");
        self.cluster.crash_back_to(server, disk);
    }

    /// Stops a server's threads until [`thaw`](Config::thaw). It must not be asked anything meanwhile.
    pub(crate) fn freeze(&self, server: usize) {
        self.disturb();
        log::info!("freezes server {server}");
        self.cluster.freeze(server);
    }

    pub(crate) fn thaw(&self, server: usize) {
        log::info!("thaws server {server}");
        self.cluster.thaw(server);
    }

    /// Gives the links between two living servers, both ways, faults of their own.
    pub(crate) fn set_link(&self, one: usize, other: usize, faults: &Faults) {
        self.disturb();
        for (from, to) in [(one, other), (other, one)] {
            if let Some(client) = self.cluster.client(from, to) {
                self.network().set_link_faults(&client, Some(faults.clone()));
            }
        }
    }

    /// Sets faults that [`Net`] has no name for.
    pub(crate) fn set_faults(&self, faults: Faults) {
        self.disturb();
        self.network().set_faults(faults);
    }

    /// Whether time is virtual. If not, says that the test is skipped, and `why`.
    pub(crate) fn needs_virtual_time(&self, why: &str) -> bool {
        if !labtest::is_simulated() {
            self.warn(format!("skipped in real time: {why}"));
        }
        labtest::is_simulated()
    }

    /// Lets a server's clock run fast, or slow; over its restarts too.
    pub(crate) fn set_drift(&self, server: usize, ppm: i64) {
        self.cluster.set_drift(server, ppm);
    }

    /// Whether a server's service makes no snapshots from now on: when it does is its own affair.
    pub(crate) fn set_hoards(&self, server: usize, yes: bool) {
        self.hoards[server].store(yes, Ordering::Relaxed);
    }

    /// Lets each thread of a server, and those that call into it, stall now and then for up to `max`: at one in `one_in` of
    /// the schedule's preemptions and of the wakes of other threads; with 0, no more.
    pub(crate) fn set_stalls(&self, server: usize, one_in: u32, max: Duration) {
        self.disturb();
        self.cluster.set_stalls(server, one_in, max);
    }

    /// Fails if a server that was killed 10 s ago, or longer, still has threads. In real time nobody knows them.
    #[track_caller]
    pub(crate) fn check_killed_threads_ended(&self) {
        let overdue = self.run.overdue_threads();
        self.check_under(&rules::KILL_ENDS, overdue.is_empty(), || {
            format!(
                "{}: kill() must make every thread end, whatever it waits for, and a call that fails or an apply \
                 channel that is closed tells it too",
                overdue.join("; ")
            )
        });
    }

    pub(crate) fn set_net(&self, net: Net) {
        self.disturb();
        self.network().set_faults(net.faults());
    }

    /// The handle of a living server.
    #[track_caller]
    pub(crate) fn raft(&self, server: usize) -> Raft {
        match self.cluster.node(server) {
            Some((node, _)) => node.raft,
            None => self.fail(format!("the test asks for server {server}, which is crashed")),
        }
    }

    /// From now on every promise of a server is held against its disk. Not in real time.
    pub(crate) fn check_every_promise(&self) {
        self.cluster.hold_to_promises(|_| true, shadow::question);
    }

    /// A server's disk, until its next crash.
    pub(crate) fn disk(&self, server: usize) -> Persister {
        self.cluster.disk(server)
    }

    pub(crate) fn network(&self) -> &Network {
        self.cluster.network()
    }

    /// RPCs received by all servers.
    pub(crate) fn rpcs(&self) -> u64 {
        self.all().map(|server| self.network().counts(&Cluster::<Server>::name(server)).delivered).sum()
    }

    /// RPCs made by all servers, whether they arrived or not.
    pub(crate) fn calls(&self) -> u64 {
        self.network().total().calls
    }

    /// Bytes of all requests sent and replies received.
    pub(crate) fn bytes(&self) -> u64 {
        let total = self.network().total();
        total.request_bytes + total.reply_bytes
    }

    // Needless elections.

    fn disturb(&self) {
        self.elections.lock().disturb();
    }

    /// In a network without failures a leader stays. In real time a loaded machine may be at fault, so then this is
    /// no failure.
    fn check_no_needless_election(&self) {
        let term = self.all().filter_map(|server| self.state(server)).map(|state| state.term).max();
        if let Some(objection) = term.and_then(|term| self.elections.lock().needless(term)) {
            self.run.fail_if_virtual(&rules::ELECTION_TIMEOUT, objection);
        }
    }
}
