//! [`Events`]: numbers what happens, keeps the last of it, and shows each event to the oracles.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use labrpc::{AnyMessage, CallId, Kind, Method};

use super::flights::{Flights, Known};
use super::kept::Kept;
use super::picture::{Changes, Picture};
use super::reader::Reader;
use super::{Content, Death, Event, Life, Number, Party, Passage, What};
use crate::oracles::{Objection, Off, Oracles};

/// How many events are kept, of some 180 bytes each.
const KEPT_EVENTS: usize = 60_000;

/// How many log entries are kept with them, of 40 bytes each: a lagging follower may be sent the whole log again and
/// again.
const KEPT_ENTRIES: usize = 1 << 18;

/// How many names of those who are no servers are remembered.
const STRANGERS_MAX: usize = 64;

/// The stream of a run. Plain data: who records locks it, as an observer.
#[derive(Default)]
pub struct Events {
    next: Number,
    kept: Kept,
    kept_entries: usize,
    flights: Flights,
    reader: Reader,
    servers: Vec<Server>,
    /// The names of those who are no servers.
    strangers: Vec<Arc<str>>,
    oracles: Option<Oracles>,
    /// How many servers there are to be judged, whether or not oracles watch them here.
    judged_servers: Option<usize>,
    /// Nothing is forgotten: the run is to leave all of it.
    keeps_all: bool,
    /// The run has failed: what comes after is a consequence, and not recorded.
    closed: bool,
    hook: Option<Hook>,
    /// How things stood before the events that are kept.
    before: Picture,
}

/// Called at the instant a promise leaves a server, on the thread that answers, with no lock held; with the request to
/// which it is the answer, encoded.
pub(crate) type Hook = Arc<dyn Fn(&Promise, &[u8]) + Send + Sync>;

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
    /// By the answer to which call.
    pub call: CallId,
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

impl fmt::Display for Promised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Promised::Vote { term, candidate } => write!(f, "voted for server {candidate} in term {term}"),
            Promised::Entries { term, index, entry_term } => {
                write!(f, "acknowledged, in term {term}, the log up to index {index} (of term {entry_term})")
            }
            Promised::Snapshot { term, index, .. } => {
                write!(f, "acknowledged, in term {term}, the snapshot up to index {index}")
            }
        }
    }
}

/// What recording an event leads to, outside of the stream's lock.
#[derive(Default)]
pub(crate) struct Outcome {
    /// The run has failed, for this reason.
    pub(crate) objection: Option<Box<Objection>>,
    /// A promise was made, and somebody wants to know.
    pub(crate) promise: Option<(Promise, Hook)>,
}

impl Events {
    /// The events that are still kept, oldest first.
    pub fn kept(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.kept.iter()
    }

    /// An event that is still kept.
    pub(crate) fn get(&self, number: Number) -> Option<&Event> {
        self.kept.get(number)
    }

    /// How things stood before the events that are kept.
    pub(crate) fn before(&self) -> &Picture {
        &self.before
    }

    /// How things stand now.
    pub(crate) fn picture(&self) -> Picture {
        let mut picture = self.before.clone();
        let mut changes = Changes::default();
        self.kept.iter().for_each(|event| picture.see(event, &mut changes));
        picture
    }

    /// How many servers there are that were ever started.
    pub(crate) fn servers(&self) -> usize {
        self.servers.len()
    }

    /// Records nothing from now on.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Something that no server did.
    pub(crate) fn beside(&mut self, at: Duration, what: What) -> Outcome {
        self.push(at, what)
    }

    /// Lets oracles judge from now on, on a cluster of so many servers.
    pub(crate) fn judge(&mut self, servers: usize) {
        self.judged_servers = Some(servers);
        self.keeps_all = labsim::is_reviewed();
        let off = Off::here();
        self.oracles = (!off.all()).then(|| Oracles::new(servers, off));
    }

    /// How many servers there are to be judged.
    pub(crate) fn judged_servers(&self) -> Option<usize> {
        self.judged_servers
    }

