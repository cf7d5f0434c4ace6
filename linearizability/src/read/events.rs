//! From the events of a Jepsen history to operations on a register.
//!
//! A process invokes an operation and completes it: `:ok`, it happened; `:fail`, it did not; `:info`, nobody
//! knows, and the process is not heard of again. Stamps are the positions of the events.
//!
//! Either no operation names a key, and all are about one register, or all do, and each key has a register of its own.

use std::collections::HashMap;

use crate::history::{History, Mark, Operation, Returned};
use crate::models::{CasInput, CasOutput, Keyed};
use crate::text::Text;

use super::{Parsed, ReadError};

/// A kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventType {
    Invoke,
    Ok,
    Fail,
    Info,
}

impl EventType {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "invoke" => EventType::Invoke,
            "ok" => EventType::Ok,
            "fail" => EventType::Fail,
            "info" => EventType::Info,
            _ => return None,
        })
    }
}

/// What an event says about its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// Nil or an integer.
    One(Option<i64>),
    /// A pair, for a compare-and-set.
    Pair(Option<i64>, Option<i64>),
    /// Something else, such as `:timed-out`.
    Other,
}

/// One event, and where it stands.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) process: u64,
    pub(super) kind: EventType,
    /// `read`, `write`, `cas`.
    pub(super) f: String,
    /// Which register it is about, if it says so.
    pub(super) key: Option<String>,
    pub(super) value: Value,
}

/// Joins events to operations.
#[derive(Debug)]
pub(super) struct Events {
    /// Whether a failed compare-and-set is evidence that the register held something else; if not it is left
    /// out.
    pub(super) failed_cas_is_mismatch: bool,
    /// The key is empty if there is only one register.
    operations: Vec<Operation<Keyed<CasInput>, CasOutput>>,
    /// The keys met; `None` for a register without.
    keys: HashMap<Option<String>, Text>,
    /// By operation: whether it is part of the history.
    kept: Vec<bool>,
    open: HashMap<u64, usize>,
    marks: Vec<Mark>,
    stamp: u64,
}

impl Events {
    pub(super) fn new(failed_cas_is_mismatch: bool) -> Self {
        Events {
            failed_cas_is_mismatch,
            operations: Vec::new(),
            keys: HashMap::new(),
            kept: Vec::new(),
            open: HashMap::new(),
            marks: Vec::new(),
            stamp: 0,
        }
    }

    pub(super) fn mark(&mut self, text: String) {
        self.stamp += 1;
        self.marks.push(Mark { at: self.stamp, text });
    }

    pub(super) fn add(&mut self, event: &Event) -> Result<(), ReadError> {
        self.stamp += 1;
        let fail = |message: String| Err(ReadError::new(event.line, event.column, message));
        if event.kind == EventType::Invoke {
            let input = match (event.f.as_str(), event.value) {
                ("read", _) => CasInput::Read,
                ("write", Value::One(value)) => CasInput::Write(value),
                ("cas", Value::Pair(from, to)) => CasInput::Cas(from, to),
                ("write", _) => return fail("a write takes one value".into()),
                ("cas", _) => return fail("a cas takes a pair of values".into()),
                (other, _) => return fail(format!("a register knows read, write and cas, not {other:?}")),
            };
            if self.open.insert(event.process, self.operations.len()).is_some() {
                return fail(format!("process {} invokes while its last operation is open", event.process));
            }
            let key = self.key(event)?;
            let mut op = Operation::pending(event.process, self.stamp, Keyed { key, input });
            op.note = format!("line {}", event.line);
            self.operations.push(op);
            self.kept.push(true);
            return Ok(());
        }
        let Some(id) = self.open.remove(&event.process) else {
            return fail(format!("process {} completes what it did not invoke", event.process));
        };
        let op = &mut self.operations[id];
        let input = op.input.input;
        let name = match input {
            CasInput::Read => "read",
            CasInput::Write(_) => "write",
            CasInput::Cas(..) => "cas",
        };
        if name != event.f {
            return fail(format!("process {} completes a {}, but invoked a {name}", event.process, event.f));
        }
        // What says no more than that it failed need not name the key.
        if event.kind == EventType::Ok && op.input.key.as_str() != event.key.as_deref().unwrap_or("") {
            return fail(format!("process {} completes on another key than it invoked", event.process));
        }
        let output = match (event.kind, input, event.value) {
            (EventType::Info, ..) => return Ok(()),
            (EventType::Ok, CasInput::Read, Value::One(value)) => CasOutput::Value(value),
            (EventType::Ok, CasInput::Read, _) => return fail("a read returns one value".into()),
            (EventType::Ok, ..) => CasOutput::Done,
            (EventType::Fail, CasInput::Cas(..), Value::Pair(..)) if self.failed_cas_is_mismatch => {
                CasOutput::Mismatch
            }
            _ => {
                self.kept[id] = false;
                return Ok(());
            }
        };
        op.returned = Some(Returned { at: self.stamp, output });
        Ok(())
    }

    /// The key of an operation that is invoked. Those that share it share its memory.
    fn key(&mut self, event: &Event) -> Result<Text, ReadError> {
        // All that are there are alike.
        if self.keys.keys().next().is_some_and(|other| other.is_some() != event.key.is_some()) {
            let message = "some operations name a key, as [key value], and others do not";
            return Err(ReadError::new(event.line, event.column, message));
        }
        let text = || Text::from(event.key.as_deref().unwrap_or(""));
        Ok(self.keys.entry(event.key.clone()).or_insert_with(text).clone())
    }

    pub(super) fn finish(self) -> Parsed {
        let operations =
            self.operations.into_iter().zip(self.kept).filter_map(|(op, kept)| kept.then_some(op));
        let history = History::with_marks(operations.collect(), self.marks).expect("events come in order");
        match self.keys.keys().any(Option::is_some) {
            true => Parsed::Registers(history),
            false => Parsed::Register(history.map(|keyed| keyed.input, |output| output)),
        }
    }
}
