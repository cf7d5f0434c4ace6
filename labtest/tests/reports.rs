//! The reports of six broken rules, as they are on a screen of 80 columns; with pictures of operations in it, of 100.
//!
//! Puppets play the servers: the test says what each asks, and what it is answered, one message after the other, so that
//! a report depends neither on chance nor on the order of threads. What is expected of each is in `reports/`; after a
//! change that is meant, `LABTEST_NEW_REPORTS=1 cargo test -p labtest --test reports` writes it anew, for the eyes of whoever commits it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use crossbeam_channel::Sender;
use labnode::{ApplyMsg, Start, State};
use labrpc::{AnyMessage, Method, Network, NetworkOptions, Service};
use labtest::events::{self, Content, Entry};
use labtest::{Applier, Cluster, Finding, Node, Run, Seat, Station, TestName, rules, seconds};
use linearizability::models::{KvInput, KvRecorder, KvStore};
use linearizability::{Options, check};
use parking_lot::Mutex;

#[global_allocator]
static ALLOC: labtest::Alloc = labtest::Alloc;

/// Set where the tests that are to fail are run.
const INNER: &str = "LABTEST_INNER";
/// How they are to end their process, if they are to.
const END: &str = "LABTEST_END";
/// Set to write the expected reports anew.
const ANEW: &str = "LABTEST_NEW_REPORTS";

/// A screen.
const COLUMNS: usize = 80;
const COLUMNS_WITH_PICTURE: usize = 100;
/// Beside an editor.
const COLUMNS_NARROW: usize = 52;
const LINES: usize = 46;

// What the first number of a message says that it is.
const VOTE: u64 = 0;
const VOTED: u64 = 1;
const APPEND: u64 = 2;
const APPENDED: u64 = 3;
const OF_CLERK: u64 = 4;

labrpc::service! {
    /// Answers what it was told to.
    service "puppet" {
        trait PuppetService; client PuppetClient;
        rpc ask(Vec<u64>) -> Vec<u64>;
    }
}

#[derive(Clone)]
struct Puppet {
    peers: Vec<PuppetClient>,
    /// What the next one that is asked says.
    answer: Arc<Mutex<Vec<u64>>>,
    apply: Sender<ApplyMsg>,
    applier: Arc<Applier>,
    /// What it says of itself, and the lock that it needs for that.
    state: Arc<Mutex<State>>,
}

impl PuppetService for Puppet {
    fn ask(&self, request: Vec<u64>) -> labrpc::Result<Vec<u64>> {
        self.learn(request[1], false);
        Ok(self.answer.lock().clone())
    }
}

impl Node for Puppet {
    fn services(&self) -> Vec<Service> {
        vec![self.clone().into_service()]
    }

    fn state(&self) -> State {
        *self.state.lock()
    }

    fn kill(&self) {
        self.applier.stop();
    }
}

impl Puppet {
    fn learn(&self, term: u64, is_leader: bool) {
        let mut state = self.state.lock();
        if term > state.term || is_leader {
            *state = State { term, is_leader };
        }
    }

    /// Waits for its own followers with its lock held, as no `start` must.
    fn start_that_waits(&self) -> Start {
        let _held = self.state.lock();
        let (_never, agreed) = crossbeam_channel::bounded::<()>(0);
        let _ = agreed.recv();
        Start { index: 1, term: 1 }
    }
}

/// What the numbers of a message mean.
fn neutral(_: &Method, message: &dyn AnyMessage) -> Content {
    let Some(numbers) = message.downcast_ref::<Vec<u64>>() else { return Content::Other };
    match numbers[..] {
        [VOTE, term, last_log_index, last_log_term] => {
            Content::RequestVote(events::RequestVote { term, last_log_index, last_log_term })
        }
        [VOTED, term, granted] => {
            Content::RequestVoteReply(events::RequestVoteReply { term, granted: granted == 1 })
        }
        [APPEND, term, prev_log_index, prev_log_term, leader_commit, ref terms @ ..] => {
            let entry = |(index, &term): (u64, &u64)| Entry { term, command: command(index) };
            let entries = (prev_log_index + 1..).zip(terms).map(entry).collect();
            Content::AppendEntries(events::AppendEntries {
                term,
                prev_log_index,
                prev_log_term,
                entries,
                leader_commit,
            })
        }
        [APPENDED, term, success] => {
            Content::AppendEntriesReply(events::AppendEntriesReply { term, success: success == 1 })
        }
        _ => Content::Other,
    }
}

