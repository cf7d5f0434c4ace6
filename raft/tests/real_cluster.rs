//! What happens in a real cluster and not in the classic suite: machines that stall, clocks that differ, links that lose
//! without a word, requests that come late or twice, servers that were away for long; and what none of it excuses:
//! calls that block, and storms of messages.

use std::time::{Duration, Instant};

use labrpc::{Fate, Faults, Notice};
use labtest::{Task, rules};
use raft::State;

use crate::config::{Config, Net, SNAPSHOT_INTERVAL, targeted_test};
use crate::scene::message::Kind;
use crate::scene::pattern::{Command, Names, Pattern};
use crate::scene::stage::Stage;

/// As [`targeted_test`] on a reliable network, named after the test function that its closure stands in.
fn test<F: Fn(&Config) + Send + Sync + 'static>(servers: usize, body: F) {
    targeted_test::<F>(servers, Net::Reliable, false, body);
}

/// The same with a service that makes snapshots.
fn snapshot_test<F: Fn(&Config) + Send + Sync + 'static>(servers: usize, body: F) {
    targeted_test::<F>(servers, Net::Reliable, true, body);
}

/// A leader stalls, as a machine that swaps or a process that is stopped. The others elect another; when it wakes, it
/// learns of it and follows.
///
/// "If a follower receives no communication over a period of time called the election timeout, then it assumes there is no
/// viable leader" (section 5.2); its machine need not be down for that.
#[test]
fn frozen_leader_2A() {
    test(3, |cfg| {
        if !cfg.needs_virtual_time("the threads of one server cannot be stopped") {
            return;
        }
        let first = cfg.check_one_leader();
        cfg.phase("the leader stalls: another is elected");
        cfg.freeze(first);
        let others = [cfg.after(first, 1), cfg.after(first, 2)];
        let leads = |server: &usize| cfg.state(*server).is_some_and(|state| state.is_leader);
        let second = cfg.wait_until_asked(Duration::from_secs(5), || others.into_iter().find(leads));
        cfg.check_under(&rules::ELECTION_TIMEOUT, second.is_some(), || {
            format!(
                "neither of servers {} and {} became leader within 5 s after server {first}, the leader, had stalled: a follower \
                 that hears nothing from a leader starts an election (section 5.2)",
                others[0], others[1]
            )
        });

        cfg.phase("it wakes, and follows");
        cfg.thaw(first);
        let one_term = || {
            let states: Vec<State> = cfg.all().filter_map(|server| cfg.state(server)).collect();
            let leaders = states.iter().filter(|state| state.is_leader).count();
            (leaders == 1 && states.iter().all(|state| state.term == states[0].term)).then_some(())
        };
        cfg.check_under(&rules::STEP_DOWN, cfg.wait_until_asked(Duration::from_secs(5), one_term).is_some(), || {
            format!("5 s after server {first} had woken there was still no single leader with all servers in its term")
        });
    });
}

/// "Granting vote to candidate" restarts the election timer (figure 2, rules for followers): who has just voted gives the
/// candidate time.
///
/// All appends and all answers are lost, so that there is one election after the other. No solution has an election timeout
/// below 100 ms: with the paper's 150 ms and more, who has granted a vote does not stand within that time.
#[test]
fn patience_after_vote_2A() {
    test(3, |cfg| {
        if !cfg.needs_virtual_time("a loaded machine may hold a server up for 100 ms") {
            return;
        }
        let stage = Stage::on(cfg);
        stage.drop_all(&[Kind::Append, Kind::VoteReply]);
        for _ in 0..10 {
            cfg.sleep(Duration::from_secs(1));
            if let Some((server, candidate, after)) = stage.candidacy_after_vote(Duration::from_millis(100)) {
                cfg.fail_under(&rules::ELECTION_TIMEOUT, format!(
                    "server {server} granted its vote to server {candidate} and started an election of its own \
                     {} ms later: granting a vote restarts the election timer (figure 2, rules for followers)",
                    after.as_millis()
                ));
            }
        }
    });
}

/// Clocks run up to a tenth too fast or too slow. Raft's "safety must not depend on timing" (section 5.6), and its
/// progress needs no more than a broadcast time much below the election timeout.
#[test]
fn skewed_clocks_2B() {
    test(5, |cfg| {
        for (server, percent) in [10, -10, 5, 0, -5].into_iter().enumerate() {
            cfg.set_drift(server, percent * 10_000);
        }
        for round in 0..20 {
            cfg.one_retry(round, 5);
            cfg.sleep(Duration::from_millis(cfg.random_below(300)));
        }
    });
}

