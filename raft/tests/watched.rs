//! Watching a run does not change it: the same seed gives the same trace with the stream of events, its oracles and the
//! questions to shadows as without them.

use std::process::Command;

/// Tests of each kind: one that only watches, one that asks shadows and crashes servers, one that holds messages back
/// as an observer of its own.
const WATCHED: [&str; 4] = [
    "lab_2b::basic_agree_2B",
    "lab_2c::persist2_2C",
    "lab_2d::snapshot_install_unreliable_crash_2D",
    "scenarios::old_snapshot_2D",
];

/// The trace of a test's run with a seed, without some rules, as `LAB_WITHOUT` has it.
fn trace(test: &str, seed: u64, without: Option<&str>) -> String {
    let output = Command::new(std::env::current_exe().expect("this executable"))
        .args(["--exact", "--nocapture", test])
        .envs([("LAB_TIME", "sim"), ("LAB_SEED", &seed.to_string()), ("LAB_RUNS", "1")])
        .env_remove("LAB_WITHOUT")
        .envs(without.map(|without| ("LAB_WITHOUT", without)))
        .output()
        .expect("the test binary runs again");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let trace = text.split_once(" trace=").map(|(_, trace)| trace[..16].to_string());
    trace.filter(|_| output.status.success()).unwrap_or_else(|| panic!("{test} has no trace: {text}"))
}

/// It did once: the question to a shadow kept the cluster from being freed at the end, and the memory of one observer
/// decided where another's was.
#[test]
fn a_run_is_the_same_whether_it_is_watched_or_not() {
    if labtest::unsupported().is_some() {
        return;
    }
    for test in WATCHED {
        for seed in [1, 2] {
            let watched = trace(test, seed, None);
            for without in ["persist-before-answer", "all", "events"] {
                assert_eq!(
                    trace(test, seed, Some(without)),
                    watched,
                    "{test}, seed {seed}, without {without}"
                );
            }
        }
    }
}
