//! What led to a failure: not the last events, but those that concern the servers, the index and the term it is about.

use std::collections::BTreeMap;
use std::time::Duration;

use labrpc::{CallId, Reason, Step};

use super::elections::{Elections, Reign};
use crate::about::About;
use crate::events::picture::{Changes, Picture, Role, Standing};
use crate::events::seen_log::Cell;
use crate::events::{Content, Event, Events, Number, Party, What};
use crate::failure::Failure;
use crate::text::{count, seconds, servers};

/// How many events are told.
const TOLD: usize = 11;
/// The same of what clients were told: their operations stand in the report already.
const TOLD_OF_CLIENTS: usize = 9;
/// Of which so many may be evidence.
const EVIDENCE: usize = 8;
/// Or so many answers to clients, of those that contradict each other the last.
const ANSWERS: usize = 4;
/// Over how long messages are counted, of a run in which nothing wrong was seen but too little happened.
const RECENT: Duration = Duration::from_secs(2);
/// How many pairs of servers are told of then.
const PAIRS: usize = 8;

/// Something worth telling.
#[derive(Debug)]
struct Beat {
    number: Number,
    at: Duration,
    text: String,
    /// Whom it concerns; nobody: everybody.
    servers: Vec<usize>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It shows the failure.
    Proof,
    /// Who reaches whom.
    Links,
    Crash,
    Start,
    /// The server's machine stalls, or goes on.
    Stall,
    /// The server asks for votes in this term.
    Asks(u64),
    /// It leads this term.
    Leads(u64),
    Other,
}

/// The events that led to the failure, oldest first, each on a line.
pub(super) fn events_of(failure: &Failure, about: &About, events: &Events) -> Vec<String> {
    let Beats { mut beats, mut reigns, rivals } = beats(about, events);
    let evidence = &failure.evidence[failure.evidence.len().saturating_sub(EVIDENCE)..];
    // Those that the failure names, if they led the term that it names.
    reigns.extend(about.servers.iter().filter_map(|&server| Some((server, about.term?))));
    if evidence.is_empty() {
        beats.extend(failure.server.and_then(|server| last_heard(server, events)));
    }
    let concerns = |beat: &Beat| {
        let everybody = beat.servers.is_empty() || about.servers.is_empty();
        let is_about = |server: &usize| match beat.kind {
            Kind::Asks(_) | Kind::Leads(_) if rivals.contains(server) => true,
            // What clients were told may be anybody's doing.
            Kind::Crash | Kind::Start | Kind::Stall if !about.answers.is_empty() => true,
            _ => about.servers.contains(server),
        };
        everybody || beat.servers.iter().any(is_about)
    };
    beats.retain(|beat| concerns(beat) && !evidence.contains(&beat.number));
    // A history is judged when the run is over: what came after its last answer did not lead to it.
    if let Some(last) = about.answers.last() {
        beats.retain(|beat| beat.number <= last.returned);
    }
    for &number in evidence {
        let (at, text) = match events.get(number) {
            Some(event) => (event.at, event.what.to_string()),
            None => (Duration::ZERO, format!("(event {number}, of which no more is kept)")),
        };
        beats.push(Beat { number, at, text, servers: Vec::new(), kind: Kind::Proof });
    }
    beats.sort_by_key(|beat| beat.number);
    let mut beats = shorter(beats);
    let is_certain = |beat: &Beat| match beat.kind {
        Kind::Proof => true,
        Kind::Leads(term) => beat.servers.iter().any(|&server| reigns.contains(&(server, term))),
        _ => false,
    };
    let most = if about.answers.is_empty() { TOLD } else { TOLD_OF_CLIENTS };
    let mut spare = most.saturating_sub(beats.iter().filter(|beat| is_certain(beat)).count());
    let mut dropped = beats.len();
    // The newest of the others.
    while let Some(at) = dropped.checked_sub(1) {
        dropped = at;
        if is_certain(&beats[at]) {
            continue;
        }
        match spare.checked_sub(1) {
            Some(left) => spare = left,
            None => drop(beats.remove(at)),
        }
    }
    let line = |beat: &Beat| {
        let mark = if beat.kind == Kind::Proof { "* " } else { "  " };
        format!("{mark}{:>9}  {}", seconds(beat.at), beat.text)
    };
    beats.iter().map(line).collect()
}

/// The same in fewer words: of links that change at one instant, where it leads; several crashes, or starts, at one
/// instant as one; of an election that was won, how it ended.
fn shorter(beats: Vec<Beat>) -> Vec<Beat> {
    let won: Vec<Reign> = beats
        .iter()
        .filter_map(|beat| match beat.kind {
            Kind::Leads(term) => Some((*beat.servers.first()?, term)),
            _ => None,
        })
        .collect();
    let last_links: BTreeMap<Duration, Number> =
        beats.iter().filter(|beat| beat.kind == Kind::Links).map(|beat| (beat.at, beat.number)).collect();
    let mut out: Vec<Beat> = Vec::new();
    for beat in beats {
        let is_told_later = match beat.kind {
            Kind::Links => last_links.get(&beat.at) != Some(&beat.number),
            Kind::Asks(term) => beat.servers.first().is_some_and(|&server| won.contains(&(server, term))),
            _ => false,
        };
        if is_told_later {
            continue;
        }
        let what = match beat.kind {
            Kind::Crash => "crash",
            Kind::Start => "start again",
            _ => "",
        };
        match out.last_mut() {
            Some(last) if !what.is_empty() && (last.kind, last.at) == (beat.kind, beat.at) => {
                last.servers.extend(beat.servers);
                last.text = format!("{} {what}", servers(&last.servers));
            }
            _ => out.push(beat),
        }
    }
    out
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
    Some(Beat { number, at, text, servers: vec![server], kind: Kind::Other })
}