/// One link loses most of what is sent on it; the majority does not need it.
#[test]
fn flaky_link_2B() {
    test(5, |cfg| {
        let leader = cfg.check_one_leader();
        let flaky = Faults { request_loss: 0.7, reply_loss: 0.7, ..Faults::unreliable() };
        cfg.set_link(leader, cfg.after(leader, 1), &flaky);
        for round in 0..20 {
            cfg.one_retry(round, 3);
        }
        cfg.phase("the link is good again");
        cfg.set_link(leader, cfg.after(leader, 1), &Faults::reliable());
        cfg.one_retry("all", 5);
    });
}

/// Who loses a message is not told, as in any real network: the call fails after 7 s, when its time is up. A majority
/// must make progress all the same.
#[test]
fn silent_loss_2B() {
    test(5, |cfg| {
        let silent = Faults {
            request_loss: 0.05,
            reply_loss: 0.05,
            loss_notice: Notice::ByTimeout,
            ..Faults::unreliable()
        };
        cfg.set_faults(silent);
        for round in 0..15 {
            cfg.one_retry(round, 3);
        }
        cfg.phase("no losses any more");
        cfg.set_net(Net::Reliable);
        cfg.one_retry("all", 5);
    });
}

/// Requests come up to two seconds late, or twice.
#[test]
fn late_and_repeated_2B() {
    test(5, |cfg| {
        cfg.set_faults(Faults { duplicate: 0.2, long_request_delay: 0.1, ..Faults::unreliable() });
        for round in 0..30 {
            cfg.one_retry(round, 3);
        }
        cfg.phase("requests are delivered once, and in time");
        cfg.set_net(Net::Reliable);
        cfg.one_retry("all", 5);
    });
}

/// A server hears of a new term by a message that has entries too: both are on disk when its answer leaves. It was not
/// asked for its vote; a leader that goes on from where it was, or is given a command before it has said anything, sends
/// such a message.
#[test]
fn entries_in_new_term_2C() {
    test(3, |cfg| {
        let stage = Stage::on(cfg);
        let votes = Pattern::parse(&["vote", "*", "->", "A"]).expect("it is a pattern");
        cfg.check_every_promise();
        cfg.one_retry("first", 3);
        for round in 1..=4 {
            let leader = cfg.check_one_leader();
            let [away, other] = [1, 2].map(|i| cfg.after(leader, i));
            cfg.phase(format!(
                "round {round}: an election that server {away}, whose clock is slow, does not hear of"
            ));
            cfg.set_drift(away, -800_000);
            let mut names = Names::default();
            names.servers.insert("A".into(), away);
            stage.rule(votes.clone(), &names, Fate::Drop(Notice::AtOnce));
            if round % 2 == 0 {
                cfg.disconnect(away);
            }
            cfg.restart(leader);
            cfg.connect(leader);
            let candidates = [leader, other];
            candidates.iter().for_each(|&server| cfg.set_stalls(server, 2, Duration::from_millis(50)));
            let give = |server: &usize| cfg.start(*server, format!("in round {round}")).ok();
            cfg.wait_until_asked(Duration::from_secs(3), || candidates.iter().find_map(give));
            candidates.iter().for_each(|&server| cfg.set_stalls(server, 0, Duration::ZERO));
            cfg.phase(format!("round {round}: server {away} hears of it, and restarts"));
            cfg.connect(away);
            cfg.one_retry(format!("heard {round}"), 3);
            stage.clear();
            cfg.set_drift(away, 0);
            cfg.restart(away);
            cfg.connect(away);
            cfg.one_retry(format!("after {round}"), 3);
        }
    });
}

/// Threads lose the processor between any two steps, while elections are held: what a thread has seen before it gave its
/// lock back may be out of date when it goes on. Figure 2's rules hold for the state as it is then.
#[test]
fn stalled_threads_2A() {
    test(5, |cfg| {
        stall_threads(cfg, Trouble::Elections, |cfg, server, _| {
            let _ = cfg.state(server);
        });
        cfg.check_one_leader();
    });
}

/// The same while every server is given commands.
#[test]
fn stalled_threads_2B() {
    test(5, |cfg| {
        cfg.one_retry("first", 5);
        stall_threads(cfg, Trouble::Elections, give_command);
        cfg.one_retry("last", 5);
    });
}

