//! A machine that fails between two of its writes: what the one takes away, another must have put elsewhere before.
//!
//! Those in danger are writes that leave less of the log, or another snapshot: right after one, before the server has
//! said anything that it rests on, it is lost, and starts again from its disk as it is then.

use std::time::Duration;

use crate::config::{Config, Net, SNAPSHOT_INTERVAL, targeted_test};
use crate::scene::stage::Stage;

/// How long a server is given to come to such a write. A right solution need not: it may never write its log anew.
const PATIENCE: Duration = Duration::from_secs(2);

/// The log is written anew: all that was acknowledged is on the disk at any moment.
///
/// "Updated on stable storage before responding to RPCs" (figure 2, persistent state): it is there to stay.
#[test]
fn torn_log_2C() {
    fn test<F: Fn(&Config) + Send + Sync + 'static>(body: F) {
        targeted_test::<F>(3, Net::Reliable, false, body);
    }
    test(|cfg| {
        let stage = Stage::on(cfg);
        for round in 1..=3 {
            let leader = cfg.check_one_leader();
            let follower = cfg.after(leader, 1);
            cfg.phase(format!(
                "round {round}: commands, until server {follower} writes less than it had and is lost"
            ));
            stage.trap_at_cut(follower);
            // More than all so far, for solutions that write their log anew when most of it is outdated.
            for _ in 0..15 {
                cfg.one_retry(cfg.random_text(100 << round), 2);
            }
            if let Some(disk) = stage.sprung(follower, PATIENCE) {
                cfg.crash_back_to(follower, &disk);
                cfg.phase(format!("round {round}: server {follower} is back, and the leader is cut off"));
                cfg.disconnect(leader);
                cfg.restart(follower);
                cfg.connect(follower);
                cfg.one_retry(cfg.random_text(100), 2);
                cfg.connect(leader);
            }
            cfg.one_retry(cfg.random_text(100), 3);
        }
    });
}

/// The log is cut behind a snapshot: what it held until then is in the snapshot on the same disk. For a follower's own
/// snapshot and for one that the leader sends.
///
/// "The entire current system state is written to a snapshot on stable storage, then the entire log up to that point is
/// discarded" (section 7).
#[test]
fn torn_snapshot_2D() {
    fn test<F: Fn(&Config) + Send + Sync + 'static>(body: F) {
        targeted_test::<F>(3, Net::Reliable, true, body);
    }
    test(|cfg| {
        let stage = Stage::on(cfg);
        cfg.one_retry(cfg.random_command(), 3);
        for round in 1..=4 {
            let follower = cfg.after(cfg.check_one_leader(), 1);
            let sent = round % 2 == 0;
            if sent {
                cfg.phase(format!(
                    "round {round}: the others go on without server {follower}, beyond a snapshot"
                ));
                cfg.disconnect(follower);
                commands_to_snapshot(cfg);
                commands_to_snapshot(cfg);
            }
            cfg.phase(format!("round {round}: server {follower} saves a snapshot, and is lost"));
            stage.trap_at_cut(follower);
            if sent {
                cfg.connect(follower);
            } else {
                commands_to_snapshot(cfg);
            }
            if let Some(disk) = stage.sprung(follower, PATIENCE) {
                cfg.crash_back_to(follower, &disk);
                cfg.phase(format!("round {round}: server {follower} is back"));
                cfg.restart(follower);
                cfg.connect(follower);
            }
            cfg.one_retry(cfg.random_command(), 3);
        }
    });
}

/// Lets two servers of three agree on commands until they make their next snapshot.
fn commands_to_snapshot(cfg: &Config) {
    while (cfg.one_retry(cfg.random_command(), 2) + 1) % SNAPSHOT_INTERVAL != 0 {}
}
