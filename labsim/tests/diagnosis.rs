//! What is said about a run that goes wrong: which thread, where, why.
//!
//! The tests named `bad_...` go wrong when an outer test, below them, runs them; otherwise they do nothing.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{fails_saying, is_inner};
use labsim::{Failure, Handover, Options, Run, Test};
use parking_lot::Mutex;

#[global_allocator]
static ALLOC: labsim::Alloc = labsim::Alloc;

fn bad(name: &str, body: impl FnOnce() + Send + 'static) {
    if is_inner() {
        Test::new(name).run(move |_: Run| {
            body();
            String::new()
        });
    }
}

fn named(name: &str, f: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    thread::Builder::new().name(name.into()).spawn(f).unwrap()
}

/// Linux keeps the first 15 bytes of it, which another one could begin with too.
const LONG_NAME: &str = "append entries to 2";

fn take_both(first: &Mutex<u32>, second: &Mutex<u32>) {
    let _first = first.lock();
    thread::sleep(Duration::from_millis(1));
    let _second = second.lock();
}

#[test]
fn bad_deadlock() {
    bad("bad_deadlock", || {
        let locks = Arc::new((Mutex::new(0), Mutex::new(0)));
        let other = Arc::clone(&locks);
        let handle = named(LONG_NAME, move || take_both(&other.1, &other.0));
        take_both(&locks.0, &locks.1);
        handle.join().unwrap();
    });
}

#[test]
fn a_deadlock_names_threads_and_shows_their_stacks() {
    for handover in ["fast", "futex"] {
        let says = [
            "bad_deadlock: FAILED with seed 3",
            "deadlock: every thread waits and no timer is armed",
            "thread 'main': waits for a lock or a signal since 0.001",
            &format!("; thread '{LONG_NAME}' holds that lock\n"),
            "take_both at ",
            "diagnosis.rs:",
            "bad_deadlock",
            &format!("thread '{LONG_NAME}': waits for a lock or a signal since 0.001"),
            "; thread 'main' holds that lock\n",
            "take_both at ",
            "to see it again:\n  LAB_SEED=3@",
            " cargo test -p labsim -- --exact bad_deadlock\n",
        ];
        let again = fails_saying(
            "bad_deadlock",
            &[("LAB_SEED", "3"), ("LAB_HANDOVER", handover), ("CARGO_PKG_NAME", "labsim")],
            &says,
        );
        for hidden in ["src/sim/", "/library/std", "start_thread"] {
            assert!(!again.text.contains(hidden), "{hidden} is no business of the user: {}", again.text);
        }
    }
}

/// The mutexes whose holders are known, each with a word before it, so that their own do not lie where they begin.
type Kinds = (u8, (u64, Mutex<u32>), (u64, Mutex<u64>), (u64, std::sync::Mutex<u64>));

/// Many threads hold each of the mutexes, one after the other, also so long that it is handed on; the last holds all.
#[test]
fn bad_holders() {
    bad("bad_holders", || {
        let kinds: Arc<Kinds> = Arc::default();
        let hold = |times: u64, and_then: fn()| {
            let kinds = Arc::clone(&kinds);
            move || {
                for time in 0..times {
                    let all = (kinds.1.1.lock(), kinds.2.1.lock(), kinds.3.1.lock().unwrap());
                    thread::sleep(Duration::from_micros(400 * (time % 4)));
                    drop(all);
                    thread::sleep(Duration::from_micros(100 * (time % 3)));
                }
                let _all = (kinds.1.1.lock(), kinds.2.1.lock(), kinds.3.1.lock().unwrap());
                and_then();
            }
        };
        let visitors: Vec<_> = (0..4).map(|_| thread::spawn(hold(25, || ()))).collect();
        visitors.into_iter().for_each(|visitor| visitor.join().unwrap());
        named("keeper", hold(3, thread::park));
        thread::sleep(Duration::from_millis(20));
        let (a, b, c) = (Arc::clone(&kinds), Arc::clone(&kinds), Arc::clone(&kinds));
        named("waits 1", move || *a.1.1.lock() += 1);
        named("waits 2", move || *b.2.1.lock() += 1);
        named("waits 3", move || *c.3.1.lock().unwrap() += 1);
        let own = Mutex::new(0);
        let _once = own.lock();
        drop(own.lock());
    });
}