fn command(index: u64) -> events::Command {
    events::Command::of(format!("x{index}").as_bytes())
}

/// An index and the term there.
type At = (u64, u64);

/// Three puppets and what they are made to do.
struct Play {
    run: Run,
    cluster: Cluster<Puppet>,
    answer: Arc<Mutex<Vec<u64>>>,
}

impl Play {
    fn new(run: &Run) -> Play {
        let latency = Duration::from_millis(1);
        let network =
            Network::new(NetworkOptions { latency: latency..=latency, ..NetworkOptions::default() });
        let answer: Arc<Mutex<Vec<u64>>> = Arc::default();
        let said = answer.clone();
        let cluster = Cluster::new(run, network, 3, move |seat: Seat| {
            let Seat { peers, disk, incarnation, applied, .. } = seat;
            let (apply, messages) = crossbeam_channel::bounded(0);
            let applier = Applier::start(&incarnation, applied, &disk.snapshot(), messages, |_| ());
            disk.save(b"state".to_vec(), None);
            let peers = peers.into_iter().map(PuppetClient::new).collect();
            let state = Arc::new(Mutex::new(State { term: 0, is_leader: false }));
            Puppet { peers, answer: said.clone(), apply, applier: Arc::new(applier), state }
        });
        cluster.watch(neutral);
        (0..3).for_each(|server| cluster.start(server));
        (0..3).for_each(|server| cluster.connect(server));
        Play { run: run.clone(), cluster, answer }
    }

    fn puppet(&self, server: usize) -> Puppet {
        self.cluster.node(server).expect("it is alive").0
    }

    fn ask(&self, from: usize, to: usize, request: Vec<u64>, answer: Vec<u64>) {
        *self.answer.lock() = answer;
        self.puppet(from).learn(request[1], request[0] == APPEND);
        let _ = self.puppet(from).peers[to].ask(&request).wait();
        self.run.check_on();
        self.run.sleep(Duration::from_millis(10));
    }

    /// `from` asks for a vote in `term`, with a log that ends like this, and has it.
    fn vote(&self, from: usize, to: usize, term: u64, last: At) {
        self.ask(from, to, vec![VOTE, term, last.0, last.1], vec![VOTED, term, 1]);
    }

    /// `from` leads `term` and sends entries of these terms after `prev`, which `to` has then.
    fn append(&self, from: usize, to: usize, term: u64, prev: At, entries: &[u64], commit: u64) {
        let request = [&[APPEND, term, prev.0, prev.1, commit], entries].concat();
        self.ask(from, to, request, vec![APPENDED, term, 1]);
    }

    fn apply(&self, server: usize, index: u64) {
        let command = format!("x{index}").into_bytes();
        let _ = self.puppet(server).apply.send(ApplyMsg::Command { index, command });
        self.run.sleep(Duration::from_millis(10));
    }

    fn restart(&self, server: usize) {
        self.cluster.kill(server);
        self.cluster.start(server);
        self.cluster.connect(server);
    }

    /// Server 0 is elected in term 1, and has sent everybody one entry.
    fn begin(&self) {
        self.run.phase("elect server 0");
        self.vote(0, 1, 1, (0, 0));
        self.vote(0, 2, 1, (0, 0));
        self.append(0, 1, 1, (0, 0), &[1], 0);
        self.append(0, 2, 1, (0, 0), &[1], 0);
    }
}

/// What clerks of puppets ask and are told: to be judged when the run is over, as the tests of a service do.
struct Clerks<'a> {
    play: &'a Play,
    recorder: Arc<Mutex<Option<KvRecorder>>>,
    /// The operations' numbers, as they come.
    numbers: Arc<Mutex<Vec<u64>>>,
}

