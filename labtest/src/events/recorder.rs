//! [`Events`]: numbers what happens, keeps the last of it, and shows each event to the oracles.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use labrpc::{AnyMessage, Kind};

use super::flights::{Flights, Known};
use super::{Content, Event, Life, Number, Party, Passage, What};
use crate::oracles::{Objection, Off, Oracles};
use crate::text;

/// How many events are kept.
const KEPT_EVENTS: usize = 1 << 15;

/// How many log entries are kept with them: a lagging follower may be sent the whole log again and again.
const KEPT_ENTRIES: usize = 1 << 18;

/// How many of the events that led to an objection are listed.
const EVIDENCE: usize = 8;

/// The stream of a run. Plain data: who records locks it, as an observer.
#[derive(Default)]
pub struct Events {
    next: Number,
    kept: VecDeque<Event>,
    kept_entries: usize,
    flights: Flights,
    servers: Vec<Server>,
    oracles: Option<Oracles>,
    /// An oracle has objected: what comes after is a consequence.
    objected: bool,
    hooks: Vec<Hook>,
}

/// Called at the instant a promise leaves a server, on the thread that answers, with no lock held.
pub(crate) type Hook = Arc<dyn Fn(&Promise) + Send + Sync>;

#[derive(Default)]
struct Server {
    starts: u32,
    is_alive: bool,
}

/// What a server has promised by an answer, and must have on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Who promises.
    pub life: Life,
    /// What.
    pub what: Promised,
}

/// What a server promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promised {
    /// Its vote.
    Vote {
        /// The term of the vote.
        term: u64,
        /// Who has it.
        candidate: usize,
    },
    /// That it holds a leader's log up to an entry.
    Entries {
        /// The leader's term.
        term: u64,
        /// The last entry's index.
        index: u64,
        /// The last entry's term.
        entry_term: u64,
    },
    /// That it has a leader's snapshot, or more.
    Snapshot {
        /// The leader's term.
        term: u64,
        /// The last index the snapshot covers.
        index: u64,
        /// The term of the entry there.
        entry_term: u64,
    },
}

/// What recording an event leads to, outside of the stream's lock.
#[derive(Default)]
pub(crate) struct Outcome {
    /// The run has failed, for this reason.
    pub(crate) objection: Option<String>,
    /// A promise was made, and these want to know.
    pub(crate) promise: Option<(Promise, Vec<Hook>)>,
}

impl Events {
    /// The events that are still kept, oldest first.
    pub fn kept(&self) -> impl Iterator<Item = &Event> {
        self.kept.iter()
    }

    /// Lets oracles judge from now on, on a cluster of so many servers.
    pub(crate) fn judge(&mut self, servers: usize) {
        // What is malformed was refused before the run.
        self.oracles = Some(Oracles::new(servers, Off::read().unwrap_or_default()));
    }

    pub(crate) fn hook(&mut self, hook: Hook) {
        self.hooks.push(hook);
    }

    /// The number that the next event will have.
    pub(crate) fn next(&self) -> Number {
        self.next
    }

    /// A server's present life; its last one if it is dead. `None` if it never lived.
    fn life(&self, server: usize) -> Option<Life> {
        let incarnation = self.servers.get(server)?.starts.checked_sub(1)?;
        Some(Life { server, incarnation })
    }

    fn is_alive(&self, life: Life) -> bool {
        self.life(life.server) == Some(life) && self.servers[life.server].is_alive
    }

    pub(crate) fn start(
        &mut self,
        at: Duration,
        server: usize,
        state_bytes: usize,
        snapshot_bytes: usize,
    ) -> Outcome {
        if self.servers.len() <= server {
            self.servers.resize_with(server + 1, Server::default);
        }
        let slot = &mut self.servers[server];
        *slot = Server { starts: slot.starts + 1, is_alive: true };
        let life = Life { server, incarnation: slot.starts - 1 };
        self.push(at, What::Start { life, state_bytes, snapshot_bytes })
    }

    pub(crate) fn crash(&mut self, at: Duration, server: usize) -> Outcome {
        let Some(life) = self.life(server).filter(|&life| self.is_alive(life)) else {
            return Outcome::default();
        };
        self.servers[server].is_alive = false;
        self.push(at, What::Crash { life })
    }

    /// Something that a living server did or said; `what` is told which life it was.
    pub(crate) fn of_living(
        &mut self,
        at: Duration,
        server: usize,
        what: impl FnOnce(Life) -> What,
    ) -> Outcome {
        match self.life(server).filter(|&life| self.is_alive(life)) {
            Some(life) => self.push(at, what(life)),
            None => Outcome::default(),
        }
    }

