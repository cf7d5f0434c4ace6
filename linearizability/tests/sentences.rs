//! What a student reads: one violation of each kind, with its sentence and its core.

use linearizability::models::{KvInput, KvStore};
use linearizability::{History, Operation, Options, Text, Verdict, check};

fn put(client: u64, call: u64, value: &str, ret: u64) -> Operation<KvInput, Text> {
    Operation::new(client, call, KvInput::put("k", value), ret, "".into())
}

fn append(client: u64, call: u64, value: &str, ret: u64) -> Operation<KvInput, Text> {
    Operation::new(client, call, KvInput::append("k", value), ret, "".into())
}

fn get(client: u64, call: u64, value: &str, ret: u64) -> Operation<KvInput, Text> {
    Operation::new(client, call, KvInput::get("k"), ret, value.into())
}

fn expect(ops: &[Operation<KvInput, Text>], title: &str, core: &[usize], sentence: &str) {
    let history = History::new(ops.to_vec()).unwrap();
    let Verdict::Violation(violation) = check(&KvStore, &history, &Options::default()) else {
        panic!("expected {title}: {history:?}");
    };
    let got = (violation.title.as_str(), &violation.core[..], violation.sentence.as_str());
    assert_eq!(got, (title, core, sentence));
    assert!(violation.core_is_minimal);
}

#[test]
fn values_nobody_wrote() {
    expect(
        &[append(1, 1, "a;", 2), get(2, 3, "a;b", 4)],
        "read a value nobody wrote",
        &[1],
        "client 2's get (#1) returned a value with \"b\" at byte 2, which nobody wrote there",
    );
    expect(
        &[append(1, 1, "a;", 2), get(2, 3, "a;a;", 4)],
        "the same append applied twice",
        &[1],
        "client 2's get (#1) returned a value that contains client 1's append \"a;\" (#0) twice: it was applied twice",
    );
}

#[test]
fn stale_reads() {
    expect(
        &[append(1, 1, "a;", 2), get(2, 3, "a;", 4), get(3, 5, "", 6)],
        "stale read",
        &[0, 2],
        "client 3's get (#2) returned \"\" as if client 1's append \"a;\" (#0) had not been, although that had returned \
         before",
    );
    // The appends never returned, but somebody saw them.
    let pending = Operation::pending(1, 1, KvInput::append("k", "a;"));
    expect(
        &[pending, get(2, 3, "a;", 4), get(3, 5, "", 6)],
        "stale read",
        &[1, 2],
        "client 3's get (#2) misses \"a;\", which client 2's get (#1) had already returned before the former was called",
    );
}

#[test]
fn a_lost_write() {
    expect(
        &[put(1, 1, "a", 2), put(2, 3, "b", 4), get(3, 5, "a", 6)],
        "an acknowledged write vanished",
        &[0, 1, 2],
        "client 2's put \"b\" (#1) (called after client 1's put \"a\" (#0) had returned) returned, but nobody ever saw it: \
         afterwards client 3's get (#2) returned \"a\" as if it had not been",
    );
}

/// A put that was executed again takes away what was written meanwhile. That was called a stale read, and is none: the value
/// has newer writes in it.
#[test]
fn a_write_lost_among_others() {
    let ops = [
        put(1, 1, "a;", 2),
        put(1, 3, "b;", 4),
        get(2, 5, "b;", 6),
        append(1, 7, "c;", 8),
        get(2, 9, "a;c;", 10),
    ];
    expect(
        &ops,
        "an acknowledged write vanished",
        &[0, 1, 4],
        "client 2's get (#4) returned \"a;c;\", where client 1's put \"b;\" (#1) (called after client 1's put \"a;\" (#0) had \
         returned) is missing, although that had returned before client 1's append \"c;\" (#3), which is there, was called",
    );
    // Without the newer write in it, it is an old value.
    let stale = [&ops[..4], &[get(2, 9, "a;", 10)]].concat();
    expect(
        &stale,
        "stale read",
        &[0, 1, 4],
        "client 2's get (#4) returned \"a;\" as if client 1's put \"b;\" (#1) (called after client 1's put \"a;\" (#0) had \
         returned) had not been, although that had returned before",
    );
}

#[test]
fn reads_from_the_future() {
    expect(
        &[get(2, 1, "b", 2), put(1, 3, "b", 4)],
        "read from the future",
        &[0, 1],
        "client 2's get (#0) had returned, with the effect of client 1's put \"b\" (#1) in its value, before that was called",
    );
}

#[test]
fn split_brain() {
    let writes = [append(1, 1, "a;", 9), append(2, 1, "b;", 9), append(3, 1, "c;", 9)];
    expect(
        &[&writes[..], &[get(4, 2, "a;b;", 5), get(5, 3, "a;c;", 6)]].concat(),
        "split brain",
        &[3, 4],
        "two reads disagree about the order of writes: after the same 2 bytes client 4's get (#3) read \"b;\" where \
         client 5's get (#4) read \"c;\"",
    );
}

#[test]
fn there_and_back() {
    expect(
        &[put(1, 1, "a", 20), put(2, 2, "b", 20), get(3, 3, "a", 4), get(3, 5, "b", 6), get(3, 7, "a", 8)],
        "the value went A, B, A",
        &[2, 3, 4],
        "client 3's get (#2), client 3's get (#3) and client 3's get (#4) happened one after the other, but the first \
         and the last belong to the value based on client 1's put \"a\" (#0), and the one in the middle to the value \
         based on client 2's put \"b\" (#1)",
    );
}
