//! Reads, on schedules that seldom come about by chance: of leaders that were replaced and do not know, or that do not know
//! yet what is committed.
//!
//! (The original labs have no such tests.)

use std::time::Duration;

use labrpc::{Fate, Kind, Notice};
use labtest::{Task, rules};

use crate::appends;
use crate::config::{Config, ELECTION, End, NO_SNAPSHOTS, Post, targeted_test};
use crate::targeted::{clerk_of_leader, others, revive};

pub(crate) fn must_not_return(cfg: &Config, leader: usize, get: &Task<String>, limit: Duration) {
    cfg.check_under(&rules::LINEARIZABLE, !get.is_done_within(limit), || {
        format!(
            "a get has returned to a clerk that reaches only server {leader}, which was the leader and has been cut off \
             from all others: another has been elected, and has executed a put of which server {leader} knows nothing. A \
             leader must make sure that it still leads before it answers a read (section 8)"
        )
    });
}

/// What servers ask this one does not arrive, nor what it asks; but no link is cut: calls that are under way stay so.
fn cut_off(post: &Post, server: usize, notice: Notice) {
    let (it, any) = (End::Server(server), End::AnyServer);
    for (from, to) in [(it, any), (any, it)] {
        post.all(Kind::Request, from, to, Fate::Drop(notice));
    }
}

fn all_together(cfg: &Config, post: &Post) {
    cfg.phase("all are together again");
    post.calm();
    cfg.connect_all();
}

pub(crate) fn must_read(cfg: &Config, expected: &str, get: Task<String>) {
    cfg.check_under(&rules::CLERKS_ANSWERED, get.is_done_within(3 * ELECTION), || {
        "a get has not returned although its clerk has been able to reach all servers for 3 s".to_owned()
    });
    let value = get.join();
    cfg.check_under(&rules::LINEARIZABLE, value == expected, || {
        format!(
            "a get returned {value:?}, although a put of {expected:?} had returned before the get was called: a leader must \
             make sure that it still leads before it answers a read (section 8)"
        )
    });
}

/// A clerk reaches only a leader that has been replaced and does not know.
///
/// "A leader must check whether it has been deposed before processing a read-only request" (section 8). The answers to
/// what it sent before it was cut off come late, and prove nothing: they are older than the read.
#[test]
fn deposed_leader_3A() {
    targeted_test(5, NO_SNAPSHOTS, |cfg| {
        let post = cfg.post();
        let (mut clerk, leader) = clerk_of_leader(cfg, "k");
        clerk.put("k", "old");
        clerk.check("k", "old");
        let mut reader = cfg.clerk_at(&[leader]);
        reader.check("k", "old");

        cfg.phase(format!("what the others answer server {leader} is held up, then it is cut off"));
        let (old, any) = (End::Server(leader), End::AnyServer);
        post.all(Kind::Reply, any, old, Fate::Hold);
        cfg.sleep(ELECTION / 5);
        cut_off(&post, leader, Notice::ByTimeout);
        let mut writer = cfg.clerk_at(&others(cfg, leader));
        writer.put("k", "new");

        cfg.phase(format!("server {leader} is asked"));
        let get = cfg.spawn("a get", move |_| reader.get("k"));
        cfg.sleep(ELECTION / 20);
        post.release();
        must_not_return(cfg, leader, &get, ELECTION);

        all_together(cfg, &post);
        must_read(cfg, "new", get);
    });
}

