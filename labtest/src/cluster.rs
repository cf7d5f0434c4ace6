//! A cluster of servers that can be crashed, restarted, cut off and joined.

use std::collections::BTreeMap;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use labnode::{NotLeader, Persister, Start, State};
use labrpc::{AnyMessage, Client, Method, Network, Server, Service, Spawn};
use parking_lot::Mutex;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::applied::Applied;
use crate::events::{self, Command, Content, Death, Tap, What};
use crate::incarnation::{Incarnation, NodeThreads};
use crate::oracles::{Off, Rule};
use crate::report::servers::{self, Answer};
use crate::run::{Run, Subject};
use crate::{text, threads};

/// A living server, as the cluster needs it: a cheap handle to the code under test.
pub trait Node: Clone + Send + Sync + 'static {
    /// The services the server offers on the network.
    fn services(&self) -> Vec<Service>;

    /// What it believes about itself.
    fn state(&self) -> State;

    /// Kills it: `kill` of the code under test, and then the end of what the harness attached to it, such as
    /// the receiver of its apply channel.
    fn kill(&self);
}

/// What a new incarnation of a server is made from.
pub struct Seat {
    /// The server's number, from 0.
    pub me: usize,
    /// A client to each server, itself included.
    pub peers: Vec<Client>,
    /// The server's disk.
    pub disk: Persister,
    /// Whose life this is.
    pub incarnation: Arc<Incarnation>,
    /// The cluster's record of what is applied.
    pub applied: Arc<Mutex<Applied>>,
}

/// Servers on a simulated network. Clones are handles to the same cluster.
///
/// Servers that are connected are so with each other: a link is open if both its ends are connected and on
/// the same side of a [`partition`](Cluster::partition).
///
/// A suite says once how its servers are made; a test then starts, cuts off and crashes them:
///
/// ```no_run
/// use labnode::State;
/// use labrpc::{Network, NetworkOptions, Service};
/// use labtest::{Cluster, Node, Seat};
///
/// #[derive(Clone)]
/// struct Idle;
///
/// impl Node for Idle {
///     fn services(&self) -> Vec<Service> {
///         Vec::new()
///     }
///     fn state(&self) -> State {
///         State { term: 0, is_leader: false }
///     }
///     fn kill(&self) {}
/// }
///
/// labtest::run(|run| {
///     let network = Network::new(NetworkOptions { seed: run.seed(), ..NetworkOptions::default() });
///     let cluster = Cluster::new(run, network, 3, |_: Seat| Idle);
///     for server in 0..cluster.servers() {
///         cluster.start(server);
///         cluster.connect(server);
///     }
///     cluster.crash(0);
///     assert!(cluster.state(0).is_none() && cluster.state(1).is_some());
/// });
/// ```
pub struct Cluster<N> {
    inner: Arc<Inner<N>>,
}

impl<N> Clone for Cluster<N> {
    fn clone(&self) -> Cluster<N> {
        Cluster { inner: self.inner.clone() }
    }
}

struct Inner<N> {
    run: Run,
    network: Network,
    applied: Arc<Mutex<Applied>>,
    make: Box<dyn Fn(Seat) -> N + Send + Sync>,
    slots: Mutex<Vec<Slot<N>>>,
    /// Draws how servers die.
    deaths: Mutex<StdRng>,
}

/// The place of one server, which outlives its incarnations.
struct Slot<N> {
    /// The side of the partition it is on; `None` if it is disconnected.
    side: Option<usize>,
    disk: Persister,
    /// How fast its clock runs, in parts per million too fast.
    drift_ppm: i64,
    life: Option<Life<N>>,
}

struct Life<N> {
    node: N,
    incarnation: Arc<Incarnation>,
    peers: Vec<Client>,
}

