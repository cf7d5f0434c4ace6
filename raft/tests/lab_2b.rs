//! Lab 2B: log replication (sections 5.3 and 5.4), on a reliable network.

use std::time::Duration;

use labtest::rules;

use crate::config::{Config, ELECTION, Net, raft_test};

/// Commands are agreed on by all, one index after the other, and not before they are given.
#[test]
fn basic_agree_2B() {
    raft_test(3, Net::Reliable, |cfg| {
        for index in 1..=3 {
            cfg.phase(format!("agree on index {index}"));
            cfg.check_applied_nowhere(index);
            cfg.one_at(index, 100 * index, 3);
        }
    });
}

/// Each command is sent to each peer once: ten commands of 5,000 bytes cost three times their size and little
/// more.
///
/// The leader "issues AppendEntries RPCs in parallel to each of the other servers to replicate the entry"
/// (section 5.3), the entry and not the whole log.
#[test]
fn rpc_bytes_2B() {
    const COMMANDS: u64 = 10;
    const SIZE: usize = 5_000;
    raft_test(3, Net::Reliable, |cfg| {
        cfg.one(99, 3);
        let before = cfg.bytes();

        cfg.phase("agree on ten long commands");
        for index in 2..2 + COMMANDS {
            cfg.one_at(index, cfg.random_text(SIZE), 3);
        }

        cfg.phase("count the bytes");
        let used = cfg.bytes() - before;
        let needed = 3 * COMMANDS * SIZE as u64;
        let limit = needed + 50_000;
        cfg.check_under(&rules::RPC_BUDGET, used <= limit, || {
            format!(
                "{used} bytes went over the network for {COMMANDS} commands of {SIZE} bytes, {limit} are allowed: \
                 is each entry sent to each peer just once?"
            )
        });
    });
}

/// One follower less, and the rest go on; two less, and nothing is committed.
///
/// "A log entry is committed once the leader that created the entry has replicated it on a majority of the
/// servers" (section 5.3).
#[test]
fn follower_failure_2B() {
    raft_test(3, Net::Reliable, |cfg| {
        cfg.one(101, 3);

        cfg.phase("cut one follower off: the others agree");
        let leader = cfg.check_one_leader();
        cfg.disconnect(cfg.after(leader, 1));
        cfg.one(102, 2);
        cfg.sleep(ELECTION);
        cfg.one(103, 2);

        cfg.phase("cut the other follower off too");
        let leader = cfg.check_one_leader();
        cfg.disconnect(cfg.after(leader, 1));
        cfg.disconnect(cfg.after(leader, 2));

        cfg.phase("a command given to the leader alone is not committed");
        let index = cfg.start_on_leader(leader, 104).index;
        cfg.check_under(&rules::START_AND_STATE, index == 4, || {
            format!("server {leader} put `104` at index {index}, but three commands were agreed on: expected index 4")
        });
        cfg.sleep(2 * ELECTION);
        cfg.check_applied_nowhere(4);
    });
}

/// The leader is lost, and the rest go on; the next one too, and nothing is committed.
#[test]
fn leader_failure_2B() {
    raft_test(3, Net::Reliable, |cfg| {
        cfg.one(101, 3);

        cfg.phase("cut the leader off: the others agree");
        cfg.disconnect(cfg.check_one_leader());
        cfg.one(102, 2);
        cfg.sleep(ELECTION);
        cfg.one(103, 2);

        cfg.phase("cut the next leader off too");
        cfg.disconnect(cfg.check_one_leader());

        cfg.phase("commands given to any server are not committed");
        for server in cfg.all() {
            // Whether one still believes itself leader does not matter.
            let _ = cfg.start(server, 104);
        }
        cfg.sleep(2 * ELECTION);
        cfg.check_applied_nowhere(4);
    });
}

/// A follower that was away for a while is brought up to date.
///
/// "The leader retries AppendEntries RPCs indefinitely ... until all followers eventually store all log
/// entries" (section 5.3).
#[test]
fn fail_agree_2B() {
    raft_test(3, Net::Reliable, |cfg| {
        cfg.one(101, 3);

        cfg.phase("cut a follower off: the others agree");
        let leader = cfg.check_one_leader();
        let away = cfg.after(leader, 1);
        cfg.disconnect(away);
        cfg.one(102, 2);
        cfg.one(103, 2);
        cfg.sleep(ELECTION);
        cfg.one(104, 2);
        cfg.one(105, 2);

        cfg.phase("it comes back: all agree, on the earlier commands too");
        cfg.connect(away);
        cfg.one_retry(106, 3);
        cfg.sleep(ELECTION);
        cfg.one_retry(107, 3);
    });
}