/// The same while one server or another crashes and restarts.
#[test]
fn stalled_threads_2C() {
    test(3, |cfg| {
        cfg.set_net(Net::Unreliable);
        cfg.one_retry("first", 3);
        stall_threads(cfg, Trouble::Crashes, give_command);
        cfg.set_net(Net::Reliable);
        cfg.one_retry("last", 3);
    });
}

/// The same while servers make snapshots, and send them to one or another that was cut off.
#[test]
fn stalled_threads_2D() {
    snapshot_test(3, |cfg| {
        cfg.set_net(Net::Unreliable);
        cfg.one_retry("first", 3);
        stall_threads(cfg, Trouble::Cuts, |cfg, server, number| {
            (0..5).for_each(|part| give_command(cfg, server, 5 * number + part));
        });
        cfg.set_net(Net::Reliable);
        cfg.one_retry("last", 3);
    });
}

fn give_command(cfg: &Config, server: usize, number: u32) {
    let _ = cfg.start(server, format!("{number} to {server}"));
}

/// What happens beside the stalls.
enum Trouble {
    /// The clocks of up to four servers are so fast that they stand for election again and again.
    Elections,
    /// One server or another crashes, and restarts at once.
    Crashes,
    /// One server or another is cut off for a while.
    Cuts,
}

/// For five seconds the threads of all servers stall, those too that `visit` each server every 25 ms.
fn stall_threads(
    cfg: &Config,
    trouble: Trouble,
    visit: impl Fn(&Config, usize, u32) + Clone + Send + 'static,
) {
    const DURATION: Duration = Duration::from_secs(5);
    const ROUND: Duration = Duration::from_millis(500);
    if !cfg.needs_virtual_time("it stalls threads by itself, when it has others to run") {
        return;
    }
    let meanwhile = match trouble {
        Trouble::Elections => "has no patience",
        Trouble::Crashes => "crashes",
        Trouble::Cuts => "is cut off",
    };
    // Some mistakes show where stalls are long, and others where there are many.
    let (one_in, stall) = (4 << cfg.random_below(2), Duration::from_millis(100 << cfg.random_below(3)));
    cfg.phase(format!("threads stall, for up to {stall:?}, while one server or another {meanwhile}"));
    cfg.all().for_each(|server| cfg.set_stalls(server, one_in, stall));
    let begun = Instant::now();
    let visitor = |server: usize| {
        let visit = visit.clone();
        cfg.spawn(format!("visitor of server {server}"), move |cfg| {
            let mut number = 0;
            // By time, not by number: whoever holds the lock while it stalls takes long to answer.
            while begun.elapsed() < DURATION {
                number += 1;
                visit(cfg, server, number);
                cfg.sleep(Duration::from_millis(25));
            }
        })
    };
    let visitors: Vec<_> = cfg.all().map(visitor).collect();
    while begun.elapsed() < DURATION {
        match trouble {
            Trouble::Elections => {
                let restless = [(); 4].map(|()| cfg.random_server());
                restless.iter().for_each(|&server| cfg.set_drift(server, 2_000_000));
                cfg.sleep(ROUND);
                restless.iter().for_each(|&server| cfg.set_drift(server, 0));
            }
            Trouble::Crashes => {
                let server = cfg.random_server();
                cfg.restart(server);
                cfg.connect(server);
                cfg.set_stalls(server, one_in, stall);
                cfg.sleep(ROUND);
            }
            Trouble::Cuts => {
                let server = cfg.random_server();
                cfg.disconnect(server);
                cfg.sleep(ROUND / 2);
                cfg.connect(server);
                cfg.sleep(ROUND / 2);
            }
        }
    }
    cfg.phase("they do not stall any more");
    // Before the visitors are waited for: an event loop with many events ahead of a visitor's must not be blamed for a
    // call that takes too long.
    cfg.all().for_each(|server| cfg.set_stalls(server, 0, stall));
    visitors.into_iter().for_each(|visitor| visitor.join());
}

/// Lets four visitors join those who wait for a lock of `server`, and for 50 ms every other thread stall that gives it back,
/// for up to `longest`: while others wait for a lock, whoever gives it back may stall there. Returns the visitors.
fn stall_in_queue(cfg: &Config, server: usize, longest: Duration) -> [Task<()>; 4] {
    let visitors = [1, 2, 3, 4].map(|visitor| {
        cfg.spawn(format!("visitor {visitor} of server {server}"), move |cfg| {
            let _ = cfg.state(server);
        })
    });
    cfg.sleep(Duration::from_millis(10));
    cfg.set_stalls(server, 2, longest);
    cfg.sleep(Duration::from_millis(50));
    cfg.set_stalls(server, 0, Duration::ZERO);
    visitors
}