    pub(crate) fn message(
        &mut self,
        at: Duration,
        event: &labrpc::Event<'_>,
        neutral: fn(&dyn AnyMessage) -> Content,
    ) -> Outcome {
        let (envelope, step) = (&event.envelope, event.step);
        let (from, to) = (self.party(envelope.from), self.party(envelope.to));
        let between_servers = from != Party::Stranger && to != Party::Stranger;
        // Who is no server says nothing that a rule speaks of.
        let decode = || {
            let message = if between_servers { envelope.message() } else { None };
            message.map_or(Content::Other, |message| neutral(&*message))
        };
        let callee = if envelope.kind == Kind::Request { to } else { from };
        let known = self.flights.step(self.next, callee, envelope, step, decode);
        let Some(Known { content, answered }) = known else { return Outcome::default() };
        let (from, answers) = match answered {
            Some((handler, answered)) => (handler, Some(answered)),
            None => (from, None),
        };
        let sender_lives = matches!(from, Party::Server(life) if self.is_alive(life));
        self.push(
            at,
            What::Message(Passage {
                id: envelope.id,
                call: envelope.call,
                method: envelope.method.method,
                from,
                to,
                sender_lives,
                bytes: envelope.size(),
                content,
                answers,
                step,
            }),
        )
    }

    fn party(&self, name: &str) -> Party {
        let server = name.strip_prefix("server ").and_then(|number| number.parse().ok());
        server.and_then(|server| self.life(server)).map_or(Party::Stranger, Party::Server)
    }

    fn push(&mut self, at: Duration, what: What) -> Outcome {
        let event = Event { number: self.next, at, what };
        self.next += 1;
        let promise = promise_of(&event).filter(|_| !self.hooks.is_empty());
        let judged = match &mut self.oracles {
            Some(oracles) if !self.objected => oracles.see(&event),
            _ => Ok(()),
        };
        self.kept_entries += entries_in(&event);
        self.kept.push_back(event);
        while self.kept.len() > KEPT_EVENTS || self.kept_entries > KEPT_ENTRIES {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.kept_entries -= entries_in(&oldest);
        }
        let objection = judged.err().map(|objection| {
            self.objected = true;
            self.tell(&objection)
        });
        Outcome { objection, promise: promise.map(|promise| (promise, self.hooks.clone())) }
    }

    /// An objection with the events that led to it.
    fn tell(&self, objection: &Objection) -> String {
        let mut text = objection.to_string();
        let mut numbers = objection.evidence.clone();
        numbers.push(self.next - 1);
        numbers.sort_unstable();
        numbers.dedup();
        text += "\nwhat led there:";
        for &number in &numbers[numbers.len().saturating_sub(EVIDENCE)..] {
            let first = self.kept.front().map_or(self.next, |event| event.number);
            let kept = number.checked_sub(first).and_then(|at| self.kept.get(at as usize));
            match kept {
                Some(event) => write!(text, "\n  {:>9}  {}", text::seconds(event.at), event.what),
                None => write!(text, "\n  {:>9}  event {number}, of which no more is kept", "earlier"),
            }
            .expect("writing to a string");
        }
        text
    }
}

fn entries_in(event: &Event) -> usize {
    match &event.what {
        What::Message(Passage { content, .. }) => match &**content {
            Content::AppendEntries(append) => append.entries.len(),
            _ => 0,
        },
        _ => 0,
    }
}

/// What a server promises with an answer that leaves it.
fn promise_of(event: &Event) -> Option<Promise> {
    let answer = event.answer().filter(|answer| answer.sender_lives)?;
    let what = match (answer.request, answer.reply) {
        (Content::RequestVote(asked), Content::RequestVoteReply(reply)) if reply.granted && asked.plain => {
            Promised::Vote { term: asked.term, candidate: answer.to.server }
        }
        (Content::AppendEntries(asked), Content::AppendEntriesReply(reply)) if reply.success => {
            Promised::Entries { term: asked.term, index: asked.last_index(), entry_term: asked.last_term() }
        }
        (Content::InstallSnapshot(asked), Content::InstallSnapshotReply { term, plain: true })
            if asked.plain && *term == asked.term =>
        {
            Promised::Snapshot {
                term: asked.term,
                index: asked.last_included_index,
                entry_term: asked.last_included_term,
            }
        }
        _ => return None,
    };
    Some(Promise { life: answer.from, what })
}