impl<N: Node> Cluster<N> {
    /// A cluster of `servers` servers on `network`, none of them started. `make` makes a server's node.
    pub fn new(
        run: &Run,
        network: Network,
        servers: usize,
        make: impl Fn(Seat) -> N + Send + Sync + 'static,
    ) -> Cluster<N> {
        let slots = (0..servers)
            .map(|_| {
                let disk = Persister::shielded(threads::shield);
                Slot { side: None, disk, drift_ppm: 0, life: None }
            })
            .collect();
        let inner = Arc::new(Inner {
            run: run.clone(),
            network,
            applied: Arc::new(Mutex::new(Applied::new(servers))),
            make: Box::new(make),
            slots: Mutex::new(slots),
            deaths: Mutex::new(run.rng("deaths")),
        });
        run.attach(inner.clone());
        Cluster { inner }
    }

    /// Lets the oracles watch the cluster, before any of its servers is started. `neutral` says what their messages mean,
    /// by procedure and type.
    pub fn watch(&self, neutral: fn(&Method, &dyn AnyMessage) -> Content) {
        let Inner { run, network, .. } = &*self.inner;
        if !Off::here().events() {
            run.judge_events(self.servers());
            labsim::observe(|| network.observe(Arc::new(Tap::new(run, neutral))));
        }
    }

    /// The clock for a network between servers whose own clocks may be [skewed](Cluster::set_drift): that of the run.
    pub fn clock() -> labrpc::Clock {
        if !labsim::is_simulated() {
            return labrpc::Clock::default();
        }
        let (start, at) = (std::time::Instant::now(), labsim::now());
        labrpc::Clock::new(move || start + (labsim::now() - at))
    }