impl Clerks<'_> {
    fn new(play: &Play) -> Clerks<'_> {
        let recorder = Arc::new(Mutex::new(Some(KvRecorder::new())));
        let numbers: Arc<Mutex<Vec<u64>>> = Arc::default();
        let (recorded, numbered) = (recorder.clone(), numbers.clone());
        play.run.judge_afterwards(move || {
            let history = recorded.lock().take().expect("it is judged once").finish().of("clerk");
            let verdict = check(&KvStore, &history, &Options::default());
            let linearizability::Verdict::Violation(violation) = &verdict else { return Ok(()) };
            let text = linearizability::report(&KvStore, &history, &verdict);
            let core = violation.core.iter().map(|&id| numbered.lock()[id]).collect();
            let file = Some("all operations, on another: none".to_string());
            Err(Finding { text, rule: Some(&rules::LINEARIZABLE), core, file })
        });
        Clerks { play, recorder, numbers }
    }

    /// `clerk` asks `server`, and is told `value`, if it is a get.
    fn ask(&self, clerk: u64, server: usize, input: KvInput, value: Option<&str>) {
        let run = &self.play.run;
        let name = format!("clerk {clerk}");
        let (op, key, written) = match &input {
            KvInput::Get { key } => ("get", key.clone(), None),
            KvInput::Put { key, value } => ("put", key.clone(), Some(value.clone())),
            KvInput::Append { key, value } => ("append", key.clone(), Some(value.clone())),
        };
        self.numbers.lock().push(run.client_asks(&name, op, &key, written.as_deref()));
        let log = self.recorder.lock().as_ref().expect("the run goes on").client(clerk);
        let call = log.call(input).note(format!("from {}", seconds(run.elapsed())));
        let network = self.play.cluster.network();
        let to = Cluster::<Puppet>::name(server);
        let client = network.client(&name, &to, Arc::new(Station::new(run, &name)));
        network.enable(&client, true);
        let _ = PuppetClient::new(client).ask(&vec![OF_CLERK, 0]).wait();
        match value {
            Some(value) => call.returned_value(value),
            None => call.returned(),
        }
        run.client_told(*self.numbers.lock().last().expect("it was asked"), value);
    }
}

/// A test that fails when it is asked to. `F`, the closure of the test function, gives it its name.
fn failing<F: FnOnce(&Play) + Send + 'static>(play: F) {
    if env::var_os(INNER).is_some() {
        labtest::run_named(TestName::of::<F>(), move |run| play(&Play::new(run)));
    }
}

#[test]
fn bad_vote() {
    failing(|play| {
        play.begin();
        play.run.phase("restart a voter within a term");
        log::info!(target: "note", "</script>\"}}]\n\x1b[31m");
        play.vote(1, 2, 2, (1, 1));
        play.restart(2);
        play.vote(0, 2, 2, (1, 1));
    });
}

#[test]
fn bad_commit() {
    failing(|play| {
        play.run.phase("elect server 0 twice");
        play.vote(0, 1, 1, (0, 0));
        play.append(0, 1, 1, (0, 0), &[], 0);
        play.vote(0, 1, 2, (1, 1));
        play.append(0, 1, 2, (0, 0), &[1], 0);
        play.append(0, 2, 2, (0, 0), &[1], 1);
    });
}

#[test]
fn bad_check() {
    failing(|play| {
        play.begin();
        play.run.phase("elect server 1 with a longer log");
        play.vote(1, 2, 2, (1, 1));
        play.append(1, 0, 2, (1, 1), &[2, 2], 0);
        play.append(1, 2, 2, (2, 2), &[2], 0);
    });
}

#[test]
fn bad_apply() {
    failing(|play| {
        play.begin();
        play.append(0, 1, 1, (1, 1), &[], 1);
        play.append(0, 2, 1, (1, 1), &[], 1);
        (0..3).for_each(|server| play.apply(server, 1));
        play.run.phase("apply again");
        play.apply(2, 1);
    });
}

#[test]
fn bad_start() {
    failing(|play| {
        play.begin();
        play.run.phase("give the leader a command");
        let (puppet, incarnation) = play.cluster.node(0).expect("it is alive");
        let _ = play.cluster.offer(&incarnation, b"x", || Ok(puppet.start_that_waits()));
    });
}

/// One thread of server 0 sleeps with its lock held, one of server 1 waits for a message with its, each for a while.
#[test]
fn bad_naps() {
    failing(|play| {
        play.begin();
        play.run.phase("ask servers whose locks are held");
        let hold = |server: usize, name: &str, nap: fn()| {
            let (puppet, incarnation) = play.cluster.node(server).expect("it is alive");
            let holder = move || {
                let _held = puppet.state.lock();
                nap();
            };
            incarnation.spawn(name.to_string(), holder);
        };
        hold(0, "sleeper", || std::thread::sleep(Duration::from_secs(40)));
        hold(1, "listener", || {
            let (_never, agreed) = crossbeam_channel::bounded::<()>(0);
            let _ = agreed.recv_timeout(Duration::from_secs(50));
        });
        play.run.sleep(Duration::from_millis(1));
        let asks = [0, 1].map(|server| {
            let cluster = play.cluster.clone();
            play.run.spawn("asks", move || cluster.state(server))
        });
        for ask in asks {
            let _ = ask.join();
        }
    });
}

