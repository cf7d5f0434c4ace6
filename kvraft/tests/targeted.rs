//! Schedules on which a key/value service can go wrong and that seldom come about by chance: a request that is
//! executed and not answered, copies of requests, leaders that do not know that they were replaced, servers that know
//! the past from a snapshot only. None of them depends on what clerks and servers say to each other.
//!
//! (The original labs have no such tests.)

use std::time::{Duration, Instant};

use labrpc::{Fate, Kind, Notice};
use labtest::rules;

use crate::appends;
use crate::config::{Config, ELECTION, End, NO_SNAPSHOTS, Post, TestClerk, targeted_test};
use crate::reads::must_read;

/// How large the Raft state may grow before the service makes a snapshot.
const MAX_RAFT_STATE: Option<usize> = Some(1000);

/// A clerk that has written `key`, and so knows who leads; and the leader.
pub(crate) fn clerk_of_leader(cfg: &Config, key: &str) -> (TestClerk, usize) {
    let mut clerk = cfg.clerk();
    clerk.put(key, "");
    (clerk, cfg.leader())
}

/// The other servers.
pub(crate) fn others(cfg: &Config, server: usize) -> Vec<usize> {
    cfg.all().filter(|&other| other != server).collect()
}

/// Starts a server that was shut down, and joins all.
pub(crate) fn revive(cfg: &Config, server: usize) {
    cfg.start(server);
    cfg.connect_all();
}

/// Has the clerk append its text of this number to `key`, in a thread of its own, so that `leader` executes it and the
/// answer is lost; the clerk is not told.
fn append_without_answer(
    cfg: &Config,
    post: &Post,
    mut clerk: TestClerk,
    leader: usize,
    number: usize,
) -> labtest::Task<TestClerk> {
    post.next(Kind::Reply, End::Server(leader), clerk.end(), Fate::Drop(Notice::ByTimeout));
    let append = cfg.spawn("a client", move |_| {
        clerk.append("k", &appends::text(0, number));
        clerk
    });
    post.wait(&format!("the answer of server {leader} to an append"));
    append
}

/// Each request is executed, and its first answer lost. The clerk asks again: that is the same request.
///
/// "If the leader crashes after committing the log entry but before responding to the client, the client will retry the
/// command with a new leader, causing it to be executed a second time. The solution is for clients to assign unique
/// serial numbers to every command" (section 8). The leader need not crash for that.
#[test]
fn lost_answers_3A() {
    targeted_test(3, NO_SNAPSHOTS, |cfg| {
        const APPENDS: usize = 10;
        let post = cfg.post();
        let (mut clerk, leader) = clerk_of_leader(cfg, "k");
        for number in 0..APPENDS {
            post.next(Kind::Reply, End::Server(leader), clerk.end(), Fate::Drop(Notice::AtOnce));
            clerk.append("k", &appends::text(0, number));
        }
        clerk.check_appends("k", 0, APPENDS);
    });
}

/// The leader executes a request and crashes before it answers; the clerk asks the next leader. That one has the
/// request in its log, but does not know yet that it is committed: whether a request is a duplicate can only be told
/// when it is executed.
#[test]
fn retry_at_new_leader_3A() {
    targeted_test(3, NO_SNAPSHOTS, |cfg| {
        const ROUNDS: usize = 4;
        let post = cfg.post();
        let (mut clerk, _) = clerk_of_leader(cfg, "k");
        for round in 0..ROUNDS {
            // An answer must not be lost that says "not the leader".
            clerk.get("k");
            let leader = cfg.leader();
            cfg.phase(format!("server {leader} executes an append and crashes"));
            let append = append_without_answer(cfg, &post, clerk, leader, round);
            cfg.shut_down(leader);
            clerk = append.join();
            revive(cfg, leader);
        }
        clerk.check_appends("k", 0, ROUNDS);
    });
}

