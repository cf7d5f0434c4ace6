//! Writes what was recorded as the lines that `docs/event-log.md` defines.

use std::fmt::Write;
use std::time::Duration;

use labrpc::{MessageId, Step};
use labsim::ThreadDump;

use super::json::{Object, array, quote};
use super::lines::{Line, Lines};
use crate::about::About;
use crate::events::picture::{Changes, Peer, Picture, Progress, Standing};
use crate::events::seen_log::Cell;
use crate::events::{Content, Entry, Event, Events, Number, Party, Passage, What};
use crate::failure::Failure;

const SCHEMA: &str = "raft-labs-event-log";
const VERSION: u32 = 1;

/// Entries of a message that are shown.
const ENTRIES_SHOWN: usize = 16;
/// Entries of a log in one line.
const CELLS_A_LINE: usize = 256;

/// What the first line says of the run.
pub(crate) struct Header {
    pub(crate) test: String,
    pub(crate) seed: u64,
    pub(crate) build: String,
    pub(crate) simulated: bool,
    pub(crate) servers: usize,
    /// The command that runs it again.
    pub(crate) replay: String,
    /// Seconds since 1970.
    pub(crate) written: u64,
}

/// The whole log.
pub(crate) fn render(
    header: &Header,
    events: &Events,
    lines: &Lines,
    failure: Option<&Failure>,
    stuck: &[ThreadDump],
) -> String {
    let mut writer = Writer {
        out: String::new(),
        picture: events.before().clone(),
        applies: events.before().applies || events.kept().any(|event| is_application(&event.what)),
        shown: Vec::new(),
        said: Vec::new(),
        evidence: failure.map_or(&[], |failure| &failure.evidence),
        at: Duration::ZERO,
        n: 0,
    };
    let left_out = events.kept().next().map_or(events.next(), |event| event.number);
    writer.head(header, left_out);
    if let Some(first) = events.kept().next().filter(|first| first.number > 0) {
        (writer.at, writer.n) = (first.at, first.number);
        writer.everything();
    }
    let mut lines_left = lines.kept.iter().peekable();
    for event in events.kept() {
        while let Some(line) = lines_left.next_if(|line| line.before <= event.number) {
            // Those before what was left out came earlier than the first line shown.
            (writer.at, writer.n) = (line.at, line.before.max(left_out));
            writer.line(line);
        }
        (writer.at, writer.n) = (event.at, event.number);
        writer.event(event);
    }
    writer.n = events.next();
    for line in lines_left {
        writer.at = line.at;
        writer.line(line);
    }
    if let Some(failure) = failure {
        writer.at = failure.at.max(writer.at);
        writer.failure(failure, events, stuck);
    }
    let left_out = (left_out, lines.made - lines.kept.len() as u64);
    writer.tail(failure.is_none(), events.next(), lines.made, left_out);
    writer.out
}

struct Writer<'a> {
    out: String,
    picture: Picture,
    /// Whether the run shows what is applied.
    applies: bool,
    /// Per server, the state last written.
    shown: Vec<Option<(Standing, [u64; 2])>>,
    /// Per server, what it last said of itself.
    said: Vec<Option<(u64, bool)>>,
    evidence: &'a [Number],
    /// Of the line to be written.
    at: Duration,
    n: Number,
}