/// Server 0 is cut off, and goes on answering what it remembers. Nobody tells what it should have answered; the history does.
#[test]
fn bad_read() {
    failing(|play| {
        let clerks = Clerks::new(play);
        play.begin();
        clerks.ask(0, 0, KvInput::put("k", "x 0 0 yx 0 1 yx 0 2 y"), None);
        play.run.phase("server 0 is cut off");
        play.cluster.partition(&[&[0], &[1, 2]]);
        play.vote(1, 2, 2, (1, 1));
        play.append(1, 2, 2, (1, 1), &[2], 0);
        clerks.ask(1, 1, KvInput::append("k", "x 1 0 y"), None);
        clerks.ask(1, 1, KvInput::get("k"), Some("x 0 0 yx 0 1 yx 0 2 yx 1 0 y"));
        play.run.phase("server 0 is asked");
        clerks.ask(2, 0, KvInput::get("k"), Some("x 0 0 yx 0 1 yx 0 2 y"));
        play.run.fail_under(
            &rules::LINEARIZABLE,
            "clerk 2 read the wrong value of \"k\": it is not what clerk 1 read",
        );
    });
}

/// Nothing wrong is seen, but too little happens.
#[test]
fn bad_quiet() {
    failing(|play| {
        play.begin();
        play.ask(0, 1, vec![APPEND, 1, 5, 1, 0, 1], vec![APPENDED, 1, 0]);
        play.run.phase("wait for an agreement that never comes, for longer than anybody should");
        play.run.fail_under(&rules::NO_AGREEMENT, "no agreement on `x5`: nobody has applied it");
    });
}

/// Never ends, and gives way all the time.
#[test]
fn bad_wait() {
    failing(|play| {
        play.begin();
        play.run.phase("wait for ever");
        loop {
            std::thread::sleep(Duration::from_nanos(1));
        }
    });
}

#[test]
fn bad_appetite() {
    failing(|play| {
        play.begin();
        play.run.phase("collect");
        let mut all = Vec::new();
        loop {
            all.push(vec![1_u8; 1 << 20]);
        }
    });
}

/// The ways to end the process, which student code must not.
const ENDS: [(&str, &str); 6] = [
    ("exit(0)", "the test's process ended before the test: a thread called `process::exit(0)`"),
    ("exit(3)", "the test's process ended before the test: a thread called `process::exit(3)`"),
    ("abort", "the process aborted: a thread called `process::abort`"),
    ("panic", "the process aborted: a thread panicked again while it was dealing with a panic"),
    ("overflow", "stack overflow: a thread's calls go too deep, most likely a recursion without end"),
    ("allocation", "out of memory: a thread asked for more at once than there is"),
];

/// For a process to end, which first tells where: on a machine that is busy with other things that takes seconds of real time.
const LONG_ENOUGH: Duration = Duration::from_secs(60);

/// Ends the process in the way that the environment names.
fn end() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("the second");
        }
    }
    #[expect(unconditional_recursion, reason = "that is the point")]
    fn deeper(n: &mut [u64; 64]) -> u64 {
        let mut next = [n[0] + 1; 64];
        deeper(&mut next) + std::hint::black_box(&next)[1]
    }
    // Of two calls the compiler makes one, which stands on no line.
    #[inline(never)]
    fn exit(code: i32) {
        std::process::exit(code)
    }
    match &*env::var(END).expect("it was told how") {
        "exit(0)" => exit(0),
        "exit(3)" => exit(3),
        "abort" => std::process::abort(),
        "panic" => {
            let _panics = Panics;
            panic!("the first");
        }
        "overflow" => drop(deeper(&mut [0; 64])),
        _ => drop(std::hint::black_box(Vec::<u8>::with_capacity(1 << 45))),
    }
}

#[test]
fn bad_end_in_thread() {
    failing(|play| {
        play.begin();
        play.run.phase("let a thread end it");
        let (_, incarnation) = play.cluster.node(1).expect("it is alive");
        let spawn = || std::thread::Builder::new().name("ticker".into()).spawn(end);
        let _ = play.run.calling(&incarnation, "start()", spawn);
        play.run.sleep(LONG_ENOUGH);
    });
}

