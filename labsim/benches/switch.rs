//! What the simulation costs, as JSON lines: `cargo bench -p labsim`.
//!
//! CPU time of the whole process, so that other work on the machine counts for little; the median of several
//! runs. Each measurement of a run includes its start and its end.

use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use labsim::{Handover, Options, Schedule};

#[global_allocator]
static ALLOC: labsim::Alloc = labsim::Alloc;

const REPEATS: usize = 5;

fn main() {
    if std::env::args().any(|argument| argument == "empty-run") {
        labsim::run(Options::new(1), || ());
        return;
    }
    for handover in [Handover::Fast, Handover::Futex] {
        let turns = if handover == Handover::Fast { 1_000_000 } else { 100_000 };
        per_unit("switch_sleep", handover, move || sleepers(turns));
        per_unit("switch_park", handover, move || park(turns / 2));
        per_unit("switch_condvar", handover, move || condvar(turns / 2));
        per_unit("switch_rendezvous", handover, move || rendezvous(turns / 4));
        per_unit("thread_create_join", handover, || create(2_000));
    }
    empty_runs();
    allocations();
}

fn calm(handover: Handover) -> Options {
    let schedule = Schedule::Uniform { alloc_one_in: 0, sync_one_in: 0 };
    Options { schedule, handover, livelock_switches: u64::MAX, ..Options::new(1) }
}

fn cpu() -> Duration {
    // SAFETY: writes to `time`.
    unsafe {
        let mut time = std::mem::zeroed::<libc::timespec>();
        libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// `f` returns how many units it did.
fn per_unit(name: &str, handover: Handover, f: impl Fn() -> u64 + Copy + Send + 'static) {
    let (mut per_unit, mut per_switch, mut wall) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        let start = (cpu(), Instant::now());
        let report = labsim::run(calm(handover), f);
        let used = (cpu() - start.0).as_nanos() as f64;
        let units = report.result.expect("the benchmark does not fail") as f64;
        per_unit.push(used / units);
        per_switch.push(used / report.switches as f64);
        wall.push(start.1.elapsed().as_nanos() as f64 / units);
    }
    println!(
        "{{\"name\":\"{name}\",\"handover\":\"{handover:?}\",\"cpu_ns\":{:.0},\"cpu_ns_per_switch\":{:.0},\"wall_ns\":{:.0}}}",
        median(per_unit),
        median(per_switch),
        median(wall)
    );
}

/// Ten threads that sleep in turn: timers only.
fn sleepers(turns: u64) -> u64 {
    thread::scope(|scope| {
        for i in 0..10 {
            scope.spawn(move || (0..turns / 10).for_each(|_| thread::sleep(Duration::from_micros(10 + i))));
        }
    });
    turns
}

/// Two threads that unpark each other.
fn park(rounds: u64) -> u64 {
    let main = thread::current();
    let echo = thread::spawn(move || {
        for _ in 0..rounds {
            thread::park();
            main.unpark();
        }
    });
    for _ in 0..rounds {
        echo.thread().unpark();
        thread::park();
    }
    2 * rounds
}

/// Two threads that take turns by a mutex and a condition variable.
fn condvar(rounds: u64) -> u64 {
    let shared = Arc::new((Mutex::new(0u64), Condvar::new()));
    let play = |shared: Arc<(Mutex<u64>, Condvar)>, parity: u64| {
        move || {
            let mut turn = shared.0.lock().unwrap();
            for _ in 0..rounds {
                while *turn % 2 != parity {
                    turn = shared.1.wait(turn).unwrap();
                }
                *turn += 1;
                shared.1.notify_one();
            }
        }
    };
    let other = thread::spawn(play(Arc::clone(&shared), 1));
    play(shared, 0)();
    other.join().unwrap();
    2 * rounds
}

/// Two threads that echo over rendezvous channels, a hand-over each way.
fn rendezvous(rounds: u64) -> u64 {
    let (to_echo, from_main) = crossbeam_channel::bounded::<u64>(0);
    let (to_main, from_echo) = crossbeam_channel::bounded::<u64>(0);
    let echo = thread::spawn(move || from_main.iter().for_each(|x| to_main.send(x).unwrap()));
    for i in 0..rounds {
        to_echo.send(i).unwrap();
        from_echo.recv().unwrap();
    }
    drop(to_echo);
    echo.join().unwrap();
    2 * rounds
}

fn create(threads: u64) -> u64 {
    for i in 0..threads {
        assert_eq!(thread::spawn(move || i).join().unwrap(), i);
    }
    threads
}

/// A process that runs nothing: what each seed costs beyond its work.
fn empty_runs() {
    let this = std::env::current_exe().expect("this executable");
    let measure = |argument: &str| {
        let one = || {
            let start = Instant::now();
            let status = Command::new(&this).arg(argument).stdout(Stdio::null()).status();
            assert!(status.expect("it starts").success());
            start.elapsed().as_micros() as f64
        };
        median((0..51).map(|_| one()).collect())
    };
    println!("{{\"name\":\"process_with_empty_run\",\"wall_us\":{:.0}}}", measure("empty-run"));
}

/// An allocation and its release, in a run and outside.
fn allocations() {
    let pairs = || {
        let start = cpu();
        for i in 0..5_000_000u64 {
            drop(std::hint::black_box(Box::new([i; 6])));
        }
        (cpu() - start).as_nanos() as f64 / 5e6
    };
    let outside = median((0..REPEATS).map(|_| pairs()).collect());
    // CPU time is virtual inside a run, so it is measured around it.
    let inside = || {
        let start = cpu();
        let report = labsim::run(calm(Handover::Fast), move || {
            pairs();
        });
        assert!(report.result.is_ok());
        (cpu() - start).as_nanos() as f64 / 5e6
    };
    let inside = median((0..REPEATS).map(|_| inside()).collect());
    println!("{{\"name\":\"allocate_and_free\",\"run_ns\":{inside:.1},\"system_ns\":{outside:.1}}}");
}
