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

#[cfg(test)]
mod tests {
    use super::*;

    fn request(client: u64, seq: u64, op: Op) -> Request {
        Request { id: RequestId { client, seq }, op }
    }

    fn put(client: u64, seq: u64, value: &str) -> Request {
        request(client, seq, Op::Put { key: "k".to_owned(), value: value.to_owned() })
    }

    fn append(client: u64, seq: u64, value: &str) -> Request {
        request(client, seq, Op::Append { key: "k".to_owned(), value: value.to_owned() })
    }

    /// The value of `k` after these requests.
    fn after(requests: &[Request]) -> String {
        let mut machine = StateMachine::default();
        requests.iter().cloned().for_each(|request| machine.apply(request));
        machine.get("k").to_owned()
    }

    #[test]
    fn a_put_replaces_and_an_append_adds() {
        assert_eq!(after(&[]), "");
        assert_eq!(after(&[append(1, 1, "a"), append(2, 1, "b")]), "ab");
        assert_eq!(after(&[append(1, 1, "a"), put(1, 2, "b"), append(1, 3, "c")]), "bc");
    }

    #[test]
    fn a_request_is_executed_once() {
        // Raft, section 8: "if it receives a command whose serial number has already been executed, it responds
        // immediately without re-executing the request".
        assert_eq!(
            after(&[append(1, 1, "a"), append(1, 1, "a"), append(1, 2, "b"), append(1, 2, "b")]),
            "ab"
        );
    }

    #[test]
    fn a_late_copy_of_an_old_request_changes_nothing() {
        assert_eq!(
            after(&[put(1, 1, "old"), append(1, 3, "+"), put(1, 1, "old"), append(1, 2, "-")]),
            "old+"
        );
    }

    #[test]
    fn clients_number_their_requests_each_for_itself() {
        assert_eq!(after(&[append(1, 5, "a"), append(2, 4, "b"), append(3, 5, "c")]), "abc");
    }

    #[test]
    fn reads_leave_no_trace() {
        let get = request(1, 2, Op::Get { key: "k".to_owned() });
        let mut machine = StateMachine::default();
        machine.apply(append(1, 1, "a"));
        let before = machine.to_snapshot();
        assert!(!machine.has_executed(&get));
        machine.apply(get);
        assert_eq!(machine.to_snapshot(), before);
    }

    #[test]
    fn a_snapshot_holds_values_and_what_has_been_executed() {
        let mut machine = StateMachine::default();
        machine.apply(append(1, 1, "a"));
        let mut restored = StateMachine::from_snapshot(&machine.to_snapshot()).unwrap();
        assert_eq!(restored, machine);
        restored.apply(append(1, 1, "a"));
        assert_eq!(restored.get("k"), "a");
    }

    #[test]
    fn servers_that_came_to_the_same_state_make_the_same_snapshot() {
        let (mut one, mut other) = (StateMachine::default(), StateMachine::default());
        let requests: Vec<Request> = (0..50)
            .map(|n| request(n, 1, Op::Put { key: format!("key {n}"), value: format!("value {n}") }))
            .collect();
        requests.iter().for_each(|request| one.apply(request.clone()));
        requests.iter().rev().for_each(|request| other.apply(request.clone()));
        assert_eq!(one.to_snapshot(), other.to_snapshot());
    }

    #[test]
    fn damaged_snapshots_are_refused() {
        let mut machine = StateMachine::default();
        machine.apply(append(1, 1, "a"));
        let snapshot = machine.to_snapshot();
        for length in 0..snapshot.len() {
            assert!(StateMachine::from_snapshot(&snapshot[..length]).is_err(), "the first {length} bytes");
        }
        assert!(StateMachine::from_snapshot(&[255; 64]).is_err());
    }
}
