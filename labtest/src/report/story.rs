//! What led to a failure: not the last events, but those that concern the servers, the index and the term it is about.

use std::collections::BTreeMap;
use std::time::Duration;

use labrpc::{CallId, Reason, Step};

use crate::about::About;
use crate::events::picture::{Changes, Picture, Role};
use crate::events::seen_log::Cell;
use crate::events::{Content, Event, Events, Number, Party, What};
use crate::failure::Failure;
use crate::text::{count, seconds};

/// How many events are told.
const TOLD: usize = 11;
/// Of which so many may be evidence.
const EVIDENCE: usize = 8;
/// Over how long messages are counted, of a run in which nothing wrong was seen but too little happened.
const RECENT: Duration = Duration::from_secs(2);
/// How many pairs of servers are told of then.
const PAIRS: usize = 8;

/// Something worth telling.
struct Beat {
    number: Number,
    at: Duration,
    text: String,
    /// Whom it concerns; nobody: everybody.
    servers: Vec<usize>,
    /// It is about who reaches whom.
    links: bool,
}

/// The events that led to the failure, oldest first, each on a line.
pub(super) fn events_of(failure: &Failure, about: &About, events: &Events) -> Vec<String> {
    let last = failure.evidence.len().saturating_sub(EVIDENCE);
    let evidence = &failure.evidence[last..];
    let mut beats = beats(about, events);
    if evidence.is_empty() {
        beats.extend(failure.server.and_then(|server| last_heard(server, events)));
        beats.sort_by_key(|beat| beat.number);
    }
    let concerns = |beat: &Beat| {
        let everybody = beat.servers.is_empty() || about.servers.is_empty();
        everybody || beat.servers.iter().any(|server| about.servers.contains(server))
    };
    beats.retain(|beat| concerns(beat) && !evidence.contains(&beat.number));
    // Of links that change one after the other at one instant, where it leads.
    let mut later = beats.iter().skip(1).map(|beat| (beat.links, beat.at)).collect::<Vec<_>>().into_iter();
    beats.retain(|beat| {
        let next = later.next();
        !(beat.links && next == Some((true, beat.at)))
    });
    beats.drain(..beats.len().saturating_sub(TOLD - evidence.len()));
    for &number in evidence {
        let (at, text) = match events.get(number) {
            Some(event) => (event.at, event.what.to_string()),
            None => (Duration::ZERO, format!("(event {number}, of which no more is kept)")),
        };
        beats.push(Beat { number, at, text, servers: Vec::new(), links: false });
    }
    beats.sort_by_key(|beat| beat.number);
    let line = |beat: &Beat| {
        let mark = if evidence.contains(&beat.number) { "* " } else { "  " };
        format!("{mark}{:>9}  {}", seconds(beat.at), beat.text)
    };
    beats.iter().map(line).collect()
}

/// The message that reached a server last: what its thread failed at, perhaps.
fn last_heard(server: usize, events: &Events) -> Option<Beat> {
    let event = events.kept().rev().find(|event| match &event.what {
        What::Message(passage) => {
            matches!((passage.to, passage.step), (Party::Server(to), Step::Delivered) if to.server == server)
        }
        _ => false,
    })?;
    let (number, at, text) = (event.number, event.at, event.what.to_string());
    Some(Beat { number, at, text, servers: vec![server], links: false })
}