#[test]
fn bad_end_in_callback() {
    failing(|play| {
        play.begin();
        play.run.phase("let a callback end it");
        play.puppet(1).peers[2].ask(&vec![OF_CLERK, 0]).on_reply(|_| end());
        play.run.sleep(LONG_ENOUGH);
    });
}

/// What the test `name` reports on a screen of so many columns, without what differs from one build to another.
fn report_of(name: &str, columns: usize) -> String {
    let directory = Directory::new(name);
    let output = Command::new(env::current_exe().expect("this executable"))
        .args(["--exact", name, "--nocapture"])
        .envs([(INNER, "1"), ("LAB_SEED", "7"), ("COLUMNS", &columns.to_string()), ("RUST_BACKTRACE", "0")])
        .envs([("NO_COLOR", "1"), ("CARGO_PKG_NAME", env!("CARGO_PKG_NAME"))])
        .env("LAB_TIMELINE", &directory.0)
        .output()
        .expect("the test binary runs again");
    assert!(!output.status.success(), "{name} passed");
    let text = String::from_utf8(output.stdout).expect("text");
    let (_, report) = text.split_once(&format!("{name}: FAILED with seed 7\n")).expect("a report");
    let (report, _) = report.split_once("\n\ntest ").expect("an end");
    let mut out = String::new();
    for line in report.lines() {
        let line = match line.split_once("LAB_SEED=7@") {
            Some((before, after)) => format!("{before}LAB_SEED=7@BUILD{}", &after["01234567".len()..]),
            None => line.to_string(),
        };
        // Frames of a stack, and the directory of the build.
        let line = match line.split_once(" at ") {
            Some((frame, _)) if line.starts_with("      ") => frame.to_string(),
            _ => line,
        };
        // Lines of this file.
        let line = match line.split_once("reports.rs:") {
            Some((before, after)) if after.starts_with(|c: char| c.is_ascii_digit()) => {
                let (_, after) = after.split_once(',').expect("more follows");
                format!("{before}reports.rs,{after}")
            }
            _ => line,
        };
        let line = match line.split_once(": /") {
            Some((before, path)) => {
                let file = Path::new(path).file_name().expect("a file").to_string_lossy();
                format!("{before}: {file}")
            }
            None => line,
        };
        out += &format!("{line}\n");
    }
    out
}

#[test]
fn the_first_screen_says_what_went_wrong() {
    if time_is_real() {
        return;
    }
    for name in ["bad_vote", "bad_commit", "bad_check", "bad_apply", "bad_start", "bad_read"] {
        let columns = if name == "bad_read" { COLUMNS_WITH_PICTURE } else { COLUMNS };
        let report = report_of(name, columns);
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/reports/{name}.txt"));
        if env::var_os(ANEW).is_some() {
            fs::write(&file, &report).expect("it can be written");
            continue;
        }
        let expected = fs::read_to_string(&file).expect("an expected report");
        assert_eq!(report, expected, "of {name}; {ANEW}=1 writes it anew");
        assert!(report.lines().count() <= LINES, "{name} does not fit on a screen");
        assert_eq!(too_long(&report, columns), None, "in {name}");
    }
}

/// The first line with more columns than there are; commands and paths are to be copied, and never broken.
fn too_long(report: &str, columns: usize) -> Option<&str> {
    let is_broken = |line: &&str| !line.contains("LAB_SEED") && !line.contains("-seed-7.");
    report.lines().filter(is_broken).find(|line| line.chars().count() > columns)
}

/// The lines of pictures, tables and counted messages, too, once were as long as they came.
#[test]
fn no_line_is_longer_than_the_terminal_is_wide() {
    if time_is_real() {
        return;
    }
    let counted = "  server 0 -> server 1  AppendEntries: 2 sent, 1\n      succeeded, 1 refused\n";
    let operation = "  #3 clerk 2            |----|  get \"k\" -> \"x 0 0 yx\n\
                     \x20                               0 1 yx 0 2 y\"\n\
                     \x20                               (from 0.078 s)\n";
    let on_a_screen = "  #3 clerk 2            |----|  get \"k\" -> \"x 0 0 yx 0 1 yx 0 2 y\"\n\
                       \x20                               (from 0.078 s)\n";
    for (name, columns, part) in [
        ("bad_quiet", COLUMNS_NARROW, counted),
        ("bad_read", COLUMNS_NARROW, operation),
        ("bad_read", COLUMNS, on_a_screen),
    ] {
        let report = report_of(name, columns);
        assert_eq!(too_long(&report, columns), None, "in {report}");
        assert!(report.contains(part), "{part:?} is missing in: {report}");
    }
}

