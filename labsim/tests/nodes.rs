//! Nodes: who belongs where, crashes, freezes, clocks, and the scopes that shield from them.

mod common;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use common::{fails_saying, is_inner};
use labsim::node::{self, Node};
use labsim::{Options, Run, Schedule, Test};
use parking_lot::{Condvar, Mutex};

#[global_allocator]
static ALLOC: labsim::Alloc = labsim::Alloc;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A thread of `node` that counts, one each millisecond.
fn counter(node: &Node) -> Arc<AtomicU64> {
    let count = Arc::new(AtomicU64::new(0));
    let theirs = Arc::clone(&count);
    let work = move || {
        loop {
            theirs.fetch_add(1, Ordering::Relaxed);
            thread::sleep(ms(1));
        }
    };
    node.spawn("counter".into(), work).unwrap();
    count
}

#[test]
fn threads_belong_to_the_node_that_started_them() {
    Test::new("threads_belong_to_the_node_that_started_them").runs(4).run(|_: Run| {
        let name = || node::current().map(|node| node.name().to_owned());
        assert_eq!(name(), None);
        let a = Node::new("a");
        let nested = move || thread::spawn(name).join().unwrap();
        assert_eq!(a.spawn("t".into(), nested).unwrap().join().unwrap().as_deref(), Some("a"));
        let b = Node::new("b");
        let from_b = b.spawn("t".into(), move || a.spawn("t".into(), name).unwrap().join().unwrap()).unwrap();
        assert_eq!(from_b.join().unwrap().as_deref(), Some("a"));
        assert_eq!((name(), b.alive()), (None, vec![]));
        String::new()
    });
}

#[test]
fn a_visitor_acts_for_the_node_and_survives_it() {
    Test::new("a_visitor_acts_for_the_node_and_survives_it").runs(8).run(|_: Run| {
        let name = || node::current().map(|node| node.name().to_owned());
        let a = Node::new("a");
        let started = a.visit(|| thread::spawn(name)).join().unwrap();
        assert_eq!((started.as_deref(), name()), (Some("a"), None));
        // Also when it leaves by unwinding.
        let unwound = std::panic::catch_unwind(|| a.visit(|| std::panic::resume_unwind(Box::new(()))));
        assert_eq!((unwound.is_err(), name()), (true, None));

        let of_a = counter(&a);
        thread::sleep(ms(5));
        assert_eq!(a.alive(), ["counter"]);
        let (crashed, seen) = (a.clone(), Arc::clone(&of_a));
        thread::spawn(move || {
            thread::sleep(ms(10));
            crashed.crash_hard();
        });
        let before = a.visit(|| {
            thread::sleep(ms(50));
            seen.load(Ordering::Relaxed)
        });
        thread::sleep(ms(50));
        assert!(before > 1 && of_a.load(Ordering::Relaxed) == before, "the node is gone, its visitor is not");
        String::new()
    });
}

#[test]
fn a_crashed_node_stops_for_good_and_the_others_go_on() {
    Test::new("a_crashed_node_stops_for_good_and_the_others_go_on").runs(8).run(|_: Run| {
        let (a, b) = (Node::new("a"), Node::new("b"));
        let (of_a, of_b) = (counter(&a), counter(&b));
        thread::sleep(ms(100));
        a.crash_hard();
        let at_crash = of_a.load(Ordering::Relaxed);
        thread::sleep(ms(100));
        assert_eq!(of_a.load(Ordering::Relaxed), at_crash);
        assert_eq!((a.alive(), b.alive()), (vec![], vec!["counter".to_owned()]));
        assert!(at_crash > 10 && of_b.load(Ordering::Relaxed) > at_crash);
        a.spawn("late".into(), || unreachable!("a crashed node starts nothing")).unwrap();
        thread::sleep(ms(100));
        String::new()
    });
}

#[test]
fn nothing_is_unwound_by_a_crash() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            unreachable!("dropped");
        }
    }
    Test::new("nothing_is_unwound_by_a_crash").runs(4).run(|_: Run| {
        let node = Node::new("n");
        let suicide = node.clone();
        let handle = node.spawn("t".into(), move || {
            let _bomb = Bomb;
            suicide.crash_hard();
            unreachable!("the dead do not go on");
        });
        thread::sleep(ms(10));
        assert!(!handle.unwrap().is_finished());
        String::new()
    });
}

#[test]
fn a_frozen_node_stalls_while_time_goes_on() {
    Test::new("a_frozen_node_stalls_while_time_goes_on").runs(8).run(|_: Run| {
        let node = Node::new("n");
        let count = counter(&node);
        thread::sleep(ms(50));
        node.freeze();
        let frozen_at = count.load(Ordering::Relaxed);
        thread::sleep(ms(1000));
        assert_eq!(count.load(Ordering::Relaxed), frozen_at);
        node.thaw();
        thread::sleep(ms(50));
        let since = count.load(Ordering::Relaxed) - frozen_at;
        assert!((10..=52).contains(&since), "it does not catch up: {since}");
        String::new()
    });
}

