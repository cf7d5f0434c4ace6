//! Crashes at any moment: whatever a server's threads are doing, the others and the test go on.
//!
//! The servers here know nothing of Raft. Their threads print, log, call each other, save and apply all the time, and
//! watch the network as recorders do.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::Sender;
use labnode::{ApplyMsg, Persister, State};
use labrpc::{Event, Network, NetworkOptions, Observer, Service};
use labtest::{Applier, Cluster, Node, Run, Seat, TestName};
use parking_lot::Mutex;
use rand::RngExt;

#[global_allocator]
static ALLOC: labtest::Alloc = labtest::Alloc;

/// In each run. 10,000 in all take `LAB_RUNS=100`, and half a minute.
const CRASHES: u64 = 100;
const SEEDS: u32 = 20;
const SERVERS: usize = 3;

labrpc::service! {
    service "busy" {
        trait BusyService; client BusyClient;
        rpc note(u64) -> u64;
    }
}

#[derive(Clone)]
struct Busy {
    shared: Arc<Shared>,
    applier: Arc<Applier>,
}

struct Shared {
    me: usize,
    peers: Vec<BusyClient>,
    disk: Persister,
    noted: Mutex<Vec<u64>>,
    /// How often each of its threads has gone around.
    rounds: [AtomicU64; 4],
}

/// Allocates while it is printed, with the lock of standard output held: there the thread may be preempted.
struct Numbers(u64);

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{:?}", vec![self.0; 5]))
    }
}

impl Busy {
    fn new(seat: Seat) -> Busy {
        let Seat { me, peers, disk, incarnation, applied } = seat;
        let peers = peers.into_iter().map(BusyClient::new).collect();
        let shared =
            Arc::new(Shared { me, peers, disk, noted: Mutex::default(), rounds: Default::default() });
        let (apply, messages) = crossbeam_channel::bounded(0);
        let (peer, whose) = (Arc::clone(&shared), Arc::clone(&incarnation));
        let applier = Applier::start(&incarnation, applied, b"", messages, move |index| {
            whose.run().calling(&whose, "snapshot()", || peer.note(index));
        });
        shared.spawn("calls", Shared::call);
        shared.spawn("waits", Shared::call_and_wait);
        shared.spawn("prints", Shared::print);
        shared.spawn("applies", move |shared| shared.apply(&apply));
        Busy { shared, applier: Arc::new(applier) }
    }
}

impl Shared {
    fn spawn(self: &Arc<Self>, name: &str, work: impl FnOnce(&Arc<Shared>) + Send + 'static) {
        let shared = Arc::clone(self);
        thread::Builder::new().name(name.to_string()).spawn(move || work(&shared)).unwrap();
    }

    fn note(&self, number: u64) {
        let mut noted = self.noted.lock();
        noted.push(number);
        self.disk.append(&number.to_le_bytes());
        if number % 4 == 0 {
            // Not a good idea, but what a student may do.
            rest();
        }
        if noted.len() % 16 == 0 {
            self.disk.save(noted.iter().flat_map(|number| number.to_le_bytes()).collect(), None);
        }
    }

    fn other(&self) -> &BusyClient {
        &self.peers[(self.me + rand::random_range(1..SERVERS)) % SERVERS]
    }

    fn call(self: &Arc<Self>) {
        for number in 0.. {
            self.rounds[0].fetch_add(1, Ordering::Relaxed);
            let shared = Arc::clone(self);
            self.other().note(&number).on_reply(move |reply| match reply {
                Ok(number) => shared.note(number),
                Err(error) => println!("{} was not answered: {error}", shared.me),
            });
            rest();
        }
    }

    fn call_and_wait(self: &Arc<Self>) {
        for number in 0.. {
            self.rounds[1].fetch_add(1, Ordering::Relaxed);
            if let Ok(number) = self.other().note(&number).timeout(Duration::from_millis(5)).wait() {
                self.note(number);
            }
            if number % 8 == 0 {
                let shared = Arc::clone(self);
                let short = thread::spawn(move || shared.disk.state_size());
                println!("{} saved {} bytes", self.me, short.join().unwrap());
            }
        }
    }

