//! One test for each way in which plain threads in virtual time have been seen, or were feared, to go wrong.

mod common;

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::{fails_saying, inner, is_inner, trace};
use labsim::{Handover, Options, Run, Schedule, Test};

#[global_allocator]
static ALLOC: labsim::Alloc = labsim::Alloc;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Preempts at every second allocation and every second synchronising call.
fn nervous() -> Options {
    Options { schedule: Schedule::Uniform { alloc_one_in: 2, sync_one_in: 2 }, ..Options::new(0) }
}

/// Libraries keep state for the life of a process, so every run is its process's first.
#[test]
fn every_run_has_a_process_of_its_own() {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let here = std::process::id();
    Test::new("every_run_has_a_process_of_its_own").runs(5).run(move |_: Run| {
        assert_eq!(RUNS.fetch_add(1, Ordering::Relaxed), 0);
        assert_eq!(
            std::process::id(),
            here,
            "the body runs in the process that built it, which is the child"
        );
        String::new()
    });
    assert_eq!(RUNS.load(Ordering::Relaxed), 0, "nothing ran here");
}

/// Heap, stacks and thread-locals of run threads lie where they lay before, whatever the system randomises.
#[test]
fn addresses_are_fixed() {
    thread_local!(static LOCAL: AtomicU64 = const { AtomicU64::new(0) });
    Test::new("addresses_are_fixed").run(|_: Run| {
        let (heap, stack, local) = thread::spawn(|| {
            let (heap, stack) = (Box::new(0u8), 0u8);
            let local = LOCAL.with(|local| std::ptr::from_ref(local) as usize);
            (std::ptr::from_ref(&*heap) as usize, std::ptr::from_ref(&stack) as usize, local)
        })
        .join()
        .unwrap();
        labsim::trace_event(heap as u64 ^ (stack as u64).rotate_left(20) ^ (local as u64).rotate_left(40));
        String::new()
    });
}

#[test]
fn addresses_are_fixed_though_randomised() {
    let traces: Vec<_> =
        (0..5).map(|_| trace("addresses_are_fixed", 1, &[("LABSIM_KEEP_RANDOMIZATION", "1")])).collect();
    assert!(traces.iter().all(|trace| *trace == traces[0]), "{traces:?}");
    assert_eq!(trace("addresses_are_fixed", 1, &[]), traces[0]);
}

/// What a thread's end does, thread-local destructors included, is part of the run: others are woken by it, and
/// it waits for others.
#[test]
fn thread_locals_are_dropped_inside_the_run() {
    struct Last(mpsc::Sender<Instant>);
    impl Drop for Last {
        fn drop(&mut self) {
            thread::sleep(ms(1000));
            self.0.send(Instant::now()).unwrap();
        }
    }
    thread_local!(static LAST: std::cell::RefCell<Option<Last>> = const { std::cell::RefCell::new(None) });
    Test::new("thread_locals_are_dropped_inside_the_run").runs(4).run(|_: Run| {
        let (sender, receiver) = mpsc::channel();
        let start = Instant::now();
        thread::spawn(move || LAST.set(Some(Last(sender))));
        let dropped = receiver.recv().unwrap() - start;
        assert!(dropped >= ms(1000) && dropped < ms(1010), "{dropped:?}");
        String::new()
    });
}

/// The standard library drops a thread's own handle in the destructor of a key. Left to libc, that ran beside
/// the next thread: in some runs a block came free that in others did not, and locks made later lay elsewhere.
#[test]
fn destructors_of_keys_run_inside_the_run() {
    unsafe extern "C" fn farewell(sender: *mut libc::c_void) {
        // SAFETY: made by `Box::into_raw` below, and given here once.
        let sender = unsafe { Box::from_raw(sender.cast::<mpsc::Sender<bool>>()) };
        thread::sleep(ms(1000));
        sender.send(labsim::is_simulated()).unwrap();
    }
    Test::new("destructors_of_keys_run_inside_the_run").runs(4).run(|_: Run| {
        let mut key = 0;
        // SAFETY: writes the key.
        assert_eq!(unsafe { libc::pthread_key_create(&mut key, Some(farewell)) }, 0);
        let (sender, receiver) = mpsc::channel();
        let start = Instant::now();
        thread::spawn(move || {
            let sender = Box::into_raw(Box::new(sender));
            // SAFETY: the key was made above.
            assert_eq!(unsafe { libc::pthread_setspecific(key, sender.cast()) }, 0);
        });
        assert_eq!(receiver.recv(), Ok(true));
        assert!(start.elapsed() >= ms(1000));
        String::new()
    });
}

