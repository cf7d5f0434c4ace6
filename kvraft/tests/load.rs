//! What most tests have in common: clerks that go on with whatever the network and the servers do, in three
//! iterations of five seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::RngExt;

use crate::appends;
use crate::config::{Config, ELECTION};

const ITERATIONS: usize = 3;
const ITERATION: Duration = Duration::from_secs(5);

/// Who asks, for what, and what happens meanwhile.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) clients: usize,
    /// Each operation is about a key drawn among as many as there are clients; else each client has a key of its own.
    pub(crate) random_keys: bool,
    /// Servers are parted anew every second or so, and some clerks reach one side only.
    pub(crate) partitions: bool,
    /// At the end of each iteration all servers crash, and start again a second later.
    pub(crate) restarts: bool,
}

impl Load {
    /// So many clients, each with a key of its own, and nothing else happens.
    pub(crate) fn of(clients: usize) -> Load {
        Load { clients, random_keys: false, partitions: false, restarts: false }
    }

    pub(crate) fn on_random_keys(self) -> Load {
        Load { random_keys: true, ..self }
    }

    pub(crate) fn with_partitions(self) -> Load {
        Load { partitions: true, ..self }
    }

    pub(crate) fn with_restarts(self) -> Load {
        Load { restarts: true, ..self }
    }

    /// Has the clients go on for three iterations, and checks what they see.
    pub(crate) fn run(self, cfg: &Config) {
        for iteration in 1..=ITERATIONS {
            self.iterate(cfg, iteration);
        }
    }

    fn iterate(self, cfg: &Config, iteration: usize) {
        let of = format!("{iteration} of {ITERATIONS}");
        cfg.phase(format!("iteration {of}: the clerks begin"));
        let (enough, together) = (Flag::default(), Flag::default());
        let clients: Vec<_> = (0..self.clients)
            .map(|client| {
                let enough = enough.clone();
                let go_on = move |cfg: &Config| self.client(cfg, iteration, client, &enough);
                cfg.spawn(format!("worker {client}"), go_on)
            })
            .collect();
        let parting = self.partitions.then(|| {
            cfg.sleep(Duration::from_secs(1));
            cfg.phase(format!("iteration {of}: partitions"));
            let together = together.clone();
            cfg.spawn("partitions", move |cfg| part_again_and_again(cfg, &together))
        });
        cfg.sleep(ITERATION);
        enough.raise();
        together.raise();
        if let Some(parting) = parting {
            parting.join();
            cfg.phase(format!("iteration {of}: no partition any more"));
            cfg.connect_all();
            cfg.sleep(ELECTION);
        }
        if self.restarts {
            cfg.phase(format!("iteration {of}: all servers crash"));
            cfg.all().for_each(|server| cfg.shut_down(server));
            cfg.sleep(ELECTION);
            cfg.phase(format!("iteration {of}: all servers are back"));
            cfg.all().for_each(|server| cfg.start(server));
            cfg.connect_all();
        }
        cfg.phase(format!("iteration {of}: the clerks end"));
        let appended: Vec<usize> = clients.into_iter().map(|client| client.join()).collect();
        let mut clerk = cfg.clerk();
        for (client, count) in appended.into_iter().enumerate() {
            let key = client.to_string();
            match self.random_keys {
                true => drop(clerk.get(&key)),
                false => clerk.check_appends(&key, client, count),
            }
        }
        cfg.check_log_sizes();
    }

    /// One client, until it has had enough; how many texts it has written.
    fn client(self, cfg: &Config, iteration: usize, client: usize, enough: &Flag) -> usize {
        let mut random = cfg.rng(&format!("client {client} in iteration {iteration}"));
        let mut clerk = cfg.clerk();
        let own_key = client.to_string();
        // What its own key should hold.
        let mut own_value = String::new();
        if !self.random_keys {
            clerk.put(&own_key, "");
        }
        let mut written = 0;
        while !enough.is_raised() {
            let key = match self.random_keys {
                true => random.random_range(0..self.clients).to_string(),
                false => own_key.clone(),
            };
            let text = appends::text(client, written);
            if random.random_bool(0.5) {
                clerk.append(&key, &text);
                own_value.push_str(&text);
                written += 1;
            } else if self.random_keys && random.random_bool(0.1) {
                clerk.put(&key, &text);
                written += 1;
            } else if self.random_keys {
                // Whether what it reads is right, the history will tell.
                clerk.get(&key);
            } else {
                clerk.check(&key, &own_value);
            }
        }
        written
    }
}

/// Parts the servers at random, for a second or so each time, until told to stop.
fn part_again_and_again(cfg: &Config, together: &Flag) {
    while !together.is_raised() {
        let (one, other): (Vec<usize>, Vec<usize>) = cfg.all().partition(|_| cfg.random_below(2) == 0);
        cfg.partition(&[&one, &other]);
        cfg.scatter_clerks([&one, &other]);
        cfg.sleep(ELECTION + Duration::from_millis(cfg.random_below(200)));
    }
}

/// A word to other threads of the test.
#[derive(Clone, Default)]
struct Flag(Arc<AtomicBool>);

impl Flag {
    fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// One clerk makes operations one after the other: each must take less than a third of the time between heartbeats,
/// of which there are ten a second.
pub(crate) fn speed(cfg: &Config) {
    const OPERATIONS: usize = 1000;
    let limit = Duration::from_millis(100) / 3 * OPERATIONS as u32;
    let mut clerk = cfg.clerk();
    cfg.phase("the first operation waits for a leader");
    clerk.get("x");

    cfg.phase("operations as fast as they go");
    let (begun, calls) = (Instant::now(), cfg.clerk_calls());
    let mut expected = String::new();
    for number in 0..OPERATIONS {
        let text = appends::text(0, number);
        clerk.append("x", &text);
        expected.push_str(&text);
    }
    let (took, calls) = (begun.elapsed(), cfg.clerk_calls() - calls);
    clerk.check("x", &expected);
    cfg.check(took <= limit, || {
        format!(
            "{OPERATIONS} operations took {took:?}, {:?} each; they must not take more than {limit:?}: a leader must \
             send a new entry at once, and not with the next heartbeat, and a server must answer as soon as it has \
             applied the command",
            took / OPERATIONS as u32
        )
    });
    // Without failures there is no reason to ask anyone but the leader; in real time some may be asked again.
    cfg.check(calls <= 3 * OPERATIONS as u64 / 2, || {
        format!(
            "{OPERATIONS} operations took {calls} calls, though nothing failed: a clerk should remember which server \
             was the leader, and ask it first"
        )
    });
}