impl Writer<'_> {
    fn head(&mut self, header: &Header, left_out: u64) {
        let Header { test, seed, build, simulated, servers, replay, written } = header;
        Object::new(&mut self.out)
            .text("schema", SCHEMA)
            .plain("version", VERSION)
            .text("test", test)
            .plain("seed", seed)
            .text("build", build)
            .text("time", if *simulated { "sim" } else { "real" })
            .plain("servers", servers)
            .text("replay", replay)
            .plain("written", written)
            .plain("left_out", left_out)
            .end();
    }

    fn tail(&mut self, ok: bool, events: u64, lines: u64, left_out: (u64, u64)) {
        self.object("end").plain("ok", ok).plain("events", events).plain("lines", lines).end();
        // One object within the other is all the nesting there is.
        self.out.truncate(self.out.len() - "}\n".len());
        let _ = writeln!(self.out, ",\"left_out\":{{\"events\":{},\"lines\":{}}}}}", left_out.0, left_out.1);
    }

    /// A line of this kind, at the present time and place.
    fn object(&mut self, kind: &str) -> Object<'_> {
        Object::new(&mut self.out).text("kind", kind).plain("t", self.at.as_micros()).plain("n", self.n)
    }

    /// How things stand.
    fn everything(&mut self) {
        self.links();
        for server in 0..self.picture.servers.len() {
            if self.picture.servers[server].life.is_none() {
                continue;
            }
            self.state(server);
            if self.picture.servers[server].log.base().0 > 0 {
                self.compacted(server);
            }
            let first = self.picture.servers[server].log.first();
            self.cells(server, first);
            for follower in 0..self.picture.servers[server].progress.len() {
                self.progress(server, follower);
            }
        }
    }

    fn event(&mut self, event: &Event) {
        self.what(event);
        let mut changes = Changes::default();
        self.picture.see(event, &mut changes);
        if let What::Start { life, .. } = event.what {
            if let Some(shown) = self.shown.get_mut(life.server) {
                *shown = None;
            }
        }
        if let What::Links { .. } = event.what {
            self.links();
        }
        for server in changes.compacted {
            self.compacted(server);
        }
        for (server, from) in changes.logs {
            self.cells(server, from);
        }
        for server in changes.servers {
            self.state(server);
        }
        for (leader, follower) in changes.progress {
            self.progress(leader, follower);
        }
    }

    /// What happened, without what follows from it.
    fn what(&mut self, event: &Event) {
        match &event.what {
            What::Start { life, state_bytes, snapshot_bytes } => self
                .object("start")
                .plain("server", life.server)
                .plain("life", life.incarnation)
                .plain("state_bytes", state_bytes)
                .plain("snapshot_bytes", snapshot_bytes)
                .end(),
            What::Crash { life, how } => self
                .object("crash")
                .plain("server", life.server)
                .plain("life", life.incarnation)
                .text("how", &how.to_string())
                .end(),
            What::Freeze { life } => self.object("freeze").plain("server", life.server).end(),
            What::Thaw { life } => self.object("thaw").plain("server", life.server).end(),
            What::Links { .. } | What::Snapshot { .. } => {}
            What::Message(passage) => self.message(passage),
            What::Apply { life, index, command } => self
                .object("apply")
                .plain("server", life.server)
                .plain("index", index)
                .text("command", &command.to_string())
                .end(),
            What::ApplySnapshot { life, index, term } => self
                .object("apply-snapshot")
                .plain("server", life.server)
                .plain("index", index)
                .plain("term", term)
                .end(),
            What::State { life, term, is_leader, .. } => {
                if self.said.len() <= life.server {
                    self.said.resize(life.server + 1, None);
                }
                let before = self.said[life.server].replace((*term, *is_leader));
                if before != Some((*term, *is_leader)) || self.evidence.contains(&event.number) {
                    self.object("says")
                        .plain("server", life.server)
                        .plain("term", term)
                        .plain("is_leader", is_leader)
                        .end();
                }
            }
            What::Accept { life, index, term, command, .. } => self
                .object("accept")
                .plain("server", life.server)
                .plain("index", index)
                .plain("term", term)
                .text("command", &command.to_string())
                .end(),
            What::Phase { title } => self.object("phase").text("title", title).end(),
            What::Call { id, client, op, key, value } => {
                let object =
                    self.object("op").plain("id", id).text("client", client).text("op", op).text("key", key);
                match value {
                    Some(value) => object.text("value", value).end(),
                    None => object.end(),
                }
            }
            What::Return { id, value } => {
                self.object("op-end").plain("id", id).maybe("value", value.as_deref()).end();
            }
        }
    }

    fn message(&mut self, passage: &Passage) {
        let MessageId(id) = passage.id;
        match passage.step {
            Step::Sent => self.sent(passage),
            Step::Duplicated { of: MessageId(of) } => {
                self.object("duplicate").plain("id", id).plain("of", of).end();
            }
            Step::Delayed(by) => {
                self.object("delay").plain("id", id).plain("by", by.as_micros()).end();
            }
            Step::Held => self.object("hold").plain("id", id).end(),
            Step::Released => self.object("release").plain("id", id).end(),
            Step::Delivered => self.object("deliver").plain("id", id).end(),
            Step::Dropped(why) => {
                self.object("drop").plain("id", id).text("why", &format!("{why:?}")).end();
            }
        }
    }

    fn sent(&mut self, passage: &Passage) {
        let Passage { id, call, method, from, to, bytes, content, stranger, is_reply, .. } = passage;
        let stranger = stranger.as_deref().unwrap_or("client");
        let object = self.object("send").plain("id", id.0).plain("call", call.0);
        let object = party(party(object, "from", from, stranger), "to", to, stranger);
        let object = match content.name() {
            Some(name) => object.text("type", name),
            None if *is_reply => object.text("type", &format!("{method}Reply")),
            None => object.text("type", method),
        };
        let object = object.plain("bytes", bytes);
        fields(object, content).end();
    }

    fn links(&mut self) {
        let groups = std::mem::take(&mut self.picture.groups);
        self.object("links").list("groups", &groups, |out, group| array(out, group, number)).end();
        self.picture.groups = groups;
    }

    /// What is new of a server's state.
    fn state(&mut self, server: usize) {
        let Peer { is, log, .. } = &self.picture.servers[server];
        let now = (*is, [log.first(), log.last()]);
        if self.shown.len() <= server {
            self.shown.resize(server + 1, None);
        }
        let before = self.shown[server].replace(now);
        if before == Some(now) {
            return;
        }
        let (is, [first, last]) = now;
        let news = |name, value: String, old: Option<String>| {
            (old.as_ref() != Some(&value)).then_some((name, value))
        };
        let or_null = |server: Option<usize>| server.map_or("null".to_string(), |server| server.to_string());
        let applies = self.applies;
        let values = |(is, [first, last]): (Standing, [u64; 2])| {
            [
                ("role", format!("\"{}\"", is.role.name())),
                ("term", is.term.to_string()),
                ("voted_for", or_null(is.voted_for)),
                ("leader", or_null(is.leader)),
                ("commit", is.commit.to_string()),
                ("applied", if applies { is.applied.to_string() } else { "null".to_string() }),
                ("first", first.to_string()),
                ("last", last.to_string()),
            ]
        };
        let before = before.map(values);
        let fields = values((is, [first, last]));
        let changed = fields.into_iter().enumerate().filter_map(|(i, (name, value))| {
            news(name, value, before.as_ref().map(|before| before[i].1.clone()))
        });
        let object = self.object("state").plain("server", server);
        changed.fold(object, |object, (name, value)| object.plain(name, value)).end();
    }

    fn compacted(&mut self, server: usize) {
        let (index, term) = self.picture.servers[server].log.base();
        self.object("compact").plain("server", server).plain("index", index).plain("term", term).end();
    }

    /// A server's log from `from` on.
    fn cells(&mut self, server: usize, from: u64) {
        let from = from.max(self.picture.servers[server].log.first());
        let cells: Vec<(u64, Cell)> =
            self.picture.servers[server].log.from(from).map(|(index, cell)| (index, *cell)).collect();
        let mut rest = &cells[..];
        let mut next = from;
        loop {
            let (shown, more) = rest.split_at(rest.len().min(CELLS_A_LINE));
            self.object("log")
                .plain("server", server)
                .plain("from", next)
                .list("entries", shown, |out, (index, Cell { term, command })| {
                    entry(out, *index, *term, command.as_ref());
                })
                .end();
            next += shown.len() as u64;
            rest = more;
            if rest.is_empty() {
                return;
            }
        }
    }

    fn progress(&mut self, leader: usize, follower: usize) {
        let Progress { next, matched } = self.picture.servers[leader].progress[follower];
        if next > 0 {
            self.object("progress")
                .plain("server", leader)
                .plain("follower", follower)
                .plain("next", next)
                .plain("match", matched)
                .end();
        }
    }

    fn line(&mut self, line: &Line) {
        let Line { server, who, level, target, text, .. } = line;
        let object = self.object("line");
        let object = match server {
            Some(server) => object.plain("server", server),
            None => object,
        };
        object
            .text("thread", who)
            .text("level", &level.as_str().to_ascii_lowercase())
            .text("target", target)
            .text("text", text)
            .end();
    }

    fn failure(&mut self, failure: &Failure, events: &Events, stuck: &[ThreadDump]) {
        let Failure { message, location, thread, rule, evidence, core, .. } = failure;
        let about = About::of(failure, events);
        let object = self.object("failure").text("text", message);
        let object = match rule {
            Some(rule) => object.text("rule", rule.id).text("says", rule.says).text("paper", rule.paper),
            None => object,
        };
        let object = location.iter().fold(object, |object, place| object.text("place", place));
        let object = thread.iter().fold(object, |object, thread| object.text("thread", thread));
        let object = if stuck.is_empty() {
            object
        } else {
            object.list("stuck", stuck, |out, thread| quote(out, thread.to_string().trim_end()))
        };
        let object = object.list("servers", &about.servers, number);
        let object = match about.index {
            Some(index) => object.plain("index", index),
            None => object,
        };
        let object = match about.term {
            Some(term) => object.plain("term", term),
            None => object,
        };
        let object = object.list("evidence", evidence, number);
        if core.is_empty() { object.end() } else { object.list("core", core, number).end() }
    }
}