/// Who holds a lock that others wait for is to blame, though he may not wait for long himself.
#[test]
fn who_sleeps_with_a_lock_held_is_shown() {
    if time_is_real() {
        return;
    }
    let report = report_of("bad_naps", COLUMNS);
    let (_, hang) =
        report.split_once("\nthreads that wait while they hold a lock that others want:\n").expect(&report);
    let hang = hang.replace("\n        ", " ");
    let mut rest = hang.as_str();
    for part in [
        "  thread 'sleeper' of node 'server 0': sleeps since ",
        " until 40.",
        "sleep\n",
        "  thread 'listener' of node 'server 1': waits for a lock or a signal since ",
        " until 50.",
        "      recv_timeout",
        "\nthreads that have waited long for a lock:\n",
        "  thread 'asks' of node 'server 0': waits for a lock or a signal since ",
        "; thread 'sleeper' holds that lock\n",
        "  thread 'asks' of node 'server 1': waits for a lock or a signal since ",
        "; thread 'listener' holds that lock\n",
    ] {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} is missing there: {report}"));
        rest = &rest[at + part.len()..];
    }
}

/// Such a run has no say in its end, but all that was seen of it until then is told.
#[test]
fn a_run_that_is_ended_from_outside_is_reported_too() {
    if time_is_real() {
        return;
    }
    for (name, limit, phase, why) in [
        (
            "bad_wait",
            ("LAB_TIMEOUT", "1"),
            "wait for ever",
            "the run did not end within 1s of real time; what ran last:",
        ),
        ("bad_appetite", ("LAB_MEMORY", "64"), "collect", "memory limit: the run asked for more than 64 MiB"),
    ] {
        let directory = Directory::new(name);
        let output = Command::new(env::current_exe().expect("this executable"))
            .args(["--exact", name, "--nocapture"])
            .envs([(INNER, "1"), ("LAB_SEED", "7"), limit])
            .env("LAB_TIMELINE", &directory.0)
            .output()
            .expect("the test binary runs again");
        let report = String::from_utf8(output.stdout).expect("text");
        let phase = format!("s, in phase \"{phase}\":\n\n{why}\n");
        for part in [
            &*phase,
            // Where it was.
            "thread 'test'",
            "reports.rs:",
            "\nserver  state ",
            "\n0       leader                1     0       0  1(1)\n",
            "  server 0 leads term 1, with the votes of servers 1 and 2\n",
            "phases:\n    0.000 s  elect server 0\n",
            "as a page for a browser: ",
            "to see it again:",
        ] {
            assert!(report.contains(part), "{part:?} is missing in: {report}");
        }
        let file = |kind: &str| fs::read_to_string(directory.0.join(format!("{name}-seed-7{kind}")));
        let log = file(".ndjson").expect("a log");
        let failure = log.lines().find(|line| line.starts_with("{\"kind\":\"failure\",")).expect("a failure");
        assert!(failure.contains(why), "{failure}");
        assert!(log.ends_with("}}\n") && file(".timeline.html").is_ok(), "{log}");
    }
}

/// All but an exact replay is the same there.
#[test]
fn a_failure_in_real_time_is_reported_too() {
    let directory = Directory::new("real-bad_vote");
    let output = Command::new(env::current_exe().expect("this executable"))
        .args(["--exact", "bad_vote", "--nocapture"])
        .envs([(INNER, "1"), ("LAB_SEED", "7"), ("LAB_TIME", "real")])
        .env("LAB_TIMELINE", &directory.0)
        .output()
        .expect("the test binary runs again");
    let report = String::from_utf8(output.stdout).expect("text");
    for part in [
        " s, in phase \"restart a voter within a term\":\n\nserver 2 voted twice in term 2: for server 1 and for server 0\n",
        "\nrule one-vote-per-term: ",
        "\n0       candidate             2     0       0  1(1)\n",
        "  server 2 crashes (kill)\n",
        "\nusual causes:\n",
        "as a page for a browser: ",
        "it may not come back",
        "  LAB_TIME=real LAB_SEED=7@",
    ] {
        assert!(report.contains(part), "{part:?} is missing in: {report}");
    }
    let file = |kind: &str| fs::read_to_string(directory.0.join(format!("bad_vote-seed-7{kind}")));
    let log = file(".ndjson").expect("a log");
    assert!(log.lines().next().is_some_and(|head| head.contains("\"time\":\"real\"")), "{log}");
    let failure = log.lines().find(|line| line.starts_with("{\"kind\":\"failure\",")).expect("a failure");
    assert!(
        failure.contains("\"rule\":\"one-vote-per-term\"") && !failure.contains("\"evidence\":[]"),
        "{failure}"
    );
    assert!(file(".timeline.html").is_ok());
}