#[test]
fn a_clock_can_be_wrong_and_drift() {
    Test::new("a_clock_can_be_wrong_and_drift").runs(4).run(|_: Run| {
        let node = Node::new("n");
        node.set_clock(-5_000_000_000, 100_000);
        let wall = SystemTime::now();
        let measured = node.spawn("t".into(), move || {
            let behind = wall.duration_since(SystemTime::now()).unwrap();
            let start = (Instant::now(), labsim::now());
            thread::sleep(ms(1100));
            (behind, start.0.elapsed(), labsim::now() - start.1)
        });
        let (behind, local, global) = measured.unwrap().join().unwrap();
        assert!(behind > ms(4990) && behind <= ms(5000), "{behind:?}");
        assert!(local >= ms(1100) && local < ms(1102), "{local:?}");
        assert!(global >= ms(1000) && global < ms(1002), "its clock is a tenth fast: {global:?}");
        String::new()
    });
}

#[test]
fn a_thread_that_stalls_loses_time_between_any_two_steps() {
    let schedule = Schedule::Uniform { alloc_one_in: 0, sync_one_in: 8 };
    let options = Options { schedule, ..Options::new(0) };
    Test::new("a_thread_that_stalls_loses_time_between_any_two_steps").options(options).runs(4).run(
        |_: Run| {
            let node = Node::new("n");
            let lost = |node: &Node| -> Vec<Duration> {
                let step = |_| {
                    let before = labsim::now();
                    labsim::preemption_point();
                    labsim::now() - before
                };
                let steps = move || (0..1000).map(step).filter(|lost| !lost.is_zero()).collect();
                node.spawn("steps".into(), steps).unwrap().join().unwrap()
            };
            assert_eq!(lost(&node), []);
            node.set_stalls(2, ms(5));
            let stalls = lost(&node);
            assert!((400..600).contains(&stalls.len()), "one in two of a thousand: {}", stalls.len());
            assert!(stalls.iter().all(|stall| *stall <= ms(5)) && stalls.iter().any(|stall| *stall > ms(3)));
            let before = labsim::now();
            node.visit(|| (0..10).for_each(|_| labsim::preemption_point()));
            assert!(labsim::now() > before, "a visitor stalls too");
            let before = labsim::now();
            (0..1000).for_each(|_| labsim::preemption_point());
            assert_eq!(labsim::now(), before, "nobody else does");
            node.set_stalls(0, ms(5));
            assert_eq!(lost(&node), []);
            String::new()
        },
    );
}

/// All locks of `parking_lot` in a process share one table, which is made anew when there are many threads.
#[test]
fn threads_that_stall_keep_nobody_waiting_who_shares_no_lock_with_them() {
    Test::new("threads_that_stall_keep_nobody_waiting_who_shares_no_lock_with_them").runs(20).run(
        |_: Run| {
            let node = Node::new("n");
            node.set_stalls(1, Duration::from_secs(10));
            let theirs = Arc::new(Mutex::new(()));
            let (mine, never) = (Mutex::new(()), Condvar::new());
            for i in 0..100 {
                let theirs = Arc::clone(&theirs);
                let before = labsim::now();
                let work = move || (0..5).for_each(|_| thread::sleep((theirs.lock(), ms(1)).1));
                node.spawn(format!("t{i}"), work).unwrap();
                assert!(labsim::now() - before < ms(1), "who starts a thread does not stall with it");
            }
            for _ in 0..1000 {
                let before = labsim::now();
                never.wait_for(&mut mine.lock(), ms(10));
                let waited = labsim::now() - before;
                assert!(waited < ms(11), "a wait for 10 ms took {waited:?}");
            }
            String::new()
        },
    );
}

#[test]
fn shielded_scopes_are_finished_first() {
    Test::new("shielded_scopes_are_finished_first").runs(8).run(|_: Run| {
        let node = Node::new("n");
        let shared = Arc::new(Mutex::new(0));
        let theirs = Arc::clone(&shared);
        node.spawn("t".into(), move || {
            labsim::no_preempt(|| {
                let mut guard = theirs.lock();
                thread::sleep(ms(10));
                *guard += 1;
            });
            unreachable!("the crash takes effect at the end of the scope");
        })
        .unwrap();
        thread::sleep(ms(5));
        node.crash_hard();
        assert_eq!(*shared.lock(), 1);
        String::new()
    });
}

/// Crashes at many moments while threads print, send, save and start threads: no run may hang.
#[test]
fn crashes_at_random_moments_hang_nothing() {
    Test::new("crashes_at_random_moments_hang_nothing").runs(20).run(|_: Run| {
        // Shared by all nodes, and used under a shield, as a simulated network or disk is.
        let shared = Arc::new(Mutex::new(Vec::new()));
        let (sender, receiver) = crossbeam_channel::unbounded();
        for round in 0..50u64 {
            let node = Node::new(&format!("n{round}"));
            for i in 0..4u64 {
                let (shared, sender) = (Arc::clone(&shared), sender.clone());
                let work = move || {
                    let own = Arc::new(Mutex::new(0u64));
                    loop {
                        let theirs = Arc::clone(&own);
                        let child = thread::spawn(move || *theirs.lock() += 1);
                        println!("node {round} thread {i}: {:?}", vec![i; 10]);
                        labsim::no_preempt(|| shared.lock().push(round));
                        labsim::no_preempt(|| sender.send(round).unwrap());
                        *own.lock() += 1;
                        child.join().unwrap();
                        thread::sleep(Duration::from_micros(1 + i + round % 7));
                    }
                };
                node.spawn(format!("worker {i}"), work).unwrap();
            }
            let before = labsim::now();
            thread::sleep(Duration::from_micros(round * 13 % 101));
            node.crash_hard();
            println!("crashed {round} after {:?}", labsim::now() - before);
            shared.lock().clear();
            while receiver.try_recv().is_ok() {}
        }
        String::from("50 crashes")
    });
}

