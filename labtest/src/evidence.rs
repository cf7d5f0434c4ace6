//! What a run leaves of what its oracles saw, and a second look at that in another process.
//!
//! A run judges itself: harness and code under test share a process. So a run that passes may leave its stream of events,
//! as far as oracles look at it, and the process that has started the run, in which no code under test ever runs, shows
//! it to oracles of its own ([`review`]). They cannot be silenced by what happened in the run.
//!
//! The stream was written down in the run's process, so this catches a verdict that contradicts the record, not a record
//! that was forged as a whole. Whatever is read here is taken for hostile: it is bounded by its own length, servers are in
//! range, and references lead to what stands before them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use labrpc::{CallId, MessageId, Step};

use crate::events::{
    Answered, AppendEntries, AppendEntriesReply, Command, Content, Death, Entry, Event, InstallSnapshot,
    Life, Party, Passage, RequestVote, RequestVoteReply, What,
};
use crate::oracles::{Off, Oracles};

/// As many as oracles watch.
const SERVERS_MAX: u64 = 64;

/// What the suite of a lab adds to the evidence, and looks at itself; the error says what is wrong with it.
pub type Review = fn(&[u8]) -> Result<(), String>;

/// The evidence: what oracles look at of the stream on a cluster of so many `servers`, then what the suite has left.
pub(crate) fn encode<'a>(
    servers: usize,
    events: impl IntoIterator<Item = &'a Event>,
    of_suite: &[u8],
) -> Vec<u8> {
    let mut pen = Pen::default();
    let mut events = events.into_iter().peekable();
    pen.number(servers as u64);
    pen.number(events.peek().map_or(0, |first| first.number));
    events.for_each(|event| pen.event(event));
    pen.number(END);
    pen.bytes.extend_from_slice(of_suite);
    pen.bytes
}

/// Shows the evidence to the oracles, and what the suite has left to `of_suite`.
pub(crate) fn review(evidence: &[u8], of_suite: Option<Review>) -> Result<(), String> {
    let unreadable = || "it cannot be read".to_owned();
    let mut eye = Eye { rest: evidence, servers: 0, contents: Vec::new(), commands: Vec::new() };
    eye.servers = eye.number().filter(|servers| *servers <= SERVERS_MAX).ok_or_else(unreadable)?;
    if eye.number() != Some(0) {
        return Err("its beginning is missing".to_owned());
    }
    let mut oracles = Oracles::new(eye.servers as usize, Off::default());
    while let Some(event) = eye.event().ok_or_else(unreadable)? {
        oracles.see(&event).map_err(|objection| format!("{}\n{}", objection.text, objection.rule))?;
    }
    of_suite.map_or(Ok(()), |review| review(eye.rest))
}

/// In place of the kind of an event: there are no more.
const END: u64 = 0;

#[derive(Default)]
struct Pen {
    bytes: Vec<u8>,
    /// Places of what was written already, to be referred to. Contents by their address: the stream keeps them all.
    contents: HashMap<*const Content, u64>,
    commands: HashMap<Command, u64>,
}

impl Pen {
    /// Seven bits a byte, the least significant first; the highest bit says that there are more.
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    fn numbers<const N: usize>(&mut self, numbers: [u64; N]) {
        numbers.into_iter().for_each(|number| self.number(number));
    }

    fn life(&mut self, life: Life) {
        self.numbers([life.server as u64, life.incarnation.into()]);
    }

    /// Nothing, if no oracle looks at such an event.
    fn event(&mut self, event: &Event) {
        let head = |pen: &mut Pen, kind, life| {
            pen.numbers([kind, event.number]);
            pen.life(life);
        };
        match &event.what {
            What::Start { life, .. } => head(self, 1, *life),
            What::Crash { life, .. } => head(self, 2, *life),
            What::Apply { life, index, command } => {
                head(self, 3, *life);
                self.number(*index);
                self.command(command);
            }
            What::ApplySnapshot { life, index, term } => {
                head(self, 4, *life);
                self.numbers([*index, *term]);
            }
            What::State { life, asked, term, is_leader } => {
                head(self, 5, *life);
                self.numbers([*asked, *term, u64::from(*is_leader)]);
            }
            What::Accept { life, asked, index, term, command } => {
                head(self, 6, *life);
                self.numbers([*asked, *index, *term]);
                self.command(command);
            }
            What::Snapshot { life, index } => {
                head(self, 7, *life);
                self.number(*index);
            }
            What::Message(passage) => self.passage(event.number, passage),
            What::Freeze { .. }
            | What::Thaw { .. }
            | What::Links { .. }
            | What::Phase { .. }
            | What::Call { .. }
            | What::Return { .. } => {}
        }
    }