/// A leader's threads stall while it has answers to deal with, until it leads again: in the meantime another has led, and
/// taken back what the answers are about. They say nothing in a reign for which matchIndex was "reinitialized after election"
/// (figure 2, volatile state on leaders).
#[test]
fn stalled_answers_2B() {
    test(5, |cfg| {
        if !cfg.needs_virtual_time("it stalls threads by itself, when it has others to run") {
            return;
        }
        let stage = Stage::on(cfg);
        let answers = Pattern::parse(&["append-reply", "F", "->", "L"]).expect("it is one");
        // By time, not by number: elections may take seconds.
        let begun = Instant::now();
        for round in (1..).take_while(|_| begun.elapsed() < Duration::from_secs(30)) {
            cfg.one_retry(format!("begin {round}"), 5);
            let leader = cfg.check_one_leader();
            let [friend, a, b, c] = [1, 2, 3, 4].map(|i| cfg.after(leader, i));
            cfg.phase(format!(
                "round {round}: only server {friend} gets what leader {leader} is given, and its answers are held up"
            ));
            [a, b, c].iter().for_each(|&server| cfg.disconnect(server));
            let mut names = Names::default();
            names.servers.extend([("L".to_owned(), leader), ("F".to_owned(), friend)]);
            cfg.set_stalls(leader, 8, Duration::from_millis(20));
            let givers = [1, 2, 3, 4].map(|giver| {
                cfg.spawn(format!("giver {giver} of commands to server {leader}"), move |cfg| {
                    for number in 0..4 {
                        let _ = cfg.start(leader, format!("{giver}.{number} taken back in round {round}"));
                        cfg.sleep(Duration::from_millis(2));
                    }
                })
            });
            givers.into_iter().for_each(|giver| giver.join());
            cfg.set_stalls(leader, 0, Duration::ZERO);
            cfg.sleep(Duration::from_millis(50));
            stage.rule(answers.clone(), &names, Fate::Hold);
            cfg.sleep(Duration::from_millis(600));
            cfg.phase(format!("round {round}: they arrive, and threads of server {leader} stall"));
            stage.calm();
            // Somebody stalls with a lock held, so that there is a queue at it.
            cfg.set_stalls(leader, 1, Duration::from_millis(50));
            let starter = cfg.spawn(format!("somebody who gives a command to server {leader}"), move |cfg| {
                let _ = cfg.start(leader, format!("taken back in round {round}"));
            });
            cfg.sleep(Duration::from_millis(1));
            stage.release(None, &names);
            let visitors = stall_in_queue(cfg, leader, Duration::from_secs(3));
            cfg.phase(format!("round {round}: one of servers {a}, {b} and {c} leads, and takes that back"));
            cfg.disconnect(friend);
            cfg.set_drift(leader, -750_000);
            [a, b, c].iter().for_each(|&server| cfg.connect(server));
            cfg.set_drift(a, 2_000_000);
            cfg.wait_for_leader(Duration::from_secs(2), |server| server != leader);
            cfg.one_retry(format!("instead {round}"), 4);
            cfg.phase(format!("round {round}: server {leader} leads again, without server {friend}"));
            cfg.set_drift(leader, 2_000_000);
            [a, b, c].iter().for_each(|&server| cfg.set_drift(server, -500_000));
            cfg.wait_for_leader(Duration::from_secs(2), |server| server == leader);
            cfg.disconnect(b);
            cfg.disconnect(c);
            for number in 0..40 {
                let _ = cfg.start(leader, format!("{number} in round {round}"));
                cfg.sleep(Duration::from_millis(50));
            }
            cfg.all().for_each(|server| cfg.set_drift(server, 0));
            cfg.all().for_each(|server| cfg.connect(server));
            visitors.into_iter().chain([starter]).for_each(|visitor| visitor.join());
        }
        cfg.one_retry("last", 5);
    });
}