/// As `deposed_leader_3A`, and another read has begun before the leader was cut off: that one may be answered, when the answers
/// come that were held up. The one that begins when another leads may not, though nobody has answered anything in between.
#[test]
fn read_of_a_later_moment_3A() {
    targeted_test(5, NO_SNAPSHOTS, |cfg| {
        let post = cfg.post();
        let (mut clerk, leader) = clerk_of_leader(cfg, "k");
        clerk.put("k", "old");
        clerk.check("k", "old");
        let mut early = cfg.clerk_at(&[leader]);
        early.check("k", "old");
        cfg.phase(format!("what the others answer server {leader} is held up, and it is asked"));
        let (old, any) = (End::Server(leader), End::AnyServer);
        post.all(Kind::Reply, any, old, Fate::Hold);
        let first = cfg.spawn("a get", move |_| early.get("k"));
        cfg.sleep(ELECTION / 5);
        cfg.phase(format!("server {leader} is cut off, and another leads"));
        cut_off(&post, leader, Notice::ByTimeout);
        let mut writer = cfg.clerk_at(&others(cfg, leader));
        writer.put("k", "new");
        cfg.phase(format!("server {leader} is asked again"));
        let mut reader = cfg.clerk_at(&[leader]);
        let get = cfg.spawn("a later get", move |_| reader.get("k"));
        cfg.sleep(ELECTION / 20);
        post.release();
        must_not_return(cfg, leader, &get, ELECTION);
        all_together(cfg, &post);
        must_read(cfg, "new", get);
        first.join();
    });
}

/// A leader is replaced a few milliseconds after a majority has answered it: the next one stood because it had heard nothing, and
/// its voters did not wait until any time was up. So that a majority has just answered proves nothing about now.
///
/// "The leader exchanges heartbeat messages with a majority of the cluster before responding to read-only requests" (section 8).
/// "Alternatively, the leader could rely on the heartbeat mechanism to provide a form of lease": then voters must wait too.
#[test]
fn replaced_at_once_3A() {
    targeted_test(3, NO_SNAPSHOTS, |cfg| {
        let post = cfg.post();
        let (mut clerk, leader) = clerk_of_leader(cfg, "k");
        clerk.put("k", "old");
        let [next, voter] = others(cfg, leader)[..] else { unreachable!("there are three servers") };
        cfg.phase(format!("server {next} hears nothing from server {leader}, and stands for election"));
        let (old, any) = (End::Server(leader), End::AnyServer);
        post.all(Kind::Request, old, End::Server(next), Fate::Drop(Notice::ByTimeout));
        post.all(Kind::Request, End::Server(next), old, Fate::Drop(Notice::ByTimeout));
        post.next(Kind::Request, End::Server(next), End::Server(voter), Fate::Hold);
        post.wait(&format!("a request of server {next} to server {voter}"));
        cfg.phase(format!("server {leader} is cut off, and server {next} elected at once"));
        let mut writer = cfg.clerk_at(&[next, voter]);
        let mut reader = cfg.clerk_at(&[leader]);
        for kind in [Kind::Request, Kind::Reply] {
            for (from, to) in [(old, any), (any, old)] {
                post.all(kind, from, to, Fate::Drop(Notice::ByTimeout));
            }
        }
        post.release();
        writer.put("k", "new");
        let get = cfg.spawn("a get", move |_| reader.get("k"));
        must_not_return(cfg, leader, &get, ELECTION);
        all_together(cfg, &post);
        must_read(cfg, "new", get);
    });
}

