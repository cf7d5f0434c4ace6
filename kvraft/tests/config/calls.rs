//! What became of the last calls of each clerk, for the report of one that waits.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use labrpc::{CallId, Envelope, Event, Kind, MessageId, Method, Network, Observer, Reason, Step};
use labtest::{Run, observe, seconds};
use parking_lot::Mutex;

/// The names of clerks on the network begin like this, and end with the clerk's number.
pub(super) const PREFIX: &str = "clerk ";

/// How many calls of each clerk are remembered.
const REMEMBERED: usize = 6;

/// Replies longer than this are not remembered, and of others so much is shown.
const REPLY_BYTES: usize = 200;
const REPLY_SHOWN: usize = 80;

/// Watches the calls of clerks.
pub(super) struct Calls {
    run: Run,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    made: u64,
    /// By clerk, the newest last.
    last: BTreeMap<usize, VecDeque<Call>>,
}

struct Call {
    id: CallId,
    to: String,
    method: &'static Method,
    at: Duration,
    fate: Fate,
}

enum Fate {
    UnderWay,
    Handled { since: Duration },
    Lost { kind: Kind, why: Reason, at: Duration },
    Answered { at: Duration, size: usize, bytes: Option<Vec<u8>> },
}

impl Calls {
    /// Watches the calls on `network` from now on.
    pub(super) fn watch(run: &Run, network: &Network) -> Arc<Calls> {
        let calls = Arc::new(Calls { run: run.clone(), seen: Mutex::default() });
        network.observe(calls.clone());
        calls
    }

    /// How many calls clerks have made.
    pub(super) fn made(&self) -> u64 {
        observe(|| self.seen.lock().made)
    }

    /// Nobody will ask about this clerk any more.
    pub(super) fn forget(&self, clerk: usize) {
        observe(|| self.seen.lock().last.remove(&clerk));
    }

    /// The last calls of a clerk, a line each.
    pub(super) fn report(&self, clerk: usize) -> String {
        observe(|| {
            let seen = self.seen.lock();
            let mut out = String::new();
            for call in seen.last.get(&clerk).into_iter().flatten() {
                let Call { to, method, at, .. } = call;
                let _ = writeln!(out, "  {:>9}  {method} to {to}: {}", seconds(*at), call.fate());
            }
            if out.is_empty() { "  it has made no call\n".to_string() } else { out }
        })
    }
}

impl Call {
    /// What became of it, in words.
    fn fate(&self) -> String {
        match &self.fate {
            Fate::UnderWay => "under way".to_string(),
            Fate::Handled { since } => format!("has not been answered, since {}", seconds(*since)),
            Fate::Lost { kind: Kind::Request, why: Reason::LinkDisabled, .. } => {
                "could not reach it: the clerk is cut off from it".to_string()
            }
            Fate::Lost { kind: Kind::Request, why: Reason::NoServer, .. } => {
                "could not reach it: it is crashed".to_string()
            }
            Fate::Lost { kind: Kind::Request, why, at } => {
                format!("the request was lost ({why:?}, at {})", seconds(*at))
            }
            Fate::Lost { kind: Kind::Reply, why, at } => {
                format!("was handled, but no answer came ({why:?}, at {})", seconds(*at))
            }
            Fate::Answered { at, size, bytes } => {
                let message = bytes.as_ref().and_then(|bytes| self.decode(bytes));
                let shown = message.unwrap_or_else(|| format!("{size} bytes"));
                format!("answered at {}: {shown}", seconds(*at))
            }
        }
    }

    fn decode(&self, bytes: &[u8]) -> Option<String> {
        let envelope = Envelope {
            id: MessageId(0),
            call: self.id,
            from: &self.to,
            to: "",
            method: self.method,
            kind: Kind::Reply,
            args: &[],
            bytes: Some(bytes),
        };
        let text = format!("{:?}", envelope.message()?);
        let shown: String = text.chars().take(REPLY_SHOWN).collect();
        Some(if shown.len() < text.len() { format!("{shown}...") } else { shown })
    }
}

/// The number of the clerk of this name.
fn number(name: &str) -> Option<usize> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

impl Observer for Calls {
    fn observe(&self, event: &Event<'_>) {
        let Envelope { call: id, from, to, method, kind, bytes, .. } = event.envelope;
        let Some(clerk) = number(if kind == Kind::Request { from } else { to }) else { return };
        observe(|| {
            let at = self.run.elapsed();
            let mut seen = self.seen.lock();
            if (kind, event.step) == (Kind::Request, Step::Sent) {
                seen.made += 1;
                let last = seen.last.entry(clerk).or_default();
                if last.len() == REMEMBERED {
                    last.pop_front();
                }
                last.push_back(Call { id, to: to.to_owned(), method, at, fate: Fate::UnderWay });
                return;
            }
            let calls = seen.last.get_mut(&clerk).into_iter().flatten();
            let Some(call) = calls.rev().find(|call| call.id == id) else { return };
            call.fate = match (kind, event.step) {
                (Kind::Request, Step::Delivered) => Fate::Handled { since: at },
                (Kind::Reply, Step::Delivered) => {
                    let kept = bytes.filter(|bytes| bytes.len() <= REPLY_BYTES);
                    Fate::Answered { at, size: event.envelope.size(), bytes: kept.map(<[u8]>::to_vec) }
                }
                (kind, Step::Dropped(why)) => Fate::Lost { kind, why, at },
                _ => return,
            };
        });
    }
}