/// A follower's thread stalls while it deals with entries of a deposed leader, until the next leader's have come. Whether a message
/// fits is decided in the state in which its entries are stored: "reply false if term < currentTerm" (figure 2, AppendEntries
/// RPC, receiver implementation 1) is about the term then, and not about that of a moment before.
#[test]
fn stalled_appends_2B() {
    test(5, |cfg| {
        if !cfg.needs_virtual_time("it stalls threads by itself, when it has others to run") {
            return;
        }
        let stage = Stage::on(cfg);
        let pattern = |words: &str| Pattern::parse(&words.split(' ').collect::<Vec<_>>()).expect("it is one");
        // By time, not by number: elections may take seconds.
        let begun = Instant::now();
        for round in (1..).take_while(|_| begun.elapsed() < Duration::from_secs(30)) {
            cfg.one_retry(format!("begin {round}"), 5);
            let leader = cfg.check_one_leader();
            let [follower, a, b, c] = [1, 2, 3, 4].map(|i| cfg.after(leader, i));
            let mut names = Names::default();
            let servers = [("L", leader), ("F", follower), ("A", a), ("B", b), ("C", c)];
            names.servers.extend(servers.map(|(name, server)| (name.to_owned(), server)));
            // What comes next tells it of the commit as well, and so lets it write to its disk.
            cfg.phase(format!("round {round}: server {follower} has a command, and freezes before it hears that it is committed"));
            if let Ok(kept) = cfg.start(leader, format!("kept in round {round}")) {
                let kept = Command { bytes: Vec::new(), index: kept.index, term: kept.term };
                names.commands.insert("K".to_owned(), kept);
                let has_it = pattern("append-reply F -> L accepted up-to K delivered");
                stage.wait(&[has_it], &names, Duration::from_secs(1));
            }
            // It must not stand for election as soon as it goes on.
            cfg.set_drift(follower, -750_000);
            cfg.freeze(follower);
            cfg.sleep(Duration::from_millis(20));
            cfg.phase(format!("round {round}: only there comes, twice, what leader {leader} is given next"));
            let rule = |words: &str, fate| stage.rule(pattern(words), &names, fate);
            // Only the next leader is told that its appends are lost, so that it sends them again later: somebody who repeats at once
            // what is lost would do nothing else.
            let gone = Fate::Drop(Notice::ByTimeout);
            rule("any * -> F", gone);
            rule("append * -> F", Fate::Drop(Notice::AtOnce));
            ["any L -> A", "any L -> B", "any L -> C"].iter().for_each(|words| rule(words, gone));
            rule("append L -> F", Fate::Duplicate(1));
            for number in 0..4 {
                let _ = cfg.start(leader, format!("{number} taken back in round {round}"));
            }
            cfg.sleep(Duration::from_millis(50));
            rule("any L -> F", gone);
            cfg.set_drift(a, 2_000_000);
            let leads = |server: &usize| cfg.state(*server).is_some_and(|state| state.is_leader);
            cfg.wait_until_asked(Duration::from_secs(2), || [a, b, c].into_iter().find(leads));
            cfg.phase(format!(
                "round {round}: another should lead by now; server {follower} goes on, and its threads stall"
            ));
            // Whoever handles the first copy stalls as it writes to the disk, with a lock held, so that there is a queue at it.
            cfg.set_stalls(follower, 1, Duration::from_millis(50));
            cfg.thaw(follower);
            let visitors = stall_in_queue(cfg, follower, Duration::from_secs(1));
            cfg.phase(format!("round {round}: what the next leader is given arrives too"));
            stage.clear();
            cfg.one_retry(format!("instead {round}"), 4);
            cfg.all().for_each(|server| cfg.set_drift(server, 0));
            visitors.into_iter().for_each(|visitor| visitor.join());
        }
        cfg.one_retry("last", 5);
    });
}

/// A server that was cut off for a while, and stood for election all that time, costs the others no more than a few
/// elections when it is back.
#[test]
fn return_from_isolation_2B() {
    test(5, |cfg| {
        cfg.one_retry("first", 5);
        for round in 0..3 {
            let away = cfg.after(cfg.check_one_leader(), 1);
            cfg.phase(format!("round {round}: server {away} is cut off for 5 s"));
            cfg.disconnect(away);
            cfg.sleep(Duration::from_secs(5));
            cfg.one_retry(format!("without {round}"), 4);
            cfg.phase(format!("round {round}: it is back"));
            cfg.connect(away);
            // Within the 10 s that this takes at most.
            cfg.one_retry(format!("with {round}"), 5);
        }
    });
}

