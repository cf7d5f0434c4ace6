//! Lab 2A: leader election (section 5.2), on a reliable network.

use crate::config::{ELECTION, Net, raft_test};
use std::time::Duration;

/// A leader is elected, and without failures it stays.
///
/// "If a follower receives no communication over a period of time called the election timeout, then it assumes
/// there is no viable leader" (section 5.2): heartbeats must keep it from that.
#[test]
fn initial_election_2A() {
    raft_test(3, Net::Reliable, |cfg| {
        cfg.phase("elect a leader");
        cfg.check_one_leader();

        cfg.phase("all agree on the term");
        // A follower may learn of the election a moment after the leader has won it.
        cfg.sleep(Duration::from_millis(50));
        let term = cfg.check_terms();
        cfg.check(term >= 1, || {
            format!("a leader was elected in term {term}, but the first election is in term 1")
        });

        cfg.phase("the leader stays");
        cfg.sleep(2 * ELECTION);
        // Should it have been deposed and the term be newer, `raft_test` says so.
        cfg.check_terms();
        cfg.check_one_leader();
    });
}

/// A new leader is elected when the old one is cut off, an old leader that comes back follows it, and there is
/// no leader without a majority.
///
/// "A candidate wins an election if it receives votes from a majority of the servers in the full cluster"
/// (section 5.2).
#[test]
fn re_election_2A() {
    raft_test(3, Net::Reliable, |cfg| {
        cfg.phase("elect a leader");
        let first = cfg.check_one_leader();

        cfg.phase("cut the leader off: another is elected");
        cfg.disconnect(first);
        cfg.check_one_leader();

        cfg.phase("the old leader comes back: there is still one");
        cfg.connect(first);
        let second = cfg.check_one_leader();

        cfg.phase("cut two off: nobody can lead");
        cfg.disconnect(second);
        cfg.disconnect(cfg.after(second, 1));
        cfg.sleep(2 * ELECTION);
        cfg.check_no_leader();

        cfg.phase("a majority is back: a leader is elected");
        cfg.connect(cfg.after(second, 1));
        cfg.check_one_leader();

        cfg.phase("the last one is back: there is still one leader");
        cfg.connect(second);
        cfg.check_one_leader();
    });
}

/// Nine times, up to three of seven servers are cut off: the four left always have or elect a leader.
#[test]
fn many_elections_2A() {
    raft_test(7, Net::Reliable, |cfg| {
        cfg.phase("elect a leader");
        cfg.check_one_leader();
        for round in 1..=9 {
            let cut_off = [cfg.random_server(), cfg.random_server(), cfg.random_server()];
            cfg.phase(format!("round {round}: cut {cut_off:?} off"));
            cut_off.iter().for_each(|&server| cfg.disconnect(server));
            // Either the leader is among the four left, or they elect one.
            cfg.check_one_leader();
            cut_off.iter().for_each(|&server| cfg.connect(server));
        }
        cfg.phase("all are back");
        cfg.check_one_leader();
    });
}
