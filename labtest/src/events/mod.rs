//! What happened in a run, as one stream of neutral events: every step of every message, with what it says in the
//! paper's terms; starts and crashes; what is applied; what servers say of themselves.
//!
//! | type | what it is |
//! |---|---|
//! | [`Event`] | one thing that happened, with its number and its time |
//! | [`Content`] | what a message says, whatever type the code under test gives it |
//! | [`Events`] | the recorder: gives each event its number, keeps the last ones, shows each to the oracles |
//! | `Picture` | how the servers stand, as far as the events show it; for readers, not for judges |
//!
//! Recording is observing: it changes neither the schedule nor the clock of a run.

mod content;
mod flights;
mod kept;
pub(crate) mod picture;
mod reader;
mod recorder;
pub(crate) mod seen_log;
mod tap;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use labrpc::{CallId, MessageId, Step};

use crate::text;

pub use content::{
    AppendEntries, AppendEntriesReply, Command, Content, Entry, InstallSnapshot, RequestVote,
    RequestVoteReply,
};
pub use recorder::{Events, Promise, Promised};
pub(crate) use recorder::{Hook, Outcome};
pub(crate) use tap::Tap;

/// The number of an event: its place in the stream. An event that was caused by another has a greater number.
pub type Number = u64;

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its place in the stream, from 0.
    pub number: Number,
    /// Time since the run began.
    pub at: Duration,
    /// What happened.
    pub what: What,
}

/// One life of a server, between two crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life {
    /// The server's number, from 0.
    pub server: usize,
    /// How many lives it had before.
    pub incarnation: u32,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// A server starts, with so much on its disk.
    Start {
        /// Which life begins.
        life: Life,
        /// Bytes of Raft state.
        state_bytes: usize,
        /// Bytes of the snapshot; 0 if it has none.
        snapshot_bytes: usize,
    },
    /// A server crashes: what it does from now on counts for nothing.
    Crash {
        /// Which life ends.
        life: Life,
        /// In which way.
        how: Death,
    },
    /// A server's machine stalls.
    Freeze {
        /// Who.
        life: Life,
    },
    /// It goes on.
    Thaw {
        /// Who.
        life: Life,
    },
    /// From now on servers reach each other within these groups; those in none are cut off.
    Links {
        /// The groups.
        groups: Vec<Vec<usize>>,
    },
    /// A step of a message.
    Message(Passage),
    /// A server applied a command.
    Apply {
        /// Who.
        life: Life,
        /// At which index.
        index: u64,
        /// Which command.
        command: Command,
    },
    /// A server handed a snapshot to its service.
    ApplySnapshot {
        /// Who.
        life: Life,
        /// The last index it covers.
        index: u64,
        /// The term of the entry there.
        term: u64,
    },
    /// A server said what it believes about itself.
    State {
        /// Who.
        life: Life,
        /// It was asked after the event before this one.
        asked: Number,
        /// Its term.
        term: u64,
        /// Whether it leads it.
        is_leader: bool,
    },
    /// A server took a command as leader.
    Accept {
        /// Who.
        life: Life,
        /// It was given the command after the event before this one.
        asked: Number,
        /// Where the command stands in its log.
        index: u64,
        /// The term it leads.
        term: u64,
        /// Which command.
        command: Command,
    },
    /// The service of a server handed it a snapshot, to keep in place of the log up to there.
    Snapshot {
        /// Who.
        life: Life,
        /// The last index it covers.
        index: u64,
    },
    /// The test begins a part of its own.
    Phase {
        /// As reports name it.
        title: String,
    },
    /// A client of the service asks for something.
    Call {
        /// Of this operation.
        id: u64,
        /// Who asks.
        client: String,
        /// What is to be done.
        op: &'static str,
        /// With which key.
        key: String,
        /// What is put or appended.
        value: Option<String>,
    },
    /// It has its answer.
    Return {
        /// To this operation.
        id: u64,
        /// What was read.
        value: Option<String>,
    },
}