#[test]
fn a_deadlock_says_who_holds_the_mutexes() {
    for seed in ["1", "2", "3", "4", "5", "6", "7", "8"] {
        let says = [
            "deadlock",
            "thread 'main': waits",
            "; it holds that lock itself\n",
            "thread 'keeper': waits",
            "thread 'waits 1': waits",
            "; thread 'keeper' holds that lock\n",
            "thread 'waits 2': waits",
            "; thread 'keeper' holds that lock\n",
            "thread 'waits 3': waits",
            "; thread 'keeper' holds that lock\n",
        ];
        let again = fails_saying("bad_holders", &[("LAB_SEED", seed)], &says);
        assert_eq!(again.text.matches("holds that lock").count(), 4, "{}", again.text);
    }
}

/// `parking_lot` may hand a mutex on, so that it is never free.
#[test]
fn bad_heir() {
    bad("bad_heir", || {
        let lock = Arc::new(Mutex::new(0));
        let theirs = Arc::clone(&lock);
        let guard = lock.lock();
        named("heir", move || {
            let _guard = theirs.lock();
            thread::park();
        });
        thread::sleep(Duration::from_millis(1));
        parking_lot::MutexGuard::unlock_fair(guard);
        *lock.lock() += 1;
    });
}

#[test]
fn a_mutex_that_was_handed_on_belongs_to_the_heir() {
    for handover in ["fast", "futex"] {
        let says = ["thread 'main': waits", "; thread 'heir' holds that lock\n", "thread 'heir': waits"];
        fails_saying("bad_heir", &[("LAB_HANDOVER", handover)], &says);
    }
}

#[test]
fn bad_join() {
    bad("bad_join", || {
        let lock = Arc::new(Mutex::new(0));
        let guard = lock.lock();
        let theirs = Arc::clone(&lock);
        named("stuck", move || *theirs.lock() += 1).join().unwrap();
        drop(guard);
    });
}

#[test]
fn a_join_says_for_whom() {
    fails_saying(
        "bad_join",
        &[],
        &["thread 'main': waits for the end of thread 'stuck'", "thread 'stuck': waits"],
    );
}

#[test]
fn bad_busy() {
    if is_inner() {
        let options = Options { busy_max: Duration::from_millis(300), ..Options::new(0) };
        Test::new("bad_busy").options(options).run(|_: Run| {
            let flag = Arc::new(AtomicBool::new(false));
            let theirs = Arc::clone(&flag);
            named("spinner", move || spin_until(&theirs)).join().unwrap();
            String::new()
        });
    }
}

#[inline(never)]
fn spin_until(flag: &AtomicBool) {
    while !flag.load(Ordering::Relaxed) {
        std::hint::spin_loop();
    }
}

#[test]
fn a_busy_loop_is_found_and_shown() {
    for handover in ["fast", "futex"] {
        let says = ["busy loop", "thread 'spinner': runs", "spin_until at ", "diagnosis.rs:"];
        fails_saying("bad_busy", &[("LAB_HANDOVER", handover)], &says);
    }
}

#[test]
fn bad_busy_observer() {
    if is_inner() {
        let options = Options { busy_max: Duration::from_millis(100), ..Options::new(0) };
        Test::new("bad_busy_observer").options(options).run(|_: Run| {
            labsim::observe(|| spin_until(&AtomicBool::new(false)));
            String::new()
        });
    }
}

#[test]
fn a_busy_observer_is_shown_too() {
    fails_saying("bad_busy_observer", &[], &["busy loop", "thread 'main': runs", "spin_until at "]);
}

/// What other threads of the process computed was laid at the door of the one that runs.
#[test]
fn who_waits_in_the_kernel_while_others_compute_is_not_busy() {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        (0..2).for_each(|_| drop(scope.spawn(|| spin_until(&over))));
        let options = Options { busy_max: Duration::from_millis(100), ..Options::new(1) };
        let report = labsim::run(options, || {
            std::process::Command::new("sleep").arg("1").status().unwrap();
        });
        over.store(true, Ordering::Relaxed);
        assert!(report.result.is_ok(), "{:?}", report.result);
    });
}

