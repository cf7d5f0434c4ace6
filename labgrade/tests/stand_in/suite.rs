//! Stands in for the suite of a lab: speaks as the labs' suites do, to a grader and to a user, without their runtime. The
//! code under test, a function `behave`, decides what becomes of a seed. `PACKAGE` and `TESTS` are replaced.

use std::io::{Read, Write};
use std::os::fd::AsFd as _;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|it| it == "--list") {
        TESTS.iter().for_each(|test: &&str| println!("{test}: test"));
        return;
    }
    let test = &arguments[2];
    if std::env::var_os("LABSIM_JUDGE").is_none() {
        return alone(test);
    }
    let mut channel = std::fs::File::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let mut nonce = [0; 16];
    channel.read_exact(&mut nonce).unwrap();
    let mut number = || {
        let mut bytes = [0; 8];
        channel.read_exact(&mut bytes).unwrap();
        u64::from_le_bytes(bytes)
    };
    let count = number();
    let seeds: Vec<u64> = (0..count).map(|_| number()).collect();
    for seed in &seeds {
        let (became, text) = behave(test, *seed);
        say(&mut channel, nonce, [became, *seed, 7, text.len() as u64, 0], &text);
    }
    say(&mut channel, nonce, [4, count, 0, 0, 0], "");
}

/// What the code under test says becomes of a seed, and why.
fn behave(test: &str, seed: u64) -> (u64, String) {
    let (became, text) = PACKAGE::behave(test, seed);
    (became, String::from(text))
}

/// One run, recorded.
fn alone(test: &str) {
    let seed = std::env::var("LAB_SEED").unwrap();
    let seed: u64 = seed.split('@').next().unwrap().parse().unwrap();
    let (became, text) = behave(test, seed);
    assert_eq!(std::env::var("LAB_TIMELINE").unwrap(), "always");
    let reports = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("lab-reports");
    std::fs::create_dir_all(&reports).unwrap();
    let stem = format!("{}-seed-{seed}", test.replace("::", "."));
    std::fs::write(reports.join(format!("{stem}.ndjson")), "{\"build\":\"ab12\"}\n").unwrap();
    std::fs::write(reports.join(format!("{stem}.timeline.html")), "<html>").unwrap();
    println!("\nrunning 1 test\nlogged at {:?}", std::env::var("LAB_LOG"));
    if became == 0 {
        println!("{test}: ok; 1 peer; seed={seed}\ntest {test} ... ok\n");
        return;
    }
    println!("{test}: FAILED with seed {seed}\n{text}\nto see it again:\n  x\n\ntest {test} ... FAILED\n");
    std::process::exit(101);
}

fn say(to: &mut std::fs::File, nonce: [u8; 16], numbers: [u64; 5], text: &str) {
    let mut message = nonce.to_vec();
    numbers.iter().for_each(|number| message.extend(number.to_le_bytes()));
    message.extend(text.as_bytes());
    to.write_all(&message).unwrap();
}