/// How a life of a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// It is asked to end: `kill`.
    Kill,
    /// It just stops: its threads never run again, and nothing is unwound.
    PowerCut,
    /// The test takes its machine for lost at this instant, and ends it later.
    Lost,
}

/// One end of a message's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// A server, in the life it then had, or its last one if it was dead.
    Server(Life),
    /// Somebody else: a clerk, or the test itself.
    Stranger,
}

/// One step of one copy of a message on its way.
#[derive(Clone, Debug)]
pub struct Passage {
    /// Which copy of which message.
    pub id: MessageId,
    /// The call it belongs to.
    pub call: CallId,
    /// The procedure called, such as `append_entries`.
    pub method: &'static str,
    /// Who sent it.
    pub from: Party,
    /// For whom it is.
    pub to: Party,
    /// The name of the one of them that is no server.
    pub stranger: Option<Arc<str>>,
    /// Whether it answers another one.
    pub is_reply: bool,
    /// Whether the life that sent it still goes on. A crashed server may have threads that do not know yet.
    pub sender_lives: bool,
    /// How many bytes it has.
    pub bytes: usize,
    /// What it says.
    pub content: Arc<Content>,
    /// Of a reply: what it answers.
    pub answers: Option<Answered>,
    /// What became of it.
    pub step: Step,
}

/// What a reply answers.
#[derive(Clone, Debug)]
pub struct Answered {
    /// What the request said.
    pub request: Arc<Content>,
    /// When the handler started, with several copies of the request the first: the reply tells how things were at some
    /// time between this event and its own `Sent`.
    pub begun: Number,
}

/// A request that reaches its handler: it was true for its sender when that made it, at some time before, and in the
/// sender's present life, since a crash cuts all that is on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) number: Number,
    pub(crate) from: Life,
    pub(crate) to: Life,
    pub(crate) sender_lives: bool,
    pub(crate) request: &'a Content,
}

/// A reply that leaves its server, whether or not it will arrive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) number: Number,
    /// Who answers.
    pub(crate) from: Life,
    /// Who asked.
    pub(crate) to: Life,
    /// Whether the life that answers still goes on; if not, nobody may count on it.
    pub(crate) sender_lives: bool,
    pub(crate) request: &'a Content,
    pub(crate) reply: &'a Content,
    pub(crate) begun: Number,
}

/// An event as oracles look at it: of a message, what it means that this step of it was taken. Found out once for all.
pub(crate) struct Seen<'a> {
    pub(crate) number: Number,
    pub(crate) what: &'a What,
    /// The message between servers that is sent, request or reply: from whom, to whom.
    pub(crate) sent: Option<(Life, Life, &'a Content)>,
    /// The request between servers whose handler starts.
    pub(crate) arrival: Option<Arrival<'a>>,
    /// The reply between servers that leaves.
    pub(crate) answer: Option<Answer<'a>>,
    /// The server that shows that it leads a term.
    pub(crate) leads: Option<(Life, u64)>,
}

impl Event {
    pub(crate) fn seen(&self) -> Seen<'_> {
        let (number, what) = (self.number, &self.what);
        let mut seen = Seen { number, what, sent: None, arrival: None, answer: None, leads: None };
        let passage = match what {
            What::Message(passage) => passage,
            What::State { life, term, is_leader: true, .. } | What::Accept { life, term, .. } => {
                seen.leads = Some((*life, *term));
                return seen;
            }
            _ => return seen,
        };
        let (Party::Server(from), Party::Server(to)) = (passage.from, passage.to) else { return seen };
        let (content, sender_lives) = (&*passage.content, passage.sender_lives);
        match (passage.step, &passage.answers) {
            (Step::Sent, answers) => {
                seen.sent = Some((from, to, content));
                seen.answer = answers.as_ref().map(|Answered { request, begun }| Answer {
                    number,
                    from,
                    to,
                    sender_lives,
                    request,
                    reply: content,
                    begun: *begun,
                });
            }
            (Step::Delivered, None) => {
                seen.arrival = Some(Arrival { number, from, to, sender_lives, request: content });
                if let Content::AppendEntries(AppendEntries { term, .. })
                | Content::InstallSnapshot(InstallSnapshot { term, .. }) = content
                {
                    seen.leads = Some((from, *term));
                }
            }
            _ => {}
        }
        seen
    }
}

