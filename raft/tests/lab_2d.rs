//! Lab 2D: log compaction (section 7). The service makes a snapshot after every tenth command.

use labtest::rules;

use crate::config::{Config, Net, SNAPSHOT_INTERVAL, snapshot_test};

/// The limit for the Raft state on disk. A log that is never trimmed passes it in the first rounds.
const MAX_STATE_BYTES: usize = 2000;

/// The log is trimmed at each snapshot, and the servers go on.
#[test]
fn snapshot_basic_2D() {
    snapshot_test(3, Net::Reliable, |cfg| snapshots_while(cfg, Trouble::None));
}

/// A follower that was cut off for longer than the log remembers gets a snapshot (figure 13).
#[test]
fn snapshot_install_2D() {
    snapshot_test(3, Net::Reliable, |cfg| snapshots_while(cfg, Trouble::Disconnect));
}

/// The same on an unreliable network.
#[test]
fn snapshot_install_unreliable_2D() {
    snapshot_test(3, Net::Unreliable, |cfg| snapshots_while(cfg, Trouble::Disconnect));
}

/// A follower that crashed goes on from its own snapshot, or gets one.
#[test]
fn snapshot_install_crash_2D() {
    snapshot_test(3, Net::Reliable, |cfg| snapshots_while(cfg, Trouble::Crash));
}

/// The same on an unreliable network.
#[test]
fn snapshot_install_unreliable_crash_2D() {
    snapshot_test(3, Net::Unreliable, |cfg| snapshots_while(cfg, Trouble::Crash));
}

/// What happens to one server of three while the others go on.
#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    None,
    Disconnect,
    Crash,
}

fn snapshots_while(cfg: &Config, trouble: Trouble) {
    cfg.one_retry(cfg.random_command(), 3);
    let mut leader = cfg.check_one_leader();
    for round in 0..30 {
        // Mostly a follower has the trouble, sometimes the leader.
        let next = cfg.after(leader, 1);
        let (victim, sender) = if round % 3 == 1 { (leader, next) } else { (next, leader) };
        match trouble {
            Trouble::None => cfg.phase(format!("round {round}")),
            Trouble::Disconnect => {
                cfg.phase(format!("round {round}: server {victim} is cut off"));
                cfg.disconnect(victim);
            }
            Trouble::Crash => {
                cfg.phase(format!("round {round}: server {victim} crashes"));
                cfg.crash(victim);
            }
        }
        let others = if trouble == Trouble::None { 3 } else { 2 };
        if trouble != Trouble::None {
            cfg.one_retry(cfg.random_command(), others);
        }
        for _ in 0..SNAPSHOT_INTERVAL / 2 + cfg.random_below(SNAPSHOT_INTERVAL) {
            // Whether `sender` still leads does not matter.
            let _ = cfg.start(sender, cfg.random_command());
        }
        // Once this is applied, so is what was given before.
        cfg.one_retry(cfg.random_command(), others);
        cfg.check_state_size(MAX_STATE_BYTES);

        if trouble != Trouble::None {
            cfg.phase(format!("round {round}: server {victim} is back"));
            if trouble == Trouble::Crash {
                cfg.restart(victim);
            }
            cfg.connect(victim);
            cfg.one_retry(cfg.random_command(), 3);
            leader = cfg.check_one_leader();
        }
    }
}

/// All servers crash together: nothing that was agreed on is lost.
#[test]
fn snapshot_all_crash_2D() {
    snapshot_test(3, Net::Reliable, |cfg| {
        cfg.one_retry(cfg.random_command(), 3);
        for round in 1..=5 {
            cfg.phase(format!("round {round}: some commands"));
            for _ in 0..SNAPSHOT_INTERVAL / 2 + cfg.random_below(SNAPSHOT_INTERVAL) {
                cfg.one_retry(cfg.random_command(), 3);
            }
            let before = cfg.one_retry(cfg.random_command(), 3);

            cfg.phase(format!("round {round}: all crash and restart"));
            cfg.restart_all();
            let after = cfg.one_retry(cfg.random_command(), 3);
            cfg.check_under(&rules::LEADER_COMPLETENESS, after > before, || {
                format!(
                    "index {before} was agreed on before all servers crashed, but the next command came to index \
                     {after}: entries were lost (figure 2, Persistent state)"
                )
            });
        }
    });
}

/// A restarted server knows its snapshot and does not forget it at its next save.
#[test]
fn snapshot_init_2D() {
    snapshot_test(3, Net::Reliable, |cfg| {
        cfg.one_retry(cfg.random_command(), 3);

        cfg.phase("enough commands for a snapshot");
        for _ in 0..=SNAPSHOT_INTERVAL {
            cfg.one_retry(cfg.random_command(), 3);
        }

        cfg.phase("all crash and restart; one command makes them save");
        cfg.restart_all();
        cfg.one_retry(cfg.random_command(), 3);

        cfg.phase("all crash and restart again");
        cfg.restart_all();
        cfg.one_retry(cfg.random_command(), 3);
    });
}

impl Config {
    /// Crashes all servers, then starts and connects them.
    fn restart_all(&self) {
        self.all().for_each(|server| self.crash(server));
        for server in self.all() {
            self.restart(server);
            self.connect(server);
        }
    }

    /// No server's Raft state on disk may reach `limit` bytes.
    #[track_caller]
    fn check_state_size(&self, limit: usize) {
        for server in self.all() {
            let size = self.disk(server).state_size();
            self.check_under(&rules::LOG_TRIMMED, size < limit, || {
                format!(
                    "server {server} has {size} bytes of Raft state on disk, {limit} or more are too many: is the \
                     log trimmed at each snapshot (section 7)?"
                )
            });
        }
    }
}
