//! The post between clerks and servers: what becomes of single messages, by who sends them to whom. What they say is
//! the student's own.

use std::sync::Arc;
use std::time::Duration;

use labrpc::{Envelope, Event, Fate, Kind, MessageId, Observer, Step};
use labtest::{Cluster, no_preempt};
use parking_lot::Mutex;

use super::{Config, Server, clerks};

/// A message that a test waits for comes long before this.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who sends a message, or to whom it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Clerk(usize),
    Server(usize),
    AnyServer,
}

/// The control of the network. Clones are handles to the same one.
#[derive(Clone)]
pub(crate) struct Post {
    cfg: Config,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// Of several that fit, the newest decides.
    rules: Vec<Rule>,
    /// What has been put aside, oldest first.
    aside: Vec<MessageId>,
}

struct Rule {
    kind: Kind,
    from: End,
    to: End,
    fate: Fate,
    /// It holds for one message only.
    once: bool,
    used: bool,
}

impl Config {
    /// Takes control of the network; messages that no rule speaks of are delivered.
    pub(crate) fn post(&self) -> Post {
        let post = Post { cfg: self.clone(), inner: Arc::default() };
        self.network().observe(Arc::new(post.clone()));
        let control = post.clone();
        self.network().intercept(move |envelope| control.decide(envelope));
        post
    }
}

impl Post {
    /// Lets the next message of this kind have this fate.
    pub(crate) fn next(&self, kind: Kind, from: End, to: End, fate: Fate) {
        self.rule(Rule { kind, from, to, fate, once: true, used: false });
    }

    /// Lets all messages of this kind have this fate from now on.
    pub(crate) fn all(&self, kind: Kind, from: End, to: End, fate: Fate) {
        self.rule(Rule { kind, from, to, fate, once: false, used: false });
    }

    fn rule(&self, rule: Rule) {
        self.with(|inner| inner.rules.push(rule));
    }

    /// Ends all rules. What is put aside stays so.
    pub(crate) fn calm(&self) {
        self.with(|inner| inner.rules.clear());
    }

    /// Waits until what was said of the [next](Post::next) messages has come true. Fails, with what did not happen,
    /// if that takes too long; in real time, where a loaded machine may have had another leader elected, warns.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str) {
        let done = || self.with(|inner| inner.rules.iter().all(|rule| rule.used || !rule.once)).then_some(());
        if self.cfg.run.wait_until(PATIENCE, done).is_none() {
            self.cfg.run.fail_if_virtual(
                &labtest::rules::CLERKS_ANSWERED,
                format!("{what} has not happened within {} s", PATIENCE.as_secs()),
            );
        }
    }

    /// Lets what was put aside arrive now; how many messages.
    pub(crate) fn release(&self) -> usize {
        let aside = self.with(|inner| std::mem::take(&mut inner.aside));
        aside.into_iter().filter(|&id| self.cfg.network().release(id)).count()
    }

    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        no_preempt(|| f(&mut self.inner.lock()))
    }

    fn decide(&self, envelope: &Envelope<'_>) -> Fate {
        let fate = self.with(|inner| {
            let fits = |rule: &&mut Rule| rule.fits(envelope);
            inner.rules.iter_mut().rev().find(fits).map(|rule| {
                rule.used = true;
                rule.fate
            })
        });
        if fate.is_some() {
            self.cfg.run.notify();
        }
        fate.unwrap_or(Fate::Deliver)
    }
}

impl Rule {
    fn fits(&self, envelope: &Envelope<'_>) -> bool {
        let over = self.once && self.used;
        !over && self.kind == envelope.kind && self.from.is(envelope.from) && self.to.is(envelope.to)
    }
}

impl End {
    fn is(self, name: &str) -> bool {
        match self {
            End::Clerk(number) => name == clerks::name(number),
            End::Server(server) => name == Cluster::<Server>::name(server),
            End::AnyServer => name.starts_with("server "),
        }
    }
}

impl Observer for Post {
    fn observe(&self, event: &Event<'_>) {
        if event.step == Step::Held {
            self.with(|inner| inner.aside.push(event.envelope.id));
        }
    }
}
