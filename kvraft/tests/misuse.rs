//! The harness is shown what is wrong, and must object, in the words that help. The clerks here are not what they
//! should be; what is wrong about servers shows in what clerks are told.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use std::{fs, thread};

use kvraft::{Clerk, KvClient};
use labrpc::{Fate, Kind};

use crate::config::{Config, End, NO_SNAPSHOTS, Net, Setting, Store, objection};
use crate::lab_3a::{one_key, one_partition};
use crate::load::{self, Load};

/// Three servers on a reliable network, and such clerks.
fn with_clerks(clerk: fn(Vec<KvClient>) -> Box<dyn Store>) -> Setting {
    Setting { servers: 3, net: Net::Near, max_raft_state: NO_SNAPSHOTS, clerk }
}

/// What the harness says of a test that must fail.
struct Objection {
    report: String,
    /// The page with the history, if one was written.
    page: Option<String>,
    /// The event log.
    log: String,
}

impl Objection {
    #[track_caller]
    fn to<F>(setting: Setting, body: F) -> Objection
    where
        F: Fn(&Config) + Send + Sync + 'static,
    {
        // Each seed has files of its own there.
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("objections");
        let report = objection(setting, &directory, body).expect("the harness did not object");
        let files = report.lines().filter_map(|line| line.split_once(": "));
        let files = files.filter(|(_, path)| path.starts_with(&*directory.to_string_lossy()));
        let taken = |(what, path): (&str, &str)| {
            let text = fs::read_to_string(path).expect("the file is where the report says");
            fs::remove_file(path).expect("it was just read");
            (what.to_string(), text)
        };
        let files: BTreeMap<String, String> = files.map(taken).collect();
        let file =
            |what: &str| files.iter().find(|(said, _)| said.starts_with(what)).map(|(_, text)| text.clone());
        let log = file("event by event").expect("there is a log");
        Objection { page: file("all "), log, report }
    }

    /// The operations that the event log names as those that contradict each other: client and name.
    fn core(&self) -> Vec<(String, String)> {
        let text = |line: &str, field: &str| {
            let (_, rest) = line.split_once(&format!("\"{field}\":\""))?;
            Some(rest.split_once('"')?.0.to_string())
        };
        let lines = |kind: &str| {
            let begin = format!("{{\"kind\":\"{kind}\",");
            self.log.lines().filter(move |line| line.starts_with(&begin))
        };
        let Some((_, core)) = lines("failure").next().and_then(|line| line.split_once("\"core\":[")) else {
            return Vec::new();
        };
        let ids = core.split_once(']').expect("the end of a list").0.split(',');
        let operation = |id: &str| {
            let line =
                lines("op").find(|line| line.contains(&format!("\"id\":{id},"))).expect("the operation");
            (text(line, "client").expect("a client"), text(line, "op").expect("a name"))
        };
        ids.map(operation).collect()
    }

    #[track_caller]
    fn says(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.report.contains(part), "{part:?} is missing in: {}", self.report);
        }
    }
}

/// Answers a get with what it has read before.
struct Stale {
    clerk: Clerk,
    read: BTreeMap<String, String>,
}

impl Store for Stale {
    fn get(&mut self, key: &str) -> String {
        let value = self.clerk.get(key);
        self.read.entry(key.to_string()).or_insert(value).clone()
    }

    fn put(&mut self, key: &str, value: &str) {
        self.clerk.put(key, value);
    }

    fn append(&mut self, key: &str, value: &str) {
        self.clerk.append(key, value);
    }
}

fn stale(servers: Vec<KvClient>) -> Box<dyn Store> {
    Box::new(Stale { clerk: Clerk::new(servers), read: BTreeMap::new() })
}

/// No check of the test itself sees it: the history does, after the run.
#[test]
fn a_stale_read_is_told_with_a_picture_a_page_and_what_led_there() {
    let objection = Objection::to(with_clerks(stale), |cfg| {
        let (mut writer, mut reader) = (cfg.clerk(), cfg.clerk());
        writer.put("k", "old");
        reader.get("k");
        cfg.shut_down(1);
        writer.put("k", "new");
        reader.get("k");
    });
    objection.says(&[
        "not linearizable: on \"k\": an acknowledged write vanished\n",
        "clerk 0's put \"new\" (#2)",
        " answers clerk 1's get \"k\" of ",
        "|--|",
        "server 1 crashes",
        "to see it again",
    ]);
    objection.says(&[
        "put \"k\" \"new\"",
        "get \"k\" -> \"old\"",
        "(from 0.",
        "all 4 operations, on another: ",
    ]);
    let by = |client: &str, op: &str| (client.to_string(), op.to_string());
    let core = [by("clerk 0", "put"), by("clerk 0", "put"), by("clerk 1", "get")];
    assert_eq!(objection.core(), core, "{}", objection.log);
    let page = objection.page.expect("there is a page");
    assert!(page.contains("server 1 crashes"), "the page does not show what happened");
}

