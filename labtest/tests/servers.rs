//! What befalls servers besides crashes: they stall, their clocks drift, and their shadows are asked whether they keep
//! their word. Each shown a case in which it must be noticed that something is wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use labnode::{Persister, State};
use labrpc::{AnyMessage, Clock, Method, Network, NetworkOptions, Service};
use labtest::events::{Content, Promised, RequestVote, RequestVoteReply};
use labtest::{Cluster, Node, Run, Seat, Shadow, TestName};
use parking_lot::Mutex;

#[global_allocator]
static ALLOC: labtest::Alloc = labtest::Alloc;

const MS: Duration = Duration::from_millis(1);

/// The term of all votes.
const TERM: u64 = 7;

labrpc::service! {
    /// Votes for anybody.
    service "voter" {
        trait VoterService; client VoterClient;
        rpc vote(u64) -> bool;
    }
}

#[derive(Clone)]
struct Voter(Arc<Shared>);

struct Shared {
    peers: Vec<VoterClient>,
    disk: Persister,
    /// It saves a term before it votes in it.
    saves: bool,
    is_dead: AtomicBool,
    /// How often it has slept for a millisecond.
    ticks: AtomicU64,
    /// When it woke last, by its own clock.
    clock: Mutex<Instant>,
}

impl Voter {
    fn new(seat: Seat, saves: bool) -> Voter {
        let peers = seat.peers.into_iter().map(VoterClient::new).collect();
        let (is_dead, ticks, clock) = (false.into(), 0.into(), Mutex::new(Instant::now()));
        let shared = Arc::new(Shared { peers, disk: seat.disk, saves, is_dead, ticks, clock });
        let its = shared.clone();
        seat.incarnation.spawn("ticks".to_string(), move || {
            while !its.is_dead.load(Ordering::Relaxed) {
                thread::sleep(MS);
                its.ticks.fetch_add(1, Ordering::Relaxed);
                *its.clock.lock() = Instant::now();
            }
        });
        Voter(shared)
    }

    fn ticks(&self) -> u64 {
        self.0.ticks.load(Ordering::Relaxed)
    }
}

impl VoterService for Voter {
    fn vote(&self, term: u64) -> labrpc::Result<bool> {
        if self.0.saves {
            self.0.disk.save(term.to_le_bytes().to_vec(), None);
        }
        Ok(true)
    }
}

impl Node for Voter {
    fn services(&self) -> Vec<Service> {
        vec![self.clone().into_service()]
    }

    fn state(&self) -> State {
        let saved = <[u8; 8]>::try_from(self.0.disk.state()).map_or(0, u64::from_le_bytes);
        State { term: saved, is_leader: false }
    }

    fn kill(&self) {
        self.0.is_dead.store(true, Ordering::Relaxed);
    }
}

fn neutral(_: &Method, message: &dyn AnyMessage) -> Content {
    if let Some(&term) = message.downcast_ref::<u64>() {
        Content::RequestVote(RequestVote { term, last_log_index: 0, last_log_term: 0 })
    } else if let Some(&granted) = message.downcast_ref::<bool>() {
        Content::RequestVoteReply(RequestVoteReply { term: TERM, granted })
    } else {
        Content::Other
    }
}

/// Three servers, all connected.
fn cluster(run: &Run, clock: Clock, saves: bool) -> Cluster<Voter> {
    let options = NetworkOptions { seed: run.seed(), clock, ..NetworkOptions::default() };
    let cluster = Cluster::new(run, Network::new(options), 3, move |seat| Voter::new(seat, saves));
    cluster.watch(neutral);
    (0..3).for_each(|server| cluster.start(server));
    (0..3).for_each(|server| cluster.connect(server));
    cluster
}

fn voter(cluster: &Cluster<Voter>, server: usize) -> Voter {
    cluster.node(server).expect("it is alive").0
}

/// Whether there is virtual time: in real time servers do not stall, their clocks do not drift, and nobody is asked.
fn is_virtual() -> bool {
    labsim::unsupported().is_none()
}

fn simulate<F: Fn(&Run) + Send + 'static>(test: F) {
    if is_virtual() {
        labtest::run_seeds(TestName::of::<F>(), 4, test);
    }
}

/// The report of a test that must fail.
fn objection<F: Fn(&Run) + Send + 'static>(test: F) -> Option<String> {
    labtest::objection(TestName::of::<F>(), None, test)
}

#[test]
fn a_frozen_server_stalls_and_answers_once_it_is_thawed() {
    simulate(|run| {
        let cluster = cluster(run, Cluster::<Voter>::clock(), true);
        run.sleep(50 * MS);
        let frozen = voter(&cluster, 1);
        cluster.freeze(1);
        let before = [voter(&cluster, 0).ticks(), frozen.ticks()];
        let asking = voter(&cluster, 0);
        let asked = run.spawn("asks", move || asking.0.peers[1].vote(&TERM).wait());
        assert!(!asked.is_done_within(500 * MS), "a frozen server has answered");
        let after = [voter(&cluster, 0).ticks(), frozen.ticks()];
        assert!(after[0] > before[0] + 100 && after[1] == before[1], "{before:?}, then {after:?}");
        cluster.thaw(1);
        assert_eq!(asked.join(), Ok(true));
        run.sleep(50 * MS);
        assert!(frozen.ticks() > after[1]);
    });
}

