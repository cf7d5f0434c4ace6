//! Copies of a run: they answer, they fail by themselves, and the run does not notice them.

mod common;

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use labsim::node::Node;
use labsim::{NoAnswer, Options, Run, Test};
use parking_lot::Mutex;

#[global_allocator]
static ALLOC: labsim::Alloc = labsim::Alloc;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn ask(f: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, NoAnswer> {
    labsim::what_if(f).expect("in a run")
}

/// Several threads that take turns, among them some that ask, if `asks`; the sum of what was answered.
fn busy(asks: bool) -> u64 {
    let total = Arc::new(Mutex::new(0));
    let workers: Vec<_> = (0..4u64)
        .map(|worker| {
            let total = Arc::clone(&total);
            thread::spawn(move || {
                for round in 0..10 {
                    // Threads that come and go while others ask.
                    thread::spawn(move || thread::sleep(Duration::from_micros(round))).join().unwrap();
                    let mut sum = total.lock();
                    *sum += worker;
                    if asks {
                        labsim::observe(|| {
                            let answer = ask(|| {
                                let started = Instant::now();
                                let one = thread::spawn(move || {
                                    thread::sleep(seconds(1));
                                    started.elapsed().as_secs() as u8
                                });
                                vec![one.join().unwrap(), worker as u8]
                            });
                            assert_eq!(answer, Ok(vec![1, worker as u8]));
                        });
                    }
                    drop(sum);
                    thread::yield_now();
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    *total.lock()
}

#[test]
fn a_busy_run() {
    Test::new("a_busy_run").runs(4).run(|_: Run| {
        assert_eq!(busy(std::env::var_os("ASKS").is_some_and(|asks| asks == "1")), 60);
        String::new()
    });
}

#[test]
fn asking_leaves_no_trace() {
    for handover in ["fast", "futex"] {
        for seed in 1..9 {
            let trace =
                |asks| common::trace("a_busy_run", seed, &[("LAB_HANDOVER", handover), ("ASKS", asks)]);
            assert_eq!(trace("0"), trace("1"), "{handover}, seed {seed}");
        }
    }
}

#[test]
fn a_copy_goes_on_alone_and_its_changes_stay_in_it() {
    Test::new("a_copy_goes_on_alone_and_its_changes_stay_in_it").runs(8).run(|_: Run| {
        let ticks = Arc::new(Mutex::new(0u8));
        let theirs = Arc::clone(&ticks);
        let node = Node::new("a");
        let ticker = move || {
            loop {
                thread::sleep(Duration::from_millis(10));
                *theirs.lock() += 1;
            }
        };
        node.spawn("ticker".into(), ticker).unwrap();
        thread::sleep(Duration::from_millis(55));
        let before = *ticks.lock();
        let answer = ask(|| {
            thread::sleep(seconds(5));
            let mut ticks = ticks.lock();
            *ticks += 100;
            vec![*ticks]
        });
        assert_eq!(answer, Ok(vec![before + 100]), "nobody ticks in the copy");
        assert_eq!(*ticks.lock(), before);
        thread::sleep(Duration::from_millis(20));
        assert!(*ticks.lock() > before, "the run goes on");
        String::new()
    });
}

#[test]
fn a_thread_of_a_crashing_node_may_ask() {
    Test::new("a_thread_of_a_crashing_node_may_ask").runs(8).run(|_: Run| {
        let node = Node::new("a");
        let (sender, receiver) = mpsc::channel();
        let (crashing, inner) = (node.clone(), node.clone());
        let asks = move || {
            let answer = labsim::no_preempt(|| {
                crashing.crash_hard();
                ask(|| {
                    // The copy is outside the node, so the crash does not concern it.
                    thread::sleep(seconds(1));
                    vec![7, inner.alive().len() as u8]
                })
            });
            sender.send(answer).unwrap();
        };
        node.visit(asks);
        assert_eq!(receiver.recv(), Ok(Ok(vec![7, 0])));
        String::new()
    });
}

#[test]
fn a_copy_that_fails_says_how() {
    Test::new("a_copy_that_fails_says_how").runs(2).run(|_: Run| {
        let panicked = |answer| match answer {
            Err(NoAnswer::Panicked(why)) => why,
            other => panic!("{other:?}"),
        };
        let own = panicked(ask(|| panic!("no such disk")));
        assert!(own.contains("no such disk") && own.contains("what_if.rs"), "{own}");
        let elsewhere = panicked(ask(|| {
            let _ = thread::spawn(|| panic!("in another thread")).join();
            thread::sleep(seconds(1));
            vec![]
        }));
        assert!(elsewhere.contains("in another thread"), "{elsewhere}");
        let locked = Mutex::new(());
        let held = locked.lock();
        let deadlocked = ask(|| {
            drop(locked.lock());
            vec![]
        });
        assert!(
            matches!(&deadlocked, Err(NoAnswer::Failed(why)) if why.starts_with("deadlock")),
            "{deadlocked:?}"
        );
        drop(held);
        let died = ask(|| std::process::exit(3));
        let says = "the test's process ended before the test: a thread called `process::exit(3)`";
        assert!(matches!(&died, Err(NoAnswer::Failed(why)) if why.starts_with(says)), "{died:?}");
        let nested = ask(|| ask(Vec::new).unwrap_err().to_string().into_bytes()).unwrap();
        assert_eq!(String::from_utf8(nested).unwrap(), "a copy cannot be copied");
        String::new()
    });
}

#[test]
fn large_answers_come_whole() {
    let report = labsim::run(Options::new(1), || ask(|| vec![5; 1 << 20]).map(|bytes| bytes.len()));
    assert_eq!(report.result.unwrap(), Ok(1 << 20));
}

#[test]
fn outside_a_run_there_is_nothing_to_copy() {
    assert_eq!(labsim::what_if(Vec::new), None);
}
