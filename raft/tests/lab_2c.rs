//! Lab 2C: persistence (figure 2, "Persistent state on all servers"), and the same rules on a bad network.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use labtest::rules;

use crate::config::{Config, ELECTION, Net, raft_test};

/// A restarted server goes on with the log it had.
#[test]
fn persist1_2C() {
    raft_test(3, Net::Reliable, |cfg| {
        cfg.one_retry(11, 3);

        cfg.phase("restart all servers");
        cfg.all().for_each(|server| cfg.restart(server));
        cfg.all().for_each(|server| cfg.connect(server));
        cfg.one_retry(12, 3);

        cfg.phase("restart the leader");
        let leader = cfg.check_one_leader();
        cfg.restart(leader);
        cfg.connect(leader);
        cfg.one_retry(13, 3);

        cfg.phase("restart the leader after the others have agreed without it");
        let leader = cfg.check_one_leader();
        cfg.disconnect(leader);
        cfg.one_retry(14, 2);
        cfg.restart(leader);
        cfg.connect(leader);
        cfg.wait(4, 3);

        cfg.phase("restart a follower after the others have agreed without it");
        let follower = cfg.after(cfg.check_one_leader(), 1);
        cfg.disconnect(follower);
        cfg.one_retry(15, 2);
        cfg.restart(follower);
        cfg.connect(follower);
        cfg.one_retry(16, 3);
    });
}

/// Each vote and each acknowledgement is on disk when the answer leaves: a server that is started from the disk as it
/// is at that instant keeps them. (In real time only what a crash shows by chance.)
///
/// "Updated on stable storage before responding to RPCs" (figure 2, persistent state).
#[test]
fn promises_on_disk_2C() {
    raft_test(3, Net::Reliable, |cfg| {
        cfg.check_every_promise();
        cfg.one_retry(11, 3);
        cfg.one_retry(12, 3);

        cfg.phase("two more elections, with entries to catch up on");
        for round in 0..2 {
            let leader = cfg.check_one_leader();
            cfg.disconnect(leader);
            cfg.one_retry(20 + round, 2);
            cfg.connect(leader);
            cfg.one_retry(30 + round, 3);
        }

        cfg.phase("elections that nobody wins: each server alone, then all together");
        cfg.all().for_each(|server| cfg.disconnect(server));
        cfg.sleep(2 * ELECTION);
        cfg.all().for_each(|server| cfg.connect(server));
        cfg.one_retry(40, 3);

        cfg.phase("restart all servers");
        cfg.all().for_each(|server| cfg.restart(server));
        cfg.all().for_each(|server| cfg.connect(server));
        cfg.one_retry(50, 3);

        cfg.phase("a kilobyte of commands: the term's vote is still there, whatever has been written anew");
        for _ in 0..20 {
            cfg.one_retry(cfg.random_text(100), 3);
        }
    });
}

/// Majorities that overlap in one server only: what was committed is known to that one after its restart.
#[test]
fn persist2_2C() {
    raft_test(5, Net::Reliable, |cfg| {
        let mut commands = 11..;
        let mut next = || commands.next().unwrap_or_default();
        for round in 1..=5 {
            cfg.phase(format!("round {round}: all five agree"));
            cfg.one_retry(next(), 5);
            let leader = cfg.check_one_leader();
            let [a, b, c, d] = [1, 2, 3, 4].map(|i| cfg.after(leader, i));

            cfg.phase(format!("round {round}: servers {leader}, {c} and {d} agree"));
            cfg.disconnect(a);
            cfg.disconnect(b);
            cfg.one_retry(next(), 3);

            cfg.phase(format!("round {round}: restart {a} and {b}, then {c}: these three agree"));
            [leader, c, d].iter().for_each(|&server| cfg.disconnect(server));
            for server in [a, b] {
                cfg.restart(server);
                cfg.connect(server);
            }
            cfg.sleep(ELECTION);
            cfg.restart(c);
            cfg.connect(c);
            cfg.one_retry(next(), 3);

            cfg.connect(d);
            cfg.connect(leader);
        }
        cfg.phase("all are back");
        cfg.one_retry(1000, 5);
    });
}

/// A leader and a follower crash after they have committed without the third: it gets what they agreed on.
#[test]
fn persist3_2C() {
    raft_test(3, Net::Reliable, |cfg| {
        cfg.one_retry(101, 3);

        cfg.phase("cut a follower off: the others agree");
        let leader = cfg.check_one_leader();
        let [other, away] = [1, 2].map(|i| cfg.after(leader, i));
        cfg.disconnect(away);
        cfg.one_retry(102, 2);

        cfg.phase("crash both; the third and the restarted leader agree");
        cfg.crash(leader);
        cfg.crash(other);
        cfg.connect(away);
        cfg.restart(leader);
        cfg.connect(leader);
        cfg.one_retry(103, 2);

        cfg.phase("the last one is back");
        cfg.restart(other);
        cfg.connect(other);
        cfg.one_retry(104, 3);
    });
}

/// The scenario of figure 8: leaders crash again and again, most of them soon after they were given a command.
///
/// "A leader cannot immediately conclude that an entry from a previous term is committed once it is stored on a
/// majority of servers" (section 5.4.2).
#[test]
fn figure8_2C() {
    raft_test(5, Net::Reliable, |cfg| {
        cfg.one_retry(cfg.random_command(), 1);
        cfg.phase("1000 rounds of crashing the leader");
        for _ in 0..1000 {
            let mut leader = None;
            for server in cfg.all() {
                if cfg.start(server, cfg.random_command()).is_ok() {
                    leader = Some(server);
                }
            }
            cfg.figure8_pause();
            if let Some(leader) = leader {
                cfg.crash(leader);
            }
            if cfg.all().filter(|&server| cfg.is_alive(server)).count() < 3 {
                let server = cfg.random_server();
                if !cfg.is_alive(server) {
                    cfg.restart(server);
                    cfg.connect(server);
                }
            }
        }

        cfg.phase("all are back");
        for server in cfg.all().filter(|&server| !cfg.is_alive(server)) {
            cfg.restart(server);
            cfg.connect(server);
        }
        cfg.one_retry(cfg.random_command(), 5);
    });
}