    /// Gives the cluster back as long as it is there.
    pub(crate) fn downgrade(&self) -> impl Fn() -> Option<Cluster<N>> + Send + Sync + 'static {
        let inner = Arc::downgrade(&self.inner);
        move || inner.upgrade().map(|inner| Cluster { inner })
    }

    pub(crate) fn run(&self) -> &Run {
        &self.inner.run
    }

    /// How many servers there are, and the disk of one of them; `None` while somebody else looks.
    pub(crate) fn try_disk(&self, server: usize) -> Option<(usize, Persister)> {
        let slots = self.inner.slots.try_lock()?;
        Some((slots.len(), slots[server].disk.clone()))
    }

    pub(crate) fn make(&self, seat: Seat) -> N {
        (self.inner.make)(seat)
    }

    /// How many servers there are, dead or alive.
    pub fn servers(&self) -> usize {
        self.inner.slots.lock().len()
    }

    /// The network between them.
    pub fn network(&self) -> &Network {
        &self.inner.network
    }

    /// The record of what they applied.
    pub fn applied(&self) -> &Arc<Mutex<Applied>> {
        &self.inner.applied
    }

    /// The name of a server on the network.
    pub fn name(server: usize) -> String {
        format!("server {server}")
    }

    /// The handle and the incarnation of a server, if it is alive.
    pub fn node(&self, server: usize) -> Option<(N, Arc<Incarnation>)> {
        let slots = self.inner.slots.lock();
        slots[server].life.as_ref().map(|life| (life.node.clone(), life.incarnation.clone()))
    }

    /// Whether a server is connected.
    pub fn is_connected(&self, server: usize) -> bool {
        self.inner.slots.lock()[server].side.is_some()
    }

    /// What a server believes about itself; `None` if it is crashed.
    pub fn state(&self, server: usize) -> Option<State> {
        let run = &self.inner.run;
        run.check_on();
        let (node, incarnation) = self.node(server)?;
        let asked = run.events(|events| events.next());
        let State { term, is_leader } = run.calling(&incarnation, "state()", || node.state())?;
        // If it has crashed meanwhile, what its threads still say counts no more.
        incarnation.is_alive().then(|| {
            run.note(|events, at| {
                events.of_living(at, server, |life| What::State { life, asked, term, is_leader })
            });
            State { term, is_leader }
        })
    }

    /// Gives a command to a server's code: `start` of `incarnation`. An accepted command goes into the records. A
    /// dead one is not asked, and no leader.
    pub fn offer(
        &self,
        incarnation: &Arc<Incarnation>,
        command: &[u8],
        start: impl FnOnce() -> Result<Start, NotLeader>,
    ) -> Result<Start, NotLeader> {
        let (run, server) = (&self.inner.run, incarnation.server());
        let asked = run.events(|events| events.next());
        let start = run.calling(incarnation, "start()", start).ok_or(NotLeader)??;
        self.applied().lock().given(server, start, command);
        let Start { index, term } = start;
        if incarnation.is_alive() {
            run.note(|events, at| {
                let command = Command::of(command);
                events.of_living(at, server, |life| What::Accept { life, asked, index, term, command })
            });
        }
        Ok(start)
    }

    /// A server's disk: a handle that is good until its next crash.
    pub fn disk(&self, server: usize) -> Persister {
        self.inner.slots.lock()[server].disk.clone()
    }

    /// Joins a server with all that are connected.
    pub fn connect(&self, server: usize) {
        self.inner.set_sides([(server, Some(0))]);
    }

    /// Cuts a server off from all others, in both directions.
    pub fn disconnect(&self, server: usize) {
        self.inner.set_sides([(server, None)]);
    }

    /// Connects the servers of each side with one another and with no others; those on no side are cut off.
    pub fn partition(&self, sides: &[&[usize]]) {
        let side = |server| sides.iter().position(|side| side.contains(&server));
        self.inner.set_sides((0..self.servers()).map(|server| (server, side(server))));
    }

    /// Crashes a server, if it is alive. What it saved is there when it is started again; what it saves from now on
    /// is not. One crash in two, drawn from the seed, is a [power cut](Cluster::cut_power), the other a
    /// [`kill`](Cluster::kill).
    pub fn crash(&self, server: usize) {
        let cut_power = self.inner.deaths.lock().random_bool(0.5);
        if cut_power { self.cut_power(server) } else { self.kill(server) }
    }

    /// Crashes a server, if it is alive, without letting it know: its threads just stop, and nothing is unwound. In
    /// real time, where nobody can stop them, this is a [`kill`](Cluster::kill).
    pub fn cut_power(&self, server: usize) {
        let death = if labsim::is_simulated() { Death::PowerCut } else { Death::Kill };
        self.inner.crash(server, death);
        self.inner.run.check_on();
    }

    /// Crashes a server, if it is alive, and lets it know, by its `kill`.
    pub fn kill(&self, server: usize) {
        self.inner.crash(server, Death::Kill);
        // Should `kill` have panicked, the test ends here.
        self.inner.run.check_on();
    }

    /// From now on the test takes a living server's machine for lost, and lets nothing of it through: what the server
    /// still says counts for nothing. [`crash_back_to`](Cluster::crash_back_to) must follow.
    pub fn take_for_lost(&self, server: usize) {
        self.inner.run.note(|events, at| events.crash(at, server, Death::Lost));
    }

    /// Kills a server, if it is alive, and lets it restart from `disk`: what it had saved at the moment when the
    /// test [took its machine for lost](Cluster::take_for_lost).
    pub fn crash_back_to(&self, server: usize, disk: &Persister) {
        self.crash(server);
        self.inner.slots.lock()[server].disk = disk.fork();
    }

    /// The client with which one server calls another, if it is alive.
    pub fn client(&self, from: usize, to: usize) -> Option<Client> {
        let slots = self.inner.slots.lock();
        slots[from].life.as_ref().map(|life| life.peers[to].clone())
    }

    /// Lets a server's clock run fast by so many parts per million, slow if negative (to a tenth of the speed at
    /// most), over its restarts too. In real time this does nothing.
    pub fn set_drift(&self, server: usize, ppm: i64) {
        let mut slots = self.inner.slots.lock();
        slots[server].drift_ppm = ppm;
        if let Some(life) = &slots[server].life {
            life.incarnation.node().set_clock(0, ppm);
        }
    }

    /// Lets each thread of a living server stall now and then, for up to `max`, until it is killed: see
    /// [`Node::set_stalls`](labsim::node::Node::set_stalls). In real time this does nothing.
    pub fn set_stalls(&self, server: usize, one_in: u32, max: Duration) {
        if let Some((_, incarnation)) = self.node(server) {
            incarnation.node().set_stalls(one_in, max);
        }
    }

    /// Stops a living server's threads until [`thaw`](Cluster::thaw), as a machine that stalls. Messages to it
    /// wait. Nothing may be asked of it meanwhile: it does not answer. In real time this does nothing.
    pub fn freeze(&self, server: usize) {
        if let Some((_, incarnation)) = self.node(server) {
            self.inner.note_of(server, |life| What::Freeze { life });
            incarnation.node().freeze();
        }
    }

    /// Ends a [`freeze`](Cluster::freeze); harmless without one.
    pub fn thaw(&self, server: usize) {
        if let Some((_, incarnation)) = self.node(server) {
            self.inner.note_of(server, |life| What::Thaw { life });
            incarnation.node().thaw();
        }
    }

    /// Starts a server from its disk, after a [`crash`](Cluster::crash) if it is alive. It is not connected.
    pub fn start(&self, server: usize) {
        self.crash(server);
        let Inner { run, network, applied, make, slots, .. } = &*self.inner;
        let incarnation = Incarnation::new(run, server);
        incarnation.node().set_clock(0, slots.lock()[server].drift_ppm);
        let on: Arc<dyn Spawn> = Arc::new(NodeThreads(incarnation.clone()));
        let client = |to| network.client(&Self::name(server), &Self::name(to), on.clone());
        let peers: Vec<Client> = (0..self.servers()).map(client).collect();
        let disk = slots.lock()[server].disk.clone();
        run.note(|events, at| events.start(at, server, disk.state_size(), disk.snapshot_size()));
        let seat = Seat {
            me: server,
            peers: peers.clone(),
            disk,
            incarnation: incarnation.clone(),
            applied: applied.clone(),
        };
        let make = || run.calling(&incarnation, "new()", || make(seat)).expect("a life that has not ended");
        let node = panic::catch_unwind(AssertUnwindSafe(|| threads::born_during(run, &incarnation, make)))
            .unwrap_or_else(|payload| {
                // Threads that it had started are left with nothing to reach anybody by; the ends of other
                // channels it was given went with the unwinding.
                incarnation.die();
                peers.iter().for_each(|peer| network.close(peer));
                panic::resume_unwind(payload)
            });
        let mut host = Server::new(&Self::name(server), on);
        node.services().into_iter().for_each(|service| host.add(service));
        slots.lock()[server].life = Some(Life { node, incarnation, peers });
        network.add_server(host);
    }
}