    fn print(self: &Arc<Self>) {
        for number in 0.. {
            self.rounds[2].fetch_add(1, Ordering::Relaxed);
            println!("{} is at {}", self.me, Numbers(number));
            eprintln!("{} has noted {}", self.me, Numbers(self.noted.lock().len() as u64));
            log::info!("{} logs {}", self.me, Numbers(number));
            rest();
        }
    }

    fn apply(self: &Arc<Self>, apply: &Sender<ApplyMsg>) {
        for index in 1.. {
            self.rounds[3].fetch_add(1, Ordering::Relaxed);
            let command = index.to_string().into_bytes();
            if apply.send(ApplyMsg::Command { index, command }).is_err() {
                return;
            }
            rest();
        }
    }
}

fn rest() {
    thread::sleep(Duration::from_micros(rand::random_range(0..100)));
}

impl BusyService for Busy {
    fn note(&self, number: u64) -> labrpc::Result<u64> {
        self.shared.note(number);
        rest();
        println!("{} answers {number}", self.shared.me);
        Ok(number)
    }
}

impl Node for Busy {
    fn services(&self) -> Vec<Service> {
        vec![self.clone().into_service()]
    }

    fn state(&self) -> State {
        // It must not wait, but here it shall still be under way when the server crashes.
        rest();
        let noted = self.shared.noted.lock();
        println!("{} tells its state, {}", self.shared.me, Numbers(7));
        State { term: noted.len() as u64, is_leader: false }
    }

    fn kill(&self) {
        self.applier.stop();
    }
}

/// As a recorder, a part of which is not to be part of the run.
#[derive(Default)]
struct Recorder {
    events: AtomicU64,
}

impl Observer for Recorder {
    fn observe(&self, event: &Event<'_>) {
        labsim::observe(|| drop(format!("{:?}", event.step)));
        self.events.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn servers_that_crash_in_the_midst_of_anything_hold_up_nobody() {
    // Nobody can stop a thread there.
    if labsim::unsupported().is_some() {
        return;
    }
    let test = |run: &Run| {
        let latency = Duration::from_micros(10)..=Duration::from_micros(200);
        let options = NetworkOptions { seed: run.seed(), latency, ..NetworkOptions::default() };
        let cluster = Cluster::new(run, Network::new(options), SERVERS, Busy::new);
        let recorder = Arc::new(Recorder::default());
        cluster.network().observe(recorder.clone());
        for server in 0..SERVERS {
            cluster.start(server);
            cluster.connect(server);
        }
        let over = Arc::new(AtomicBool::new(false));
        let visit = |server| {
            let (cluster, over) = (cluster.clone(), over.clone());
            move || {
                while !over.load(Ordering::Relaxed) {
                    cluster.state(server);
                    rest();
                }
            }
        };
        let visitors: Vec<_> =
            (0..SERVERS).map(|server| run.spawn(format!("visitor {server}"), visit(server))).collect();
        let mut random = run.rng("crashes");
        for _ in 0..CRASHES {
            run.sleep(Duration::from_micros(random.random_range(0..300)));
            let server = random.random_range(0..SERVERS);
            cluster.cut_power(server);
            if random.random_bool(0.2) {
                run.sleep(Duration::from_micros(random.random_range(0..300)));
            }
            cluster.start(server);
            cluster.connect(server);
        }
        over.store(true, Ordering::Relaxed);
        visitors.into_iter().for_each(|visitor| visitor.join());
        let rounds = || -> Vec<_> {
            let server = |server| cluster.node(server).expect("it is alive").0.shared;
            let of_one = |it: Arc<Shared>| it.rounds.each_ref().map(|n| n.load(Ordering::Relaxed));
            (0..SERVERS).map(|it| of_one(server(it))).collect()
        };
        let (before, events) = (rounds(), recorder.events.load(Ordering::Relaxed));
        run.sleep(Duration::from_millis(50));
        for (server, (before, after)) in before.iter().zip(rounds()).enumerate() {
            let all_go_on = before.iter().zip(after).all(|(before, after)| *before < after);
            assert!(all_go_on, "threads of server {server} have stopped: {before:?}, then {after:?}");
        }
        assert!(recorder.events.load(Ordering::Relaxed) > events);
    };
    run(test);
}

fn run<F: Fn(&Run) + Send + 'static>(test: F) {
    labtest::run_seeds(TestName::of::<F>(), SEEDS, test);
}
