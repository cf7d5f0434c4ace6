//! Lab 3B: the service makes snapshots, so that the log does not grow for ever (section 7).

use std::time::Duration;

use crate::config::{Net, kv_test};
use crate::load::{self, Load};

/// How large the Raft state may grow before the service makes a snapshot.
const MAX_RAFT_STATE: Option<usize> = Some(1000);

/// A server that was cut off for longer than the log remembers gets a snapshot, and then has all of it.
#[test]
fn snapshot_rpc_3B() {
    kv_test(3, Net::Reliable, MAX_RAFT_STATE, |cfg| {
        let mut clerk = cfg.clerk();
        clerk.put("a", "A");
        clerk.check("a", "A");

        cfg.phase("server 2 misses more than the log holds");
        cfg.partition(&[&[0, 1], &[2]]);
        let mut clerk = cfg.clerk_at(&[0, 1]);
        for i in 0..50 {
            clerk.put(&i.to_string(), &i.to_string());
        }
        cfg.sleep(Duration::from_secs(1));
        clerk.put("b", "B");
        cfg.check_log_sizes();

        cfg.phase("server 2 is back, and needed for a majority");
        cfg.partition(&[&[0, 2], &[1]]);
        let mut clerk = cfg.clerk_at(&[0, 2]);
        clerk.put("c", "C");
        clerk.put("d", "D");
        for (key, value) in [("a", "A"), ("b", "B"), ("1", "1"), ("49", "49")] {
            clerk.check(key, value);
        }

        cfg.phase("all are together");
        cfg.connect_all();
        let mut clerk = cfg.clerk();
        clerk.put("e", "E");
        for (key, value) in [("c", "C"), ("e", "E"), ("1", "1")] {
            clerk.check(key, value);
        }
    });
}

/// A snapshot holds the state, not the history.
#[test]
fn snapshot_size_3B() {
    const MAX_SNAPSHOT_BYTES: usize = 500;
    kv_test(3, Net::Near, MAX_RAFT_STATE, |cfg| {
        let mut clerk = cfg.clerk();
        for _ in 0..200 {
            for value in ["0", "1"] {
                clerk.put("x", value);
                clerk.check("x", value);
                cfg.check_snapshot_sizes(MAX_SNAPSHOT_BYTES);
            }
        }
        cfg.check_log_sizes();
    });
}

/// Snapshots do not slow the service down.
#[test]
fn speed_3B() {
    kv_test(3, Net::Near, MAX_RAFT_STATE, |cfg| {
        load::speed(cfg);
    });
}

/// All servers crash, and go on from their snapshots.
#[test]
fn snapshot_recover_3B() {
    kv_test(5, Net::Reliable, MAX_RAFT_STATE, |cfg| Load::of(1).with_restarts().run(cfg));
}

/// The same with many clients.
#[test]
fn snapshot_recover_many_clients_3B() {
    kv_test(5, Net::Reliable, MAX_RAFT_STATE, |cfg| Load::of(20).with_restarts().run(cfg));
}

/// Snapshots on an unreliable network.
#[test]
fn snapshot_unreliable_3B() {
    kv_test(5, Net::Unreliable, MAX_RAFT_STATE, |cfg| Load::of(5).run(cfg));
}

/// An unreliable network, and crashes of all servers.
#[test]
fn snapshot_unreliable_recover_3B() {
    kv_test(5, Net::Unreliable, MAX_RAFT_STATE, |cfg| Load::of(5).with_restarts().run(cfg));
}

/// And partitions.
#[test]
fn snapshot_unreliable_recover_concurrent_partition_3B() {
    kv_test(5, Net::Unreliable, MAX_RAFT_STATE, |cfg| {
        Load::of(5).with_partitions().with_restarts().run(cfg);
    });
}

/// All of it, with more clients, on keys that all of them use: the hardest for linearizability.
#[test]
fn snapshot_unreliable_recover_concurrent_partition_linearizable_3B() {
    kv_test(7, Net::Unreliable, MAX_RAFT_STATE, |cfg| {
        Load::of(15).on_random_keys().with_partitions().with_restarts().run(cfg);
    });
}
