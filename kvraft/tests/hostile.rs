//! What is promised of servers whatever is asked of them.

use std::sync::Arc;
use std::time::Duration;

use labrpc::{Client, Event, Kind, Method, Observer, RpcError, Step, Threads};
use labtest::{observe, rules};
use parking_lot::Mutex;
use rand::RngExt;

use crate::config::{Config, ELECTION, NO_SNAPSHOTS, Net, kv_test};

/// Also those that wait for what a majority would have to say.
#[test]
fn killed_threads_end_3A() {
    kv_test(3, Net::Reliable, NO_SNAPSHOTS, |cfg| {
        cfg.clerk().put("k", "v");
        let leader = cfg.leader();
        let others: Vec<usize> = cfg.all().filter(|&server| server != leader).collect();

        cfg.phase("operations wait in vain");
        cfg.partition(&[&[leader], &others]);
        for i in 0..3 {
            let mut clerk = cfg.clerk_at(&[leader]);
            let _waits = cfg.spawn(format!("client {i}"), move |_| clerk.append("k", "more"));
        }
        cfg.sleep(ELECTION / 10);

        cfg.phase("kill all");
        cfg.all().for_each(|server| cfg.shut_down(server));
        cfg.sleep(Duration::from_secs(10));
        cfg.check_killed_threads_ended();
    });
}

/// What a server knows is on its disk and nowhere else, snapshots too. A `static` outlives a simulated crash, but no real
/// one.
#[test]
fn nothing_but_the_disk_3B() {
    kv_test(3, Net::Reliable, Some(1000), |cfg| {
        const LETTERS: usize = 100;
        const KEYS: usize = 30;
        cfg.phase("values that no server can store in fewer bytes");
        let (mut clerk, mut random) = (cfg.clerk(), cfg.rng("values"));
        for key in 0..KEYS {
            let value: String = (0..LETTERS).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect();
            clerk.put(&key.to_string(), &value);
        }
        // All servers learn of the last, and who saves a while after it applies may.
        cfg.sleep(ELECTION);
        for server in cfg.all() {
            let bytes = cfg.disk_size(server);
            // A letter of 26 tells 4.7 bits.
            cfg.check_under(&rules::PERSIST_BEFORE_ANSWER, 2 * bytes >= LETTERS * KEYS, || {
                format!(
                    "{KEYS} values of {LETTERS} random letters each were put, and server {server} has {bytes} bytes on its \
                     disk: what is not in the log any more must be in the snapshot, and whole (section 7)"
                )
            });
        }

        cfg.phase("another cluster in the same process, on empty disks");
        cfg.check_begins_anew("0");
    });
}

/// Requests that cannot be decoded are answered with an error and change nothing.
#[test]
fn garbage_requests_do_no_harm() {
    static NO_SUCH: Method = Method::new::<(), ()>("kv", "no_such_procedure");
    kv_test(3, Net::Reliable, NO_SNAPSHOTS, |cfg| {
        let overheard = Arc::new(Overheard::default());
        cfg.network().observe(overheard.clone());
        let mut clerk = cfg.clerk();
        clerk.put("k", "v");
        clerk.check("k", "v");
        clerk.append("k", "w");

        cfg.phase("requests are cut short, or too long");
        let stranger = stranger(cfg, cfg.leader());
        for (method, bytes) in overheard.requests.lock().clone() {
            let mut garbage: Vec<Vec<u8>> = (0..bytes.len()).map(|len| bytes[..len].to_vec()).collect();
            garbage.push([bytes.as_slice(), &[0]].concat());
            for bytes in garbage {
                let len = bytes.len();
                let answer = stranger.call_raw(method, bytes).wait();
                cfg.check(matches!(answer, Err(RpcError::Decode(_))), || {
                    format!("{method} with {len} bytes of garbage was answered with {answer:?}")
                });
            }
        }
        assert_eq!(stranger.call_raw(&NO_SUCH, Vec::new()).wait(), Err(RpcError::NoSuchMethod));
        clerk.check("k", "vw");
    });
}

/// A client of `server` that is no clerk.
fn stranger(cfg: &Config, server: usize) -> Client {
    let client = cfg.network().client("stranger", &format!("server {server}"), Arc::new(Threads));
    cfg.network().enable(&client, true);
    client
}

/// The requests of the first clerk: messages that the code under test made.
#[derive(Default)]
struct Overheard {
    requests: Mutex<Vec<(&'static Method, Vec<u8>)>>,
}

impl Observer for Overheard {
    fn observe(&self, event: &Event<'_>) {
        let envelope = &event.envelope;
        if let (Kind::Request, Step::Sent, "clerk 0", Some(bytes)) =
            (envelope.kind, event.step, envelope.from, envelope.bytes)
        {
            observe(|| self.requests.lock().push((envelope.method, bytes.to_vec())));
        }
    }
}
