//! Lab 3A: a key/value service that clerks see as one server (section 8), without snapshots.

use std::time::Duration;

use labtest::rules;

use crate::appends;
use crate::config::{Config, ELECTION, NO_SNAPSHOTS, Net, kv_test};
use crate::load::{self, Load};

/// One client sees what it has written.
#[test]
fn basic_3A() {
    kv_test(5, Net::Reliable, NO_SNAPSHOTS, |cfg| Load::of(1).run(cfg));
}

/// Operations do not wait for heartbeats.
#[test]
fn speed_3A() {
    kv_test(3, Net::Near, NO_SNAPSHOTS, |cfg| {
        load::speed(cfg);
    });
}

/// Many clients at once.
#[test]
fn concurrent_3A() {
    kv_test(5, Net::Reliable, NO_SNAPSHOTS, |cfg| Load::of(5).run(cfg));
}

/// Requests and replies are lost; what is asked again is executed once.
#[test]
fn unreliable_3A() {
    kv_test(5, Net::Unreliable, NO_SNAPSHOTS, |cfg| Load::of(5).run(cfg));
}

/// Requests arrive twice, or so late that their clerk has long gone on to other operations: they must not be executed
/// then. (The original labs have no such network, and this is not one of their tests.)
#[test]
fn late_requests_3A() {
    kv_test(5, Net::Overtaking, NO_SNAPSHOTS, |cfg| Load::of(5).run(cfg));
}

/// Many clerks append to one key on an unreliable network: nothing is lost, doubled or out of order.
#[test]
fn unreliable_one_key_3A() {
    kv_test(3, Net::Unreliable, NO_SNAPSHOTS, |cfg| {
        one_key(cfg);
    });
}

pub(crate) fn one_key(cfg: &Config) {
    const CLIENTS: usize = 5;
    const APPENDS: usize = 10;
    let mut clerk = cfg.clerk();
    clerk.put("k", "");

    cfg.phase("clerks append to one key");
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            cfg.spawn(format!("worker {client}"), move |cfg| {
                let mut clerk = cfg.clerk();
                (0..APPENDS).for_each(|number| clerk.append("k", &appends::text(client, number)));
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join());

    cfg.phase("the key holds what all have appended");
    for client in 0..CLIENTS {
        clerk.check_appends("k", client, APPENDS);
    }
}

/// A majority goes on, a minority cannot, though it has the leader of before.
#[test]
fn one_partition_3A() {
    kv_test(5, Net::Reliable, NO_SNAPSHOTS, |cfg| {
        one_partition(cfg);
    });
}

pub(crate) fn one_partition(cfg: &Config) {
    cfg.clerk().put("1", "13");

    cfg.phase("a majority without the leader goes on");
    let (majority, minority) = cfg.majority_without_leader();
    cfg.partition(&[&majority, &minority]);
    let mut clerk = cfg.clerk_at(&majority);
    clerk.put("1", "14");
    clerk.check("1", "14");

    cfg.phase("the minority cannot");
    let (mut putter, mut getter) = (cfg.clerk_at(&minority), cfg.clerk_at(&minority));
    let put = cfg.spawn("put in the minority", move |_| putter.put("1", "15"));
    let get = cfg.spawn("get in the minority", move |_| getter.get("1"));
    cfg.sleep(Duration::from_secs(1));
    for (task, done) in
        [("put", put.is_done_within(Duration::ZERO)), ("get", get.is_done_within(Duration::ZERO))]
    {
        cfg.check_under(&rules::LINEARIZABLE, !done, || {
            format!(
                "a {task} has returned to a clerk that reaches only {}, a minority of {}: nothing can be committed \
                 there, and another leader may have been elected of which they know nothing (section 8)",
                labtest::servers(&minority),
                labtest::count(cfg.servers(), "server")
            )
        });
    }
    clerk.check("1", "14");
    clerk.put("1", "16");
    clerk.check("1", "16");

    cfg.phase("all are together again, and what was asked of the minority is done");
    cfg.connect_all();
    cfg.sleep(ELECTION);
    check_completes(cfg, "put", put.is_done_within(Duration::from_secs(3)));
    check_completes(cfg, "get", get.is_done_within(Duration::from_secs(3)));
    clerk = cfg.clerk();
    clerk.check("1", "15");
}

#[track_caller]
fn check_completes(cfg: &Config, what: &str, done: bool) {
    cfg.check_under(&rules::CLERKS_ANSWERED, done, || {
        format!(
            "the {what} that was asked of the minority has not returned within 4 s of all servers being together again"
        )
    });
}

/// Partitions come and go under one client.
#[test]
fn many_partitions_one_client_3A() {
    kv_test(5, Net::Reliable, NO_SNAPSHOTS, |cfg| Load::of(1).with_partitions().run(cfg));
}

/// Partitions come and go under many clients.
#[test]
fn many_partitions_many_clients_3A() {
    kv_test(5, Net::Reliable, NO_SNAPSHOTS, |cfg| Load::of(5).with_partitions().run(cfg));
}

/// What a client was told is done outlives a crash of all servers.
#[test]
fn persist_one_client_3A() {
    kv_test(5, Net::Reliable, NO_SNAPSHOTS, |cfg| Load::of(1).with_restarts().run(cfg));
}

/// The same with many clients.
#[test]
fn persist_concurrent_3A() {
    kv_test(5, Net::Reliable, NO_SNAPSHOTS, |cfg| Load::of(5).with_restarts().run(cfg));
}

/// The same on an unreliable network.
#[test]
fn persist_concurrent_unreliable_3A() {
    kv_test(5, Net::Unreliable, NO_SNAPSHOTS, |cfg| Load::of(5).with_restarts().run(cfg));
}

/// Partitions, and crashes of all servers.
#[test]
fn persist_partition_3A() {
    kv_test(5, Net::Reliable, NO_SNAPSHOTS, |cfg| Load::of(5).with_partitions().with_restarts().run(cfg));
}

/// The same on an unreliable network.
#[test]
fn persist_partition_unreliable_3A() {
    kv_test(5, Net::Unreliable, NO_SNAPSHOTS, |cfg| Load::of(5).with_partitions().with_restarts().run(cfg));
}

/// All of it, with more clients, on keys that all of them use: the hardest for linearizability.
#[test]
fn persist_partition_unreliable_linearizable_3A() {
    kv_test(7, Net::Unreliable, NO_SNAPSHOTS, |cfg| {
        Load::of(15).on_random_keys().with_partitions().with_restarts().run(cfg);
    });
}