/// One thread after the other lives on the same stack, with the same thread-locals at the same addresses; each is to
/// find them as if it were the first.
#[test]
fn every_thread_finds_new_thread_locals() {
    struct Loud(mpsc::Sender<u64>, u64);
    impl Drop for Loud {
        fn drop(&mut self) {
            // Its own destructor is what runs last, so it may be the first to touch another one.
            self.0.send(self.1 + COUNT.get()).unwrap();
            COUNT.set(1_000);
        }
    }
    thread_local! {
        static COUNT: Cell<u64> = const { Cell::new(7) };
        static ZERO: Cell<u64> = const { Cell::new(0) };
        static LAZY: Cell<u64> = Cell::new(Instant::now().elapsed().as_secs() + 3);
        static LOUD: RefCell<Option<Loud>> = const { RefCell::new(None) };
    }
    Test::new("every_thread_finds_new_thread_locals").runs(4).run(|_: Run| {
        let mut key = 0;
        // SAFETY: writes the key.
        assert_eq!(unsafe { libc::pthread_key_create(&mut key, None) }, 0);
        let (sender, receiver) = mpsc::channel();
        let lives: Vec<_> = (0..5)
            .map(|i| {
                let sender = sender.clone();
                let life = move || {
                    // SAFETY: the key was made above.
                    let found = unsafe { libc::pthread_getspecific(key) } as u64;
                    // SAFETY: the address of the thread's own errno.
                    let errno = unsafe { *libc::__errno_location() };
                    let found = [found, COUNT.get(), ZERO.get(), LAZY.get(), errno as u64];
                    assert!(LOUD.with_borrow(Option::is_none));
                    // SAFETY: as above; the value is nobody's.
                    unsafe {
                        assert_eq!(libc::pthread_setspecific(key, 99 as *const _), 0);
                        *libc::__errno_location() = libc::EINTR;
                    }
                    [&COUNT, &ZERO, &LAZY].into_iter().for_each(|local| local.set(local.get() + 100));
                    LOUD.set(Some(Loud(sender, i)));
                    let name = thread::current().name().map(str::to_owned);
                    (std::ptr::from_ref(&COUNT.with(Cell::as_ptr)) as usize, found, name)
                };
                thread::Builder::new().name(format!("life {i}")).spawn(life).unwrap().join().unwrap()
            })
            .collect();
        for (i, (address, found, name)) in lives.iter().enumerate() {
            assert_eq!((*address, found, name), (lives[0].0, &[0, 7, 0, 3, 0], &Some(format!("life {i}"))));
        }
        drop(sender);
        assert_eq!(receiver.iter().collect::<Vec<_>>(), [107, 108, 109, 110, 111]);
        String::new()
    });
}

/// A debugger shows the names that the system knows.
#[test]
fn kernel_threads_bear_the_names_of_their_threads() {
    if is_inner() {
        return Test::new("kernel_threads_bear_the_names_of_their_threads").run(|_: Run| {
            let names = ["one", "another"].map(|name| {
                let comm = || std::fs::read_to_string("/proc/thread-self/comm").unwrap().trim().to_owned();
                thread::Builder::new().name(name.into()).spawn(comm).unwrap().join().unwrap()
            });
            names.join("-and-")
        });
    }
    let again = inner("kernel_threads_bear_the_names_of_their_threads", &[("LAB_HANDOVER", "futex")]);
    assert!(again.passed && again.text.contains("ok; one-and-another;"), "{}", again.text);
}

/// What a run leaves behind in a process that has several: its first thread, which waits for ever, but none of the
/// kernel threads that wait for another thread to carry.
#[test]
fn runs_in_one_process_leave_few_kernel_threads() {
    const AT_ONCE: usize = 40;
    const RUNS: usize = 6;
    if is_inner() {
        for seed in 0..RUNS as u64 {
            let handover = if seed % 2 == 0 { Handover::Fast } else { Handover::Futex };
            let report = labsim::run(Options { handover, ..Options::new(seed) }, || {
                let threads: Vec<_> = (0..AT_ONCE).map(|_| thread::spawn(|| thread::sleep(ms(1)))).collect();
                threads.into_iter().for_each(|thread| thread.join().unwrap());
            });
            report.result.unwrap();
        }
        let kernel_threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
        let start = Instant::now();
        while kernel_threads() > AT_ONCE + RUNS + 4 && start.elapsed() < ms(20_000) {
            thread::sleep(ms(10));
        }
        println!("kernel_threads={}", kernel_threads());
        return;
    }
    let again = inner("runs_in_one_process_leave_few_kernel_threads", &[]);
    let left: usize = again.value("kernel_threads").parse().unwrap();
    assert!(again.passed && (AT_ONCE..=AT_ONCE + RUNS + 4).contains(&left), "{left}");
}