#[inline(never)]
#[expect(clippy::empty_loop, reason = "its first instruction is the one that is interrupted")]
fn spin_for_ever() -> ! {
    loop {}
}

#[test]
fn bad_busy_at_entry() {
    bad("bad_busy_at_entry", || spin_for_ever());
}

#[test]
fn a_loop_at_the_entry_of_a_function_is_shown_in_that_function() {
    fails_saying("bad_busy_at_entry", &[], &["busy loop", "spin_for_ever at ", "diagnosis.rs:"]);
}

/// As of a crate that makes its system calls without the C library.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn wait_without_libc(word: &u32, seconds: &[i64; 2]) -> i64 {
    const FUTEX_WAIT_PRIVATE: i64 = 128;
    let result: i64;
    // SAFETY: the word and the time outlive the call, which writes to neither.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") 202i64 => result,
            in("rdi") word, in("rsi") FUTEX_WAIT_PRIVATE, in("rdx") 0, in("r10") seconds,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

#[cfg(target_arch = "x86_64")]
#[test]
fn bad_outside_wait() {
    if is_inner() {
        let options = Options { still_max: Duration::from_millis(300), ..Options::new(0) };
        Test::new("bad_outside_wait").options(options).run(|_: Run| {
            let (word, mut sum) = (0, 0);
            for i in 0..3 {
                sum += i;
                sum += wait_without_libc(&word, &[100, 0]);
                sum = std::hint::black_box(3 * sum);
            }
            sum.to_string()
        });
    }
}

/// The kernel returns behind the call to interrupt it; what follows there was written elsewhere.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_system_call_that_was_inlined_is_shown() {
    fails_saying("bad_outside_wait", &[], &["thread 'main': runs", "wait_without_libc at "]);
}

#[test]
fn bad_livelock() {
    bad("bad_livelock", || {
        let main = thread::current();
        let echo = named("echo", move || {
            loop {
                main.unpark();
                thread::park();
            }
        });
        loop {
            echo.thread().unpark();
            thread::park();
        }
    });
}

#[test]
fn a_livelock_is_found() {
    fails_saying(
        "bad_livelock",
        &[("LAB_SEED", "1")],
        &["livelock: threads take turns", "thread 'main'", "thread 'echo'"],
    );
}

#[test]
fn bad_panic() {
    bad("bad_panic", || {
        let lock = Arc::new(std::sync::Mutex::new(Vec::<u32>::new()));
        let theirs = Arc::clone(&lock);
        let handle = named("culprit", move || {
            let guard = theirs.lock().unwrap();
            thread::sleep(Duration::from_millis(2));
            println!("{}", guard[3]);
        });
        let _ = handle.join();
        assert_eq!(lock.lock().unwrap().len(), 1);
    });
}

#[test]
fn the_first_panic_comes_first() {
    let says = [
        "FAILED",
        "first, thread 'culprit' panicked 0.002",
        "diagnosis.rs:",
        "index out of bounds: the len is 0 but the index is 3",
        "then, \nthread 'main' panicked",
        "PoisonError",
    ];
    fails_saying("bad_panic", &[("LAB_SEED", "1"), ("RUST_BACKTRACE", "0")], &says);
}

#[test]
fn bad_wall() {
    bad("bad_wall", || {
        let lock = Arc::new(Mutex::new(0));
        let theirs = Arc::clone(&lock);
        named("sleeper", move || loop_for_ever(&theirs));
        loop_for_ever(&lock);
    });
}

