//! From the events of a Jepsen history to operations on a register.
//!
//! A process invokes an operation and completes it: `:ok`, it happened; `:fail`, it did not; `:info`, nobody
//! knows, and the process is not heard of again. Stamps are the positions of the events.

use std::collections::HashMap;

use crate::history::{History, Mark, Operation, Returned};
use crate::models::{CasInput, CasOutput};

use super::ReadError;

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
    pub(super) value: Value,
}

/// Joins events to operations.
#[derive(Debug)]
pub(super) struct Events {
    /// Whether a failed compare-and-set is evidence that the register held something else; if not it is left
    /// out.
    pub(super) failed_cas_is_mismatch: bool,
    operations: Vec<Operation<CasInput, CasOutput>>,
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
            let mut op = Operation::pending(event.process, self.stamp, input);
            op.note = format!("line {}", event.line);
            self.operations.push(op);
            self.kept.push(true);
            return Ok(());
        }
        let Some(id) = self.open.remove(&event.process) else {
            return fail(format!("process {} completes what it did not invoke", event.process));
        };
        let op = &mut self.operations[id];
        let name = match op.input {
            CasInput::Read => "read",
            CasInput::Write(_) => "write",
            CasInput::Cas(..) => "cas",
        };
        if name != event.f {
            return fail(format!("process {} completes a {}, but invoked a {name}", event.process, event.f));
        }
        let output = match (event.kind, op.input, event.value) {
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

    pub(super) fn finish(self) -> History<CasInput, CasOutput> {
        let operations =
            self.operations.into_iter().zip(self.kept).filter_map(|(op, kept)| kept.then_some(op));
        History::with_marks(operations.collect(), self.marks).expect("events come in order")
    }
}
