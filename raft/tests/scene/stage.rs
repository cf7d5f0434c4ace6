//! The network as a scenario controls it: rules about single messages, and a record of all of them.
//!
//! A rule holds for messages that are sent from then on; of several that fit, the newest decides. Messages that no
//! rule speaks of, and a solution's own kinds of messages, are delivered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use labrpc::{CallId, Envelope, Event, Fate, MessageId, Notice, Observer, Step};
use parking_lot::Mutex;
use raft::Persister;

use crate::config::Config;
use crate::scene::message::{Kind, Message, Place};
use crate::scene::pattern::{Names, Pattern};

/// The control of a cluster's network. Clones are handles to the same one.
#[derive(Clone)]
pub(crate) struct Stage {
    cfg: Config,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    rules: Vec<(Pattern, Names, Fate)>,
    forbidden: Vec<(Pattern, Names, String)>,
    traps: Vec<Trap>,
    requests: BTreeMap<CallId, Message>,
    /// Every copy of a message there was, in the order in which they were sent.
    messages: BTreeMap<MessageId, Message>,
    /// The copies that were sent, or whose place has changed, one after the other.
    changes: Vec<MessageId>,
    /// The objection to the first forbidden message.
    objection: Option<String>,
}

/// A machine that loses its power.
struct Trap {
    server: usize,
    /// As such a message leaves it; else right after a write that cuts its log, or leaves another snapshot.
    leaves: Option<(Pattern, Names)>,
    /// The message that sprang it, and the disk as it was then.
    sprung: Option<(Option<MessageId>, Persister)>,
}

impl Stage {
    /// Takes control of the network.
    pub(crate) fn on(cfg: &Config) -> Stage {
        let stage = Stage { cfg: cfg.clone(), inner: Arc::default() };
        cfg.network().observe(Arc::new(stage.clone()));
        let control = stage.clone();
        cfg.network().intercept(move |envelope| control.decide(envelope));
        stage
    }

    /// Lets the messages meant have this fate.
    pub(crate) fn rule(&self, pattern: Pattern, names: &Names, fate: Fate) {
        self.with(|inner| inner.rules.push((pattern, names.clone(), fate)));
    }

    /// Forbids the messages meant; `objection` is what is then wrong.
    pub(crate) fn forbid(&self, pattern: Pattern, names: &Names, objection: String) {
        self.with(|inner| inner.forbidden.push((pattern, names.clone(), objection)));
    }

    /// Forbids nothing any more.
    pub(crate) fn permit(&self) {
        self.with(|inner| inner.forbidden.clear());
    }

    /// Ends all rules. What is held stays so.
    pub(crate) fn calm(&self) {
        self.with(|inner| inner.rules.clear());
    }

    /// Forgets all that was said and forbidden.
    pub(crate) fn clear(&self) {
        self.with(|inner| {
            inner.rules.clear();
            inner.forbidden.clear();
            inner.traps.clear();
            inner.messages.clear();
            inner.changes.clear();
        });
    }

    /// Lets `server` lose its power as the first message meant leaves it.
    pub(crate) fn trap(&self, server: usize, pattern: Pattern, names: &Names) {
        let trap = Trap { server, leaves: Some((pattern, names.clone())), sprung: None };
        self.with(|inner| inner.traps.push(trap));
    }

    /// Lets `server` lose its power between two of its writes, right after the first that leaves less of its log, or
    /// another snapshot. Not for a server that another trap was set for since it started: this one locks the stage with the
    /// disk locked, that one the disk with the stage locked.
    pub(crate) fn trap_at_cut(&self, server: usize) {
        self.with(|inner| inner.traps.push(Trap { server, leaves: None, sprung: None }));
        let stage = self.clone();
        self.cfg.on_cut(server, move |disk| {
            stage.with(|inner| {
                // Without the trap, whose time is up then, the server goes on.
                let is_set = |trap: &&mut Trap| {
                    trap.server == server && trap.leaves.is_none() && trap.sprung.is_none()
                };
                let Some(trap) = inner.traps.iter_mut().find(is_set) else { return };
                stage.cfg.take_for_lost(server);
                trap.sprung = Some((None, disk.clone()));
            });
            stage.cfg.notify();
        });
    }

