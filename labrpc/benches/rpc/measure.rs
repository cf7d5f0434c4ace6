//! Wall and CPU time of repeated work, and the yardstick: two threads that hand a token to and fro.

use std::fs;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;

/// What a piece of work did per second, and what CPU time each unit took, in all threads.
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    pub(crate) cpu_us: f64,
}

/// Runs `work` a few times; each time it does its thing until the time is over and returns how often it
/// did.
pub(crate) fn rate(round: Duration, mut work: impl FnMut(Instant) -> u64) -> Rate {
    work(Instant::now() + round / 4); // Warms up: threads, allocator, caches.
    let (mut total, mut rates) = (0, Vec::new());
    let cpu = cpu_time();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let count = work(start + round);
        rates.push(count as f64 / start.elapsed().as_secs_f64());
        total += count;
    }
    let cpu = cpu_time() - cpu;
    rates.sort_by(f64::total_cmp);
    Rate { per_second: rates[ROUNDS / 2], cpu_us: cpu.as_secs_f64() * 1e6 / total as f64 }
}

/// User and system time of the process, ended threads included. Where there is no /proc: zero.
fn cpu_time() -> Duration {
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name, which is in parentheses: state, ppid, ...; utime and stime are the 12th and 13th.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u32 = fields.skip(11).take(2).filter_map(|field| field.parse::<u32>().ok()).sum();
    TICK * ticks
}

/// How often per second two threads hand a token to and fro, each blocking on a condition variable until it
/// has it.
pub(crate) fn ping_pong(round: Duration) -> Rate {
    let shared = Arc::new((Mutex::new(Token::Main), Condvar::new()));
    let echo = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || while pass(&shared, Token::Echo, Token::Main) {})
    };
    let rate = rate(round, |end| {
        let mut count = 0;
        while Instant::now() < end {
            pass(&shared, Token::Main, Token::Echo);
            count += 1;
        }
        count
    });
    *shared.0.lock().unwrap() = Token::Nobody;
    shared.1.notify_all();
    echo.join().unwrap();
    rate
}

#[derive(Clone, Copy, PartialEq)]
enum Token {
    Main,
    Echo,
    Nobody,
}

/// Waits for the token and hands it over; false when there is no token any more.
fn pass((token, changed): &(Mutex<Token>, Condvar), mine: Token, other: Token) -> bool {
    let mut token = token.lock().unwrap();
    while *token != mine {
        if *token == Token::Nobody {
            return false;
        }
        token = changed.wait(token).unwrap();
    }
    *token = other;
    changed.notify_one();
    true
}