fn loop_for_ever(lock: &Mutex<u32>) {
    loop {
        *lock.lock() += 1;
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_wall_limit_holds_and_says_what_ran() {
    let says = ["did not end within 500ms of real time", "loop_for_ever at "];
    fails_saying("bad_wall", &[("LAB_TIMEOUT", "0.5")], &says);
}

#[test]
fn bad_stuck() {
    bad("bad_stuck", || {
        let locks = Arc::new((Mutex::new(0), Mutex::new(0)));
        let other = Arc::clone(&locks);
        named("forward", move || take_both(&locks.0, &locks.1));
        named("backward", move || take_both(&other.1, &other.0));
        named("idle", thread::park);
        if std::env::var_os("LABSIM_TEST_GIVE_UP").is_some() {
            thread::sleep(Duration::from_secs(5));
            panic!("no answer after five seconds");
        }
        loop {
            thread::sleep(Duration::from_millis(10));
        }
    });
}

#[test]
fn a_deadlock_of_some_is_found_while_others_go_on() {
    let says = [
        "stuck: a thread does not get a lock",
        "thread 'forward': waits for a lock or a signal since 0.001",
        "; thread 'backward' holds that lock\n",
        "take_both at ",
        "thread 'backward': waits for a lock or a signal since 0.001",
        "; thread 'forward' holds that lock\n",
        "take_both at ",
        "the others:",
        "thread 'main': ",
        "thread 'idle': waits",
    ];
    for handover in ["fast", "futex"] {
        fails_saying("bad_stuck", &[("LAB_HANDOVER", handover), ("LAB_SEED", "1")], &says);
    }
}

#[test]
fn a_panic_shows_who_was_stuck_at_a_lock() {
    let says = [
        "no answer after five seconds",
        "threads that have waited long for a lock:",
        "thread 'forward': ",
        "; thread 'backward' holds that lock\n",
        "thread 'backward': ",
        "; thread 'forward' holds that lock\n",
    ];
    let environment = [("LABSIM_TEST_GIVE_UP", "1"), ("LAB_SEED", "1")];
    let again = fails_saying("bad_stuck", &environment, &says);
    assert!(!again.text.contains("'idle'"), "{}", again.text);
}

#[test]
fn waiting_long_for_a_message_is_no_offence() {
    Test::new("waiting_long_for_a_message_is_no_offence").run(|_: Run| {
        let (sender, receiver) = std::sync::mpsc::channel();
        let handle = named("idle", move || receiver.recv().unwrap());
        (0..500).for_each(|_| thread::sleep(Duration::from_secs(1)));
        sender.send(()).unwrap();
        handle.join().unwrap();
        String::new()
    });
}

#[test]
fn any_panic_can_end_the_run() {
    let options = Options { end_on_panic: true, ..Options::new(1) };
    let report = labsim::run(options, || {
        named("culprit", || panic!("this is it"));
        thread::sleep(Duration::from_secs(1));
    });
    match report.result {
        Err(labsim::Failure::Panicked(note)) => {
            assert_eq!((note.thread.as_str(), note.message.as_str()), ("culprit", "this is it"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn polling_the_clock_ends() {
    Test::new("polling_the_clock_ends").run(|_: Run| {
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_secs(2) {}
        let flag = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&flag);
        thread::spawn(move || {
            thread::sleep(Duration::from_secs(1));
            theirs.store(true, Ordering::Relaxed);
        });
        while !flag.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        let waited = start.elapsed();
        assert!(waited >= Duration::from_secs(3) && waited < Duration::from_millis(3_100), "{waited:?}");
        String::new()
    });
}

#[test]
fn a_run_that_ended_on_the_stack_of_an_ended_thread_is_cleared_up() {
    let mut options = Options::new(1);
    for handover in [Handover::Fast, Handover::Futex] {
        options.handover = handover;
        for _ in 0..3 {
            let report = labsim::run(options.clone(), || {
                // Nobody joins it, and when it has ended nobody can go on.
                drop(named("last", || thread::sleep(Duration::from_millis(1))));
                thread::park();
            });
            assert!(matches!(report.result, Err(Failure::Deadlock(_))));
        }
        // What is left of the last one goes when the next begins.
        assert!(labsim::run(options.clone(), || ()).result.is_ok());
    }
}

#[test]
fn threads_left_behind_are_named() {
    let report = labsim::run(Options::new(1), || {
        named("idle", || thread::sleep(Duration::from_secs(3600)));
        named("gone", || ()).join().unwrap();
        thread::sleep(Duration::from_millis(1));
    });
    assert!(report.result.is_ok());
    assert_eq!(report.alive.iter().map(|thread| thread.name.as_str()).collect::<Vec<_>>(), ["idle"]);
    assert!(report.alive[0].state.starts_with("sleeps"), "{:?}", report.alive);
}