/// All that may be worth telling of the events that are kept.
struct Beats {
    beats: Vec<Beat>,
    /// How those came to lead who then answered a client, or lead at the end, is told for certain.
    reigns: Vec<Reign>,
    /// Those who take themselves for leaders at the end, if they are several.
    rivals: Vec<usize>,
}

fn beats(about: &About, events: &Events) -> Beats {
    let mut picture = events.before().clone();
    let mut changes = Changes::default();
    let mut beats = Vec::new();
    let mut reigns = Vec::new();
    let mut elections = Elections::default();
    let answers = &about.answers[about.answers.len().saturating_sub(ANSWERS)..];
    let mut begun = picture.servers.iter().any(|peer| peer.is.term > 0);
    let mut crashed = false;
    for event in events.kept() {
        let before = Before::of(&picture, about.index);
        picture.see(event, &mut changes);
        elections.see(event);
        let mut tell = |kind: Kind, text: String, servers: Vec<usize>| {
            beats.push(Beat { number: event.number, at: event.at, text, servers, kind });
        };
        match &event.what {
            What::Message(passage) => {
                begun = true;
                // What a follower makes of a snapshot shows at the index it ends at, and where it applies it.
                if let (Step::Delivered, Party::Server(to), Content::InstallSnapshot(install)) =
                    (passage.step, passage.to, &*passage.content)
                {
                    if about.index == Some(install.last_included_index) {
                        tell(Kind::Other, event.what.to_string(), vec![to.server]);
                    }
                }
            }
            What::Start { life, .. } if life.incarnation > 0 => {
                tell(Kind::Start, event.what.to_string(), vec![life.server])
            }
            What::Crash { life, .. } => tell(Kind::Crash, event.what.to_string(), vec![life.server]),
            What::Freeze { life } | What::Thaw { life } => {
                tell(Kind::Stall, event.what.to_string(), vec![life.server]);
            }
            // That nobody reaches it goes without saying.
            What::Links { .. } if begun && !crashed => tell(Kind::Links, event.what.to_string(), Vec::new()),
            What::Apply { life, index, .. }
            | What::ApplySnapshot { life, index, .. }
            | What::Accept { life, index, .. }
                if about.index == Some(*index) =>
            {
                tell(Kind::Other, event.what.to_string(), vec![life.server]);
            }
            What::Return { .. } => {
                let answer = answers.iter().find(|answer| answer.returned == event.number);
                if let Some((asked, server)) = answer.and_then(|it| Some((events.get(it.asked)?, it.server)))
                {
                    let is = picture.servers[server].is;
                    if is.role == Role::Leader {
                        reigns.push((server, is.term));
                    }
                    tell(Kind::Proof, answered(server, is, asked), vec![server]);
                }
            }
            _ => {}
        }
        crashed = matches!(event.what, What::Crash { .. });
        for &server in &changes.servers {
            before.tell_changes(server, &picture, about.index, &elections, &mut tell);
        }
    }
    let leading = picture.servers.iter().enumerate().filter(|(_, peer)| peer.is.role == Role::Leader);
    let leading: Vec<Reign> = leading.map(|(server, peer)| (server, peer.is.term)).collect();
    let rivals = leading.iter().map(|(server, _)| *server).filter(|_| leading.len() > 1).collect();
    reigns.extend(leading);
    Beats { beats, reigns, rivals }
}

/// That a server, in this state, has answered what a client asked.
fn answered(server: usize, is: Standing, asked: &Event) -> String {
    let who = match is.role {
        Role::Leader => format!("server {server}, leader of term {},", is.term),
        role => format!("server {server}, {} in term {},", role.name(), is.term),
    };
    let What::Call { client, op, key, value, .. } = &asked.what else { return who };
    let value = value.as_ref().map_or(String::new(), |value| format!(" {value:?}"));
    format!("{who} answers {client}'s {op} {key:?}{value} of {}", seconds(asked.at))
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
        elections: &Elections,
        tell: &mut impl FnMut(Kind, String, Vec<usize>),
    ) {
        let is = picture.servers[server].is;
        let (role, term) = self.standing.get(server).copied().unwrap_or_default();
        match (role, is.role) {
            _ if (role, term) == (is.role, is.term) => {}
            (_, Role::Leader) => {
                let by = elections.of((server, is.term));
                tell(
                    Kind::Leads(is.term),
                    format!("server {server} leads term {}{by}", is.term),
                    vec![server],
                );
            }
            (_, Role::Candidate) => {
                let text = format!("server {server} asks for votes in term {}", is.term);
                tell(Kind::Asks(is.term), text, vec![server]);
            }
            (Role::Leader, Role::Follower) => {
                let text = format!("server {server}, the leader of term {term}, hears of term {}", is.term);
                tell(Kind::Other, text, vec![server]);
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
                tell(Kind::Other, text, vec![server]);
            }
            None if before.is_some() && picture.servers[server].log.last() < index => {
                let text = format!("server {server} cuts its log before index {index}");
                tell(Kind::Other, text, vec![server]);
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
    // Of many, what leaders send tells more than who asks for votes.
    let is_vote = |name: &str| name == "RequestVote";
    told.sort_by_key(|((.., name), counts)| (is_vote(name), std::cmp::Reverse(counts.sent)));
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
        part(unanswered, if *unanswered == 1 { "answer lost" } else { "answers lost" });
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
                events.message(Duration::ZERO, &labrpc::Event { envelope, step }, |_, message| {
                    let Some(&last) = message.downcast_ref::<u64>() else { return Content::Other };
                    Content::InstallSnapshot(InstallSnapshot {
                        term: 2,
                        last_included_index: last,
                        last_included_term: 2,
                        data_bytes: 0,
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