/// Each request arrives three times at once: the copies are in the log before the first is executed.
#[test]
fn repeated_requests_3A() {
    targeted_test(3, NO_SNAPSHOTS, |cfg| {
        const APPENDS: usize = 20;
        let post = cfg.post();
        let mut clerk = cfg.clerk();
        post.all(Kind::Request, clerk.end(), End::AnyServer, Fate::Duplicate(2));
        (0..APPENDS).for_each(|number| clerk.append("k", &appends::text(0, number)));
        clerk.check_appends("k", 0, APPENDS);
    });
}

/// Copies of requests arrive when their clerk has gone on to others, and the service has been overwritten meanwhile.
#[test]
fn late_copies_3A() {
    targeted_test(3, NO_SNAPSHOTS, |cfg| {
        const APPENDS: usize = 5;
        let post = cfg.post();
        let (mut clerk, _) = clerk_of_leader(cfg, "k");
        post.all(Kind::Request, clerk.end(), End::AnyServer, Fate::Keep);
        clerk.put("k", "forgotten");
        clerk.append("k", " too");
        clerk.put("k", "");
        (0..APPENDS).for_each(|number| clerk.append("k", &appends::text(0, number)));
        post.calm();
        cfg.phase("copies of all these requests arrive");
        let copies = post.release();
        cfg.check(copies > APPENDS, || format!("the network has kept {copies} copies only"));
        cfg.sleep(ELECTION);
        let expected: String = (0..APPENDS).map(|number| appends::text(0, number)).collect();
        let rule =
            "Of each client, a request that comes after newer ones must not be executed any more (section 8)";
        clerk.check_by(rule, "k", &expected);
    });
}

/// The same when the leader's machine stalls: it wakes with reads before it, and with a term that is over.
#[test]
fn stalled_leader_3A() {
    targeted_test(3, NO_SNAPSHOTS, |cfg| {
        if !cfg.needs_virtual_time("the threads of one server cannot be stopped") {
            return;
        }
        const READERS: usize = 5;
        let (mut clerk, leader) = clerk_of_leader(cfg, "k");
        clerk.put("k", "old");
        clerk.check("k", "old");
        cfg.phase(format!("server {leader} stalls, and another leads"));
        cfg.freeze(leader);
        let mut writer = cfg.clerk_at(&others(cfg, leader));
        writer.put("k", "new");
        let gets: Vec<_> = (0..READERS)
            .map(|reader| {
                let mut clerk = cfg.clerk_at(&[leader]);
                cfg.spawn(format!("get {reader}"), move |_| clerk.get("k"))
            })
            .collect();
        cfg.sleep(ELECTION / 10);
        cfg.phase(format!("server {leader} goes on"));
        cfg.thaw(leader);
        cfg.sleep(ELECTION / 10);
        cfg.connect_all();
        gets.into_iter().for_each(|get| must_read(cfg, "new", get));
    });
}