#[test]
fn a_crash_leaves_nobody_behind_who_is_printing() {
    Test::new("a_crash_leaves_nobody_behind_who_is_printing").runs(4).run(|_: Run| {
        let node = Node::new("n");
        let print = || {
            let mut out = std::io::stdout().lock();
            thread::sleep(ms(10));
            writeln!(out, "slowly").unwrap();
            drop(out);
            thread::sleep(ms(1));
            unreachable!("the crash takes effect once it no longer prints");
        };
        node.spawn("t".into(), print).unwrap();
        thread::sleep(ms(5));
        node.crash_hard();
        println!("and the next");
        String::new()
    });
}

/// What is not mended: who is woken after the crash goes on to where it stands clean, which may be in the midst of
/// a line that it has begun to print. Then nobody prints any more, and the report says why.
#[test]
fn bad_print_of_the_dead() {
    struct Slow;
    impl std::fmt::Display for Slow {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            thread::sleep(ms(1));
            f.write_str("slow")
        }
    }
    if is_inner() {
        Test::new("bad_print_of_the_dead").run(|_: Run| {
            let node = Node::new("n");
            let lock = Arc::new(Mutex::new(()));
            let (theirs, guard) = (Arc::clone(&lock), lock.lock());
            let print = move || {
                drop(theirs.lock());
                println!("{Slow}");
            };
            node.spawn("printer".into(), print).unwrap();
            thread::sleep(ms(5));
            node.crash_hard();
            drop(guard);
            thread::sleep(ms(5));
            println!("never shown");
            String::new()
        });
    }
}

#[test]
fn who_dies_in_the_midst_of_printing_is_named() {
    let says =
        ["deadlock", "thread 'main': waits", "; thread 'printer', whose node crashed, holds that lock\n"];
    fails_saying("bad_print_of_the_dead", &[], &says);
}

/// The woken one was stopped, and others waited for ever for a lock that was free.
#[test]
fn a_crash_takes_no_wake_away_from_the_living() {
    /// Shared by all nodes, as locks inside of the standard library are.
    static SHARED: std::sync::Mutex<()> = std::sync::Mutex::new(());
    Test::new("a_crash_takes_no_wake_away_from_the_living").runs(16).run(|_: Run| {
        let (a, b) = (Node::new("a"), Node::new("b"));
        let held = SHARED.lock().unwrap();
        let wait = || drop(SHARED.lock().unwrap());
        a.spawn("dies".into(), wait).unwrap();
        let living = b.spawn("lives".into(), wait).unwrap();
        thread::sleep(ms(1));
        drop(held);
        a.crash_hard();
        living.join().unwrap();
        String::new()
    });
}

#[test]
fn a_crash_stops_threads_at_points_that_the_program_chose() {
    Test::new("a_crash_stops_threads_at_points_that_the_program_chose").runs(4).run(|_: Run| {
        let node = Node::new("n");
        let its = node.clone();
        node.spawn("t".into(), move || {
            labsim::no_preempt(|| its.crash_hard());
            unreachable!("the end of the scope is such a point");
        })
        .unwrap();
        thread::sleep(ms(1));
        assert_eq!(node.alive(), [""; 0]);
        String::new()
    });
}

/// It did once: a thread that a crash had met in the midst of a yield was stopped there, and not where it next waited.
#[test]
fn the_end_of_an_observation_stops_nobody() {
    Test::new("the_end_of_an_observation_stops_nobody").runs(32).run(|_: Run| {
        let node = Node::new("n");
        let crashed = Arc::new(AtomicU64::new(0));
        // Those who went on after the crash, and those who came to their next wait.
        let (went_on, waited) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        for _ in 0..8 {
            let (crashed, went_on, waited) = (crashed.clone(), went_on.clone(), waited.clone());
            let work = move || {
                thread::yield_now();
                let after = crashed.load(Ordering::Relaxed);
                went_on.fetch_add(after, Ordering::Relaxed);
                labsim::observe(|| ());
                waited.fetch_add(after, Ordering::Relaxed);
                thread::sleep(ms(1));
            };
            node.spawn("watched".into(), work).unwrap();
        }
        thread::yield_now();
        node.crash_hard();
        crashed.store(1, Ordering::Relaxed);
        thread::sleep(ms(10));
        assert_eq!(went_on.load(Ordering::Relaxed), waited.load(Ordering::Relaxed));
        String::new()
    });
}