/// A leader that was cut off with 300 entries nobody else has comes back. To find where the logs part takes one message
/// an entry at most, each at once: 300 round trips are less than a second, 300 heartbeats are half a minute.
///
/// "If desired, the protocol can be optimized to reduce the number of rejected AppendEntries RPCs" (section 5.3).
#[test]
fn long_conflict_2B() {
    test(3, |cfg| {
        cfg.one_retry("first", 3);
        let leader = cfg.check_one_leader();
        cfg.phase("the leader is cut off and takes 300 commands");
        cfg.disconnect(leader);
        for i in 0..300 {
            let _ = cfg.start(leader, format!("lost {i}"));
        }
        cfg.phase("the others take 300 commands");
        cfg.one_retry("second", 2);
        let next = cfg.check_one_leader();
        for i in 0..300 {
            let _ = cfg.start(next, format!("kept {i}"));
        }
        cfg.one_retry("third", 2);
        cfg.phase("it is back");
        cfg.connect(leader);
        cfg.one_retry("all", 3);
    });
}

/// A leader that was cut off comes back, and the next one, going back by terms, begins with large entries that both have: more
/// of them than fit into one message. What the old leader has alone lies behind them, and is not the new leader's.
///
/// "If leaderCommit > commitIndex, set commitIndex = min(leaderCommit, index of last new entry)" (figure 2, AppendEntries
/// RPC, receiver implementation 5): the last *new* entry, not the follower's last one.
#[test]
fn large_conflict_2B() {
    const ENTRIES: usize = 4;
    const SIZE: usize = 400 * 1000;
    test(5, |cfg| {
        cfg.phase(format!("all agree on {ENTRIES} commands of {SIZE} bytes"));
        for _ in 0..ENTRIES {
            cfg.one_retry(cfg.random_text(SIZE), 5);
        }
        let leader = cfg.check_one_leader();
        cfg.phase("the leader is cut off and takes commands");
        cfg.disconnect(leader);
        for i in 0..10 {
            let _ = cfg.start(leader, format!("lost {i}"));
        }
        cfg.phase("the others agree, and once more without their leader");
        cfg.one_retry("second", 4);
        let next = cfg.check_one_leader();
        cfg.disconnect(next);
        cfg.one_retry("third", 3);
        cfg.phase("both are back");
        cfg.connect(leader);
        cfg.connect(next);
        cfg.one_retry("all", 5);
    });
}

/// A log of more than a message may carry, or a buffer hold, is there after a restart to its last entry: that one was acknowledged
/// like the first (figure 2, persistent state).
#[test]
fn large_log_2C() {
    const ENTRIES: usize = 6;
    const SIZE: usize = 200 * 1000;
    test(3, |cfg| {
        cfg.phase(format!("all agree on {ENTRIES} commands of {SIZE} bytes"));
        for _ in 0..ENTRIES {
            cfg.one_retry(cfg.random_text(SIZE), 3);
        }
        for round in 1..=2 {
            cfg.phase(format!("round {round}: all restart"));
            cfg.all().for_each(|server| cfg.crash(server));
            cfg.all().for_each(|server| cfg.restart(server));
            cfg.all().for_each(|server| cfg.connect(server));
            cfg.one_retry(format!("after restart {round}"), 3);
        }
    });
}

/// A follower that missed 1000 entries gets them all, and not many times over.
#[test]
fn catch_up_2B() {
    const ENTRIES: u64 = 1000;
    const SIZE: usize = 100;
    test(3, |cfg| {
        cfg.one_retry("first", 3);
        let leader = cfg.check_one_leader();
        let away = cfg.after(leader, 1);
        cfg.phase("a follower is cut off and misses 1000 entries");
        cfg.disconnect(away);
        for _ in 0..ENTRIES {
            let _ = cfg.start(leader, cfg.random_text(SIZE));
        }
        cfg.one_retry("missed", 2);
        cfg.phase("it is back");
        let before = cfg.bytes();
        cfg.connect(away);
        cfg.one_retry("all", 3);
        let bytes = cfg.bytes() - before;
        let log = ENTRIES * SIZE as u64;
        // Whoever sends the whole rest with each heartbeat until it is acknowledged sends it a few times; with each of
        // the refusals on the way back, hundreds of times.
        cfg.check_under(&rules::RPC_BUDGET, bytes <= 20 * log, || {
            format!(
                "{bytes} bytes were sent to bring a server up to date that missed {ENTRIES} entries of {SIZE} bytes: is the log sent \
                 again and again?"
            )
        });
    });
}

