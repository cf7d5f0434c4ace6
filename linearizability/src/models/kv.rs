//! A key/value store of strings with get, put and append, and a recorder for it that shares memory.

use std::borrow::Cow;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::history::History;
use crate::kv::KvProcedure;
use crate::model::Model;
use crate::part::Part;
use crate::procedure::Procedure;
use crate::recorder::{Call, ClientLog, Recorder};
use crate::text::{Pooled, Text, TextPool, common_prefix};

/// Values longer than this are abridged in descriptions.
const SHOWN: usize = 24;

/// A key/value store: every key at first holds the empty string. `get` answers the value, `put` replaces it,
/// `append` adds to its end; the latter two answer the empty string.
///
/// Each key is checked by itself, by an exact method in near-linear time where it applies (see the crate's
/// documentation), else by search.
#[derive(Debug, Clone, Copy, Default)]
pub struct KvStore;

/// What is asked of a [`KvStore`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KvInput {
    /// Read a key's value.
    Get {
        /// The key.
        key: Text,
    },
    /// Replace a key's value.
    Put {
        /// The key.
        key: Text,
        /// Its new value.
        value: Text,
    },
    /// Add to the end of a key's value.
    Append {
        /// The key.
        key: Text,
        /// What is added.
        value: Text,
    },
}

impl KvInput {
    /// A get.
    pub fn get(key: impl Into<Text>) -> Self {
        KvInput::Get { key: key.into() }
    }

    /// A put.
    pub fn put(key: impl Into<Text>, value: impl Into<Text>) -> Self {
        KvInput::Put { key: key.into(), value: value.into() }
    }

    /// An append.
    pub fn append(key: impl Into<Text>, value: impl Into<Text>) -> Self {
        KvInput::Append { key: key.into(), value: value.into() }
    }

    /// The key concerned.
    pub fn key(&self) -> &Text {
        match self {
            KvInput::Get { key } | KvInput::Put { key, .. } | KvInput::Append { key, .. } => key,
        }
    }
}

impl Model for KvStore {
    type Input = KvInput;
    type Output = Text;
    type State = String;

    fn initial(&self) -> String {
        String::new()
    }

    fn step(&self, mut state: String, input: &KvInput, output: Option<&Text>, next: &mut Vec<String>) {
        let possible = match input {
            KvInput::Get { .. } => output.is_none_or(|o| o.as_str() == state),
            KvInput::Put { value, .. } => {
                state.clear();
                state.push_str(value);
                output.is_none_or(|o| o.is_empty())
            }
            KvInput::Append { value, .. } => {
                state.push_str(value);
                output.is_none_or(|o| o.is_empty())
            }
        };
        if possible {
            next.push(state);
        }
    }

    fn is_read(&self, input: &KvInput, _: Option<&Text>) -> bool {
        matches!(input, KvInput::Get { .. })
    }

    fn partition<'a>(&self, input: &'a KvInput) -> Cow<'a, str> {
        Cow::Borrowed(input.key())
    }

    fn describe(&self, input: &KvInput, output: Option<&Text>) -> String {
        match (input, output) {
            (KvInput::Get { key }, None) => format!("get {}", key.abridged(SHOWN)),
            (KvInput::Get { key }, Some(value)) => {
                format!("get {} -> {}", key.abridged(SHOWN), value.abridged(SHOWN))
            }
            (KvInput::Put { key, value }, _) => {
                format!("put {} {}", key.abridged(SHOWN), value.abridged(SHOWN))
            }
            (KvInput::Append { key, value }, _) => {
                format!("append {} {}", key.abridged(SHOWN), value.abridged(SHOWN))
            }
        }
    }

    fn describe_state(&self, state: &String) -> Option<String> {
        Some(format!("the value is {}", Text::from(state.as_str()).abridged(SHOWN)))
    }

    fn difference(&self, before: &Text, after: &Text) -> Option<String> {
        let same = common_prefix(before, after);
        // Short beginnings are easier seen than counted.
        if same < SHOWN / 2 || before == after {
            return None;
        }
        let tail = |t: &Text| Text::from(&t[same..]).abridged(SHOWN);
        Some(match (before.len() - same, after.len() - same) {
            (0, _) => format!("the {same} bytes of before, then {}", tail(after)),
            (_, 0) => format!("only the first {same} bytes; before, {} followed", tail(before)),
            _ => format!("after {same} equal bytes {}; before, {}", tail(after), tail(before)),
        })
    }

    fn procedure<'a>(&'a self, part: Part<'a, KvInput, Text>) -> Box<dyn Procedure + 'a> {
        Box::new(KvProcedure::new(part))
    }
}

