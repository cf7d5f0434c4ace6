//! The cluster that the tests speak of: Raft servers, each with a strict service above it, on a network.
//!
//! A [`Config`] can be used by many threads at once. Its waits end when the run is over; its checks fail the
//! run with a message for the student, at the line of the test.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use labrpc::{Faults, Network, NetworkOptions};
use labtest::{Applier, Cluster, Node, Run, Seat, Task, TestName, count, servers, show};
use parking_lot::Mutex;
use raft::{NotLeader, Persister, Raft, RaftClient, RaftService, Start, State};
use rand::RngExt;
use rand::rngs::StdRng;

/// The time in which a cluster should elect a leader, several times over.
pub(crate) const ELECTION: Duration = Duration::from_secs(1);

/// In lab 2D the service makes a snapshot after this many commands.
pub(crate) const SNAPSHOT_INTERVAL: u64 = 10;

/// How long [`Config::one`] goes on giving its command to servers.
const AGREE_LIMIT: Duration = Duration::from_secs(10);

/// How long it waits for a command that a leader has accepted.
const APPLY_LIMIT: Duration = Duration::from_secs(2);

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

fn run<F>(servers: usize, net: Net, snapshots: bool, body: F)
where
    F: Fn(&Config) + Send + Sync + 'static,
{
    labtest::run_named(TestName::of::<F>(), move |run| {
        let cfg = Config::new(run, servers, net, snapshots);
        body(&cfg);
        cfg.warn_of_needless_elections();
    });
}

/// A cluster under test. Clones are handles to the same one.
#[derive(Clone)]
pub(crate) struct Config {
    run: Run,
    cluster: Cluster<Server>,
    random: Arc<Mutex<StdRng>>,
    /// The term of the first leader seen; 0 before that.
    calm_term: Arc<AtomicU64>,
    /// Whether the test has done anything that may rightly cause an election.
    disturbed: Arc<AtomicBool>,
}

/// A living server: the peer, and the service that takes what it applies.
#[derive(Clone)]
struct Server {
    raft: Raft,
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
    fn new(seat: Seat, snapshots: bool) -> Server {
        let Seat { me, peers, disk, incarnation, applied } = seat;
        // A rendezvous channel: who holds a lock while sending on it holds it until the service comes for the
        // message, which may be while it is itself calling `snapshot`.
        let (apply, messages) = crossbeam_channel::bounded(0);
        let snapshot = disk.snapshot();
        let raft = Raft::new(peers.into_iter().map(RaftClient::new).collect(), me, disk, apply);
        let (peer, whose, record) = (raft.clone(), incarnation.clone(), applied.clone());
        let applier = Applier::start(&incarnation, applied, &snapshot, messages, move |index| {
            if snapshots && (index + 1) % SNAPSHOT_INTERVAL == 0 {
                let data = record.lock().snapshot(index).encode();
                whose.run().calling(&whose, "snapshot()", || peer.snapshot(index, data));
            }
        });
        Server { raft, applier: Arc::new(applier) }
    }
}

impl Config {
    fn new(run: &Run, servers: usize, net: Net, snapshots: bool) -> Config {
        let network = Network::new(NetworkOptions { seed: run.seed(), ..NetworkOptions::default() });
        network.set_faults(net.faults());
        let cluster = Cluster::new(run, network, servers, move |seat| Server::new(seat, snapshots));
        (0..servers).for_each(|server| cluster.start(server));
        (0..servers).for_each(|server| cluster.connect(server));
        let random = Arc::new(Mutex::new(run.rng("test")));
        Config { run: run.clone(), cluster, random, calm_term: Arc::default(), disturbed: Arc::default() }
    }

    // What a test tells its reader.

    /// Begins a part of the test; reports show its title.
    pub(crate) fn phase(&self, title: impl Into<String>) {
        self.run.phase(title);
    }