    /// Between servers, as it is sent and as it arrives.
    fn passage(&mut self, number: u64, passage: &Passage) {
        let (Party::Server(from), Party::Server(to)) = (passage.from, passage.to) else { return };
        let kind = match (passage.step, &passage.answers) {
            (Step::Sent, None) => 8,
            (Step::Sent, Some(_)) => 9,
            (Step::Delivered, None) => 10,
            _ => return,
        };
        self.numbers([kind, number]);
        self.life(from);
        self.life(to);
        self.number(passage.sender_lives.into());
        self.content(&passage.content);
        if let (9, Some(answered)) = (kind, &passage.answers) {
            self.content(&answered.request);
            self.number(answered.begun);
        }
    }

    /// As a whole once, and then by its place.
    fn content(&mut self, content: &Arc<Content>) {
        let next = self.contents.len() as u64;
        let place = *self.contents.entry(Arc::as_ptr(content)).or_insert(next);
        self.number(place);
        if place < next {
            return;
        }
        match &**content {
            Content::Other => self.number(0),
            Content::RequestVote(m) => {
                self.numbers([1, m.term, m.last_log_index, m.last_log_term]);
            }
            Content::RequestVoteReply(m) => self.numbers([2, m.term, u64::from(m.granted)]),
            Content::AppendEntries(m) => {
                self.numbers([3, m.term, m.prev_log_index, m.prev_log_term, m.leader_commit]);
                self.number(m.entries.len() as u64);
                for entry in m.entries.iter() {
                    self.number(entry.term);
                    self.command(&entry.command);
                }
            }
            Content::AppendEntriesReply(m) => self.numbers([4, m.term, u64::from(m.success)]),
            Content::InstallSnapshot(m) => {
                self.numbers([5, m.term, m.last_included_index, m.last_included_term, m.data_bytes as u64])
            }
            Content::InstallSnapshotReply { term, plain } => self.numbers([6, *term, u64::from(*plain)]),
        }
    }

    fn command(&mut self, command: &Command) {
        let next = self.commands.len() as u64;
        let place = *self.commands.entry(*command).or_insert(next);
        self.number(place);
        if place == next {
            self.bytes.extend_from_slice(&command.to_bytes());
        }
    }
}

/// Reads what a [`Pen`] has written; `None` for anything else.
struct Eye<'a> {
    rest: &'a [u8],
    servers: u64,
    contents: Vec<Arc<Content>>,
    commands: Vec<Command>,
}