/// Which servers reach each other.
fn groups<N>(slots: &[Slot<N>]) -> Vec<Vec<usize>> {
    let mut sides: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (server, slot) in slots.iter().enumerate() {
        if let Some(side) = slot.side {
            sides.entry(side).or_default().push(server);
        }
    }
    sides.into_values().collect()
}

impl<N: Node> Inner<N> {
    /// Puts servers on sides of a partition, or on none.
    fn set_sides(&self, sides: impl IntoIterator<Item = (usize, Option<usize>)>) {
        let mut slots = self.slots.lock();
        let before = groups(&slots);
        for (server, side) in sides {
            slots[server].side = side;
            self.relink(&slots, server);
        }
        let groups = groups(&slots);
        drop(slots);
        if groups != before {
            self.run.note(|events, at| events.beside(at, What::Links { groups }));
        }
    }

    /// Enters into the stream what befalls a living server.
    fn note_of(&self, server: usize, what: impl FnOnce(events::Life) -> What) {
        self.run.note(|events, at| events.of_living(at, server, what));
    }

    /// Opens or closes every link from and to `server`.
    fn relink(&self, slots: &[Slot<N>], server: usize) {
        let enable = |from: usize, to: usize| {
            if let Some(life) = &slots[from].life {
                let open = slots[from].side.is_some() && slots[from].side == slots[to].side;
                self.network.enable(&life.peers[to], open);
            }
        };
        for other in 0..slots.len() {
            enable(server, other);
            if other != server {
                enable(other, server);
            }
        }
    }

