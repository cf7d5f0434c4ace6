//! A clerk as tests use it: the student's, whose every operation is recorded and watched over.

use std::panic::Location;
use std::sync::Arc;
use std::thread;

use kvraft::{Clerk, KvClient};
use labtest::{observe, rules, seconds};
use linearizability::models::{self, KvCall, KvInput};

use super::clerks::Desk;
use super::{Config, End};
use crate::appends;

/// What a clerk does; the tests of the harness have clerks of their own kinds.
pub(crate) trait Store: Send {
    fn get(&mut self, key: &str) -> String;
    fn put(&mut self, key: &str, value: &str);
    fn append(&mut self, key: &str, value: &str);
}

impl Store for Clerk {
    fn get(&mut self, key: &str) -> String {
        Clerk::get(self, key)
    }

    fn put(&mut self, key: &str, value: &str) {
        Clerk::put(self, key, value);
    }

    fn append(&mut self, key: &str, value: &str) {
        Clerk::append(self, key, value);
    }
}

/// A clerk, with all that the harness does around its operations. When it is dropped nothing more is heard of it.
pub(crate) struct TestClerk {
    cfg: Config,
    desk: Arc<Desk>,
    log: models::KvClient,
    store: Box<dyn Store>,
}

impl Config {
    /// A clerk that reaches all servers.
    pub(crate) fn clerk(&self) -> TestClerk {
        self.clerk_at(&self.all().collect::<Vec<_>>())
    }

    /// A clerk that knows all servers, in an order of its own, and reaches these.
    pub(crate) fn clerk_at(&self, servers: &[usize]) -> TestClerk {
        let (desk, clients) = self.clerks.hire(self, servers);
        let log = self.record.client(desk.number);
        let store = (self.setting.clerk)(clients.into_iter().map(KvClient::new).collect());
        TestClerk { cfg: self.clone(), desk, log, store }
    }
}

impl TestClerk {
    #[track_caller]
    pub(crate) fn get(&mut self, key: &str) -> String {
        let TestClerk { cfg, desk, log, store } = self;
        let call = begin(cfg, desk, log, || KvInput::get(key), Location::caller());
        let value = store.get(key);
        observe(|| call.returned_value(&value));
        end(cfg, desk, Some(&value));
        value
    }

    #[track_caller]
    pub(crate) fn put(&mut self, key: &str, value: &str) {
        let TestClerk { cfg, desk, log, store } = self;
        let call = begin(cfg, desk, log, || KvInput::put(key, value), Location::caller());
        store.put(key, value);
        observe(|| call.returned());
        end(cfg, desk, None);
    }

    #[track_caller]
    pub(crate) fn append(&mut self, key: &str, value: &str) {
        let TestClerk { cfg, desk, log, store } = self;
        let call = begin(cfg, desk, log, || KvInput::append(key, value), Location::caller());
        store.append(key, value);
        observe(|| call.returned());
        end(cfg, desk, None);
    }

    /// Who it is in the [`Post`](super::Post).
    pub(crate) fn end(&self) -> End {
        End::Clerk(self.desk.number)
    }

    /// Fails unless `key` holds the first `count` texts that the clerk of worker `client` has appended, each once and in order.
    #[track_caller]
    pub(crate) fn check_appends(&mut self, key: &str, client: usize, count: usize) {
        let value = self.get(key);
        if let Some((rule, objection)) = appends::objection(&value, client, count) {
            let text = format!("key {key:?} does not hold what a clerk has appended: {objection}");
            self.cfg.fail_under(rule, text);
        }
    }

    /// Fails unless `key` has this value.
    #[track_caller]
    pub(crate) fn check(&mut self, key: &str, expected: &str) {
        let value = self.get(key);
        self.compare(key, expected, &value, "");
    }

    /// The same where one rule must have been broken if it has another.
    #[track_caller]
    pub(crate) fn check_by(&mut self, rule: &str, key: &str, expected: &str) {
        let value = self.get(key);
        self.compare(key, expected, &value, &format!(". {rule}"));
    }

    #[track_caller]
    fn compare(&self, key: &str, expected: &str, value: &str, rule: &str) {
        let number = self.desk.number;
        self.cfg.check_under(&rules::LINEARIZABLE, value == expected, || {
            let difference = appends::difference(expected, value);
            format!("clerk {number} read the wrong value of {key:?}: {difference}{rule}")
        });
    }
}

/// Enters an operation that begins now.
fn begin<'a>(
    cfg: &Config,
    desk: &Desk,
    log: &'a models::KvClient,
    input: impl FnOnce() -> KvInput,
    place: &'static Location<'static>,
) -> KvCall<'a> {
    cfg.run.check_on();
    observe(|| {
        let input = input();
        let number = desk.begin(&cfg.run, input.clone(), place);
        cfg.record.number(desk.number, number);
        let since = seconds(cfg.run.elapsed());
        log.call(input).note(format!("from {since}"))
    })
}

/// Enters that it has returned.
#[track_caller]
fn end(cfg: &Config, desk: &Desk, value: Option<&str>) {
    desk.end(&cfg.clerks, value);
    cfg.check_log_sizes_meanwhile();
}

impl Drop for TestClerk {
    fn drop(&mut self) {
        // Of one whose thread fails the test, the report is still to tell.
        if !thread::panicking() {
            self.cfg.clerks.dismiss(&self.desk, self.cfg.cluster.network());
        }
    }
}