/// A follower gets a message late that its leader sent in an earlier reign, and refuses it, in the term of the present one.
/// That says nothing about reads of this reign: they may not even have begun. Then the leader is cut off, and asked.
///
/// "A leader must check whether it has been deposed before processing a read-only request" (section 8), by messages that
/// are exchanged after the read has begun.
#[test]
fn late_refusal_3A() {
    targeted_test(3, NO_SNAPSHOTS, |cfg| {
        if !cfg.needs_virtual_time("clocks cannot be made to run fast or slow") {
            return;
        }
        const READS: usize = 20;
        let post = cfg.post();
        let (mut clerk, leader) = clerk_of_leader(cfg, "k");
        let [friend, other] = others(cfg, leader)[..] else { unreachable!("there are three servers") };
        let mut reader = cfg.clerk_at(&[leader]);
        cfg.phase(format!("what server {leader} sends server {friend} is held up while it answers reads"));
        post.all(Kind::Request, End::Server(leader), End::Server(friend), Fate::Hold);
        let reads = cfg.spawn("reads", move |_| (0..READS).for_each(|_| drop(reader.get("k"))));
        if !reads.is_done_within(ELECTION) {
            cfg.warn("did not come about: the leader was deposed early");
            return;
        }
        cfg.phase(format!("server {leader} is deposed, and then leads again"));
        let any = End::AnyServer;
        cut_off(&post, leader, Notice::ByTimeout);
        let mut writer = cfg.clerk_at(&[friend, other]);
        writer.put("k", "between");
        post.calm();
        cfg.sleep(ELECTION / 5);
        [friend, other].iter().for_each(|&server| cfg.set_drift(server, -500_000));
        cfg.set_drift(leader, 2_000_000);
        for _ in 0..20 {
            let now = cfg.leader();
            if now == leader {
                break;
            }
            post.all(Kind::Request, End::Server(now), any, Fate::Drop(Notice::ByTimeout));
            cfg.sleep(ELECTION / 4);
            post.calm();
            cfg.sleep(ELECTION / 20);
        }
        cfg.all().for_each(|server| cfg.set_drift(server, 0));
        if cfg.leader() != leader {
            cfg.warn("did not come about: the leader was deposed, and did not lead again");
            return;
        }
        clerk.put("k", "old");
        cfg.phase(format!("server {friend} gets the messages of server {leader}'s earlier reign"));
        post.release();
        cfg.sleep(ELECTION / 20);
        cfg.phase(format!("server {leader} is cut off, and another leads"));
        cfg.partition(&[&[leader], &[friend, other]]);
        let mut writer = cfg.clerk_at(&[friend, other]);
        writer.put("k", "new");
        cfg.phase(format!("server {leader} is asked"));
        let mut reader = cfg.clerk_at(&[leader]);
        let get = cfg.spawn("a get", move |_| reader.get("k"));
        must_not_return(cfg, leader, &get, ELECTION);
        cfg.phase("all are together again");
        cfg.connect_all();
        must_read(cfg, "new", get);
    });
}

/// A leader that is cut off is asked. It is deposed, and leads again before the clerk has lost its patience: what it knew to be
/// committed when it was asked is not what was committed then.
#[test]
fn read_across_reigns_3A() {
    targeted_test(3, NO_SNAPSHOTS, |cfg| {
        if !cfg.needs_virtual_time("clocks cannot be made to run fast or slow") {
            return;
        }
        let post = cfg.post();
        let (mut clerk, leader) = clerk_of_leader(cfg, "k");
        clerk.put("k", "old");
        let [second, third] = others(cfg, leader)[..] else { unreachable!("there are three servers") };
        cfg.phase(format!("server {leader} is cut off, and another leads"));
        let any = End::AnyServer;
        cut_off(&post, leader, Notice::AtOnce);
        let mut writer = cfg.clerk_at(&[second, third]);
        writer.put("k", "new");
        let now = cfg.leader();
        let last = if now == second { third } else { second };
        cfg.phase(format!("server {now} is cut off too, and server {last} leads with the vote of server {leader}, which is asked"));
        let mut reader = cfg.clerk_at(&[leader]);
        for server in [now, last] {
            cfg.set_drift(server, -500_000);
        }
        post.calm();
        post.all(Kind::Request, End::Server(now), any, Fate::Drop(Notice::AtOnce));
        post.all(Kind::Request, End::Server(leader), any, Fate::Drop(Notice::AtOnce));
        cfg.set_drift(last, 2_000_000);
        // Asked when the others have gone on, and before it hears of that.
        let get = cfg.spawn("a get", move |_| reader.get("k"));
        for _ in 0..100 {
            if cfg.leader() == last {
                break;
            }
            cfg.sleep(ELECTION / 100);
        }
        cfg.sleep(ELECTION / 50);
        cfg.phase(format!("server {leader} leads again"));
        cfg.set_drift(last, -500_000);
        cfg.set_drift(leader, 2_000_000);
        post.calm();
        post.all(Kind::Request, End::Server(now), any, Fate::Drop(Notice::AtOnce));
        post.all(Kind::Request, End::Server(last), any, Fate::Drop(Notice::AtOnce));
        cfg.sleep(ELECTION / 2);
        cfg.all().for_each(|server| cfg.set_drift(server, 0));
        post.calm();
        cfg.connect_all();
        must_read(cfg, "new", get);
    });
}