    pub(crate) fn hook(&mut self, hook: Hook) {
        self.hook = Some(hook);
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

    pub(crate) fn crash(&mut self, at: Duration, server: usize, how: Death) -> Outcome {
        let Some(life) = self.life(server).filter(|&life| self.is_alive(life)) else {
            return Outcome::default();
        };
        self.servers[server].is_alive = false;
        self.push(at, What::Crash { life, how })
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
        neutral: fn(&Method, &dyn AnyMessage) -> Content,
    ) -> Outcome {
        let (envelope, step) = (&event.envelope, event.step);
        let (from, to) = (self.party(envelope.from), self.party(envelope.to));
        let stranger = match (from, to) {
            (Party::Stranger, _) => Some(self.stranger(envelope.from)),
            (_, Party::Stranger) => Some(self.stranger(envelope.to)),
            _ => None,
        };
        // Who is no server says nothing that a rule speaks of.
        let reader = &mut self.reader;
        let read = || if stranger.is_none() { reader.read(envelope, neutral) } else { reader.opaque() };
        let callee = if envelope.kind == Kind::Request { to } else { from };
        let known = self.flights.step(self.next, callee, envelope, step, read);
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
                stranger,
                is_reply: envelope.kind == Kind::Reply,
                sender_lives,
                bytes: envelope.size(),
                content,
                answers,
                step,
            }),
        )
    }

    /// The name of somebody who is no server, kept once.
    fn stranger(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.strangers.iter().find(|known| &***known == name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        if self.strangers.len() < STRANGERS_MAX {
            self.strangers.push(name.clone());
        }
        name
    }

    fn party(&self, name: &str) -> Party {
        let server = name.strip_prefix("server ").and_then(|number| number.parse().ok());
        server.and_then(|server| self.life(server)).map_or(Party::Stranger, Party::Server)
    }

    fn push(&mut self, at: Duration, what: What) -> Outcome {
        if self.closed {
            return Outcome::default();
        }
        let event = self.kept.push(Event { number: self.next, at, what });
        self.next += 1;
        self.kept_entries += entries_in(event);
        let promise = self.hook.as_ref().and_then(|hook| Some((promise_of(event)?, hook.clone())));
        let judged = self.oracles.as_mut().map_or(Ok(()), |oracles| oracles.see(event));
        while !self.keeps_all && (self.kept.len() > KEPT_EVENTS || self.kept_entries > KEPT_ENTRIES) {
            let Some(oldest) = self.kept.pop() else { break };
            self.kept_entries -= entries_in(&oldest);
            self.before.see(&oldest, &mut Changes::default());
        }
        let objection = judged.err().map(|mut objection| {
            self.closed = true;
            objection.evidence.push(self.next - 1);
            objection
        });
        Outcome { objection, promise }
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
    let What::Message(passage) = &event.what else { return None };
    passage.answers.as_ref()?;
    let answer = event.seen().answer.filter(|answer| answer.sender_lives)?;
    let what = match (answer.request, answer.reply) {
        (Content::RequestVote(asked), Content::RequestVoteReply(reply)) if reply.granted => {
            Promised::Vote { term: asked.term, candidate: answer.to.server }
        }
        (Content::AppendEntries(asked), Content::AppendEntriesReply(reply)) if reply.success => {
            Promised::Entries { term: asked.term, index: asked.last_index(), entry_term: asked.last_term() }
        }
        (Content::InstallSnapshot(asked), Content::InstallSnapshotReply { term, plain: true })
            if *term == asked.term =>
        {
            Promised::Snapshot {
                term: asked.term,
                index: asked.last_included_index,
                entry_term: asked.last_included_term,
            }
        }
        _ => return None,
    };
    Some(Promise { life: answer.from, call: passage.call, what })
}

#[cfg(test)]
mod tests {
    use labrpc::{CallId, Envelope, MessageId, Method, Reason, Step};

    use super::*;
    use crate::events::picture::{Peer, Role};
    use crate::events::{Answered, Party, RequestVote, RequestVoteReply};

    static VOTE: Method = Method::new::<u64, bool>("toy", "vote");

    /// A `u64` asks for a vote in that term, a `bool` answers in term 5.
    fn neutral(_: &Method, message: &dyn AnyMessage) -> Content {
        if let Some(&term) = message.downcast_ref::<u64>() {
            Content::RequestVote(RequestVote { term, last_log_index: 0, last_log_term: 0 })
        } else if let Some(&granted) = message.downcast_ref::<bool>() {
            Content::RequestVoteReply(RequestVoteReply { term: 5, granted })
        } else {
            Content::Other
        }
    }

    /// The stream of three servers that were just started.
    fn three() -> Events {
        let mut events = Events::default();
        for server in 0..3 {
            assert!(events.start(Duration::ZERO, server, 0, 0).objection.is_none());
        }
        events
    }

    const ASKED: [u8; 8] = 5_u64.to_le_bytes();
    const GRANTED: [u8; 1] = [1];

    /// A step of call `call`, which `from` makes to `to`; message `2 * call` is the request, the next the reply.
    fn step(events: &mut Events, call: u64, kind: Kind, from: &str, to: &str, step: Step) -> Outcome {
        let (id, bytes) = match kind {
            Kind::Request => (2 * call, &ASKED[..]),
            Kind::Reply => (2 * call + 1, &GRANTED[..]),
        };
        let (from, to) = if kind == Kind::Request { (from, to) } else { (to, from) };
        let (id, call) = (MessageId(id), CallId(call));
        let envelope = Envelope { id, call, from, to, method: &VOTE, kind, args: &ASKED, bytes: Some(bytes) };
        events.message(Duration::from_millis(events.next), &labrpc::Event { envelope, step }, neutral)
    }

    fn vote(events: &mut Events, call: u64, from: &str, to: &str) -> Outcome {
        step(events, call, Kind::Request, from, to, Step::Sent);
        step(events, call, Kind::Request, from, to, Step::Delivered);
        step(events, call, Kind::Reply, from, to, Step::Sent)
    }

    fn last(events: &Events) -> &Passage {
        match &events.kept().next_back().expect("an event").what {
            What::Message(passage) => passage,
            other => panic!("{other} is no message"),
        }
    }

    #[test]
    fn a_reply_knows_what_it_answers_and_since_when() {
        let mut events = three();
        vote(&mut events, 0, "server 0", "server 1");
        let voter = Party::Server(Life { server: 1, incarnation: 0 });
        let passage = last(&events);
        assert_eq!((passage.from, passage.sender_lives), (voter, true));
        let Some(Answered { request, begun }) = &passage.answers else { panic!("it answers nothing") };
        assert!(matches!(**request, Content::RequestVote(RequestVote { term: 5, .. })));
        // Three starts, the request sent, and then it arrived.
        assert_eq!(*begun, 4);
        assert!(matches!(
            *passage.content,
            Content::RequestVoteReply(RequestVoteReply { granted: true, .. })
        ));
    }

    #[test]
    fn of_copies_the_first_to_arrive_counts_as_the_beginning() {
        let mut events = three();
        let ask = |events: &mut Events, what| step(events, 0, Kind::Request, "server 0", "server 1", what);
        ask(&mut events, Step::Sent);
        ask(&mut events, Step::Delivered);
        // The copy: the same call under another number.
        let copy = Envelope {
            id: MessageId(77),
            call: CallId(0),
            from: "server 0",
            to: "server 1",
            method: &VOTE,
            kind: Kind::Request,
            args: &ASKED,
            bytes: Some(&ASKED),
        };
        for what in [Step::Duplicated { of: MessageId(0) }, Step::Delivered] {
            events.message(Duration::ZERO, &labrpc::Event { envelope: copy, step: what }, neutral);
            assert!(matches!(*last(&events).content, Content::RequestVote(_)));
        }
        step(&mut events, 0, Kind::Reply, "server 0", "server 1", Step::Sent);
        assert_eq!(last(&events).answers.as_ref().unwrap().begun, 4);
    }

    #[test]
    fn the_reply_of_a_server_that_crashed_meanwhile_is_of_its_former_life() {
        let mut events = three();
        step(&mut events, 0, Kind::Request, "server 0", "server 1", Step::Sent);
        step(&mut events, 0, Kind::Request, "server 0", "server 1", Step::Delivered);
        events.crash(Duration::ZERO, 1, Death::Kill);
        events.start(Duration::ZERO, 1, 7, 0);
        step(&mut events, 0, Kind::Reply, "server 0", "server 1", Step::Sent);
        let former = Party::Server(Life { server: 1, incarnation: 0 });
        assert_eq!((last(&events).from, last(&events).sender_lives), (former, false));
    }

    #[test]
    fn calls_that_are_over_are_forgotten() {
        let mut events = three();
        vote(&mut events, 0, "server 0", "server 1");
        step(&mut events, 0, Kind::Reply, "server 0", "server 1", Step::Delivered);
        step(&mut events, 1, Kind::Request, "server 0", "server 1", Step::Sent);
        let lost = Step::Dropped(Reason::Loss);
        step(&mut events, 1, Kind::Request, "server 0", "server 1", lost);
        assert!(events.flights.is_empty());
    }

    #[test]
    fn strangers_say_nothing_that_is_understood() {
        let mut events = three();
        vote(&mut events, 0, "clerk", "server 1");
        assert_eq!(*last(&events).content, Content::Other);
        assert_eq!(last(&events).to, Party::Stranger);
    }

    #[test]
    fn promises_are_told_once_they_leave_a_living_server() {
        let mut events = three();
        assert!(vote(&mut events, 0, "server 0", "server 1").promise.is_none(), "nobody wants to know");
        events.hook(Arc::new(|_, _| ()));
        let (promise, _) = vote(&mut events, 1, "server 0", "server 1").promise.expect("a promise");
        let what = Promised::Vote { term: 5, candidate: 0 };
        let life = Life { server: 1, incarnation: 0 };
        assert_eq!(promise, Promise { life, call: CallId(1), what });
        step(&mut events, 2, Kind::Request, "server 0", "server 1", Step::Sent);
        step(&mut events, 2, Kind::Request, "server 0", "server 1", Step::Delivered);
        events.crash(Duration::ZERO, 1, Death::Kill);
        let late = step(&mut events, 2, Kind::Reply, "server 0", "server 1", Step::Sent);
        assert!(late.promise.is_none(), "the dead promise nothing");
    }

    #[test]
    fn an_objection_names_what_led_to_it_and_is_the_last_event() {
        let mut events = three();
        events.judge(3);
        assert!(vote(&mut events, 0, "server 0", "server 2").objection.is_none());
        let objection = vote(&mut events, 1, "server 1", "server 2").objection.expect("an objection");
        assert_eq!(objection.text, "server 2 voted twice in term 5: for server 0 and for server 1");
        let shown: Vec<String> =
            objection.evidence.iter().map(|&number| events.get(number).unwrap().what.to_string()).collect();
        assert_eq!(shown.len(), 2);
        assert!(shown[0].starts_with("server 2 -> server 0  vote granted, term 5, to RequestVote term 5"));
        assert!(shown[1].starts_with("server 2 -> server 1  vote granted"));
        assert_eq!(events.next() - 1, objection.evidence[1]);
        assert!(vote(&mut events, 2, "server 1", "server 2").objection.is_none());
        assert_eq!(events.next() - 1, objection.evidence[1], "what comes after is not recorded");
    }

    #[test]
    fn the_oldest_events_are_forgotten() {
        let mut events = three();
        for _ in 0..KEPT_EVENTS {
            events.of_living(Duration::ZERO, 0, |life| What::Thaw { life });
        }
        assert_eq!(events.kept.len(), KEPT_EVENTS);
        assert_eq!(events.kept().next().map(|event| event.number), Some(3));
        assert!(events.get(2).is_none() && events.get(3).is_some_and(|event| event.number == 3));
        let is_alive = |peer: &Peer| peer.is.role == Role::Follower;
        assert!(events.before.servers.len() == 3 && events.before.servers.iter().all(is_alive));
    }
}
