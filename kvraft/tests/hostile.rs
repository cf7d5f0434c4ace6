//! What is promised of servers whatever is asked of them.

use std::sync::Arc;
use std::time::Duration;

use labrpc::{Client, Event, Kind, Method, Observer, RpcError, Step, Threads};
use labtest::observe;
use parking_lot::Mutex;

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