/// `start` and `state` wait for no other server: here, none answers.
#[test]
fn calls_return_at_once_2B() {
    const AT_ONCE: Duration = Duration::from_millis(100);
    test(3, |cfg| {
        cfg.one_retry("first", 3);
        let leader = cfg.check_one_leader();
        cfg.disconnect(cfg.after(leader, 1));
        cfg.disconnect(cfg.after(leader, 2));
        for round in 0..20 {
            for (what, call) in [("start()", true), ("state()", false)] {
                let begun = Instant::now();
                if call {
                    let _ = cfg.start(leader, round);
                } else {
                    let _ = cfg.state(leader);
                }
                let took = begun.elapsed();
                if took > AT_ONCE {
                    let text = format!(
                        "{what} of server {leader} took {took:?} while no other server could be reached: it returns \
                         at once, and waits for no other server (section 5.3 leaves replication to other threads)"
                    );
                    if labtest::is_simulated() {
                        cfg.fail_under(&rules::CALLS_RETURN, text);
                    }
                    cfg.warn(text);
                }
            }
            cfg.sleep(Duration::from_millis(100));
        }
    });
}

/// Crashes together with requests that come late or twice, and replies that overtake each other.
#[test]
fn reorder_and_crash_2C() {
    test(5, |cfg| {
        cfg.set_faults(Faults {
            duplicate: 0.1,
            long_request_delay: 0.05,
            long_reordering: true,
            long_delays: true,
            ..Faults::unreliable()
        });
        cfg.phase("100 rounds of commands, crashes and restarts");
        for _ in 0..100 {
            for server in cfg.all() {
                let _ = cfg.start(server, cfg.random_command());
            }
            cfg.sleep(Duration::from_millis(if cfg.chance(30) {
                cfg.random_below(700)
            } else {
                cfg.random_below(30)
            }));
            let dead: Vec<usize> = cfg.all().filter(|&server| !cfg.is_alive(server)).collect();
            if dead.len() < 2 && cfg.chance(30) {
                cfg.crash(cfg.random_server());
            } else if let Some(&server) = dead.first().filter(|_| cfg.chance(50)) {
                cfg.restart(server);
                cfg.connect(server);
            }
        }
        cfg.phase("all are back, on a reliable network");
        cfg.set_net(Net::Reliable);
        for server in cfg.all().filter(|&server| !cfg.is_alive(server)) {
            cfg.restart(server);
            cfg.connect(server);
        }
        cfg.one_retry("all", 5);
    });
}

/// No storms: on an unreliable network, with a server down, what is sent in ten idle seconds stays within twenty messages a
/// second to each server, twice as many as heartbeats need at the labs' pace of ten, and twice that again for what is
/// lost and sent again.
#[test]
fn rpc_budget_2C() {
    const SECONDS: u64 = 10;
    test(5, |cfg| {
        cfg.set_net(Net::Unreliable);
        cfg.one_retry("first", 5);
        let leader = cfg.check_one_leader();
        cfg.crash(cfg.after(leader, 1));
        cfg.one_retry("second", 4);
        let before = cfg.calls();
        cfg.sleep(Duration::from_secs(SECONDS));
        let calls = cfg.calls() - before;
        let most = 2 * 20 * 4 * SECONDS;
        cfg.check_under(&rules::RPC_BUDGET, calls <= most, || {
            format!(
                "{calls} RPCs were sent in {SECONDS} idle seconds by five servers, more than {most}: about ten heartbeats \
                 a second to each server are enough, and what is lost need not be sent again at once for ever"
            )
        });
        cfg.restart(cfg.after(leader, 1));
        cfg.connect(cfg.after(leader, 1));
        cfg.one_retry("third", 5);
    });
}

/// Two snapshots for one follower arrive at the same moment, while its service takes the first, or has just taken it. It
/// must get to the end of the later one, and to what follows.
///
/// "Reset state machine using snapshot contents" (figure 13) takes a while, and what comes meanwhile must not be taken for
/// done. Which of many moments it comes in is up to chance, so there are many rounds.
#[test]
fn two_snapshots_2D() {
    snapshot_test(3, |cfg| {
        let stage = Stage::on(cfg);
        let snapshots = Pattern::parse(&["snapshot", "*", "->", "A"]).expect("it is a pattern");
        cfg.one_retry("first", 3);
        for round in 0..8 {
            let away = cfg.after(cfg.check_one_leader(), 1 + round % 2);
            let mut names = Names::default();
            names.servers.insert("A".into(), away);
            cfg.disconnect(away);
            stage.rule(snapshots.clone(), &names, Fate::Hold);
            for part in 0..2 {
                for _ in 0..SNAPSHOT_INTERVAL {
                    cfg.one_retry(cfg.random_command(), 2);
                }
                // It hears from its leader, which sends it a snapshot, and sends the next one when no answer comes.
                if part == 0 {
                    cfg.connect(away);
                }
                cfg.sleep(Duration::from_millis(1500));
            }
            stage.calm();
            // Its threads may stall between any two steps, while the second snapshot is taken.
            cfg.set_stalls(away, 8, Duration::from_millis(20));
            stage.release(Some(&snapshots), &names);
            cfg.one_retry("all", 3);
            cfg.set_stalls(away, 0, Duration::ZERO);
        }
    });
}

