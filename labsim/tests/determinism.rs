//! One seed, one run: the same trace in every process, for programs that stress what tends to differ.
//!
//! Each program is a test in its own right; the tests at the end run them again and again and compare traces.
//! `LABSIM_REPEAT=1000 cargo test -p labsim --test determinism` is the long form.

mod common;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, RwLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use labsim::{Run, Test};
use rand::RngExt;

#[global_allocator]
static ALLOC: labsim::Alloc = labsim::Alloc;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What a program saw goes into the trace, so that equal schedules with unequal results are found too.
fn saw(value: u64) -> String {
    labsim::trace_event(value);
    String::new()
}

fn mix(acc: u64, value: u64) -> u64 {
    (acc ^ value).wrapping_mul(0x100_0000_01b3).rotate_left(7)
}

/// Eight threads that sleep, lock, wait with a timeout and send; hash order and random numbers.
#[test]
fn world() {
    Test::new("world").run(|_: Run| {
        let shared = Arc::new((parking_lot::Mutex::new(0u64), parking_lot::Condvar::new()));
        let (sender, receiver) = crossbeam_channel::unbounded();
        let start = Instant::now();
        let workers: Vec<_> = (0..8)
            .map(|i| {
                let (shared, sender) = (Arc::clone(&shared), sender.clone());
                thread::spawn(move || {
                    let mut rng = rand::rng();
                    for k in 0..50 {
                        thread::sleep(ms(rng.random_range(1..50)));
                        let mut guard = shared.0.lock();
                        *guard = mix(*guard, i * 1000 + k);
                        if k % 7 == 0 {
                            thread::sleep(Duration::from_micros(300));
                        }
                        drop(guard);
                        shared.1.notify_all();
                        sender.send(i).unwrap();
                    }
                })
            })
            .collect();
        drop(sender);
        let mut acc = 0;
        let mut counts: HashMap<u64, u64> = HashMap::new();
        loop {
            match receiver.recv_timeout(ms(3)) {
                Ok(i) => *counts.entry(mix(0, i)).or_default() += 1,
                Err(crossbeam_channel::RecvTimeoutError::Timeout) => {
                    let guard = &mut shared.0.lock();
                    acc = mix(acc, u64::from(shared.1.wait_for(guard, ms(5)).timed_out()));
                }
                Err(crossbeam_channel::RecvTimeoutError::Disconnected) => break,
            }
        }
        acc = counts.iter().fold(acc, |acc, (k, v)| mix(acc, k ^ v));
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        acc = mix(acc, *shared.0.lock());
        saw(mix(acc, start.elapsed().as_nanos() as u64))
    });
}

static STATIC_LOCKS: [parking_lot::Mutex<u64>; 4] = [const { parking_lot::Mutex::new(0) }; 4];

/// Contended `parking_lot` locks in statics, on the heap and on a stack: their addresses choose their queues.
#[test]
fn locks() {
    Test::new("locks").run(|_: Run| {
        let on_heap: Vec<Box<parking_lot::Mutex<u64>>> = (0..4).map(|_| Box::default()).collect();
        let on_stack: [parking_lot::Mutex<u64>; 4] = Default::default();
        let acc = AtomicU64::new(0);
        thread::scope(|scope| {
            for i in 0..6 {
                let (on_heap, on_stack, acc) = (&on_heap, &on_stack, &acc);
                scope.spawn(move || {
                    let mine: [parking_lot::RwLock<u64>; 4] = Default::default();
                    for k in 0..120usize {
                        let at = (i + k / 20) % 4;
                        let hold = |slot: &mut u64| {
                            *slot = mix(*slot, i as u64);
                            // Around the half millisecond after which `parking_lot` hands a lock over to the
                            // thread that waits longest: it draws that time by queue.
                            thread::sleep(Duration::from_micros(((i * 13 + k * 7) % 400) as u64));
                            acc.store(mix(acc.load(Ordering::Relaxed), *slot), Ordering::Relaxed);
                        };
                        match (k / 5) % 3 {
                            0 => hold(&mut STATIC_LOCKS[at].lock()),
                            1 => hold(&mut on_heap[at].lock()),
                            _ => hold(&mut on_stack[at].lock()),
                        }
                        *mine[k % 4].write() += 1;
                    }
                });
            }
        });
        saw(acc.into_inner())
    });
}

