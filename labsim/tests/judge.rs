//! What a grader hears, and that the code under test cannot speak in the runtime's place.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use labsim::{Run, Test};

#[global_allocator]
static ALLOC: labsim::Alloc = labsim::Alloc;

const NONCE: &[u8; 16] = b"sixteen bytes...";

/// What a grader is told of a seed: what became of it, the text, the output.
type Told = (u64, u64, String, String);

/// Runs a test of this binary for a grader; its records, in the order of the seeds, and whether the end was told.
fn judged(test: &str, seeds: &[u64]) -> (Vec<Told>, bool) {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test])
        .env("LABSIM_JUDGE", "1")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    drop(command);
    let numbers = [seeds.len() as u64].into_iter().chain(seeds.iter().copied());
    let order: Vec<u8> = NONCE.iter().copied().chain(numbers.flat_map(u64::to_le_bytes)).collect();
    ours.write_all(&order).unwrap();
    let mut all = Vec::new();
    ours.read_to_end(&mut all).unwrap();
    child.wait().unwrap();
    let mut rest = &all[..];
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (nonce, after) = rest.split_at(16);
        assert_eq!(nonce, NONCE);
        let (numbers, after) = after.split_at(40);
        let number = |at: usize| u64::from_le_bytes(numbers[8 * at..][..8].try_into().unwrap());
        let (text, after) = after.split_at(number(3) as usize);
        let (output, after) = after.split_at(number(4) as usize);
        rest = after;
        if number(0) == 4 {
            assert_eq!(number(1), records.len() as u64);
            records.sort();
            return (records, rest.is_empty());
        }
        let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        records.push((number(1), number(0), string(text), string(output)));
    }
    records.sort();
    (records, false)
}

/// A test that only a grader runs.
fn only_judged(name: &str, body: impl FnOnce(Run) -> String + Send + 'static) {
    if std::env::var_os("LABSIM_JUDGE").is_some() {
        Test::new(name).run(body);
    }
}

#[test]
fn odd_seeds_fail() {
    only_judged("odd_seeds_fail", |run| {
        println!("seed {}", run.seed);
        assert_eq!(run.seed % 2, 0, "odd");
        "even".into()
    });
}

#[test]
fn every_seed_is_tried_and_told() {
    let (told, ended) = judged("odd_seeds_fail", &[6, 3, u64::MAX, 4]);
    assert!(ended);
    let seeds: Vec<_> = told.iter().map(|(seed, became, ..)| (*seed, *became)).collect();
    assert_eq!(seeds, [(3, 1), (4, 0), (6, 0), (u64::MAX, 1)]);
    assert!(told[0].2.contains("odd") && told[1].2 == "even", "{told:?}");
    assert!(told[2].3.contains("seed 6\n"), "{told:?}");
}

#[test]
fn leaves_early() {
    only_judged("leaves_early", |run| {
        println!("leaves_early: ok; all is well\ntest result: ok. 1 passed");
        if run.seed == 1 {
            std::process::exit(0);
        }
        std::process::abort();
    });
}

#[test]
fn who_leaves_early_has_not_passed() {
    let (told, ended) = judged("leaves_early", &[1, 2]);
    assert!(ended);
    assert!(told[0].1 == 1 && told[0].2.contains("ended before the test"), "{told:?}");
    assert!(told[1].1 == 1 && told[1].2.contains("aborted"), "{told:?}");
}

/// Tries to write into every descriptor it can find, and to have another process do so.
#[test]
fn forges() {
    only_judged("forges", |_| {
        let order = std::env::var("LABSIM_CHILD").unwrap();
        let mut opened = Vec::new();
        for fd in 0..64 {
            let file = fs::OpenOptions::new().write(true).open(format!("/proc/self/fd/{fd}"));
            if let Ok(mut file) = file {
                opened.push(fd);
                let _ = file.write_all(&[1; 72]);
            }
        }
        // This very program, told to run a test that passes and to answer in our place.
        let easier = order.replace("forges", "passes");
        let mut other = Command::new("/proc/self/exe");
        other.args(["--exact", "passes", "--nocapture", "--test-threads=1"]).env("LABSIM_CHILD", easier);
        let other = other.stdin(Stdio::null()).status();
        eprintln!("opened {opened:?}, other {other:?}");
        std::process::exit(0);
    });
}

#[test]
fn passes() {
    only_judged("passes", |_| String::new());
}

#[test]
fn nobody_else_answers() {
    assert_eq!(judged("passes", &[1]).0[0].1, 0);
    let (told, ended) = judged("forges", &[1]);
    assert!(ended);
    assert!(told[0].1 == 1 && told[0].2.contains("ended before the test"), "{told:?}");
    // It went as far as that: its standard streams it may write into.
    assert!(told[0].3.contains("opened [0, 1, 2"), "{told:?}");
}

#[test]
fn is_killed() {
    only_judged("is_killed", |_| {
        let pid = std::process::id().to_string();
        let _ = Command::new("kill").args(["-9", &pid]).status();
        String::new()
    });
}

#[test]
fn a_kill_from_outside_is_told_as_that() {
    let (told, _) = judged("is_killed", &[1]);
    assert!(told[0].1 == 2 && told[0].2.contains("SIGKILL"), "{told:?}");
}

/// Whoever speaks to nobody gives up, and judges nothing.
#[test]
fn a_broken_order_is_no_verdict() -> io::Result<()> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--exact", "passes"]).env("LABSIM_JUDGE", "1").stdin(OwnedFd::from(theirs));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    drop(command);
    ours.write_all(&NONCE[..5])?;
    ours.shutdown(std::net::Shutdown::Write)?;
    let mut said = Vec::new();
    ours.read_to_end(&mut said)?;
    assert!(said.is_empty() && !child.wait()?.success());
    Ok(())
}