    /// The order matters: first nothing the server does can reach another or its disk any more, so that all
    /// that was heard of it is on the disk it will restart from; then it is told.
    fn crash(&self, server: usize, death: Death) {
        // Before anything is cut: whatever the server is seen to promise by then is on its disk.
        self.run.note(|events, at| events.crash(at, server, death));
        self.set_sides([(server, None)]);
        let life = {
            let mut slots = self.slots.lock();
            let slot = &mut slots[server];
            let Some(life) = slot.life.take() else { return };
            self.network.delete_server(&Cluster::<N>::name(server));
            slot.disk = slot.disk.fork();
            life
        };
        self.run.end_life(&life.incarnation);
        self.applied.lock().end(server);
        // A machine that stalls holds up who is to tell it, and calls that are to come to their end.
        life.incarnation.node().thaw();
        match death {
            Death::Kill => self.kill(&life),
            Death::PowerCut | Death::Lost => self.run.stop_life(&life.incarnation),
        }
        life.peers.iter().for_each(|peer| self.network.close(peer));
        if death == Death::PowerCut {
            // Nothing of it is dropped: that might wait for a thread or a lock of the dead.
            mem::forget(life.node);
        }
    }

    fn kill(&self, life: &Life<N>) {
        // What the threads of that life do counts no more, but a panic of `kill` itself is a failure: the call is
        // made in the name of a life of its own. The panic has been recorded when it is caught here, so that it
        // keeps neither this server's calls open nor other servers alive.
        let in_its_name = life.incarnation.stand_in();
        let kill = || self.run.calling(&in_its_name, "kill()", || life.node.kill());
        let _ = panic::catch_unwind(AssertUnwindSafe(kill));
    }
}

impl<N: Node> Subject for Inner<N> {
    fn report(&self, _broken: Option<&'static Rule>) -> String {
        // Every server is asked at once, each by a thread of its own: one that does not answer soon is shown so. By then that
        // thread has waited long enough for the report to tell what for.
        const PATIENCE: Duration = Duration::from_millis(1100);
        let asked: Vec<_> = self
            .slots
            .lock()
            .iter()
            .map(|slot| {
                let life = slot.life.as_ref()?;
                let (answer, answered) = crossbeam_channel::bounded(1);
                let (node, incarnation) = (life.node.clone(), life.incarnation.clone());
                incarnation.spawn("report".to_string(), move || {
                    // The receiver may have gone: then the answer is too late.
                    let _ = answer.send(node.state());
                });
                Some(answered)
            })
            .collect();
        let deadline = std::time::Instant::now() + PATIENCE;
        let answer = |answered: Receiver<State>| answered.recv_deadline(deadline);
        let states: Vec<_> = asked.into_iter().map(|asked| asked.map(answer)).collect();

        let answers: Vec<Answer> = states
            .into_iter()
            .map(|state| match state {
                None => Answer::NotAsked,
                Some(Ok(state)) => Answer::Says(state),
                Some(Err(RecvTimeoutError::Timeout)) => Answer::Silent,
                Some(Err(RecvTimeoutError::Disconnected)) => Answer::Panics,
            })
            .collect();
        self.run.events(|events| servers::table(&events.picture(), &answers))
    }

    fn summary(&self) -> String {
        let total = self.network.total();
        let highest = self.applied.lock().highest();
        format!(
            "{}, {} RPCs, {} bytes{}",
            text::count(self.slots.lock().len(), "peer"),
            text::thousands(total.calls),
            text::thousands(total.request_bytes + total.reply_bytes),
            if highest > 0 { format!(", index {highest}") } else { String::new() }
        )
    }

