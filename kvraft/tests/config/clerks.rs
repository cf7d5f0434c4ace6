//! The clerks of a run: whom each can reach, what each waits for, and since when.
//!
//! A clerk whose operation does not return is a failure of its own, found by a watch that looks after the clerks:
//! an operation may take long while its clerk is cut off, but no test cuts one off for longer than some seconds.

use std::fmt::Write;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use labrpc::{Client, Network};
use labtest::{Cluster, Rule, Run, Station, Subject, count, observe, rules, seconds, servers, thousands};
use linearizability::models::{KvInput, KvStore};
use linearizability::{Model, Text};
use parking_lot::Mutex;
use rand::seq::SliceRandom;

use super::calls::Calls;
use super::{Config, Server};

/// How long an operation may take, in whatever network there is in these tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many of those that wait a report names, and of how many it tells the calls.
const CLERKS_SHOWN: usize = 5;
const CLERKS_TOLD: usize = 2;

/// All clerks of a run.
pub(super) struct Clerks {
    run: Run,
    /// Those that there are, by number.
    desks: Mutex<Vec<Arc<Desk>>>,
    /// How many there ever were.
    hired: AtomicU64,
    /// Operations that have returned.
    done: AtomicU64,
    calls: Arc<Calls>,
}

/// Where a clerk works, and what the harness knows of it.
pub(super) struct Desk {
    pub(super) number: usize,
    /// Its client for each server, in the servers' order.
    ends: Vec<Client>,
    state: Mutex<DeskState>,
}

#[derive(Default)]
struct DeskState {
    /// The servers that it reaches.
    reach: Vec<usize>,
    waiting: Option<Waiting>,
}

/// An operation that has not returned.
#[derive(Clone)]
struct Waiting {
    input: KvInput,
    since: Duration,
    place: &'static Location<'static>,
    /// Its number in the run's stream of events.
    operation: u64,
}

impl Clerks {
    pub(super) fn new(run: &Run, network: &Network) -> Arc<Clerks> {
        let calls = Calls::watch(run, network);
        let (hired, done) = (AtomicU64::new(0), AtomicU64::new(0));
        let clerks = Arc::new(Clerks { run: run.clone(), desks: Mutex::default(), hired, done, calls });
        run.attach(clerks.clone());
        let watched = clerks.clone();
        let _runs_as_long_as_the_test = run.spawn("watch over the clerks", move || watched.watch());
        clerks
    }

    /// A desk for a new clerk that reaches the servers of `reach`; and its clients, in an order of its own.
    pub(super) fn hire(&self, cfg: &Config, reach: &[usize]) -> (Arc<Desk>, Vec<Client>) {
        let number = self.hired.fetch_add(1, Ordering::SeqCst) as usize;
        let name = name(number);
        let on = Arc::new(Station::new(&self.run, &name));
        let client =
            |server| cfg.cluster.network().client(&name, &Cluster::<Server>::name(server), on.clone());
        let ends: Vec<Client> = cfg.all().map(client).collect();
        let mut shuffled = ends.clone();
        shuffled.shuffle(&mut self.run.rng(&format!("servers of {name}")));
        let desk = Arc::new(Desk { number, ends, state: Mutex::default() });
        desk.reach(cfg.cluster.network(), reach);
        self.desks.lock().push(desk.clone());
        (desk, shuffled)
    }

    /// The clerk of this desk is no more.
    pub(super) fn dismiss(&self, desk: &Desk, network: &Network) {
        desk.ends.iter().for_each(|end| network.close(end));
        self.desks.lock().retain(|other| other.number != desk.number);
        self.calls.forget(desk.number);
    }

    pub(super) fn desks(&self) -> Vec<Arc<Desk>> {
        self.desks.lock().clone()
    }

    /// How many calls clerks have made.
    pub(super) fn calls_made(&self) -> u64 {
        self.calls.made()
    }

