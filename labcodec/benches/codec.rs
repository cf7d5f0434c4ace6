//! What the bounds cost: encoding and decoding against the bare format, turn and turn about in one run.
//!
//! `cargo bench -p labcodec` prints one line of JSON for each case. Times are medians in nanoseconds for one
//! message; `ratio` is labcodec's over the bare format's.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use bincode::{DefaultOptions, Options};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Entry {
    term: u64,
    #[serde(with = "serde_bytes")]
    command: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct AppendEntries {
    term: u64,
    leader_id: usize,
    prev_log_index: u64,
    prev_log_term: u64,
    entries: Vec<Entry>,
    leader_commit: u64,
}

#[derive(Serialize, Deserialize)]
enum Op {
    Put { key: String, value: String },
    Get { key: String },
    Nothing,
}

fn main() {
    report("append_entries_100x64B", &append_entries(100, 64));
    report("heartbeat", &append_entries(0, 0));
    report("one_entry_1KiB", &append_entries(1, 1024));
    report("numbers_1000", &(0..1000u64).collect::<Vec<_>>());
    report("string_map_100", &string_map(100));
    report("ops_100", &ops(100));
}

fn append_entries(entries: u64, size: usize) -> AppendEntries {
    let entries = (0..entries).map(|term| Entry { term, command: vec![7; size] }).collect();
    AppendEntries { term: 3, leader_id: 1, prev_log_index: 40, prev_log_term: 2, entries, leader_commit: 40 }
}

fn string_map(len: usize) -> BTreeMap<String, String> {
    (0..len).map(|i| (format!("key {i}"), format!("value {i}"))).collect()
}

fn ops(len: usize) -> Vec<Op> {
    let op = |i: usize| match i % 3 {
        0 => Op::Put { key: i.to_string(), value: format!("x {i} y") },
        1 => Op::Get { key: i.to_string() },
        _ => Op::Nothing,
    };
    (0..len).map(op).collect()
}

fn report<T: Serialize + DeserializeOwned>(case: &str, value: &T) {
    let bare = || DefaultOptions::new().with_fixint_encoding();
    let bytes = labcodec::encode(value).unwrap();
    assert_eq!(bytes, bare().serialize(value).unwrap(), "both speak one format");

    let encode = compare(
        || drop(black_box(labcodec::encode(black_box(value)).unwrap())),
        || drop(black_box(bare().serialize(black_box(value)).unwrap())),
    );
    let decode = compare(
        || drop(black_box(labcodec::decode::<T>(black_box(&bytes)).unwrap())),
        || drop(black_box(bare().deserialize::<T>(black_box(&bytes)).unwrap())),
    );
    for (what, (ours, bare)) in [("encode", encode), ("decode", decode)] {
        println!(
            r#"{{"bench":"{what}","case":"{case}","bytes":{},"ns":{ours:.0},"bare_ns":{bare:.0},"ratio":{:.2}}}"#,
            bytes.len(),
            ours / bare,
        );
    }
}

/// Times both in many short turns, so that both meet the same machine; medians in nanoseconds for one call.
fn compare(ours: impl Fn(), bare: impl Fn()) -> (f64, f64) {
    const TURNS: usize = 101;
    const CALLS: u32 = 500;
    let time = |call: &dyn Fn()| {
        let start = Instant::now();
        (0..CALLS).for_each(|_| call());
        start.elapsed().as_nanos() as f64 / f64::from(CALLS)
    };
    let (mut a, mut b): (Vec<f64>, Vec<f64>) = (0..TURNS).map(|_| (time(&ours), time(&bare))).unzip();
    a.sort_by(f64::total_cmp);
    b.sort_by(f64::total_cmp);
    (a[TURNS / 2], b[TURNS / 2])
}