    fn shut_down(&self) {
        let servers = self.slots.lock().len();
        (0..servers).for_each(|server| self.crash(server, Death::Kill));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use labrpc::{NetworkOptions, RpcError};

    use super::*;
    use crate::runner;

    labrpc::service! {
        /// Says that it is there, with its number.
        service "toy" {
            trait ToyService; client ToyClient;
            rpc number(()) -> usize;
        }
    }

    /// A server that knows its number. In its `kill` it tries what a dying server might.
    #[derive(Clone)]
    struct Toy {
        me: usize,
        peers: Vec<ToyClient>,
        disk: Persister,
        killed: Arc<AtomicUsize>,
        /// Whether `state()` never answers.
        hangs: bool,
        /// Whether `kill()` panics.
        panics: bool,
    }

    impl Toy {
        fn reaches(&self, other: usize) -> bool {
            self.peers[other].number(&()).wait() == Ok(other)
        }
    }

    impl ToyService for Toy {
        fn number(&self, (): ()) -> labrpc::Result<usize> {
            Ok(self.me)
        }
    }

    impl Node for Toy {
        fn services(&self) -> Vec<Service> {
            vec![self.clone().into_service()]
        }

        fn state(&self) -> State {
            if self.hangs {
                loop {
                    std::thread::park();
                }
            }
            State { term: 7, is_leader: self.me == 1 }
        }

        fn kill(&self) {
            self.killed.fetch_add(1, Ordering::SeqCst);
            assert!(!self.panics, "the toy does not want to die");
            assert!(!self.reaches(0), "a dying server reached another");
            self.disk.append(b" written late");
        }
    }

    fn toy(seat: Seat) -> Toy {
        Toy {
            me: seat.me,
            peers: seat.peers.into_iter().map(ToyClient::new).collect(),
            disk: seat.disk,
            killed: Arc::default(),
            hangs: false,
            panics: false,
        }
    }

    /// Started servers, as `make` makes them.
    fn cluster(
        run: &Run,
        servers: usize,
        make: impl Fn(Seat) -> Toy + Send + Sync + 'static,
    ) -> Cluster<Toy> {
        let cluster = Cluster::new(run, Network::new(NetworkOptions::default()), servers, make);
        (0..servers).for_each(|server| cluster.start(server));
        cluster
    }

    /// The report of a run of `body`, which must fail. In real time, so that its servers can be asked afterwards.
    fn report_of(body: impl FnOnce(&Run) + Send + 'static) -> String {
        runner::tests::in_real_time(runner::LIMITS, body).expect_err("the run passed")
    }

    fn node(cluster: &Cluster<Toy>, server: usize) -> Toy {
        cluster.node(server).expect("it is alive").0
    }

    /// Which servers reach which.
    fn links(cluster: &Cluster<Toy>) -> Vec<Vec<usize>> {
        let all = 0..cluster.servers();
        all.clone()
            .map(|from| {
                all.clone().filter(|&to| cluster.node(from).is_some_and(|(toy, _)| toy.reaches(to))).collect()
            })
            .collect()
    }

    #[test]
    fn links_are_open_between_connected_servers_on_one_side() {
        crate::run(|run| {
            let cluster = cluster(run, 4, toy);
            assert_eq!(links(&cluster), [[0; 0]; 4]);
            (0..3).for_each(|server| cluster.connect(server));
            assert_eq!(links(&cluster), [vec![0, 1, 2], vec![0, 1, 2], vec![0, 1, 2], vec![]]);
            cluster.disconnect(1);
            assert_eq!(links(&cluster), [vec![0, 2], vec![], vec![0, 2], vec![]]);
            cluster.partition(&[&[0, 1], &[3]]);
            assert_eq!(links(&cluster), [vec![0, 1], vec![0, 1], vec![], vec![3]]);
            assert!(cluster.is_connected(3) && !cluster.is_connected(2));
        });
    }

    #[test]
    fn a_crash_takes_effect_before_the_server_is_told() {
        crate::run(|run| {
            let cluster = cluster(run, 2, toy);
            (0..2).for_each(|server| cluster.connect(server));
            let (old, incarnation) = cluster.node(1).unwrap();
            old.disk.save(b"saved".to_vec(), None);

            cluster.kill(1);
            cluster.kill(1);
            assert_eq!(old.killed.load(Ordering::SeqCst), 1);
            assert!(!incarnation.is_alive() && cluster.node(1).is_none() && cluster.state(1).is_none());
            assert_eq!(old.disk.state(), b"saved written late");
            assert_eq!(cluster.disk(1).state(), b"saved");
            assert_eq!(old.peers[0].number(&()).wait(), Err(RpcError::Stopped));
            assert_eq!(links(&cluster), [vec![0], vec![]]);

            cluster.start(1);
            assert_eq!(node(&cluster, 1).disk.state(), b"saved");
            assert_eq!(links(&cluster), [vec![0], vec![]]);
            cluster.connect(1);
            assert_eq!(links(&cluster), [[0, 1], [0, 1]]);
            assert_eq!(old.peers[0].number(&()).wait(), Err(RpcError::Stopped));
        });
    }

    #[test]
    fn starting_a_living_server_crashes_it_first() {
        crate::run(|run| {
            let cluster = cluster(run, 1, toy);
            let (old, incarnation) = cluster.node(0).unwrap();
            cluster.start(0);
            assert!(!incarnation.is_alive() && cluster.node(0).unwrap().1.is_alive());
            assert!(old.killed.load(Ordering::SeqCst) <= 1, "it is killed, or its power is cut");
            assert_eq!(node(&cluster, 0).killed.load(Ordering::SeqCst), 0);
        });
    }

    #[test]
    fn a_kill_that_panics_is_a_failure_of_its_server_and_spares_none_of_the_others() {
        for crashed_by_the_test in [true, false] {
            let toys = Arc::new(Mutex::new(Vec::new()));
            let seen = toys.clone();
            let report = report_of(move |run| {
                let cluster = cluster(run, 3, |seat| Toy { panics: seat.me == 1, ..toy(seat) });
                *seen.lock() = (0..3).map(|server| node(&cluster, server)).collect();
                if crashed_by_the_test {
                    cluster.kill(1);
                }
            });
            let place = concat!("at ", file!(), ":");
            for part in ["the toy does not want to die", place, "thread `test` of server 1"] {
                assert!(report.contains(part), "{part:?} is missing in: {report}");
            }
            assert!(!report.contains("no failure"), "{report}");
            if crashed_by_the_test {
                assert!(
                    !report.contains("\n0       crashed"),
                    "a server was ended before the report: {report}"
                );
            }
            for toy in &*toys.lock() {
                assert_eq!(toy.killed.load(Ordering::SeqCst), 1, "kills of server {}", toy.me);
                assert_eq!(toy.peers[0].number(&()).wait(), Err(RpcError::Stopped));
            }
        }
    }

    #[test]
    fn a_server_that_panics_while_it_is_made_can_send_nothing_more() {
        let answer = Arc::new(Mutex::new(None));
        let its = answer.clone();
        let report = report_of(move |run| {
            let clients = Arc::new(Mutex::new(Vec::new()));
            let seen = clients.clone();
            let network = Network::new(NetworkOptions::default());
            let cluster: Cluster<Toy> = Cluster::new(run, network, 1, move |seat| {
                *seen.lock() = seat.peers;
                panic!("not me")
            });
            let starting = panic::catch_unwind(AssertUnwindSafe(|| cluster.start(0)));
            assert!(starting.is_err());
            let client = ToyClient::new(clients.lock()[0].clone());
            *its.lock() = Some(client.number(&()).wait());
        });
        assert!(report.contains("not me") && report.contains("of server 0"), "{report}");
        assert_eq!(*answer.lock(), Some(Err(RpcError::Stopped)));
    }

    #[test]
    fn the_report_shows_every_server_and_does_not_wait_for_one_that_hangs() {
        crate::run(|run| {
            let cluster = cluster(run, 3, |seat| Toy { hangs: seat.me == 2, ..toy(seat) });
            cluster.connect(1);
            cluster.crash(0);
            let report = cluster.inner.report(None);
            let lines: Vec<Vec<&str>> =
                report.lines().map(|line| line.split_whitespace().collect()).collect();
            assert_eq!(lines[1], ["0", "crashed", "0", "-", "0"], "{report}");
            assert_eq!(lines[2], ["1", "leader", "7", "-", "0"], "{report}");
            assert_eq!(lines[3], ["2", "follower,", "cut", "off", "0", "-", "0"], "{report}");
            assert!(report.contains("state() of server 2 does not answer"), "{report}");
        });
    }
}