/// Maps keyed by addresses of heap, stack and thread-locals, with the standard hasher.
#[test]
fn addresses() {
    thread_local!(static LOCAL: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
    Test::new("addresses").run(|_: Run| {
        let seen: Mutex<HashMap<usize, u64>> = Mutex::default();
        thread::scope(|scope| {
            for i in 0..8u64 {
                let seen = &seen;
                scope.spawn(move || {
                    let on_stack = 0u8;
                    let on_heap: Vec<Box<u64>> = (0..50).map(Box::new).collect();
                    LOCAL.with(|local| local.borrow_mut().resize(100 + i as usize, 1));
                    let of_local = LOCAL.with(|local| std::ptr::from_ref(local) as usize);
                    let mut seen = seen.lock().unwrap();
                    seen.insert(std::ptr::from_ref(&on_stack) as usize, i);
                    seen.insert(of_local, i);
                    seen.extend(on_heap.iter().map(|b| (std::ptr::from_ref(&**b) as usize, i)));
                });
            }
        });
        let seen = seen.into_inner().unwrap();
        saw(seen.iter().fold(0, |acc, (address, i)| mix(mix(acc, *address as u64), *i)))
    });
}

/// Threads that come and go, detached and joined, with thread-local destructors that lock and send.
#[test]
fn births_and_deaths() {
    struct Farewell(mpsc::Sender<u64>, u64);
    impl Drop for Farewell {
        fn drop(&mut self) {
            thread::sleep(Duration::from_micros(self.1 % 5));
            let _ = self.0.send(self.1);
        }
    }
    thread_local!(static FAREWELL: RefCell<Option<Farewell>> = const { RefCell::new(None) });
    Test::new("births_and_deaths").run(|_: Run| {
        let (sender, receiver) = mpsc::channel();
        let handles: Vec<_> = (0..200)
            .map(|i| {
                let sender = sender.clone();
                let handle = thread::spawn(move || {
                    FAREWELL.set(Some(Farewell(sender, i)));
                    if i % 3 == 0 {
                        thread::yield_now();
                    }
                    i
                });
                (i % 2 == 0).then_some(handle)
            })
            .collect();
        drop(sender);
        let joined = handles.into_iter().flatten().map(|handle| handle.join().unwrap()).sum::<u64>();
        let order = receiver.iter().fold((0, 0), |(acc, n), i| (mix(acc, i), n + 1));
        assert_eq!((joined, order.1), (9900, 200));
        saw(order.0)
    });
}

/// Panics that unwind through locks and are caught by `join`.
#[test]
fn panics() {
    Test::new("panics").run(|_: Run| {
        let lock = Arc::new(Mutex::new(0u64));
        let handles: Vec<_> = (0..20)
            .map(|i| {
                let lock = Arc::clone(&lock);
                thread::spawn(move || {
                    let mut guard = lock.lock().unwrap_or_else(|poison| poison.into_inner());
                    *guard = mix(*guard, i);
                    thread::sleep(ms(1));
                    assert!(i % 4 != 0, "number {i} gives up");
                })
            })
            .collect();
        let failed = handles.into_iter().filter_map(|handle| handle.join().err()).count();
        assert_eq!(failed, 5);
        let value = *lock.lock().unwrap_or_else(|poison| poison.into_inner());
        saw(value)
    });
}

/// `std::sync` and `std::thread`: mutex, condition variable, read-write lock, barrier, channel, park, scope.
#[test]
fn std_sync() {
    Test::new("std_sync").run(|_: Run| {
        let shared = (Mutex::new(0u64), Condvar::new(), RwLock::new(1u64), Barrier::new(6));
        let (sender, receiver) = mpsc::channel();
        let start = Instant::now();
        thread::scope(|scope| {
            for i in 0..6u64 {
                let (shared, sender) = (&shared, sender.clone());
                scope.spawn(move || {
                    for k in 0..30 {
                        let mut guard = shared.0.lock().unwrap();
                        *guard = mix(*guard, i);
                        if k % 10 == 0 {
                            thread::sleep(ms(1));
                        }
                        shared.1.notify_one();
                        drop(shared.1.wait_timeout(guard, Duration::from_micros(700 + i)).unwrap());
                        let mut writer = shared.2.write().unwrap();
                        *writer = mix(*writer, i);
                        drop(writer);
                        thread::yield_now();
                        thread::park_timeout(Duration::from_micros(50));
                        shared.3.wait();
                    }
                    sender.send(i).unwrap();
                });
            }
        });
        drop(sender);
        let acc = receiver.iter().fold(start.elapsed().as_nanos() as u64, mix);
        saw(mix(acc, mix(*shared.0.lock().unwrap(), *shared.2.read().unwrap())))
    });
}

/// `futures`: a thread pool, timers, `block_on`, one-shot channels.
#[test]
fn futures() {
    use ::futures::channel::oneshot;
    use ::futures::executor::{ThreadPool, block_on};
    Test::new("futures").run(|_: Run| {
        let pool = ThreadPool::builder().pool_size(4).create().unwrap();
        let start = Instant::now();
        let mut acc = 0;
        for i in 0..50 {
            let (sender, receiver) = oneshot::channel();
            pool.spawn_ok(async move {
                futures_timer::Delay::new(ms(20 + i % 7)).await;
                let _ = sender.send(i);
            });
            acc = mix(acc, block_on(receiver).unwrap());
        }
        saw(mix(acc, start.elapsed().as_nanos() as u64))
    });
}

/// A multi-threaded `tokio` runtime with time.
#[test]
fn tokio() {
    Test::new("tokio").run(|_: Run| {
        let runtime =
            ::tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_time().build().unwrap();
        let order = Arc::new(Mutex::new(0));
        let start = Instant::now();
        runtime.block_on(async {
            let tasks: Vec<_> = (0..20)
                .map(|i| {
                    let order = Arc::clone(&order);
                    ::tokio::spawn(async move {
                        for k in 0..5 {
                            ::tokio::time::sleep(ms(i * k)).await;
                            let mut order = order.lock().unwrap();
                            *order = mix(*order, i);
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        let order = *order.lock().unwrap();
        saw(mix(order, start.elapsed().as_nanos() as u64))
    });
}

const PROGRAMS: [&str; 8] =
    ["world", "locks", "addresses", "births_and_deaths", "panics", "std_sync", "futures", "tokio"];

/// The number of different traces of one seed over many processes.
fn traces(program: &str, seed: u64, repeats: usize, environment: &[(&str, &str)]) -> usize {
    let first = common::trace(program, seed, environment);
    let others = (1..repeats).map(|_| common::trace(program, seed, environment));
    1 + others.filter(|trace| *trace != first).count()
}

#[test]
fn one_seed_is_one_run() {
    let repeats = common::repeats();
    for (program, seed) in PROGRAMS.iter().zip(1..) {
        assert_eq!(traces(program, seed, repeats, &[]), 1, "{program}, {repeats} runs of seed {seed}");
    }
}

#[test]
fn other_seeds_are_other_runs() {
    for program in PROGRAMS {
        assert_ne!(common::trace(program, 1, &[]), common::trace(program, 2, &[]), "{program}");
    }
}

#[test]
fn both_hand_overs_are_the_same_run() {
    for program in PROGRAMS {
        for seed in 1..5 {
            let fast = common::trace(program, seed, &[("LAB_HANDOVER", "fast")]);
            let futex = common::trace(program, seed, &[("LAB_HANDOVER", "futex")]);
            assert_eq!(fast, futex, "{program} with seed {seed}");
        }
    }
}

/// What the above would not notice if it could not fail: with address randomisation left on, the locks in
/// statics lie elsewhere each time, and the runs differ. `examples/non_pie.rs` shows the other way to keep them.
#[test]
fn randomised_statics_are_noticed() {
    let randomised = std::fs::read_to_string("/proc/sys/kernel/randomize_va_space").unwrap_or_default();
    if randomised.trim() != "0" {
        let keep = [("LABSIM_KEEP_RANDOMIZATION", "1")];
        assert!(traces("locks", 5, 10, &keep) > 1);
        assert!(common::again("locks", &keep).text.contains("address randomisation cannot be switched off"));
        assert!(!common::again("locks", &[]).text.contains("address randomisation"));
    }
}