/// Reading the clock costs nothing, until a thread does nothing else.
#[test]
fn the_clock_stands_still_for_those_who_work() {
    Test::new("the_clock_stands_still_for_those_who_work").options(nervous()).runs(4).run(|_: Run| {
        for _ in 0..100 {
            let start = Instant::now();
            assert!((0..10).all(|_| start.elapsed().is_zero()), "a few looks at the clock are free");
            thread::sleep(ms(1));
        }
        let start = Instant::now();
        while start.elapsed() < ms(10_000) {}
        String::new()
    });
}

/// New threads register their stacks under a spin lock, allocating; whoever is preempted there makes the next
/// one spin for ever.
#[test]
fn starting_threads_under_preemption_does_not_spin() {
    Test::new("starting_threads_under_preemption_does_not_spin").options(nervous()).runs(8).run(|_: Run| {
        let started = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| {
                    thread::scope(|scope| {
                        for _ in 0..20 {
                            scope.spawn(|| started.fetch_add(1, Ordering::Relaxed));
                        }
                    });
                });
            }
        });
        assert_eq!(started.into_inner(), 200);
        String::new()
    });
}

/// It asks for its stack as the standard library does for a new thread, and was then never preempted nor stopped.
#[test]
fn a_thread_that_asks_for_its_stack_is_like_any_other() {
    Test::new("a_thread_that_asks_for_its_stack_is_like_any_other").runs(4).run(|_: Run| {
        let node = labsim::node::Node::new("n");
        let work = || {
            let mut attributes = std::mem::MaybeUninit::uninit();
            // SAFETY: the attributes are for this call to fill.
            assert_eq!(unsafe { libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) }, 0);
            loop {
                thread::sleep(ms(1));
            }
        };
        node.spawn("t".into(), work).unwrap();
        thread::sleep(ms(10));
        node.crash_hard();
        thread::sleep(ms(10));
        assert_eq!(node.alive(), [""; 0]);
        String::new()
    });
}

/// It allocates, or wakes nobody, until another has run. Where the schedule does not preempt, that was for ever.
#[test]
fn whoever_waits_for_others_without_saying_so_is_made_to_give_way() {
    Test::new("whoever_waits_for_others_without_saying_so_is_made_to_give_way").runs(24).run(|_: Run| {
        let others_ran = AtomicU64::new(0);
        let ran = || others_ran.fetch_add(1, Ordering::SeqCst);
        thread::scope(|scope| {
            scope.spawn(ran);
            while others_ran.load(Ordering::SeqCst) == 0 {
                drop(std::hint::black_box(Box::new(1)));
            }
            scope.spawn(ran);
            let condition = std::sync::Condvar::new();
            while others_ran.load(Ordering::SeqCst) == 1 {
                condition.notify_all();
            }
        });
        String::new()
    });
}

/// The signal that asks a busy thread for its stack may be sent by anyone; whoever received it never ran again.
#[test]
fn a_signal_from_elsewhere_stops_nobody() {
    for handover in ["fast", "futex"] {
        trace("signalled", 1, &[("LAB_HANDOVER", handover), ("LAB_TIMEOUT", "10")]);
    }
}

#[test]
fn signalled() {
    Test::new("signalled").run(|_: Run| {
        // SAFETY: sends the calling thread a signal that is ignored by default.
        let raise = || assert_eq!(unsafe { libc::raise(libc::SIGURG) }, 0);
        thread::spawn(raise).join().unwrap();
        raise();
        String::new()
    });
}

/// Backtraces call back into the program under a lock of the C library.
#[test]
fn backtraces_and_panics_under_preemption() {
    Test::new("backtraces_and_panics_under_preemption").options(nervous()).runs(4).run(|_: Run| {
        thread::scope(|scope| {
            for i in 0..4 {
                scope.spawn(move || {
                    let trace = std::backtrace::Backtrace::force_capture().to_string();
                    assert!(trace.contains("backtraces_and_panics"));
                    let caught = std::panic::catch_unwind(|| assert!(i > 10, "never"));
                    assert!(caught.is_err());
                });
            }
        });
        String::new()
    });
}

/// The thread that waits for the run belongs to no run: a lock it holds must be awaited in the kernel. Standard
/// output's is such a lock where runs share a process with the test harness.
#[test]
fn outsiders_are_woken() {
    let (held, released) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (lock, theirs) = (Arc::new(std::sync::Mutex::new(())), Arc::clone(&held));
    let outsider = thread::spawn({
        let (lock, released) = (Arc::clone(&lock), Arc::clone(&released));
        move || {
            while !theirs.load(Ordering::SeqCst) {
                thread::sleep(ms(1));
            }
            drop(lock.lock().unwrap());
            released.store(true, Ordering::SeqCst);
        }
    });
    let report = labsim::run(Options::new(1), move || {
        let guard = lock.lock().unwrap();
        held.store(true, Ordering::SeqCst);
        // Real time, for the outsider to come to wait: virtual sleeps take none.
        let spin = std::hint::black_box(300_000_000u64);
        (0..spin).for_each(|i| {
            std::hint::black_box(i);
        });
        drop(guard);
    });
    assert!(report.result.is_ok());
    outsider.join().unwrap();
    assert!(released.load(Ordering::SeqCst));
}