/// A leader with a minority commits nothing, and the cluster recovers when the majority is back.
#[test]
fn fail_no_agree_2B() {
    raft_test(5, Net::Reliable, |cfg| {
        cfg.one(10, 5);

        cfg.phase("cut three of four followers off");
        let leader = cfg.check_one_leader();
        let away = [1, 2, 3].map(|i| cfg.after(leader, i));
        away.iter().for_each(|&server| cfg.disconnect(server));

        cfg.phase("a command given to the leader is not committed");
        let index = cfg.start_on_leader(leader, 20).index;
        cfg.check_under(&rules::START_AND_STATE, index == 2, || {
            format!(
                "server {leader} put `20` at index {index}, but one command was agreed on: expected index 2"
            )
        });
        cfg.sleep(2 * ELECTION);
        cfg.check_applied_nowhere(2);

        cfg.phase("the three are back");
        away.iter().for_each(|&server| cfg.connect(server));
        // Those three may have elected a leader of their own and lost index 2; or `20` may stand there still.
        let leader = cfg.check_one_leader();
        let index = cfg.start_on_leader(leader, 30).index;
        cfg.check_under(&rules::START_AND_STATE, (2..=3).contains(&index), || {
            format!("server {leader} put `30` at index {index}: expected 2, or 3 if `20` stands at index 2")
        });
        cfg.one_retry(1000, 5);
    });
}

/// Commands given to the leader at the same time are all committed, each at its own index.
#[test]
fn concurrent_starts_2B() {
    raft_test(3, Net::Reliable, |cfg| {
        cfg.in_one_term(|attempt| {
            cfg.phase(format!("five starts at once, attempt {attempt}"));
            let leader = cfg.check_one_leader();
            let term = cfg.start_steadily(leader, 1)?.term;
            let clients: Vec<_> = (100..105)
                .map(|command| {
                    cfg.spawn(format!("client {command}"), move |cfg| cfg.start_steadily(leader, command))
                })
                .collect();
            let starts: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
            cfg.all_in_term(term)?;

            cfg.phase("all five are applied");
            let mut applied = Vec::new();
            for start in starts {
                applied.push(cfg.wait_in_term(start?.index, 3, term)?);
            }
            for command in (100..105).map(|command: u64| command.to_string()) {
                cfg.check_under(&rules::LEADER_COMPLETENESS, applied.contains(&command), || {
                    format!(
                        "`{command}` was given to server {leader}, leader of term {term}, at the same time as \
                         four others, but only {applied:?} were applied at the indexes that start() returned"
                    )
                });
            }
            Ok(())
        });
    });
}

/// A leader that was cut off with uncommitted commands gives them up when it rejoins.
///
/// "Conflicting entries in follower logs will be overwritten with entries from the leader's log" (section 5.3),
/// and only a candidate "at least as up-to-date" may win (section 5.4.1).
#[test]
fn rejoin_2B() {
    raft_test(3, Net::Reliable, |cfg| {
        cfg.one_retry(101, 3);

        cfg.phase("cut the leader off, and give it commands");
        let first = cfg.check_one_leader();
        cfg.disconnect(first);
        for command in [102, 103, 104] {
            let _ = cfg.start(first, command);
        }

        cfg.phase("the others elect a leader and agree");
        cfg.one_retry(103, 2);

        cfg.phase("the new leader is cut off, the old one is back");
        let second = cfg.check_one_leader();
        cfg.disconnect(second);
        cfg.connect(first);
        cfg.one_retry(104, 2);

        cfg.phase("all are back");
        cfg.connect(second);
        cfg.one_retry(105, 3);
    });
}