    /// Whether a trap was set for `server`.
    pub(crate) fn has_trap(&self, server: usize) -> bool {
        self.with(|inner| inner.traps.iter().any(|trap| trap.server == server))
    }

    /// Waits until the trap of `server` has sprung and its message, if any, has found its end; the disk at that moment. Then,
    /// or when the time is up, the trap is taken away.
    pub(crate) fn sprung(&self, server: usize, limit: Duration) -> Option<Persister> {
        let end = |inner: &Inner| {
            let (id, disk) = inner.traps.iter().find(|trap| trap.server == server)?.sprung.as_ref()?;
            let ended = |id| matches!(inner.messages.get(id), Some(message) if message.place != Place::Sent);
            id.as_ref().is_none_or(ended).then(|| disk.clone())
        };
        let disk = self.cfg.wait_until(limit, || self.with(|inner| end(inner)));
        self.with(|inner| {
            // It may have sprung just as the time was up.
            let disk = disk.or_else(|| end(inner));
            inner.traps.retain(|trap| trap.server != server);
            disk
        })
    }

    /// Waits at most `limit` for messages, one for each pattern, that fit all of them together. Names that mean nothing
    /// yet get their meaning from them.
    pub(crate) fn wait(&self, patterns: &[Pattern], names: &Names, limit: Duration) -> Option<Names> {
        let since = self.with(|inner| inner.messages.keys().next_back().copied());
        let mut seen = 0;
        self.cfg.wait_until(limit, || {
            self.with(|inner| {
                // Where heartbeats go on for seconds, to look at all messages whenever one moves would take as long.
                let is_news = |id| {
                    let message = inner.messages.get(id);
                    message.is_some_and(|it| patterns.iter().any(|pattern| pattern.may_match(it, names)))
                };
                let news = inner.changes.get(seen..).unwrap_or(&inner.changes).iter().any(is_news);
                seen = inner.changes.len();
                if !news {
                    return None;
                }
                let messages: Vec<&Message> = inner.messages.values().collect();
                fit(patterns, &messages, names, since)
            })
        })
    }

    /// Lets the held messages arrive that are meant, in the order in which they were sent; how many.
    pub(crate) fn release(&self, pattern: Option<&Pattern>, names: &Names) -> usize {
        let held: Vec<MessageId> = self.with(|inner| {
            let meant = |message: &&Message| {
                message.place == Place::Held
                    && pattern.is_none_or(|pattern| pattern.matches(message, &mut names.clone()))
            };
            inner.messages.values().filter(meant).map(|message| message.id).collect()
        });
        held.into_iter().filter(|&id| self.cfg.network().release(id)).count()
    }

    /// Drops all messages of these kinds from now on, of which the senders learn.
    pub(crate) fn drop_all(&self, kinds: &[Kind]) {
        for (name, _) in Kind::NAMES.iter().filter(|(_, kind)| kinds.contains(kind)) {
            let pattern = Pattern::parse(&[name, "*", "->", "*"]).expect("it is one");
            self.rule(pattern, &Names::default(), Fate::Drop(Notice::AtOnce));
        }
    }

    /// How many messages of a kind have arrived.
    pub(crate) fn delivered(&self, kind: Kind) -> usize {
        let arrived = |message: &&Message| message.kind == kind && message.place == Place::Delivered;
        self.with(|inner| inner.messages.values().filter(arrived).count())
    }

    /// A server that granted its vote and asked for votes itself less than `patience` later: the server, whom it voted for,
    /// and how much later.
    pub(crate) fn candidacy_after_vote(&self, patience: Duration) -> Option<(usize, usize, Duration)> {
        self.with(|inner| {
            let messages: Vec<&Message> = inner.messages.values().collect();
            messages.iter().enumerate().find_map(|(at, granted)| {
                let votes = granted.kind == Kind::VoteReply && granted.yes;
                let stands = |it: &&&Message| {
                    it.kind == Kind::Vote && it.from == granted.from && it.term > granted.asked_in
                };
                let later = messages[at + 1..].iter().filter(|_| votes).find(stands)?;
                let after = later.at.checked_sub(granted.at)?;
                (after < patience).then_some((granted.from, granted.to, after))
            })
        })
    }