impl Eye<'_> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn flag(&mut self) -> Option<bool> {
        self.number().map(|number| number != 0)
    }

    fn life(&mut self) -> Option<Life> {
        let server = self.number().filter(|server| *server < self.servers)?;
        Some(Life { server: server as usize, incarnation: self.number()?.try_into().ok()? })
    }

    /// The next event; within, `None` if there are no more.
    fn event(&mut self) -> Option<Option<Event>> {
        let kind = self.number()?;
        if kind == END {
            return Some(None);
        }
        let number = self.number()?;
        let life = self.life()?;
        let what = match kind {
            1 => What::Start { life, state_bytes: 0, snapshot_bytes: 0 },
            2 => What::Crash { life, how: Death::Kill },
            3 => What::Apply { life, index: self.number()?, command: self.command()? },
            4 => What::ApplySnapshot { life, index: self.number()?, term: self.number()? },
            5 => What::State { life, asked: self.number()?, term: self.number()?, is_leader: self.flag()? },
            6 => What::Accept {
                life,
                asked: self.number()?,
                index: self.number()?,
                term: self.number()?,
                command: self.command()?,
            },
            7 => What::Snapshot { life, index: self.number()? },
            8..=10 => self.passage(kind, life)?,
            _ => return None,
        };
        Some(Some(Event { number, at: Duration::ZERO, what }))
    }

    fn passage(&mut self, kind: u64, from: Life) -> Option<What> {
        let to = self.life()?;
        let (sender_lives, content) = (self.flag()?, self.content()?);
        let answers = match kind {
            9 => Some(Answered { request: self.content()?, begun: self.number()? }),
            _ => None,
        };
        Some(What::Message(Passage {
            // Oracles do not look at these.
            id: MessageId(0),
            call: CallId(0),
            method: "",
            stranger: None,
            bytes: 0,
            from: Party::Server(from),
            to: Party::Server(to),
            is_reply: answers.is_some(),
            sender_lives,
            content,
            answers,
            step: if kind == 10 { Step::Delivered } else { Step::Sent },
        }))
    }

    fn content(&mut self) -> Option<Arc<Content>> {
        let place = self.number()?;
        if place < self.contents.len() as u64 {
            return Some(self.contents[place as usize].clone());
        }
        let content = match self.number()? {
            0 => Content::Other,
            1 => Content::RequestVote(RequestVote {
                term: self.number()?,
                last_log_index: self.number()?,
                last_log_term: self.number()?,
            }),
            2 => Content::RequestVoteReply(RequestVoteReply { term: self.number()?, granted: self.flag()? }),
            3 => {
                let [term, prev_log_index, prev_log_term, leader_commit, count] =
                    [self.number()?, self.number()?, self.number()?, self.number()?, self.number()?];
                // Not made beforehand: the count may be a lie.
                let entry = |_| Some(Entry { term: self.number()?, command: self.command()? });
                let entries = (0..count).map(entry).collect::<Option<Vec<_>>>()?.into();
                Content::AppendEntries(AppendEntries {
                    term,
                    prev_log_index,
                    prev_log_term,
                    entries,
                    leader_commit,
                })
            }
            4 => Content::AppendEntriesReply(AppendEntriesReply {
                term: self.number()?,
                success: self.flag()?,
            }),
            5 => Content::InstallSnapshot(InstallSnapshot {
                term: self.number()?,
                last_included_index: self.number()?,
                last_included_term: self.number()?,
                data_bytes: self.number()? as usize,
            }),
            6 => Content::InstallSnapshotReply { term: self.number()?, plain: self.flag()? },
            _ => return None,
        };
        self.contents.push(Arc::new(content));
        self.contents.last().cloned()
    }

    fn command(&mut self) -> Option<Command> {
        let place = self.number()?;
        if place < self.commands.len() as u64 {
            return Some(self.commands[place as usize]);
        }
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        self.commands.push(Command::from_bytes(bytes));
        self.commands.last().copied()
    }
}

/// Reads all of it, and asks nobody; whether that was possible.
#[cfg(test)]
pub(crate) fn can_be_read(evidence: &[u8]) -> bool {
    let mut eye = Eye { rest: evidence, servers: SERVERS_MAX, contents: Vec::new(), commands: Vec::new() };
    if eye.number().and(eye.number()).is_none() {
        return false;
    }
    loop {
        match eye.event() {
            Some(Some(_)) => {}
            end => return end.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of all kinds that the oracles' own tests do not show to be seen again: see `oracles::script`.
    fn starts() -> Vec<Event> {
        let start =
            |server| What::Start { life: Life { server, incarnation: 0 }, state_bytes: 0, snapshot_bytes: 0 };
        let event = |number| Event { number, at: Duration::ZERO, what: start(number as usize) };
        (0..3).map(event).collect()
    }

    #[test]
    fn the_suite_sees_what_it_has_left() {
        let of_suite: Review = |left| if left == b"fine" { Ok(()) } else { Err("it is not".to_owned()) };
        assert_eq!(review(&encode(3, &starts(), b"fine"), Some(of_suite)), Ok(()));
        assert_eq!(review(&encode(3, &starts(), b"bad"), Some(of_suite)), Err("it is not".to_owned()));
        assert_eq!(review(&encode(0, [], b""), None), Ok(()), "a test without servers");
    }

    #[test]
    fn what_is_no_whole_record_is_no_evidence() {
        let whole = encode(3, &starts(), b"");
        for cut in 0..whole.len() {
            assert!(review(&whole[..cut], None).is_err(), "cut at {cut}");
        }
        assert!(review(&encode(2, &starts(), b""), None).is_err(), "a server too many");
        assert!(review(&encode(65, &starts(), b""), None).is_err(), "more than oracles watch");
        let late = encode(3, &starts()[1..], b"");
        assert_eq!(review(&late, None), Err("its beginning is missing".to_owned()));
    }
}