/// A [`Recorder`] for key/value stores, in which the values read share memory: a run whose clients read a
/// value of some kilobytes thousands of times keeps it once.
///
/// ```
/// use linearizability::models::{KvRecorder, KvStore};
/// use linearizability::{Options, check};
///
/// let recorder = KvRecorder::new();
/// let client = recorder.client(0);
/// client.append("k", "a", || ());
/// client.get("k", || "a".to_string());
/// assert!(check(&KvStore, &recorder.finish(), &Options::default()).is_linearizable());
/// ```
#[derive(Debug, Default)]
pub struct KvRecorder {
    recorder: Recorder<KvInput, Option<Pooled>>,
    pool: Arc<Mutex<TextPool>>,
}

/// Records the operations of one client of a key/value store.
#[derive(Debug, Clone)]
pub struct KvClient {
    log: ClientLog<KvInput, Option<Pooled>>,
    pool: Arc<Mutex<TextPool>>,
}

impl KvRecorder {
    /// A recorder without operations.
    pub fn new() -> Self {
        Self::default()
    }

    /// A log for the client of this number.
    pub fn client(&self, client: u64) -> KvClient {
        KvClient { log: self.recorder.client(client), pool: self.pool.clone() }
    }

    /// Notes an event beside the operations.
    pub fn mark(&self, text: impl Into<String>) {
        self.recorder.mark(text);
    }

    /// Takes what was recorded; see [`Recorder::finish`].
    pub fn finish(self) -> History<KvInput, Text> {
        let history = self.recorder.finish();
        let texts = std::mem::take(&mut *self.pool.lock()).finish();
        let empty = Text::from("");
        history.map(|input| input, |output| output.map_or_else(|| empty.clone(), |value| texts.get(value)))
    }
}

/// An operation of a [`KvClient`] under way: for who cannot have it run by the recorder. Dropped without a return
/// it stays in the history as one that never returned.
#[derive(Debug)]
#[must_use = "tell it when the operation returned"]
pub struct KvCall<'a> {
    call: Call<'a, KvInput, Option<Pooled>>,
    key: Text,
    pool: &'a Mutex<TextPool>,
}

impl KvClient {
    /// Starts an operation. Call it just before the request can leave.
    pub fn call(&self, input: KvInput) -> KvCall<'_> {
        let key = input.key().clone();
        KvCall { call: self.log.call(input), key, pool: &self.pool }
    }

    /// Runs `operation`, a get of `key`, and records its answer.
    pub fn get(&self, key: &str, operation: impl FnOnce() -> String) -> String {
        let call = self.call(KvInput::get(key));
        let value = operation();
        call.returned_value(&value);
        value
    }

    /// Runs `operation`, a put of `value` under `key`, and records it.
    pub fn put(&self, key: &str, value: &str, operation: impl FnOnce()) {
        let call = self.call(KvInput::put(key, value));
        operation();
        call.returned();
    }

    /// Runs `operation`, an append of `value` to `key`, and records it.
    pub fn append(&self, key: &str, value: &str, operation: impl FnOnce()) {
        let call = self.call(KvInput::append(key, value));
        operation();
        call.returned();
    }
}

impl KvCall<'_> {
    /// Adds a note that reports show beside the operation.
    pub fn note(self, text: impl Into<String>) -> Self {
        KvCall { call: self.call.note(text), ..self }
    }

    /// The put or append has returned. Call it as soon as that is known.
    pub fn returned(self) {
        self.call.returned(None);
    }

    /// The get has returned this. Call it as soon as that is known.
    pub fn returned_value(self, value: &str) {
        self.call.returned_with(|| Some(self.pool.lock().add(&self.key, value)));
    }
}