/// The test's name comes from its code, not from its thread, which has another with `--test-threads=1`.
#[test]
fn names_come_from_the_code() {
    let name = labsim::name_of(&|| ());
    assert_eq!(name, "names_come_from_the_code");
}

/// Watching must not change what is watched.
#[test]
fn watched() {
    // Read before the run: what a run reads and allocates is part of it.
    let lines = std::env::var("LABSIM_TEST_LINES").map_or(0, |n| n.parse().unwrap());
    Test::new("watched").run(move |_: Run| {
        let log = Arc::new(std::sync::Mutex::new(Vec::new()));
        let value = Arc::new(parking_lot::Mutex::new(0u64));
        let threads: Vec<_> = (0..4u64)
            .map(|i| {
                let (log, value) = (Arc::clone(&log), Arc::clone(&value));
                thread::spawn(move || {
                    for k in 0..20 {
                        let read = *value.lock();
                        let boxed = Box::new(read + i);
                        labsim::observe(|| {
                            for line in 0..lines {
                                let text = format!("{:?} {line} {:?}", Instant::now(), rand::random::<u64>());
                                println!("{text}");
                                log.lock().unwrap().push(text);
                            }
                        });
                        *value.lock() = boxed.wrapping_mul(31);
                        thread::sleep(Duration::from_micros(k % 3 * 100));
                    }
                    let _ = thread::Builder::new().spawn(|| panic!("on purpose")).unwrap().join();
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        labsim::trace_event(*value.lock());
        String::new()
    });
}

#[test]
fn watching_leaves_no_trace() {
    for seed in 1..6 {
        let plain = trace("watched", seed, &[("RUST_BACKTRACE", "0")]);
        for environment in [
            [("RUST_BACKTRACE", "1"), ("LABSIM_TEST_LINES", "0")],
            [("RUST_BACKTRACE", "full"), ("LABSIM_TEST_LINES", "0")],
            [("RUST_BACKTRACE", "0"), ("LABSIM_TEST_LINES", "1")],
            [("RUST_BACKTRACE", "1"), ("LABSIM_TEST_LINES", "7")],
        ] {
            assert_eq!(trace("watched", seed, &environment), plain, "seed {seed}, {environment:?}");
        }
    }
}

/// Real input has a time of its own.
#[test]
fn bad_input() {
    if is_inner() {
        Test::new("bad_input").run(|_: Run| {
            let refused = std::net::TcpListener::bind("127.0.0.1:0").unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
            assert!(std::os::unix::net::UnixStream::pair().is_err());
            std::io::stdin().read_line(&mut String::new()).unwrap();
            String::new()
        });
    }
}

#[test]
fn real_input_is_refused_clearly() {
    let says = ["cannot use the network", "cannot use sockets", "cannot read standard input", "FAILED"];
    fails_saying("bad_input", &[], &says);
}

/// The size of a thread pool follows from the number of processors, so that is the same everywhere.
#[test]
fn the_number_of_processors_is_fixed() {
    Test::new("the_number_of_processors_is_fixed").run(|_: Run| {
        assert!(thread::available_parallelism().unwrap().get() <= 4);
        String::new()
    });
}

/// Thousands of short threads, detached and joined, preempted at every turn.
#[test]
fn thousands_of_threads() {
    Test::new("thousands_of_threads").runs(2).run(|_: Run| {
        let (sender, receiver) = crossbeam_channel::unbounded();
        for round in 0..50u64 {
            let handles: Vec<_> = (0..100u64)
                .map(|i| {
                    let sender = sender.clone();
                    thread::spawn(move || {
                        if i % 3 == 0 {
                            thread::sleep(Duration::from_micros(i));
                        }
                        sender.send(round * i).unwrap();
                    })
                })
                .collect();
            // The others are detached.
            handles.into_iter().step_by(2).for_each(|handle| handle.join().unwrap());
        }
        drop(sender);
        let sum = receiver.iter().sum::<u64>();
        assert_eq!(sum, (0..50).sum::<u64>() * (0..100).sum::<u64>());
        String::from("5,000 threads")
    });
}

/// A thousand threads at once.
#[test]
fn a_thousand_at_once() {
    Test::new("a_thousand_at_once").run(|_: Run| {
        let handles: Vec<_> = (0..1000)
            .map(|i| {
                thread::spawn(move || {
                    thread::sleep(ms(i % 37));
                    i
                })
            })
            .collect();
        assert_eq!(handles.into_iter().map(|handle| handle.join().unwrap()).sum::<u64>(), 499_500);
        String::new()
    });
}