/// What a snapshot covers is forgotten, and its memory freed: "all state prior to that point can be discarded" is what
/// snapshots are for (section 7).
///
/// The record of what was applied grows by each command once; logs that grow would add that three times.
#[test]
fn memory_freed_2D() {
    const COMMAND_BYTES: usize = 64 << 10;
    const COMMANDS: usize = 200;
    test(3, |cfg| {
        let agree_on = |commands: usize| {
            for _ in 0..commands {
                let command = format!("{}{}", cfg.random_command(), ".".repeat(COMMAND_BYTES));
                let index = cfg.one_retry(command, 3);
                if index % SNAPSHOT_INTERVAL == 0 {
                    cfg.all().for_each(|server| cfg.raft(server).snapshot(index, b"small".to_vec()));
                }
            }
        };
        agree_on(50);
        let Some(before) = resident_bytes() else {
            return cfg.warn("memory_freed_2D: this system does not tell how much memory a process has");
        };
        agree_on(COMMANDS);
        let grown = resident_bytes().unwrap_or(before).saturating_sub(before);
        let most = COMMANDS * COMMAND_BYTES * 5 / 2;
        cfg.check(grown <= most, || {
            format!(
                "{grown} bytes of memory were needed for {COMMANDS} commands of {COMMAND_BYTES} bytes, although all \
                 servers made a snapshot every {SNAPSHOT_INTERVAL} commands: what a snapshot covers is to be discarded (section 7)"
            )
        });
    });
}

/// How much memory the process has; `None` where the system does not say.
fn resident_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(kilobytes.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()? << 10)
}

/// A follower that needs a snapshot gets it once or twice, and not with every message.
#[test]
fn snapshot_budget_2D() {
    snapshot_test(3, |cfg| {
        let stage = Stage::on(cfg);
        cfg.one_retry("first", 3);
        let away = cfg.after(cfg.check_one_leader(), 1);
        cfg.disconnect(away);
        for _ in 0..=2 * SNAPSHOT_INTERVAL {
            cfg.one_retry(cfg.random_command(), 2);
        }
        cfg.connect(away);
        cfg.one_retry("all", 3);
        cfg.sleep(Duration::from_secs(2));
        let sent = stage.delivered(Kind::Snapshot);
        // One for each of a few elections, each repeated now and then before it is answered.
        cfg.check_under(&rules::RPC_BUDGET, sent <= 20, || {
            format!(
                "server {away} was sent {sent} snapshots to catch up once: one is enough, until it is answered or \
                 seems lost (section 7)"
            )
        });
    });
}

/// A follower that missed more than one message carries gets all of it, though it comes in parts: what is acknowledged is
/// what a message held, not what the leader has. Only that follower is there to make a majority.
///
/// "If successful: update nextIndex and matchIndex for follower" (figure 2, rules for leaders).
#[test]
fn large_catch_up_2B() {
    const ENTRIES: usize = 12;
    const SIZE: usize = 100 * 1000;
    test(3, |cfg| {
        cfg.one_retry("first", 3);
        let leader = cfg.check_one_leader();
        let [away, other] = [1, 2].map(|i| cfg.after(leader, i));
        cfg.phase(format!("server {away} is cut off and misses {ENTRIES} commands of {SIZE} bytes"));
        cfg.disconnect(away);
        for _ in 0..ENTRIES {
            let _ = cfg.start(leader, cfg.random_text(SIZE));
        }
        cfg.one_retry("missed", 2);
        cfg.phase(format!("it is back, and server {other} is cut off"));
        cfg.disconnect(other);
        cfg.connect(away);
        cfg.one_retry("two", 2);
        cfg.phase("all are there");
        cfg.connect(other);
        cfg.one_retry("all", 3);
    });
}