/// What the test `name` says whose process `end`s, and the directory of its files.
fn ended(name: &str, end: &str, more: &[(&str, &str)]) -> (String, Directory) {
    let how: String = more.iter().map(|(_, value)| format!("-{value}")).collect();
    let directory = Directory::new(&format!("{name}-{end}{how}"));
    let output = Command::new(env::current_exe().expect("this executable"))
        .args(["--exact", name, "--nocapture"])
        .envs([(INNER, "1"), ("LAB_SEED", "7"), (END, end)])
        .envs(more.iter().copied())
        .env("LAB_TIMELINE", &directory.0)
        .output()
        .expect("the test binary runs again");
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("text")).concat();
    assert!(!output.status.success() && !text.contains("test result: ok"), "{name}, {end}: {text}");
    (text, directory)
}

/// Whoever ends the process ends the run only, which then tells who did.
#[test]
fn what_ends_the_process_is_reported_too() {
    if time_is_real() {
        return;
    }
    for (name, phase) in
        [("bad_end_in_thread", "let a thread end it"), ("bad_end_in_callback", "let a callback end it")]
    {
        for (end, says) in ENDS {
            let (report, directory) = ended(name, end, &[]);
            let phase = format!("s, in phase \"{phase}\":\n\n");
            for part in [
                &*format!("{name}: FAILED with seed 7\n"),
                &phase,
                says,
                " of node 'server 1': runs\n",
                // Where it was.
                "labtest/tests/reports.rs:",
                "\n1       follower              1     0       0  1(1)\n",
                "as a page for a browser: ",
                "to see it again:",
            ] {
                assert!(report.contains(part), "{name}, {end}: {part:?} is missing in: {report}");
            }
            if name == "bad_end_in_thread" {
                assert!(report.contains("  thread 'ticker' of node"), "{report}");
            }
            if end == "overflow" {
                assert!(
                    report.contains("deeper at labtest/tests/reports.rs:") && report.contains(" times)\n")
                );
            }
            let file = |kind: &str| fs::read_to_string(directory.0.join(format!("{name}-seed-7{kind}")));
            let log = file(".ndjson").expect("a log");
            let failure = log.lines().find(|line| line.starts_with("{\"kind\":\"failure\","));
            let says = if end == "panic" { "the first" } else { says };
            assert!(failure.is_some_and(|failure| failure.contains(says)), "{failure:?}");
            assert!(log.ends_with("}}\n") && file(".timeline.html").is_ok(), "{log}");
        }
    }
}

/// There a handler of signals has too little room, and what overflows a stack leaves nothing but the word that it did. After
/// a first panic the report is already being made when the second comes: either may be told, and files may be lost.
#[test]
fn what_ends_the_process_in_real_time_is_reported_too() {
    for (end, says) in ENDS {
        let (report, directory) = ended("bad_end_in_thread", end, &[("LAB_TIME", "real")]);
        let is_lost = end == "overflow" || labsim::unsupported().is_some();
        let says = match end {
            "panic" => "",
            _ if is_lost => "What was recorded of the run was lost",
            _ => says,
        };
        for part in ["bad_end_in_thread: FAILED with seed 7\n", says, "to see it again"] {
            assert!(report.contains(part), "{end}: {part:?} is missing in: {report}");
        }
        let has_page = report.contains("as a page for a browser: ");
        assert!(has_page != is_lost || end == "panic", "{end}: {report}");
        assert_eq!(directory.0.exists(), has_page, "{end}");
    }
}

/// Where the run has no process of its own, that of the test harness must not end as if all were well.
#[test]
fn what_ends_the_process_of_the_tests_is_no_pass() {
    for time in ["sim", "real"] {
        for (end, _) in ENDS {
            let (report, _) = ended("bad_end_in_thread", end, &[("LAB_INPROCESS", "1"), ("LAB_TIME", time)]);
            assert!(!report.contains("bad_end_in_thread ... ok"), "{time}, {end}: {report}");
        }
    }
}