    /// Fails the run when an operation has taken too long.
    fn watch(&self) {
        loop {
            let waiting = self.desks().into_iter().filter_map(|desk| {
                let waiting = desk.state.lock().waiting.clone()?;
                Some((desk.number, waiting))
            });
            let oldest = waiting.min_by_key(|(_, waiting)| waiting.since);
            let now = self.run.elapsed();
            if let Some((number, waiting)) = oldest.as_ref().filter(|(_, it)| now >= it.since + PATIENCE) {
                self.run.fail_under(&rules::CLERKS_ANSWERED, format!(
                    "{} of {}, called at {}, has not returned within {} s: a clerk must try one server after the other \
                     until one answers as leader, and a server must answer, if only that it does not lead, when \
                     leadership is lost or another command takes the place in the log",
                    KvStore.describe(&waiting.input, None),
                    name(*number),
                    waiting.place,
                    PATIENCE.as_secs()
                ));
            }
            self.run.sleep(oldest.map_or(now, |(_, waiting)| waiting.since) + PATIENCE - now);
        }
    }
}

impl Desk {
    /// Lets the clerk reach these servers and no others.
    pub(super) fn reach(&self, network: &Network, servers: &[usize]) {
        self.state.lock().reach = servers.to_vec();
        for (server, end) in self.ends.iter().enumerate() {
            network.enable(end, servers.contains(&server));
        }
    }

    /// The clerk begins an operation. The answer is its number in the run's stream of events.
    pub(super) fn begin(&self, run: &Run, input: KvInput, place: &'static Location<'static>) -> u64 {
        let (op, key, value) = match &input {
            KvInput::Get { key } => ("get", key, None),
            KvInput::Put { key, value } => ("put", key, Some(value)),
            KvInput::Append { key, value } => ("append", key, Some(value)),
        };
        let operation = run.client_asks(&name(self.number), op, key, value.map(|value| &**value));
        self.state.lock().waiting = Some(Waiting { input, since: run.elapsed(), place, operation });
        operation
    }

    /// The operation has returned, with this value if it was a get.
    pub(super) fn end(&self, clerks: &Clerks, value: Option<&str>) {
        clerks.done.fetch_add(1, Ordering::SeqCst);
        if let Some(waiting) = self.state.lock().waiting.take() {
            clerks.run.client_told(waiting.operation, value);
        }
    }
}

/// The name of a clerk on the network.
pub(super) fn name(number: usize) -> String {
    format!("{}{number}", super::calls::PREFIX)
}

impl Subject for Clerks {
    /// Who waits for what; nothing, where what is wrong is not that somebody waits.
    fn report(&self, broken: Option<&'static Rule>) -> String {
        if broken.is_some_and(rules::is_of_safety) {
            return String::new();
        }
        observe(|| {
            let mut waiting: Vec<(Duration, usize, String)> = Vec::new();
            for desk in self.desks.lock().iter() {
                let state = desk.state.lock();
                let Some(Waiting { input, since, place, .. }) = &state.waiting else { continue };
                let line = format!(
                    "{} waits for {} since {} ({place}); it reaches {}\n",
                    name(desk.number),
                    KvStore.describe(input, None::<&Text>),
                    seconds(*since),
                    servers(&state.reach)
                );
                waiting.push((*since, desk.number, line));
            }
            // Who waits longest tells the most.
            waiting.sort();
            let mut out = String::new();
            for (place, (_, number, line)) in waiting.iter().take(CLERKS_SHOWN).enumerate() {
                out += line;
                if place < CLERKS_TOLD {
                    out += &self.calls.report(*number);
                }
            }
            if waiting.len() > CLERKS_SHOWN {
                let _ = writeln!(out, "({} more wait)", count(waiting.len() - CLERKS_SHOWN, "clerk"));
            }
            out
        })
    }

    fn summary(&self) -> String {
        let hired = self.hired.load(Ordering::SeqCst);
        let done = self.done.load(Ordering::SeqCst);
        format!("{} operations by {}", thousands(done), count(hired as usize, "clerk"))
    }

    fn shut_down(&self) {}
}