/// Threads lose the processor between any two steps, while leaders come and go: what a thread has found out under a lock may
/// be out of date when it takes that lock again.
///
/// One server's clock at a time is fast, so that it stands for election again and again.
#[test]
fn stalled_threads_3A() {
    targeted_test(5, NO_SNAPSHOTS, |cfg| {
        if !cfg.needs_virtual_time("it stalls threads by itself, when it has others to run") {
            return;
        }
        const CLIENTS: usize = 4;
        const APPENDS: usize = 100;
        const STALL: Duration = Duration::from_millis(100);
        cfg.phase(format!("threads stall, for up to {STALL:?}, while one server or another has no patience"));
        cfg.all().for_each(|server| cfg.set_stalls(server, 16, STALL));
        let client = |client: usize| {
            cfg.spawn(format!("client {client}"), move |cfg| {
                let mut clerk = cfg.clerk();
                for number in 0..APPENDS {
                    clerk.append(&client.to_string(), &appends::text(client, number));
                    clerk.get(&((client + 1) % CLIENTS).to_string());
                }
                clerk
            })
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        for _ in 0..10 {
            let restless = cfg.random_below(5) as usize;
            cfg.set_drift(restless, 2_000_000);
            cfg.sleep(ELECTION / 2);
            cfg.set_drift(restless, 0);
        }
        cfg.phase("they do not stall any more");
        cfg.all().for_each(|server| cfg.set_stalls(server, 0, STALL));
        for (client, clerk) in clients.into_iter().enumerate() {
            clerk.join().check_appends(&client.to_string(), client, APPENDS);
        }
    });
}

/// A follower's threads stall while it has writes to execute that others have answered; then it leads, is asked for what they
/// wrote, and is deposed. Whoever waits there until all is executed may be told that it does not lead, but not what it held
/// before.
#[test]
fn stalled_execution_3A() {
    targeted_test(3, NO_SNAPSHOTS, |cfg| {
        if !cfg.needs_virtual_time("it stalls threads by itself, when it has others to run") {
            return;
        }
        for round in 1..=6 {
            let leader = cfg.leader();
            let [next, third] = [1, 2].map(|i| (leader + i) % cfg.servers());
            cfg.phase(format!("round {round}: server {next} stalls while it has writes to execute"));
            cfg.set_stalls(next, 8, Duration::from_secs(2));
            let mut writer = cfg.clerk_at(&others(cfg, next));
            for number in 0..5 {
                writer.put("k", &format!("{round}.{number}"));
            }
            cfg.set_stalls(next, 0, Duration::ZERO);
            cfg.phase(format!("round {round}: it leads and is asked, and then server {third} leads"));
            cfg.partition(&[&[leader], &[next, third]]);
            cfg.set_drift(next, 2_000_000);
            cfg.set_drift(third, -500_000);
            let reader = |reader: usize| {
                let mut clerk = cfg.clerk_at(&[next]);
                cfg.spawn(format!("reader {reader} in round {round}"), move |_| {
                    (0..5).for_each(|_| drop(clerk.get("k")));
                })
            };
            let readers = [1, 2, 3].map(reader);
            cfg.sleep(ELECTION / 3);
            cfg.set_drift(next, -500_000);
            cfg.set_drift(third, 2_000_000);
            cfg.sleep(ELECTION / 3);
            cfg.all().for_each(|server| cfg.set_drift(server, 0));
            cfg.connect_all();
            cfg.set_drift(next, 2_000_000);
            readers.into_iter().for_each(|reader| reader.join());
            cfg.set_drift(next, 0);
        }
    });
}

/// A leader that is cut off proposes one clerk's append. Its place in the log goes to what the next leader proposes, and
/// when the old one applies that, the append has not happened.
#[test]
fn place_of_another_3A() {
    targeted_test(5, NO_SNAPSHOTS, |cfg| {
        const PUTS: usize = 50;
        let post = cfg.post();
        let (mut clerk, leader) = clerk_of_leader(cfg, "k");
        let (others, end) = (others(cfg, leader), clerk.end());
        cfg.phase(format!("server {leader} is cut off, and given an append"));
        cfg.partition(&[&[leader], &others]);
        post.all(Kind::Request, end, End::AnyServer, Fate::Drop(Notice::AtOnce));
        post.all(Kind::Request, end, End::Server(leader), Fate::Deliver);
        let append = cfg.spawn("an append", move |_| {
            clerk.append("k", &appends::text(0, 0));
            clerk
        });
        cfg.sleep(ELECTION / 20);
        cfg.phase("the others go on");
        let mut other = cfg.clerk_at(&others);
        (0..PUTS).for_each(|number| other.put("other", &number.to_string()));

        cfg.phase("all servers are together again, while the append waits");
        post.next(Kind::Request, end, End::Server(leader), Fate::Deliver);
        post.wait(&format!("a request of clerk 0 to server {leader}"));
        cfg.sleep(ELECTION / 200);
        cfg.partition(&[&cfg.all().collect::<Vec<_>>()]);
        cfg.sleep(ELECTION);
        post.calm();
        append.join().check_appends("k", 0, 1);
    });
}

/// The same, and what comes to that place is a copy of what the very same clerk asked before: the next leader does not know yet
/// that it has been executed. The clerk asks for an append in one round, and for a value in the other, which a leader that does
/// not know yet what is committed puts into its log.
///
/// Threads of the old leader stall when it hears of the new one: which of them goes on first is left to chance.
#[test]
fn place_of_its_earlier_3A() {
    targeted_test(3, NO_SNAPSHOTS, |cfg| {
        if !cfg.needs_virtual_time(
            "clocks cannot be made to run fast or slow, and threads do not stall when told to",
        ) {
            return;
        }
        const ROUNDS: usize = 20;
        let post = cfg.post();
        let mut clerk = cfg.clerk();
        let end = clerk.end();
        let (mut appends, mut missed) = (0, 0);
        // By time too: elections may take seconds, and a clerk may take its time between two servers.
        let begun = Instant::now();
        for round in (0..ROUNDS).take_while(|_| begun.elapsed() < Duration::from_secs(60)) {
            let first = cfg.leader();
            let [second, third] = others(cfg, first)[..] else { unreachable!("there are three servers") };
            cfg.phase(format!(
                "server {third} is asked for an append, in vain, and server {first} executes it and crashes"
            ));
            post.all(Kind::Request, end, End::AnyServer, Fate::Drop(Notice::AtOnce));
            post.next(Kind::Request, end, End::Server(third), Fate::Keep);
            let number = appends;
            let append = cfg.spawn("an append", move |_| {
                clerk.append("k", &appends::text(0, number));
                clerk
            });
            appends += 1;
            post.wait(&format!("a request to server {third}"));
            post.calm();
            clerk = append.join();
            cfg.shut_down(first);

            cfg.phase(format!(
                "server {second} is asked for something else, and cut off; then server {third} leads"
            ));
            cfg.set_drift(second, 2_000_000);
            cfg.set_drift(third, -500_000);
            // Not `leader`: with one server down and slow clocks it may rightly take longer than that waits.
            let leads = (0..200).any(|_| {
                cfg.sleep(ELECTION / 50);
                cfg.leader_now() == Some(second)
            });
            post.all(Kind::Request, end, End::AnyServer, Fate::Drop(Notice::AtOnce));
            post.all(Kind::Request, end, End::Server(second), Fate::Deliver);
            cfg.start(first);
            cfg.partition(&[&[second], &[first, third]]);
            cfg.set_drift(first, -500_000);
            cfg.set_drift(third, 2_000_000);
            let append = round % 2 == 0;
            let number = appends;
            let task = cfg.spawn("another request", move |_| {
                if append {
                    clerk.append("k", &appends::text(0, number));
                } else {
                    clerk.check_appends("k", 0, number);
                }
                clerk
            });
            appends += usize::from(append);
            let moved = (0..200).any(|_| {
                cfg.sleep(ELECTION / 50);
                cfg.leader_now() == Some(third)
            });
            missed += usize::from(!leads || !moved);
            cfg.phase(format!(
                "the request of before arrives at server {third}, and then all are together again"
            ));
            post.release();
            cfg.sleep(ELECTION / 20);
            cfg.set_stalls(second, 4, ELECTION / 10);
            cfg.connect_all();
            cfg.sleep(ELECTION / 4);
            cfg.all().for_each(|server| cfg.set_drift(server, 0));
            cfg.set_stalls(second, 0, Duration::ZERO);
            post.calm();
            clerk = task.join();
        }
        clerk.check_appends("k", 0, appends);
        if missed > 0 {
            cfg.warn(format_args!("{missed} rounds did not come about: others were elected"));
        }
    });
}

/// Writes `kept`, and then so much that a log in which that would still be is certainly too long.
fn fill_the_log(clerk: &mut TestClerk) {
    clerk.put("kept", "before the snapshot");
    let filling = "x".repeat(200);
    (0..100).for_each(|number| clerk.put("filling", &format!("{number} {filling}")));
}

/// Fails unless what was written before the log was filled is still there.
fn must_remember(cfg: &Config, clerk: &mut TestClerk, rule: &str) {
    let value = clerk.get("kept");
    cfg.check_under(&rules::LINEARIZABLE, value == "before the snapshot", || {
        format!("a value that only snapshots hold any more is {value:?}, it was \"before the snapshot\": {rule} (section 7)")
    });
}

/// A request is executed and not answered. When its clerk asks again, all servers know it from their snapshots only.
#[test]
fn retry_after_restart_3B() {
    targeted_test(3, MAX_RAFT_STATE, |cfg| {
        let post = cfg.post();
        let (clerk, leader) = clerk_of_leader(cfg, "k");
        let end = clerk.end();
        let append = append_without_answer(cfg, &post, clerk, leader, 0);
        post.all(Kind::Request, end, End::AnyServer, Fate::Drop(Notice::AtOnce));
        cfg.phase("the servers make snapshots, and all crash");
        let mut filler = cfg.clerk();
        fill_the_log(&mut filler);
        cfg.sleep(ELECTION);
        cfg.all().for_each(|server| {
            cfg.check_under(&rules::LOG_TRIMMED, cfg.snapshot_size(server) > 0, || {
                format!("server {server} has made no snapshot")
            });
            cfg.shut_down(server);
        });
        cfg.all().for_each(|server| cfg.start(server));
        cfg.connect_all();
        must_remember(cfg, &mut filler, "a server begins with the state in the snapshot on its disk");
        cfg.phase("the clerk asks again");
        post.calm();
        append.join().check_appends("k", 0, 1);
    });
}

/// A server that was cut off for longer than the log remembers gets a snapshot from the leader, and is then the only one
/// that can lead: all that it knows of values and of executed requests is what it was sent.
#[test]
fn leader_from_a_snapshot_3B() {
    targeted_test(3, MAX_RAFT_STATE, |cfg| {
        let post = cfg.post();
        let (clerk, leader) = clerk_of_leader(cfg, "k");
        let [late, other] = others(cfg, leader)[..] else { unreachable!("there are three servers") };
        cfg.phase(format!(
            "server {late} misses an append that is not answered, and more than the log holds"
        ));
        cfg.partition(&[&[leader, other], &[late]]);
        let end = clerk.end();
        let append = append_without_answer(cfg, &post, clerk, leader, 0);
        post.all(Kind::Request, end, End::AnyServer, Fate::Drop(Notice::AtOnce));
        let mut filler = cfg.clerk_at(&[leader, other]);
        fill_the_log(&mut filler);

        cfg.phase(format!("server {late} gets a snapshot"));
        cfg.partition(&[&[late, other], &[leader]]);
        let mut filler = cfg.clerk_at(&[late, other]);
        filler.put("filling", "again");

        cfg.phase(format!("only server {late} can lead"));
        cfg.partition(&[&[late, leader], &[other]]);
        let mut reader = cfg.clerk_at(&[late, leader]);
        reader.check("filling", "again");
        must_remember(cfg, &mut reader, "a server whose Raft hands it a snapshot replaces its state by that");
        cfg.phase(format!("the clerk asks server {late} again"));
        post.calm();
        for server in [leader, other] {
            post.all(Kind::Request, end, End::Server(server), Fate::Drop(Notice::AtOnce));
        }
        append.join().check_appends("k", 0, 1);
    });
}

/// A put of the value that is there already is executed like any other: when its clerk asks again, it is a duplicate, though
/// the first time it changed nothing.
#[test]
fn put_of_the_same_3A() {
    targeted_test(3, NO_SNAPSHOTS, |cfg| {
        let post = cfg.post();
        let (mut clerk, leader) = clerk_of_leader(cfg, "k");
        clerk.put("k", "same");
        post.all(Kind::Request, clerk.end(), End::Server(leader), Fate::Keep);
        clerk.put("k", "same");
        post.calm();
        let mut other = cfg.clerk();
        other.put("k", "new");
        cfg.phase("a copy of the put that changed nothing arrives");
        post.release();
        cfg.sleep(ELECTION / 5);
        let rule = "A request that has been executed is not executed again, whatever its first execution has changed \
                    (section 8)";
        other.check_by(rule, "k", "new");
    });
}

/// A clerk asks for the same operation several times: these are as many requests.
#[test]
fn the_same_again_3A() {
    targeted_test(3, NO_SNAPSHOTS, |cfg| {
        let mut clerk = cfg.clerk();
        clerk.append("k", "x");
        clerk.append("k", "x");
        clerk.append("k", "x");
        let rule = "Two operations that are equal are two operations: each has a serial number of its own (section 8)";
        clerk.check_by(rule, "k", "xxx");
    });
}