/// With colours the text is the same.
#[test]
fn colours_are_for_those_who_ask() {
    if time_is_real() {
        return;
    }
    let output = |variable: &str| {
        let output = Command::new(env::current_exe().expect("this executable"))
            .args(["--exact", "bad_vote", "--nocapture"])
            .envs([(INNER, "1"), ("LAB_SEED", "7"), (variable, "1"), ("LAB_TIMELINE", "never")])
            .output()
            .expect("the test binary runs again");
        String::from_utf8(output.stdout).expect("text")
    };
    let (coloured, plain) = (output("CLICOLOR_FORCE"), output("NO_COLOR"));
    let voted = "server 2 voted twice in term 2: for server 1 and for server 0";
    assert!(coloured.contains(&format!("\x1b[1;31m{voted}\x1b[0m\n")), "{coloured}");
    assert!(plain.contains(&format!("\n{voted}\n")) && !plain.contains('\x1b'), "{plain}");
}

/// The log of the run of `name`, written into a directory of its own.
fn log_of(name: &str) -> String {
    let directory = Directory::new(&format!("log-of-{name}"));
    let output = Command::new(env::current_exe().expect("this executable"))
        .args(["--exact", name])
        .envs([(INNER, "1"), ("LAB_SEED", "7")])
        .env("LAB_TIMELINE", &directory.0)
        .output()
        .expect("the test binary runs again");
    assert!(!output.status.success(), "{name} passed");
    let log = directory.0.join(format!("{name}-seed-7.ndjson"));
    fs::read_to_string(&log).unwrap_or_else(|error| panic!("{}: {error}", log.display()))
}

/// A place for the files of runs that fail as they should; it is removed with all that is in it.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        Directory(env::temp_dir().join(format!("{name}-{}", std::process::id())))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // There may be none: then the test fails for another reason.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The number in a field of a line.
fn number(line: &str, field: &str) -> Option<u64> {
    let (_, rest) = line.split_once(&format!("\"{field}\":"))?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// What `docs/event-log.md` promises.
#[test]
fn the_event_log_of_a_failure_is_whole() {
    if time_is_real() {
        return;
    }
    let log = log_of("bad_vote");
    let lines: Vec<&str> = log.lines().collect();
    let head = "{\"schema\":\"raft-labs-event-log\",\"version\":1,\"test\":\"bad_vote\",\"seed\":7,";
    assert!(lines[0].starts_with(head), "{}", lines[0]);
    let end = lines[lines.len() - 1];
    assert!(end.starts_with("{\"kind\":\"end\",") && end.contains("\"ok\":false"), "{end}");

    let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/event-log.md"));
    let guide = guide.expect("it says what lines there are");
    let mut before = (0, 0);
    for line in &lines[1..] {
        let place = (number(line, "n").expect(line), number(line, "t").expect(line));
        assert!(before.0 <= place.0 && before.1 <= place.1, "{before:?}: {line}");
        before = place;
        let (kind, _) = line.split_once(",\"t\":").expect(line);
        assert!(guide.contains(&format!("\n    {kind},")), "{kind} is not documented");
    }

    let of = |kind: &str| {
        let begin = format!("{{\"kind\":\"{kind}\"");
        lines.iter().copied().filter(move |line| line.starts_with(&begin))
    };
    let crashed = of("crash").any(|line| line.ends_with("\"server\":2,\"life\":0,\"how\":\"kill\"}"));
    assert!(crashed && of("start").any(|line| line.contains("\"server\":2,\"life\":1,")), "{log}");
    let failure = of("failure").next().expect("a failure");
    for part in ["\"rule\":\"one-vote-per-term\"", "\"servers\":[0,1,2],\"term\":2,"] {
        assert!(failure.contains(part), "{part} is missing in: {failure}");
    }
    let votes: Vec<String> = of("send")
        .filter(|line| line.contains("\"from\":2") && line.contains("\"term\":2,\"vote_granted\":true"))
        .map(|line| number(line, "n").expect(line).to_string())
        .collect();
    assert!(failure.ends_with(&format!("\"evidence\":[{}]}}", votes.join(","))), "{votes:?}: {failure}");
    let note = r#""level":"info","target":"note","text":"</script>\"}]\n\u001b[31m"}"#;
    assert!(of("line").any(|line| line.contains("\"thread\":\"test\"") && line.ends_with(note)), "{log}");
}

/// Whether time is real here: then reports are of another time each time.
fn time_is_real() -> bool {
    labsim::unsupported().is_some()
}