impl Seen<'_> {
    /// Whether there is anything to look at: of a message, that is not so at each step.
    pub(crate) fn tells_something(&self) -> bool {
        self.sent.is_some() || self.arrival.is_some() || !matches!(self.what, What::Message(_))
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Death::Kill => "kill",
            Death::PowerCut => "power cut",
            Death::Lost => "lost",
        })
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Party::Server(life) => write!(f, "server {}", life.server),
            Party::Stranger => f.write_str("another"),
        }
    }
}

/// As reports list events: `server 1 -> server 2  RequestVote term 3, last entry 7 of term 2: delivered`.
impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Start { life, state_bytes, snapshot_bytes } => write!(
                f,
                "server {} starts with {state_bytes} bytes of state and a snapshot of {snapshot_bytes}",
                life.server
            ),
            What::Crash { life, how } => write!(f, "server {} crashes ({how})", life.server),
            What::Freeze { life } => write!(f, "server {} freezes", life.server),
            What::Thaw { life } => write!(f, "server {} goes on", life.server),
            What::Links { groups } => match &groups[..] {
                [] => f.write_str("all servers are cut off"),
                groups => {
                    let group = |group: &Vec<usize>| text::servers(group);
                    let groups: Vec<String> = groups.iter().map(group).collect();
                    write!(f, "who reaches whom: {}", groups.join(" | "))
                }
            },
            What::Message(passage) => passage.fmt(f),
            What::Apply { life, index, command } => {
                write!(f, "server {} applies {command} at index {index}", life.server)
            }
            What::ApplySnapshot { life, index, term } => {
                write!(f, "server {} applies a snapshot up to index {index} of term {term}", life.server)
            }
            What::State { life, term, is_leader, .. } => {
                let role = if *is_leader { "that it leads" } else { "that it does not lead" };
                write!(f, "server {} says {role} term {term}", life.server)
            }
            What::Accept { life, index, term, command, .. } => write!(
                f,
                "server {} accepts {command} at index {index} as leader of term {term}",
                life.server
            ),
            What::Snapshot { life, index } => {
                write!(f, "server {} is given a snapshot up to index {index} by its service", life.server)
            }
            What::Phase { title } => write!(f, "the test: {title}"),
            What::Call { client, op, key, value, .. } => {
                write!(f, "{client}: {op} {key:?}")?;
                value.iter().try_for_each(|value| write!(f, " {value:?}"))
            }
            What::Return { id, value } => {
                write!(f, "operation {id} returns")?;
                value.iter().try_for_each(|value| write!(f, " {value:?}"))
            }
        }
    }
}

impl fmt::Display for Passage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}  ", self.from, self.to)?;
        match &*self.content {
            Content::Other => f.write_str(self.method)?,
            content => content.fmt(f)?,
        }
        if let Some(answered) = &self.answers {
            match &*answered.request {
                Content::Other => f.write_str(", a reply")?,
                request => write!(f, ", to {request}")?,
            }
        }
        match self.step {
            Step::Sent => f.write_str(": sent"),
            Step::Duplicated { .. } => f.write_str(": duplicated"),
            Step::Delayed(delay) => write!(f, ": delayed by {delay:?}"),
            Step::Held => f.write_str(": held back"),
            Step::Released => f.write_str(": released"),
            Step::Delivered => f.write_str(": delivered"),
            Step::Dropped(reason) => write!(f, ": dropped ({reason:?})"),
        }
    }
}