    /// What is wrong, if something that must not happen has.
    pub(crate) fn objection(&self) -> Option<String> {
        self.with(|inner| inner.objection.clone())
    }

    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        labtest::no_preempt(|| f(&mut self.inner.lock()))
    }

    fn decide(&self, envelope: &Envelope<'_>) -> Fate {
        self.with(|inner| {
            let mute = |server: &str| {
                let sprung =
                    |trap: &Trap| trap.sprung.is_some() && server == format!("server {}", trap.server);
                inner.traps.iter().any(sprung)
            };
            if mute(envelope.from) || mute(envelope.to) {
                return Fate::Drop(Notice::AtOnce);
            }
            let Some(message) = inner.messages.get(&envelope.id) else {
                // One of an own kind: only what is said of any message concerns it. It cannot be held: nobody would release it.
                let number = |name: &str| name.strip_prefix("server ")?.parse().ok();
                let (Some(from), Some(to)) = (number(envelope.from), number(envelope.to)) else {
                    return Fate::Deliver;
                };
                let lost = |(pattern, names, fate): &&(Pattern, Names, Fate)| {
                    matches!(fate, Fate::Drop(_)) && pattern.matches_any(from, to, names)
                };
                return inner.rules.iter().rev().find(lost).map_or(Fate::Deliver, |(_, _, fate)| *fate);
            };
            for trap in &mut inner.traps {
                let Some((pattern, names)) = &trap.leaves else { continue };
                if trap.server == message.from && pattern.matches(message, &mut names.clone()) {
                    self.cfg.take_for_lost(trap.server);
                    trap.sprung = Some((Some(message.id), self.cfg.disk(trap.server).fork()));
                }
            }
            let fits =
                |(pattern, names, _): &&(Pattern, Names, Fate)| pattern.matches(message, &mut names.clone());
            inner.rules.iter().rev().find(fits).map_or(Fate::Deliver, |(_, _, fate)| *fate)
        })
    }
}

impl Inner {
    /// Enters a message that a server sends, whether or not there is a way for it.
    fn enter(&mut self, envelope: &Envelope<'_>, now: Duration) {
        let Some(message) = Message::read(envelope, |call| self.requests.get(&call)) else { return };
        let message = Message { at: now, ..message };
        if envelope.kind == labrpc::Kind::Request {
            self.requests.insert(message.call, message.clone());
        }
        for (pattern, names, objection) in &self.forbidden {
            if self.objection.is_none() && pattern.matches(&message, &mut names.clone()) {
                self.objection = Some(objection.clone());
            }
        }
        self.changes.push(message.id);
        self.messages.insert(message.id, message);
    }
}

impl Observer for Stage {
    fn observe(&self, event: &Event<'_>) {
        let (id, now) = (event.envelope.id, labtest::now());
        self.with(|inner| {
            let place = match event.step {
                Step::Sent => return inner.enter(&event.envelope, now),
                Step::Duplicated { of } => {
                    if let Some(copy) = inner.messages.get(&of).cloned() {
                        inner.changes.push(id);
                        inner.messages.insert(id, Message { id, place: Place::Sent, ..copy });
                    }
                    return;
                }
                Step::Delayed(_) | Step::Released => return,
                Step::Held => Place::Held,
                Step::Delivered => Place::Delivered,
                Step::Dropped(_) => Place::Dropped,
            };
            if let Some(message) = inner.messages.get_mut(&id) {
                message.place = place;
                inner.changes.push(id);
            }
        });
        self.cfg.notify();
    }
}

/// Messages, one for each pattern, that give all names one meaning; the meaning.
fn fit(
    patterns: &[Pattern],
    messages: &[&Message],
    names: &Names,
    since: Option<MessageId>,
) -> Option<Names> {
    let Some((first, rest)) = patterns.split_first() else { return Some(names.clone()) };
    messages.iter().filter(|message| !first.new || since.is_none_or(|since| message.id > since)).find_map(
        |message| {
            let mut given = names.clone();
            first.matches(message, &mut given).then(|| fit(rest, messages, &given, since))?
        },
    )
}
