//! Round trips per second, in real time with zero latency: one JSON line for each kind of handler, size of
//! message, and number of calls that one client keeps in flight.
//!
//! `calls_per_second` is the median of five rounds; `cpu_us` the CPU time of a call in all threads;
//! `vs_ping_pong` the ratio to two threads that hand a token to and fro, measured in the same run.
//!
//! `cargo bench -p labrpc -- [seconds per round]`

mod measure;

use std::collections::VecDeque;
use std::iter;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use labrpc::{Network, NetworkOptions, Result, Server, Threads};
use measure::{Rate, ping_pong, rate};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Blob(#[serde(with = "serde_bytes")] Vec<u8>);

labrpc::service! {
    service "echo" {
        trait EchoService; client EchoClient;
        rpc plain(Blob) -> Blob;
        async rpc inline(Blob) -> Blob;
    }
}

#[derive(Clone)]
struct Echo;

impl EchoService for Echo {
    fn plain(&self, blob: Blob) -> Result<Blob> {
        Ok(blob)
    }

    async fn inline(&self, blob: Blob) -> Result<Blob> {
        Ok(blob)
    }
}

/// What is measured: how many calls of what kind over what network.
struct Load {
    handler: &'static str,
    bytes: usize,
    in_flight: usize,
    linger: Duration,
    latency: RangeInclusive<Duration>,
}

fn main() {
    let seconds = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(0.3);
    let round = Duration::from_secs_f64(seconds);
    let instant = Duration::ZERO..=Duration::ZERO;
    let linger = Duration::from_micros(100);
    for (handler, linger, latency) in [
        ("async", Duration::ZERO, instant.clone()),
        ("plain", Duration::ZERO, instant.clone()),
        ("plain", linger, instant),
        ("plain", Duration::ZERO, NetworkOptions::default().latency),
    ] {
        // Measured again for each kind, as the machine may have other things to do.
        let yardstick = ping_pong(round);
        println!(
            "{{\"bench\":\"ping_pong\",\"per_second\":{:.0},\"cpu_us\":{:.2}}}",
            yardstick.per_second, yardstick.cpu_us
        );
        for bytes in [8, 1024] {
            for in_flight in [1, 16, 256] {
                let load = Load { handler, bytes, in_flight, linger, latency: latency.clone() };
                print(&load, &calls(&load, round), &yardstick);
            }
        }
    }
}

fn calls(load: &Load, round: Duration) -> Rate {
    let Load { linger, latency, .. } = load;
    let options = NetworkOptions { latency: latency.clone(), linger: *linger, ..Default::default() };
    let network = Network::new(options);
    let mut server = Server::new("server", Arc::new(Threads));
    server.add(Echo.into_service());
    network.add_server(server);
    let client = network.client("client", "server", Arc::new(Threads));
    network.enable(&client, true);
    let client = EchoClient::new(client);
    let blob = Blob(vec![7; load.bytes]);
    let call = || if load.handler == "plain" { client.plain(&blob) } else { client.inline(&blob) };

    rate(round, |end| {
        let mut flying = VecDeque::with_capacity(load.in_flight);
        let mut count = 0;
        loop {
            flying.extend(iter::repeat_with(call).take(load.in_flight - flying.len()));
            let reply = flying.pop_front().map(|reply| reply.wait().expect("a reliable network"));
            assert_eq!(reply.map(|blob| blob.0.len()), Some(load.bytes));
            count += 1;
            if Instant::now() >= end {
                return count;
            }
        }
    })
}

fn print(load: &Load, rate: &Rate, yardstick: &Rate) {
    let Load { handler, bytes, in_flight, linger, latency } = load;
    println!(
        "{{\"bench\":\"labrpc\",\"handler\":\"{handler}\",\"bytes\":{bytes},\"in_flight\":{in_flight},\
         \"linger_us\":{},\"latency_max_us\":{},\
         \"calls_per_second\":{:.0},\"cpu_us\":{:.2},\"vs_ping_pong\":{:.2}}}",
        linger.as_micros(),
        latency.end().as_micros(),
        rate.per_second,
        rate.cpu_us,
        rate.per_second / yardstick.per_second,
    );
}
