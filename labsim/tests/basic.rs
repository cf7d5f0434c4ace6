//! The runtime in one process: what it schedules, in which time, with which trace.

use std::time::{Duration, Instant};

use labsim::{Options, Schedule};

#[global_allocator]
static ALLOC: labsim::Alloc = labsim::Alloc;

#[test]
fn sleeping_takes_no_time() {
    let start = Instant::now();
    let report = labsim::run(Options::new(1), || {
        let start = Instant::now();
        std::thread::sleep(Duration::from_secs(1000));
        start.elapsed()
    });
    let slept = report.result.expect("returns");
    assert!(slept >= Duration::from_secs(1000) && slept < Duration::from_secs(1001));
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn threads_join() {
    let report = labsim::run(Options::new(2), || {
        let handles: Vec<_> = (0..10)
            .map(|i| {
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(i));
                    i
                })
            })
            .collect();
        handles.into_iter().map(|h| h.join().unwrap()).sum::<u64>()
    });
    assert_eq!(report.result.unwrap(), 45);
}

#[test]
fn pingpong() {
    for handover in [labsim::Handover::Fast, labsim::Handover::Futex] {
        let t = Instant::now();
        let calm = Schedule::Uniform { alloc_one_in: 0, sync_one_in: 0 };
        let report = labsim::run(Options { schedule: calm, handover, ..Options::new(1) }, || {
            let (a, b) = crossbeam_channel::bounded::<u32>(0);
            let (c, d) = crossbeam_channel::bounded::<u32>(0);
            let h = std::thread::spawn(move || {
                while let Ok(x) = b.recv() {
                    c.send(x).unwrap()
                }
            });
            for i in 0..100_000 {
                a.send(i).unwrap();
                d.recv().unwrap();
            }
            drop(a);
            h.join().unwrap();
        });
        report.result.unwrap();
        println!(
            "{handover:?} {} switches {:?} each, trace {:x}",
            report.switches,
            t.elapsed() / report.switches as u32,
            report.trace
        );
    }
}