/// A leader commits, answers and crashes before the others know that it is committed. The next leader, which has not
/// committed anything yet, does not know either, and must not answer from what it has executed.
///
/// "The Leader Completeness Property guarantees that a leader has all committed entries, but at the start of its term, it
/// may not know which those are" (section 8).
#[test]
fn first_read_of_a_leader_3A() {
    targeted_test(3, NO_SNAPSHOTS, |cfg| {
        const ROUNDS: usize = 4;
        let (mut writer, mut reader) = (cfg.clerk(), cfg.clerk());
        for round in 0..ROUNDS {
            writer.append("k", &appends::text(0, round));
            let leader = cfg.leader();
            writer.append("k", &format!("and {round};"));
            cfg.shut_down(leader);
            cfg.phase(format!("server {leader} has crashed, and the next leader is asked for a value"));
            let expected: String =
                (0..=round).map(|round| format!("{}and {round};", appends::text(0, round))).collect();
            let rule = "A new leader does not know what is committed before it has committed a command of its own term \
                        (section 8)";
            reader.check_by(rule, "k", &expected);
            revive(cfg, leader);
        }
    });
}

/// A leader that has just been started learns, with the first command of its term, that a long log is committed. While
/// it executes that, it is asked for what was written last.
///
/// "The leader waits until its state machine has advanced at least as far as the readIndex" (Ongaro's thesis, section
/// 6.4). Reads that are commands of the log come after what is written there in any case.
#[test]
fn read_while_catching_up_3A() {
    targeted_test(3, NO_SNAPSHOTS, |cfg| {
        if !cfg.needs_virtual_time("the threads of one server cannot be stopped") {
            return;
        }
        const WRITERS: usize = 10;
        const PUTS: usize = 100;
        const READERS: usize = 8;
        let post = cfg.post();
        let mut clerk = cfg.clerk();
        clerk.put("k", "old");
        cfg.phase("the log grows");
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                cfg.spawn(format!("writer {writer}"), move |cfg| {
                    let mut clerk = cfg.clerk();
                    (0..PUTS).for_each(|number| clerk.put(&writer.to_string(), &number.to_string()));
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join());
        clerk.put("k", "new");

        cfg.phase("all servers crash and start again");
        cfg.all().for_each(|server| cfg.shut_down(server));
        cfg.all().for_each(|server| cfg.start(server));
        cfg.connect_all();
        let leader = cfg.leader();
        cfg.sleep(ELECTION / 5);

        cfg.phase("at the same time the leader learns what is committed, and is asked for it");
        post.all(Kind::Reply, End::AnyServer, End::Server(leader), Fate::Hold);
        let write = cfg.spawn("a writer", move |_| clerk.put("other", ""));
        cfg.sleep(ELECTION / 50);
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                let mut clerk = cfg.clerk_at(&[leader]);
                post.next(Kind::Request, clerk.end(), End::Server(leader), Fate::Hold);
                cfg.spawn(format!("reader {reader}"), move |_| {
                    let rule = "A read must wait until all that was committed when it began has been executed (section 8)";
                    clerk.check_by(rule, "k", "new");
                })
            })
            .collect();
        post.wait("a read of each clerk");
        cfg.sleep(ELECTION / 200);
        post.calm();
        post.next(Kind::Request, End::Server(leader), End::AnyServer, Fate::Deliver);
        post.release();
        post.wait("a message of the leader");
        cfg.phase("it stalls in the midst of that");
        cfg.freeze(leader);
        cfg.sleep(ELECTION / 50);
        cfg.thaw(leader);
        cfg.connect_all();
        write.join();
        readers.into_iter().for_each(|reader| reader.join());
    });
}