/// All that may be worth telling of the events that are kept.
fn beats(about: &About, events: &Events) -> Vec<Beat> {
    let mut picture = events.before().clone();
    let mut changes = Changes::default();
    let mut beats = Vec::new();
    let mut begun = picture.servers.iter().any(|peer| peer.is.term > 0);
    let mut crashed = false;
    for event in events.kept() {
        let before = Before::of(&picture, about.index);
        picture.see(event, &mut changes);
        let mut tell = |text: String, servers: Vec<usize>| {
            let links = matches!(event.what, What::Links { .. });
            beats.push(Beat { number: event.number, at: event.at, text, servers, links });
        };
        match &event.what {
            What::Message(passage) => {
                begun = true;
                // What a follower makes of a snapshot shows at the index it ends at, and where it applies it.
                if let (Step::Delivered, Party::Server(to), Content::InstallSnapshot(install)) =
                    (passage.step, passage.to, &*passage.content)
                {
                    if about.index == Some(install.last_included_index) {
                        tell(event.what.to_string(), vec![to.server]);
                    }
                }
            }
            What::Start { life, .. } if life.incarnation > 0 => {
                tell(event.what.to_string(), vec![life.server])
            }
            What::Crash { life, .. } | What::Freeze { life } | What::Thaw { life } => {
                tell(event.what.to_string(), vec![life.server]);
            }
            // That nobody reaches it goes without saying.
            What::Links { .. } if begun && !crashed => tell(event.what.to_string(), Vec::new()),
            What::Apply { life, index, .. } | What::ApplySnapshot { life, index, .. }
                if about.index == Some(*index) =>
            {
                tell(event.what.to_string(), vec![life.server]);
            }
            What::Accept { life, index, .. } if about.index == Some(*index) => {
                tell(event.what.to_string(), vec![life.server]);
            }
            _ => {}
        }
        crashed = matches!(event.what, What::Crash { .. });
        for &server in &changes.servers {
            before.tell_changes(server, &picture, about.index, &mut tell);
        }
    }
    beats
}

/// How things stood before an event.
struct Before {
    standing: Vec<(Role, u64)>,
    /// Per server, the entry at the index that the failure is about.
    cells: Vec<Option<Cell>>,
}

impl Before {
    fn of(picture: &Picture, index: Option<u64>) -> Before {
        let standing = picture.servers.iter().map(|peer| (peer.is.role, peer.is.term)).collect();
        Before {
            standing,
            cells: (0..picture.servers.len()).map(|server| cell(picture, server, index)).collect(),
        }
    }

    fn tell_changes(
        &self,
        server: usize,
        picture: &Picture,
        index: Option<u64>,
        tell: &mut impl FnMut(String, Vec<usize>),
    ) {
        let is = picture.servers[server].is;
        let (role, term) = self.standing.get(server).copied().unwrap_or_default();
        match (role, is.role) {
            _ if (role, term) == (is.role, is.term) => {}
            (_, Role::Leader) => tell(format!("server {server} leads term {}", is.term), vec![server]),
            (_, Role::Candidate) => {
                tell(format!("server {server} asks for votes in term {}", is.term), vec![server]);
            }
            (Role::Leader, Role::Follower) => {
                tell(
                    format!("server {server}, the leader of term {term}, hears of term {}", is.term),
                    vec![server],
                );
            }
            _ => {}
        }
        let Some(index) = index else { return };
        let (before, now) = (self.cells.get(server).copied().flatten(), cell(picture, server, Some(index)));
        if before == now {
            return;
        }
        match now {
            Some(Cell { term, command: Some(command) }) => {
                let text = format!("server {server} has {command} of term {term} at index {index}");
                tell(text, vec![server]);
            }
            None if before.is_some() && picture.servers[server].log.last() < index => {
                tell(format!("server {server} cuts its log before index {index}"), vec![server]);
            }
            _ => {}
        }
    }
}

fn cell(picture: &Picture, server: usize, index: Option<u64>) -> Option<Cell> {
    let (at, cell) = picture.servers[server].log.from(index?).next()?;
    (Some(at) == index && cell.term > 0).then_some(*cell)
}

