//! What a grader hears, and that the code under test cannot speak in the runtime's place.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use labsim::{Options, Run, Test};

#[global_allocator]
static ALLOC: labsim::Alloc = labsim::Alloc;

const NONCE: &[u8; 16] = b"sixteen bytes...";

/// What a grader is told of a seed: what became of it, the text, the output.
type Told = (u64, u64, String, String);

/// Runs a test of this binary for a grader; its records, in the order of the seeds, and whether the end was told.
fn judged(test: &str, seeds: &[u64]) -> (Vec<Told>, bool) {
    judged_with(&[], test, seeds)
}

/// The same with more in the environment.
fn judged_with(environment: &[(&str, &str)], test: &str, seeds: &[u64]) -> (Vec<Told>, bool) {
    judged_by(Path::new("/proc/self/exe"), environment, test, seeds)
}

/// The same with a binary like this one.
fn judged_by(binary: &Path, environment: &[(&str, &str)], test: &str, seeds: &[u64]) -> (Vec<Told>, bool) {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut command = Command::new(binary);
    command
        .args(["--exact", test])
        .env("LABSIM_JUDGE", "1")
        .envs(environment.iter().copied())
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

const REPLACED: &str = "LABSIM_TEST_REPLACED";

/// Passes with a build of its own, though its file becomes another before its process is started.
#[test]
fn is_built_anew() {
    if let Some(binary) = std::env::var_os(REPLACED).filter(|_| std::env::var_os("LABSIM_CHILD").is_none()) {
        fs::remove_file(&binary).unwrap();
        fs::write(&binary, "another build").unwrap();
    }
    only_judged("is_built_anew", |_| {
        assert_ne!(labsim::build_id(), "00000000");
        String::new()
    });
}

#[test]
fn who_is_built_anew_meanwhile_goes_on_as_it_was() {
    let place = std::env::temp_dir().join(format!("labsim-judge-{}", std::process::id()));
    // By another process: a file that is open for writing here may be held open by any child that is being started.
    assert!(Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&place).status().unwrap().success());
    let (told, ended) = judged_by(&place, &[(REPLACED, place.to_str().unwrap())], "is_built_anew", &[1, 2]);
    fs::remove_file(&place).unwrap();
    assert!(ended && told.iter().all(|(_, became, ..)| *became == 0), "{told:?}");
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
        // The shell's own: not every system has a program of that name.
        let _ = Command::new("sh").args(["-c", "kill -9 $PPID"]).status();
        String::new()
    });
}

#[test]
fn a_kill_from_outside_is_told_as_that() {
    let (told, _) = judged("is_killed", &[1]);
    assert!(told[0].1 == 2 && told[0].2.contains("SIGKILL"), "{told:?}");
}

/// Leaves evidence that speaks for it with an even seed, against it with an odd one, and that cannot be read with 9.
#[test]
fn leaves_evidence() {
    if std::env::var_os("LABSIM_JUDGE").is_none() {
        return;
    }
    let review = |evidence: &[u8]| match evidence {
        [9] => panic!("unreadable"),
        [even] if even % 2 == 0 => Ok(()),
        other => Err(format!("{other:?} is odd")),
    };
    let seed = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let seen = seed.clone();
    Test::new("leaves_evidence")
        .review(review)
        .after(move |report| {
            assert!(report.evidence.is_empty());
            report.evidence = vec![seed.load(std::sync::atomic::Ordering::Relaxed) as u8];
        })
        .run(move |run| {
            seen.store(run.seed, std::sync::atomic::Ordering::Relaxed);
            String::new()
        });
}

#[test]
fn evidence_against_a_run_that_passed_is_a_failure() {
    let seeds = [2, 3, 9];
    let (told, ended) = judged_with(&[("LABSIM_REVIEW", "1")], "leaves_evidence", &seeds);
    assert!(ended);
    let became: Vec<_> = told.iter().map(|(_, became, ..)| *became).collect();
    assert_eq!(became, [0, 1, 1], "{told:?}");
    assert!(told[1].2.ends_with("what it recorded contradicts that: [3] is odd"), "{told:?}");
    assert!(told[2].2.ends_with("it cannot be read"), "{told:?}");
    let (told, _) = judged("leaves_evidence", &seeds);
    assert!(told.iter().all(|(_, became, ..)| *became == 0), "who does not ask is not told: {told:?}");
}

/// Computes for ever, but goes on.
#[test]
fn computes() {
    only_judged("computes", |_| {
        loop {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
}

#[test]
fn a_run_that_uses_up_its_cpu_time_has_failed_and_one_that_does_not_get_it_is_unknown() {
    // Real time is no matter to the one, nor CPU time to the other.
    let (told, _) = judged_with(&[("LABSIM_CPU", "1")], "computes", &[1]);
    assert!(told[0].1 == 1 && told[0].2.starts_with("CPU limit: "), "{told:?}");
    let hurried = [("LABSIM_CPU", "1000"), ("LAB_TIMEOUT", "0.5")];
    let (told, _) = judged_with(&hurried, "computes", &[1]);
    assert!(told[0].1 == 5 && told[0].2.contains("did not end within 500ms of real time"), "{told:?}");
    let (told, _) = judged_with(&hurried[1..], "computes", &[1]);
    assert_eq!(told[0].1, 1, "without a limit of CPU time: {told:?}");
}

/// Waits for another process.
#[test]
fn waits_outside() {
    if std::env::var_os("LABSIM_JUDGE").is_none() {
        return;
    }
    let still_max = std::time::Duration::from_millis(300);
    Test::new("waits_outside").options(Options { still_max, ..Options::new(0) }).run(|_| {
        let _ = Command::new("sleep").arg("1000").status();
        String::new()
    });
}

#[test]
fn a_wait_outside_of_virtual_time_is_no_fault_of_the_machine() {
    let (told, _) = judged_with(&[("LABSIM_CPU", "1000")], "waits_outside", &[1]);
    assert!(told[0].1 == 1 && told[0].2.starts_with("outside wait: "), "{told:?}");
    // `Command::status`, or `<..Command>::status`: compilers differ.
    assert!(told[0].2.contains("::status at "), "with its stack: {told:?}");
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