/// Agreement in spite of lost and late messages, with five clients at once.
#[test]
fn unreliable_agree_2C() {
    raft_test(5, Net::Unreliable, |cfg| {
        cfg.phase("five clients, 49 rounds");
        let mut clients = Vec::new();
        for round in 1..50 {
            for client in 0..4 {
                let command = 100 * round + client;
                clients.push(cfg.spawn(format!("client of {command}"), move |cfg| cfg.one_retry(command, 1)));
            }
            cfg.one_retry(round, 1);
        }

        cfg.phase("the network is reliable again");
        cfg.set_net(Net::Reliable);
        clients.into_iter().for_each(|client| {
            client.join();
        });
        cfg.one_retry(100, 5);
    });
}

/// The scenario of figure 8 without crashes, on a network that loses, delays and reorders.
#[test]
fn figure8_unreliable_2C() {
    raft_test(5, Net::Unreliable, |cfg| {
        let command = || cfg.random_below(10_000);
        cfg.one_retry(command(), 1);
        cfg.phase("1000 rounds of cutting the leader off");
        for round in 0..1000 {
            if round == 200 {
                cfg.phase("from round 200 on replies are reordered");
                cfg.set_net(Net::Reordering);
            }
            let mut leader = None;
            for server in cfg.all() {
                if cfg.start(server, command()).is_ok() && cfg.is_connected(server) {
                    leader = Some(server);
                }
            }
            cfg.figure8_pause();
            if let Some(leader) = leader {
                if cfg.chance(50) {
                    cfg.disconnect(leader);
                }
            }
            if cfg.all().filter(|&server| cfg.is_connected(server)).count() < 3 {
                let server = cfg.random_server();
                if !cfg.is_connected(server) {
                    cfg.connect(server);
                }
            }
        }

        cfg.phase("all are back, on the same network");
        cfg.all().filter(|&server| !cfg.is_connected(server)).for_each(|server| cfg.connect(server));
        cfg.one_retry(command(), 5);
    });
}

/// Servers come and go under three clients; what a client has seen committed stays.
#[test]
fn churn_reliable_2C() {
    raft_test(5, Net::Reliable, |cfg| churn(cfg, 3));
}

/// The same on an unreliable network.
#[test]
fn churn_unreliable_2C() {
    raft_test(5, Net::Unreliable, |cfg| churn(cfg, 3));
}

fn churn(cfg: &Config, clients: u64) {
    cfg.phase("clients give commands during 20 rounds of cutting off, crashing and bringing back");
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..clients)
        .map(|me| {
            let stop = stop.clone();
            cfg.spawn(format!("client {me}"), move |cfg| churn_client(cfg, me, &stop))
        })
        .collect();
    for _ in 0..20 {
        if cfg.chance(20) {
            cfg.disconnect(cfg.random_server());
        }
        if cfg.chance(50) {
            let server = cfg.random_server();
            if !cfg.is_alive(server) {
                cfg.restart(server);
            }
            cfg.connect(server);
        }
        if cfg.chance(20) {
            cfg.crash(cfg.random_server());
        }
        // Enough for most elections, so that there is progress, and not for all.
        cfg.sleep(ELECTION * 7 / 10);
    }

    cfg.phase("all are back, and the network is reliable");
    cfg.sleep(ELECTION);
    cfg.set_net(Net::Reliable);
    for server in cfg.all() {
        if !cfg.is_alive(server) {
            cfg.restart(server);
        }
        cfg.connect(server);
    }
    stop.store(true, Ordering::SeqCst);
    let committed: Vec<String> = clients.into_iter().flat_map(|client| client.join()).collect();
    cfg.sleep(ELECTION);

    cfg.phase("everything that was committed is applied by all");
    let last = cfg.one_retry(cfg.random_command(), 5);
    let applied: Vec<String> = (1..=last).map(|index| cfg.wait(index, 5)).collect();
    for command in committed {
        cfg.check_under(&rules::LEADER_COMPLETENESS, applied.contains(&command), || {
            format!(
                "a client saw `{command}` applied, but now it is at none of the indexes 1 to {last}: a committed \
                 entry was lost (figure 3, Leader Completeness)"
            )
        });
    }
}

/// Gives commands until told to stop; the ones it saw applied.
fn churn_client(cfg: &Config, me: u64, stop: &AtomicBool) -> Vec<String> {
    let mut committed = Vec::new();
    let mut commands = 0;
    while !stop.load(Ordering::SeqCst) {
        commands += 1;
        let command = format!("{me}-{commands}");
        let mut accepted = None;
        for server in cfg.all() {
            accepted = cfg.start(server, &command).ok().or(accepted);
        }
        let Some(start) = accepted else {
            cfg.sleep(Duration::from_millis(79 + 17 * me));
            continue;
        };
        for pause in [10, 20, 50, 100, 200] {
            cfg.sleep(Duration::from_millis(pause));
            if let Some(applied) = cfg.applied_anywhere(start.index) {
                if applied == command {
                    committed.push(command);
                }
                break;
            }
        }
    }
    committed
}

impl Config {
    /// Mostly a very short time, so that leaders are lost with entries under way; sometimes enough to elect one.
    fn figure8_pause(&self) {
        let ms = if self.chance(10) { self.random_below(500) } else { self.random_below(13) };
        self.sleep(Duration::from_millis(ms));
    }
}