/// What servers told each other in the last seconds, and how it was answered: for a run in which too little happened.
pub(super) fn traffic(failure: &Failure, events: &Events) -> Vec<String> {
    let since = failure.at.saturating_sub(RECENT);
    let mut pairs: BTreeMap<(usize, usize, &'static str), Counts> = BTreeMap::new();
    let mut calls: BTreeMap<CallId, (usize, usize, &'static str)> = BTreeMap::new();
    for event in events.kept().filter(|event| event.at >= since) {
        let What::Message(passage) = &event.what else { continue };
        let (Party::Server(from), Party::Server(to)) = (passage.from, passage.to) else { continue };
        if !passage.is_reply {
            let pair = (from.server, to.server, passage.content.name().unwrap_or(passage.method));
            let counts = pairs.entry(pair).or_default();
            match passage.step {
                Step::Sent => {
                    calls.insert(passage.call, pair);
                    counts.sent += 1;
                }
                Step::Dropped(_) => counts.lost += 1,
                _ => {}
            }
        } else if let (Some(pair), Some((good, word))) = (calls.get(&passage.call), answer(event)) {
            let counts = pairs.entry(*pair).or_default();
            if good {
                counts.good += 1;
            } else {
                counts.refused += 1;
            }
            counts.word = word;
        } else if let (Some(pair), Step::Dropped(reason)) = (calls.get(&passage.call), passage.step) {
            let counts = pairs.entry(*pair).or_default();
            if matches!(reason, Reason::Unanswered | Reason::Panicked) {
                counts.errors += 1;
            } else {
                counts.unanswered += 1;
            }
        }
    }
    let mut told: Vec<_> = pairs.into_iter().collect();
    told.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.sent));
    let more = told.len().saturating_sub(PAIRS);
    told.truncate(PAIRS);
    told.sort_by_key(|(pair, _)| *pair);
    let mut lines: Vec<String> = told
        .iter()
        .map(|((from, to, name), counts)| {
            format!("  server {from} -> server {to}  {name}: {}", counts.tell())
        })
        .collect();
    if more > 0 {
        lines.push(format!("  ({} more)", count(more, "kind")));
    }
    lines
}

#[derive(Default)]
struct Counts {
    sent: usize,
    lost: usize,
    good: usize,
    refused: usize,
    /// The handler had no answer, or panicked.
    errors: usize,
    /// The answer was lost.
    unanswered: usize,
    /// What a good answer is called.
    word: &'static str,
}

impl Counts {
    fn tell(&self) -> String {
        let Counts { sent, lost, good, refused, errors, unanswered, word } = self;
        let mut parts = vec![format!("{sent} sent")];
        let mut part = |n: &usize, what: &str| {
            if *n > 0 {
                parts.push(format!("{n} {what}"));
            }
        };
        part(lost, "did not arrive");
        part(good, word);
        part(refused, "refused");
        part(errors, "got an error");
        part(unanswered, "answers lost");
        parts.join(", ")
    }
}

/// Whether an answer that leaves its server is a good one, and what it is then called. An error is none.
fn answer(event: &Event) -> Option<(bool, &'static str)> {
    let answer = event.seen().answer?;
    match (answer.request, answer.reply) {
        (_, Content::RequestVoteReply(reply)) => Some((reply.granted, "granted")),
        (_, Content::AppendEntriesReply(reply)) => Some((reply.success, "succeeded")),
        (Content::Other, _) | (_, Content::InstallSnapshotReply { .. }) => Some((true, "answered")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use labrpc::{Envelope, Kind, MessageId, Method};

    use super::*;
    use crate::events::InstallSnapshot;

    static INSTALL: Method = Method::new::<u64, bool>("toy", "install");

    /// A report that server 1 hands over a wrong snapshot did not tell which one it had been sent.
    #[test]
    fn the_snapshot_that_ends_at_the_index_is_told() {
        let mut events = Events::default();
        for server in 0..2 {
            events.start(Duration::ZERO, server, 0, 0);
        }
        for (call, last) in [(0, 5_u64), (1, 9)] {
            let (id, args) = (MessageId(call), last.to_le_bytes());
            for step in [Step::Sent, Step::Delivered] {
                let envelope = Envelope {
                    id,
                    call: CallId(call),
                    from: "server 0",
                    to: "server 1",
                    method: &INSTALL,
                    kind: Kind::Request,
                    args: &args,
                    bytes: Some(&args),
                };
                events.message(Duration::ZERO, &labrpc::Event { envelope, step }, |message| {
                    let Some(&last) = message.downcast_ref::<u64>() else { return Content::Other };
                    Content::InstallSnapshot(InstallSnapshot {
                        term: 2,
                        last_included_index: last,
                        last_included_term: 2,
                        data_bytes: 0,
                        plain: true,
                    })
                });
            }
        }
        let failure = Failure::new("server 1 applied a snapshot up to index 9".to_string(), Duration::ZERO);
        let told = events_of(&failure, &About::of(&failure, &events), &events);
        let snapshot = "InstallSnapshot term 2, up to entry 9 of term 2";
        assert!(told.len() == 1 && told[0].contains(snapshot) && told[0].ends_with("delivered"), "{told:?}");
    }
}