/// A clerk with its own key notices by itself; then the history adds to the report.
#[test]
fn a_stale_read_of_an_own_key_is_told_at_once() {
    let objection = Objection::to(with_clerks(stale), |cfg| Load::of(1).run(cfg));
    objection.says(&["clerk 0 read the wrong value of \"0\"", "load.rs:", "not linearizable"]);
}

/// What is wrong with every fifth append of a clerk.
#[derive(Clone, Copy)]
enum Mistake {
    Forgotten,
    Doubled,
    /// It comes after the next one.
    Late,
}

struct Careless {
    clerk: Clerk,
    mistake: Mistake,
    appends: usize,
    late: Option<String>,
}

impl Store for Careless {
    fn get(&mut self, key: &str) -> String {
        self.clerk.get(key)
    }

    fn put(&mut self, key: &str, value: &str) {
        self.clerk.put(key, value);
    }

    fn append(&mut self, key: &str, value: &str) {
        self.appends += 1;
        if self.appends % 5 > 0 {
            self.clerk.append(key, value);
            self.late.take().into_iter().for_each(|late| self.clerk.append(key, &late));
            return;
        }
        match self.mistake {
            Mistake::Forgotten => {}
            Mistake::Doubled => (0..2).for_each(|_| self.clerk.append(key, value)),
            Mistake::Late => self.late = Some(value.to_string()),
        }
    }
}

fn careless(servers: Vec<KvClient>, mistake: Mistake) -> Box<dyn Store> {
    Box::new(Careless { clerk: Clerk::new(servers), mistake, appends: 0, late: None })
}

#[test]
fn an_append_that_is_lost_is_missed() {
    let setting = with_clerks(|servers| careless(servers, Mistake::Forgotten));
    let objection = Objection::to(setting, |cfg| {
        one_key(cfg);
    });
    objection.says(&["key \"k\"", "`x 0 4 y` is missing", "not linearizable"]);
}

#[test]
fn an_append_that_is_done_twice_is_noticed() {
    let setting = with_clerks(|servers| careless(servers, Mistake::Doubled));
    let objection = Objection::to(setting, |cfg| {
        one_key(cfg);
    });
    objection.says(&["key \"k\"", "`x 0 4 y` was appended 2 times", "not linearizable"]);
}

#[test]
fn appends_out_of_order_are_noticed() {
    let setting = with_clerks(|servers| careless(servers, Mistake::Late));
    let objection = Objection::to(setting, |cfg| {
        one_key(cfg);
    });
    objection.says(&["key \"k\"", "stands before", "not linearizable"]);
}

/// Knows everything best, and asks nobody.
#[derive(Default)]
struct Lonely(BTreeMap<String, String>);

impl Store for Lonely {
    fn get(&mut self, key: &str) -> String {
        self.0.get(key).cloned().unwrap_or_default()
    }

    fn put(&mut self, key: &str, value: &str) {
        self.0.insert(key.to_string(), value.to_string());
    }

    fn append(&mut self, key: &str, value: &str) {
        self.0.entry(key.to_string()).or_default().push_str(value);
    }
}

#[test]
fn an_operation_that_returns_in_a_minority_is_noticed() {
    let setting = Setting { servers: 5, ..with_clerks(|_| Box::<Lonely>::default()) };
    let objection = Objection::to(setting, |cfg| {
        one_partition(cfg);
    });
    objection.says(&["a put has returned to a clerk that reaches only servers", "a minority of 5"]);
}

/// Takes long to hear that one kind of operation is done: a put of `15`, or a get of one who only reads.
struct Deaf {
    clerk: Clerk,
    to_puts: bool,
    has_put: bool,
}

const LONG: Duration = Duration::from_secs(9);