fn is_application(what: &What) -> bool {
    matches!(what, What::Apply { .. } | What::ApplySnapshot { .. })
}

/// One end of a message's way.
fn party<'a>(object: Object<'a>, name: &str, party: &Party, stranger: &str) -> Object<'a> {
    match party {
        Party::Server(life) => object.plain(name, life.server),
        Party::Stranger => object.text(name, stranger),
    }
}

fn number(out: &mut String, number: impl std::fmt::Display) {
    let _ = write!(out, "{number}");
}

fn entry(out: &mut String, index: u64, term: u64, command: Option<&crate::events::Command>) {
    let _ = write!(out, "[{index},{term},");
    match command {
        Some(command) => quote(out, &command.to_string()),
        None => out.push_str("null"),
    }
    out.push(']');
}

/// What a message says, by the paper's names.
fn fields<'a>(object: Object<'a>, content: &Content) -> Object<'a> {
    match content {
        Content::RequestVote(m) => object
            .plain("term", m.term)
            .plain("last_log_index", m.last_log_index)
            .plain("last_log_term", m.last_log_term),
        Content::RequestVoteReply(m) => object.plain("term", m.term).plain("vote_granted", m.granted),
        Content::AppendEntries(m) => {
            let hidden = m.entries.len().saturating_sub(ENTRIES_SHOWN);
            let shown = m.indexed().skip(hidden);
            object
                .plain("term", m.term)
                .plain("prev_log_index", m.prev_log_index)
                .plain("prev_log_term", m.prev_log_term)
                .plain("leader_commit", m.leader_commit)
                .plain("count", m.entries.len())
                .list("entries", shown, |out, (index, Entry { term, command })| {
                    entry(out, index, *term, Some(command));
                })
        }
        Content::AppendEntriesReply(m) => object.plain("term", m.term).plain("success", m.success),
        Content::InstallSnapshot(m) => object
            .plain("term", m.term)
            .plain("last_included_index", m.last_included_index)
            .plain("last_included_term", m.last_included_term)
            .plain("data_bytes", m.data_bytes),
        Content::InstallSnapshotReply { term, plain: true } => object.plain("term", term),
        Content::InstallSnapshotReply { term, plain: false } => {
            object.plain("term", term).plain("more_fields", true)
        }
        Content::Other => object,
    }
}