/// Logs that differ by many entries are made equal quickly, and only by the more up-to-date one.
///
/// "If desired, the protocol can be optimized to reduce the number of rejected AppendEntries RPCs" (section
/// 5.3): here it is desired.
#[test]
fn backup_2B() {
    const MANY: usize = 50;
    raft_test(5, Net::Reliable, |cfg| {
        let start_many = |leader: usize| {
            for _ in 0..MANY {
                let _ = cfg.start(leader, cfg.random_command());
            }
        };
        let agree_on_many = || {
            for _ in 0..MANY {
                cfg.one_retry(cfg.random_command(), 3);
            }
        };
        cfg.one_retry(cfg.random_command(), 5);

        cfg.phase("leave the leader with one follower: many commands that cannot be committed");
        let first = cfg.check_one_leader();
        let minority = [first, cfg.after(first, 1)];
        let majority = [2, 3, 4].map(|i| cfg.after(first, i));
        majority.iter().for_each(|&server| cfg.disconnect(server));
        start_many(first);
        cfg.sleep(ELECTION / 2);

        cfg.phase("exchange them for the other three: many commands are agreed on");
        minority.iter().for_each(|&server| cfg.disconnect(server));
        majority.iter().for_each(|&server| cfg.connect(server));
        agree_on_many();

        cfg.phase("leave the new leader with one follower: many more that cannot be committed");
        let second = cfg.check_one_leader();
        let other = if majority[0] == second { cfg.after(second, 1) } else { majority[0] };
        cfg.disconnect(other);
        start_many(second);
        cfg.sleep(ELECTION / 2);

        cfg.phase("bring the first leader, its follower and the other one together: they agree");
        cfg.all().for_each(|server| cfg.disconnect(server));
        [minority[0], minority[1], other].iter().for_each(|&server| cfg.connect(server));
        agree_on_many();

        cfg.phase("all are back");
        cfg.all().for_each(|server| cfg.connect(server));
        cfg.one_retry(cfg.random_command(), 5);
    });
}

/// No more RPCs than needed: for the first election, for a dozen commands, and for a second of idleness.
#[test]
fn count_2B() {
    const COMMANDS: u64 = 10;
    const PEERS: u64 = 3;
    raft_test(3, Net::Reliable, |cfg| {
        cfg.phase("elect a leader");
        cfg.check_one_leader();
        let rpcs = cfg.rpcs();
        cfg.check_under(&rules::RPC_BUDGET, (1..=30).contains(&rpcs), || {
            format!("{rpcs} RPCs were received for electing the first leader: expected 1 to 30")
        });

        let after = cfg.in_one_term(|attempt| {
            cfg.phase(format!("a dozen commands, attempt {attempt}"));
            let leader = cfg.check_one_leader();
            let before = cfg.rpcs();
            let first = cfg.start_steadily(leader, 1)?;
            let commands: Vec<String> = (0..=COMMANDS).map(|_| cfg.random_command()).collect();
            for (index, command) in (first.index + 1..).zip(&commands) {
                let start = cfg.start_steadily(leader, command)?;
                if start.term != first.term {
                    return Err(format!("server {leader} led term {}, then {}", first.term, start.term));
                }
                cfg.check_under(&rules::START_AND_STATE, start.index == index, || {
                    format!(
                        "server {leader}, leader of term {}, put a command at index {} after one at index {}: \
                         expected index {index}",
                        start.term,
                        start.index,
                        index - 1
                    )
                });
            }
            for (index, command) in (first.index + 1..).zip(&commands[..COMMANDS as usize]) {
                let applied = cfg.wait_in_term(index, PEERS as usize, first.term)?;
                cfg.check_under(&rules::LEADER_COMPLETENESS, applied == *command, || {
                    format!("`{applied}` was applied at index {index}, where the leader had put `{command}`")
                });
            }
            cfg.all_in_term(first.term)?;
            let (now, limit) = (cfg.rpcs(), (COMMANDS + 1 + 3) * PEERS);
            cfg.check_under(&rules::RPC_BUDGET, now - before <= limit, || {
                format!("{} RPCs were received for {} commands: at most {limit} are allowed", now - before, COMMANDS + 2)
            });
            Ok(now)
        });

        cfg.phase("an idle second");
        cfg.sleep(Duration::from_secs(1));
        let (idle, limit) = (cfg.rpcs() - after, PEERS * 20);
        cfg.check_under(&rules::RPC_BUDGET, idle <= limit, || {
            format!("{idle} RPCs were received in a second without commands: at most {limit} are allowed")
        });
    });
}

impl Config {
    /// Tries what needs a leader that keeps its term. The error of `attempt` says how it did not.
    #[track_caller]
    fn in_one_term<T>(&self, attempt: impl Fn(usize) -> Result<T, String>) -> T {
        const ATTEMPTS: usize = 5;
        let mut last = String::new();
        for number in 1..=ATTEMPTS {
            if number > 1 {
                // Let it settle.
                self.sleep(Duration::from_secs(3));
            }
            match attempt(number) {
                Ok(value) => return value,
                Err(reason) => last = reason,
            }
        }
        self.fail_under(&rules::ELECTION_TIMEOUT, format!(
            "in none of {ATTEMPTS} attempts did the leader keep its term to the end, although nothing failed: are \
             heartbeats late, or election timeouts too short? The last time, {last}"
        ))
    }
}