#[test]
fn a_frozen_server_can_crash() {
    simulate(|run| {
        let cluster = cluster(run, Cluster::<Voter>::clock(), true);
        for crash in [Cluster::kill, Cluster::cut_power] {
            cluster.freeze(1);
            crash(&cluster, 1);
            cluster.start(1);
            run.sleep(50 * MS);
            assert!(voter(&cluster, 1).ticks() > 10, "its next life is not frozen");
        }
    });
}

/// How far a server's clock goes, and how often it wakes, in a second of the run.
fn second(run: &Run, cluster: &Cluster<Voter>, server: usize) -> (Duration, u64) {
    let read = || {
        let voter = voter(cluster, server);
        let clock = *voter.0.clock.lock();
        (clock, voter.ticks())
    };
    let before = read();
    run.sleep(1000 * MS);
    let after = read();
    (after.0 - before.0, after.1 - before.1)
}

#[test]
fn a_drifting_clock_drifts_over_restarts_too_and_no_other_does() {
    simulate(|run| {
        let cluster = cluster(run, Cluster::<Voter>::clock(), true);
        for (ppm, least, most) in [(100_000, 1090, 1110), (-500_000, 490, 510), (0, 990, 1010)] {
            cluster.set_drift(1, ppm);
            for restart in [false, true] {
                if restart {
                    cluster.start(1);
                }
                run.sleep(10 * MS);
                let (clock, ticks) = second(run, &cluster, 1);
                assert!((least * MS..=most * MS).contains(&clock), "{ppm} ppm: {clock:?} in a second");
                assert!(ticks <= u64::from(most), "{ppm} ppm: {ticks} ticks");
            }
            let (clock, _) = second(run, &cluster, 0);
            assert!((990 * MS..=1010 * MS).contains(&clock), "of another server: {clock:?} in a second");
        }
    });
}

/// How long a call takes from a server whose clock has gone a tenth too fast for ten seconds.
fn call_of_the_fast(run: &Run, clock: Clock) -> Duration {
    let cluster = cluster(run, clock, true);
    cluster.set_drift(0, 100_000);
    run.sleep(10_000 * MS);
    let asking = voter(&cluster, 0);
    let (_, incarnation) = cluster.node(0).expect("it is alive");
    let (done, time) = crossbeam_channel::bounded(1);
    incarnation.spawn("asks".to_string(), move || {
        let begun = labsim::now();
        asking.0.peers[1].vote(&TERM).wait().expect("it is answered");
        let _ = done.send(labsim::now() - begun);
    });
    time.recv().expect("it was sent")
}

#[test]
fn messages_are_as_fast_whatever_the_clock_of_their_sender_shows() {
    simulate(|run| {
        let time = call_of_the_fast(run, Cluster::<Voter>::clock());
        assert!(time < 10 * MS, "{time:?}");
        // With the clocks of its servers the network is late: that is what its own clock is for.
        let time = call_of_the_fast(run, Clock::default());
        assert!(time > 500 * MS, "{time:?}");
    });
}

fn keeps_the_term(shadow: &Shadow<Voter>) -> Result<(), String> {
    let Promised::Vote { term, .. } = shadow.promise.what else {
        return Err("it has promised no vote.".into());
    };
    if shadow.request != term.to_le_bytes() {
        return Err(format!("the request was {:?}.", shadow.request));
    }
    let now = shadow.node.state().term;
    // It can be asked.
    if let Err(error) = VoterClient::new(shadow.client.clone()).vote(&TERM).wait() {
        return Err(format!("it gives no answer: {error}."));
    }
    if now < term { Err(format!("it is in term {now}.")) } else { Ok(()) }
}

/// Server 0 asks server 2 for its vote.
fn one_vote(run: &Run, saves: bool) {
    let cluster = cluster(run, Cluster::<Voter>::clock(), saves);
    cluster.hold_to_promises(|_| true, keeps_the_term);
    // The answer may not arrive any more.
    let _ = voter(&cluster, 0).0.peers[2].vote(&TERM).wait();
    run.sleep(100 * MS);
}

#[test]
fn who_votes_before_it_has_saved_is_found_out() {
    if !is_virtual() {
        return;
    }
    let report = objection(|run| one_vote(run, false)).expect("the shadow's answer was not objected to");
    for part in [
        "server 2 voted for server 0 in term 7. Started again from its disk as it was when that answer left, it is in \
         term 0.",
        "rule persist-before-answer: ",
    ] {
        assert!(report.contains(part), "{part:?} is missing in: {report}");
    }
}

#[test]
fn who_saves_before_it_votes_is_not_accused() {
    simulate(|run| one_vote(run, true));
}