impl Store for Deaf {
    fn get(&mut self, key: &str) -> String {
        let value = self.clerk.get(key);
        thread::sleep(if self.to_puts || self.has_put { Duration::ZERO } else { LONG });
        value
    }

    fn put(&mut self, key: &str, value: &str) {
        self.has_put = true;
        self.clerk.put(key, value);
        thread::sleep(if self.to_puts && value == "15" { LONG } else { Duration::ZERO });
    }

    fn append(&mut self, key: &str, value: &str) {
        self.clerk.append(key, value);
    }
}

fn deaf(servers: Vec<KvClient>, to_puts: bool) -> Box<dyn Store> {
    Box::new(Deaf { clerk: Clerk::new(servers), to_puts, has_put: false })
}

#[test]
fn a_put_of_the_minority_that_does_not_complete_is_noticed() {
    let setting = Setting { servers: 5, ..with_clerks(|servers| deaf(servers, true)) };
    let objection = Objection::to(setting, |cfg| {
        one_partition(cfg);
    });
    objection.says(&["the put that was asked of the minority has not returned within 4 s"]);
}

#[test]
fn a_get_of_the_minority_that_does_not_complete_is_noticed() {
    let setting = Setting { servers: 5, ..with_clerks(|servers| deaf(servers, false)) };
    let objection = Objection::to(setting, |cfg| {
        one_partition(cfg);
    });
    objection.says(&["the get that was asked of the minority has not returned within 4 s"]);
}

/// Also if it waits alone: the report says for what, since when, whom it can reach, and what it has tried.
#[test]
fn an_operation_that_does_not_return_is_reported_with_all_that_is_known() {
    let real = |servers| -> Box<dyn Store> { Box::new(Clerk::new(servers)) };
    let objection = Objection::to(with_clerks(real), |cfg| {
        cfg.clerk().put("k", "v");
        cfg.phase("nobody can be reached");
        cfg.clerk_at(&[]).get("k");
    });
    let parts = [
        "get \"k\" of clerk 1, called at",
        "has not returned within 30 s",
        "in phase \"nobody can be reached\"",
        "clerk 1 waits for get \"k\" since 0.",
        "it reaches no server",
        "could not reach it: the clerk is cut off from it",
        "server  state              term  vote  commit  log",
    ];
    objection.says(&parts);
}

/// A schedule that does not come about must not pass for one that did.
#[test]
fn a_message_that_does_not_come_is_missed() {
    let real = |servers| -> Box<dyn Store> { Box::new(Clerk::new(servers)) };
    let objection = Objection::to(with_clerks(real), |cfg| {
        let (post, clerk) = (cfg.post(), cfg.clerk());
        post.next(Kind::Reply, End::AnyServer, clerk.end(), Fate::Deliver);
        post.wait("an answer to a clerk that asks nothing");
    });
    objection.says(&["an answer to a clerk that asks nothing has not happened within 10 s"]);
}

/// Asks three times, and keeps the last answer.
struct Wasteful(Clerk);

impl Store for Wasteful {
    fn get(&mut self, key: &str) -> String {
        self.0.get(key)
    }

    fn put(&mut self, key: &str, value: &str) {
        self.0.put(key, value);
    }

    fn append(&mut self, key: &str, value: &str) {
        self.0.append(key, value);
        self.0.get(key);
    }
}

#[test]
fn a_clerk_that_makes_needless_calls_is_told_to_remember_the_leader() {
    let setting = with_clerks(|servers| Box::new(Wasteful(Clerk::new(servers))));
    let objection = Objection::to(setting, |cfg| {
        load::speed(cfg);
    });
    objection.says(&["1000 operations took 2000 calls", "remember which server"]);
}

/// Each operation waits for what a heartbeat would bring.
struct Slow(Clerk);

impl Store for Slow {
    fn get(&mut self, key: &str) -> String {
        self.0.get(key)
    }

    fn put(&mut self, key: &str, value: &str) {
        self.0.put(key, value);
    }

    fn append(&mut self, key: &str, value: &str) {
        thread::sleep(Duration::from_millis(33));
        self.0.append(key, value);
    }
}

#[test]
fn operations_that_wait_for_heartbeats_are_too_slow() {
    let setting = with_clerks(|servers| Box::new(Slow(Clerk::new(servers))));
    let objection = Objection::to(setting, |cfg| {
        load::speed(cfg);
    });
    objection.says(&["1000 operations took", "a leader must send a new entry at once"]);
}
