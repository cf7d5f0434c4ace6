//! [`StateMachine`]: what the service keeps, and what one operation does to it.

use std::collections::BTreeMap;

use labcodec::DecodeError;
use serde::{Deserialize, Serialize};

use crate::messages::{Op, Request, RequestId};

/// The replicated state: the same on each server after the same commands, bit by bit, hence the ordered maps.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StateMachine {
    values: BTreeMap<String, String>,
    /// The last write of each client: "the state machine tracks the latest serial number processed for each client"
    /// (Raft, section 8). It is a part of the state, so that each server comes to the same verdict about a second
    /// copy of a command, and of the snapshot, so that none is forgotten.
    ///
    /// The latest is enough, since a client begins an operation when it has the answer to the one before. Sessions
    /// are kept for ever, 16 bytes each; thesis 6.3 says how a real service would end them.
    latest_write: BTreeMap<u64, u64>,
}

impl StateMachine {
    /// Executes a write, unless it has been executed before. A read changes nothing.
    pub(crate) fn apply(&mut self, request: Request) {
        if self.has_executed(&request) {
            return;
        }
        let RequestId { client, seq } = request.id;
        match request.op {
            Op::Get { .. } => return,
            Op::Put { key, value } => {
                self.values.insert(key, value);
            }
            Op::Append { key, value } => self.values.entry(key).or_default().push_str(&value),
        }
        self.latest_write.insert(client, seq);
    }

    /// Whether this is a write, and it or a later one of its client has been executed.
    pub(crate) fn has_executed(&self, request: &Request) -> bool {
        let latest = self.latest_write.get(&request.id.client);
        !matches!(request.op, Op::Get { .. }) && latest.is_some_and(|&latest| latest >= request.id.seq)
    }

    /// The value of `key`, empty if it has none.
    pub(crate) fn get(&self, key: &str) -> &str {
        self.values.get(key).map_or("", String::as_str)
    }

    pub(crate) fn to_snapshot(&self) -> Vec<u8> {
        labcodec::encode(self).expect("a state within Raft's limit for snapshots")
    }

    pub(crate) fn from_snapshot(snapshot: &[u8]) -> Result<StateMachine, DecodeError> {
        labcodec::decode(snapshot)
    }
}