    /// Prints something that is suspicious but no failure.
    pub(crate) fn warn(&self, message: impl Display) {
        self.run.warn(message);
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

    /// Disconnects and kills a server. Its disk stays.
    pub(crate) fn crash(&self, server: usize) {
        self.disturb();
        log::info!("crashes server {server}");
        self.cluster.crash(server);
    }

    /// Starts a server from its disk, after a crash if it is alive. It is not connected.
    pub(crate) fn restart(&self, server: usize) {
        self.disturb();
        log::info!("restarts server {server}");
        self.cluster.start(server);
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

    /// Bytes of all requests sent and replies received.
    pub(crate) fn bytes(&self) -> u64 {
        let total = self.network().total();
        total.request_bytes + total.reply_bytes
    }

    // Leaders and terms.

    /// Waits until a connected server leads, and returns the one with the highest term. Fails if two lead the
    /// same term, or if there is no leader in about five seconds.
    #[track_caller]
    pub(crate) fn check_one_leader(&self) -> usize {
        for _ in 0..10 {
            self.sleep(Duration::from_millis(450 + self.random_below(100)));
            let mut newest: Option<(u64, usize)> = None;
            let mut leaders: Vec<(u64, usize)> = Vec::new();
            for (server, state) in self.connected_states() {
                if state.is_leader {
                    if let Some(&(term, other)) = leaders.iter().find(|(term, _)| *term == state.term) {
                        self.fail(format!(
                            "servers {other} and {server} both say they lead term {term}: at most one leader can \
                             be elected in a given term (figure 3, Election Safety)"
                        ));
                    }
                    leaders.push((state.term, server));
                    newest = newest.max(Some((state.term, server)));
                }
            }
            if let Some((term, leader)) = newest {
                self.calm_leader(term);
                return leader;
            }
        }
        let connected: Vec<usize> = self.all().filter(|&server| self.is_connected(server)).collect();
        self.fail(format!(
            "no leader was elected in about 5 s among the connected {}, a majority of {}: an election timeout must \
             start an election, and votes of a majority must win it (section 5.2)",
            servers(&connected),
            count(self.servers(), "server")
        ))
    }

    /// Fails if any connected server claims to lead.
    #[track_caller]
    pub(crate) fn check_no_leader(&self) {
        for (server, state) in self.connected_states() {
            self.check(!state.is_leader, || {
                format!(
                    "server {server} says it leads term {}, but too few servers are connected to elect it: it takes \
                     votes from a majority of all {} (section 5.2)",
                    state.term,
                    count(self.servers(), "server")
                )
            });
        }
    }

    /// The term on which all connected servers agree. Fails if they do not.
    #[track_caller]
    pub(crate) fn check_terms(&self) -> u64 {
        let mut seen: Option<(u64, usize)> = None;
        for (server, state) in self.connected_states() {
            let (term, first) = *seen.get_or_insert((state.term, server));
            self.check(term == state.term, || {
                format!(
                    "server {first} is in term {term} and server {server} in term {}, though all are connected and \
                     one leads: terms are exchanged whenever servers communicate (section 5.1)",
                    state.term
                )
            });
        }
        match seen {
            Some((term, _)) => term,
            None => self.fail("the test asks for the term of connected servers, but none is connected"),
        }
    }

    /// Whether every living server is in this term.
    pub(crate) fn all_in_term(&self, term: u64) -> bool {
        self.all().filter_map(|server| self.cluster.state(server)).all(|state| state.term == term)
    }

    fn connected_states(&self) -> Vec<(usize, State)> {
        self.all()
            .filter(|&server| self.is_connected(server))
            .filter_map(|server| Some((server, self.cluster.state(server)?)))
            .collect()
    }

    // Commands.

    /// Gives a command to a server. A crashed one is no leader.
    pub(crate) fn start(&self, server: usize, command: impl Display) -> Result<Start, NotLeader> {
        self.run.check_on();
        let (node, incarnation) = self.cluster.node(server).ok_or(NotLeader)?;
        let command = command.to_string().into_bytes();
        self.run.calling(&incarnation, "start()", || node.raft.start(command))
    }

    /// Gives a command to the leader, who must accept it.
    #[track_caller]
    pub(crate) fn start_on_leader(&self, leader: usize, command: impl Display) -> Start {
        let command = command.to_string();
        match self.start(leader, &command) {
            Ok(start) => start,
            Err(NotLeader) => self
                .fail(format!("server {leader} was the leader a moment ago, but did not accept `{command}`")),
        }
    }

    /// Gives a command to the leader, whoever that is, and waits until `expected` living servers have applied
    /// it. Returns its index. Fails if an accepted command is not applied within 2 s, or none is accepted
    /// within 10 s.
    #[track_caller]
    pub(crate) fn one(&self, command: impl Display, expected: usize) -> u64 {
        self.agree(&command.to_string(), expected, false)
    }

    /// As [`one`](Config::one), but a command that was accepted and not applied is given again, for 10 s in
    /// all: for times when leaders may be deposed. It may then be applied more than once.
    #[track_caller]
    pub(crate) fn one_retry(&self, command: impl Display, expected: usize) -> u64 {
        self.agree(&command.to_string(), expected, true)
    }

    /// As [`one`](Config::one); the command must come to stand at `index`.
    #[track_caller]
    pub(crate) fn one_at(&self, index: u64, command: impl Display, expected: usize) {
        let command = command.to_string();
        let got = self.one(&command, expected);
        self.check(got == index, || {
            format!(
                "{} was agreed on at index {got}, expected index {index}: the log holds the commands given to \
                 start() and nothing else, from index 1 on",
                show(command.as_bytes())
            )
        });
    }

    #[track_caller]
    fn agree(&self, command: &str, expected: usize, retry: bool) -> u64 {
        let shown = show(command.as_bytes());
        let begun = Instant::now();
        let mut server = 0;
        let mut attempts = 0;
        let mut last_attempt = "no connected server accepted it: each said it was not the leader".to_string();
        while begun.elapsed() < AGREE_LIMIT {
            let accepted = self.all().find_map(|_| {
                server = self.after(server, 1);
                let asked = self.is_connected(server).then(|| self.start(server, command));
                Some((server, asked?.ok()?))
            });
            let Some((leader, start)) = accepted else {
                self.sleep(Duration::from_millis(50));
                continue;
            };
            attempts += 1;
            self.calm_leader(start.term);
            let applied = || {
                let applied = self.cluster.applied().lock();
                match applied.command(start.index) {
                    Some(other) if other != command.as_bytes() => (!retry).then_some(false),
                    _ => (applied.living(start.index).len() >= expected).then_some(true),
                }
            };
            if self.run.wait_until(APPLY_LIMIT, applied) == Some(true) {
                return start.index;
            }
            last_attempt = format!(
                "server {leader} accepted it at index {} as leader of term {}, but {}",
                start.index,
                start.term,
                self.who_applied(start.index, command)
            );
            if !retry {
                self.fail(format!(
                    "{shown} was not applied by {} within {} s: {last_attempt}",
                    count(expected, "server"),
                    APPLY_LIMIT.as_secs()
                ));
            }
        }
        self.fail(format!(
            "{shown} was not applied by {} within {} s, accepted {}: {last_attempt}",
            count(expected, "server"),
            AGREE_LIMIT.as_secs(),
            count(attempts, "time")
        ))
    }

    /// What became of a command that was accepted at `index`.
    fn who_applied(&self, index: u64, command: &str) -> String {
        let applied = self.cluster.applied().lock();
        match applied.command(index) {
            None => "no server has applied that index".to_string(),
            Some(other) if other != command.as_bytes() => {
                format!("{} was applied there by {}", show(other), servers(&applied.ever(index)))
            }
            Some(_) => format!("only {} applied it (of those alive)", servers(&applied.living(index))),
        }
    }

    /// The command applied at `index` by any server, dead or alive.
    pub(crate) fn applied_anywhere(&self, index: u64) -> Option<String> {
        let applied = self.cluster.applied().lock();
        applied.command(index).map(|command| String::from_utf8_lossy(command).into_owned())
    }

    /// Fails if any server, dead or alive, connected or not, has ever applied `index`.
    #[track_caller]
    pub(crate) fn check_applied_nowhere(&self, index: u64) {
        let who = self.cluster.applied().lock().ever(index);
        if let Some(command) = self.applied_anywhere(index) {
            self.fail(format!(
                "`{command}` was applied at index {index} by {}, but no majority can have agreed on it: an entry is \
                 committed once it is replicated on a majority of the servers (section 5.3)",
                servers(&who)
            ));
        }
    }

    /// Waits until `expected` living servers have applied `index`; the command there. Fails after about 31 s.
    #[track_caller]
    pub(crate) fn wait(&self, index: u64, expected: usize) -> String {
        match self.wait_while(index, expected, || true) {
            Some(command) => command,
            None => unreachable!("the wait has no condition to end it"),
        }
    }

    /// As [`wait`](Config::wait), as long as no living server has left `term` behind; then `None`.
    #[track_caller]
    pub(crate) fn wait_in_term(&self, index: u64, expected: usize, term: u64) -> Option<String> {
        self.wait_while(index, expected, || {
            self.all().filter_map(|server| self.cluster.state(server)).all(|state| state.term <= term)
        })
    }

    #[track_caller]
    fn wait_while(&self, index: u64, expected: usize, go_on: impl Fn() -> bool) -> Option<String> {
        let living = || self.cluster.applied().lock().living(index);
        let mut pause = Duration::from_millis(10);
        for _ in 0..30 {
            let enough = || (living().len() >= expected).then(|| self.applied_anywhere(index));
            if let Some(command) = self.run.wait_until(pause, enough) {
                return command;
            }
            if !go_on() {
                return None;
            }
            if pause < Duration::from_secs(1) {
                pause *= 2;
            }
        }
        self.fail(format!(
            "index {index} was not applied by {} in about 31 s: of those alive, {} applied it",
            count(expected, "server"),
            servers(&living())
        ))
    }

    // Needless elections.

    fn disturb(&self) {
        self.disturbed.store(true, Ordering::SeqCst);
    }

    /// A leader of this term was seen.
    fn calm_leader(&self, term: u64) {
        let _ = self.calm_term.compare_exchange(0, term, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// In a network without failures the first leader stays. In real time a loaded machine may be at fault, so
    /// this is no failure.
    fn warn_of_needless_elections(&self) {
        let first = self.calm_term.load(Ordering::SeqCst);
        let now = self.all().filter_map(|server| self.cluster.state(server)).map(|state| state.term).max();
        if !self.disturbed.load(Ordering::SeqCst) && first != 0 && now > Some(first) {
            self.warn(format!(
                "the term went from {first} to {} although nothing failed: are heartbeats late, or election \
                 timeouts too short?",
                now.unwrap_or(first)
            ));
        }
    }
}
