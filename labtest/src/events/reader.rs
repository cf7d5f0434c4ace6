//! [`Reader`]: reads messages, each but once.

use std::ptr;
use std::sync::Arc;

use labrpc::{AnyMessage, Envelope, Kind, Method};

use super::Content;

/// How many messages are known again: of those that come again at all, nearly all are among so many.
const KNOWN_MAX: usize = 12;
/// How long one may be, so that what is kept of them stays small.
const BYTES_MAX: usize = 1 << 20;

/// Reads messages. What it has just read it knows again: a leader sends most messages to several followers, and again
/// when they are lost, and most of their replies are alike.
pub(crate) struct Reader {
    /// The messages last met, the latest first.
    known: Vec<Read>,
    other: Arc<Content>,
}

struct Read {
    method: &'static Method,
    kind: Kind,
    bytes: Vec<u8>,
    content: Arc<Content>,
}

impl Default for Reader {
    fn default() -> Reader {
        Reader { known: Vec::new(), other: Arc::new(Content::Other) }
    }
}

impl Reader {
    /// What a message says that nobody is to understand.
    pub(crate) fn opaque(&self) -> Arc<Content> {
        self.other.clone()
    }

    /// What a message says; `neutral` knows what it means.
    pub(crate) fn read(
        &mut self,
        envelope: &Envelope<'_>,
        neutral: fn(&Method, &dyn AnyMessage) -> Content,
    ) -> Arc<Content> {
        let Some(bytes) = envelope.bytes else { return self.opaque() };
        let (method, kind) = (envelope.method, envelope.kind);
        let is_it = |read: &Read| ptr::eq(read.method, method) && read.kind == kind && read.bytes == bytes;
        if let Some(at) = self.known.iter().position(is_it) {
            self.known[..=at].rotate_right(1);
            return self.known[0].content.clone();
        }
        let content =
            envelope.message().map_or(self.other.clone(), |message| Arc::new(neutral(method, &*message)));
        if bytes.len() > BYTES_MAX {
            return content;
        }
        let oldest = if self.known.len() < KNOWN_MAX { None } else { self.known.pop() };
        let mut its = oldest.map_or_else(Vec::new, |read| read.bytes);
        bytes.clone_into(&mut its);
        self.known.insert(0, Read { method, kind, bytes: its, content: content.clone() });
        content
    }
}

#[cfg(test)]
mod tests {
    use labrpc::{CallId, MessageId};

    use super::*;

    static ONE: Method = Method::new::<u64, u64>("toy", "one");
    static LONG: Method = Method::new::<Vec<u8>, ()>("toy", "long");
    static OTHER: Method = Method::new::<u64, u64>("toy", "other");

    #[test]
    fn what_was_just_read_is_not_read_again_and_nothing_else_is_taken_for_it() {
        let mut reader = Reader::default();
        let mut read = |method: &'static Method, kind, bytes: Option<&[u8]>| {
            let envelope = Envelope {
                id: MessageId(0),
                call: CallId(0),
                from: "",
                to: "",
                method,
                kind,
                args: &[],
                bytes,
            };
            reader.read(&envelope, |_, message| Content::InstallSnapshotReply {
                term: message.downcast_ref::<u64>().copied().unwrap_or(0),
                plain: true,
            })
        };
        let term = |content: &Content| match content {
            Content::InstallSnapshotReply { term, .. } => Some(*term),
            _ => None,
        };
        let (five, six) = (5_u64.to_le_bytes(), 6_u64.to_le_bytes());
        let first = read(&ONE, Kind::Request, Some(&five));
        assert!(Arc::ptr_eq(&first, &read(&ONE, Kind::Request, Some(&five))));
        assert!(!Arc::ptr_eq(&first, &read(&ONE, Kind::Reply, Some(&five))));
        assert!(!Arc::ptr_eq(&first, &read(&OTHER, Kind::Request, Some(&five))));
        for (bytes, expected) in [(&six[..], Some(6)), (&five, Some(5)), (&six[..3], None)] {
            assert_eq!(term(&read(&ONE, Kind::Request, Some(bytes))), expected);
        }
        assert_eq!(term(&read(&ONE, Kind::Request, None)), None);
        let long = [(BYTES_MAX as u64).to_le_bytes().to_vec(), vec![7; BYTES_MAX]].concat();
        let met = [(); 2].map(|()| read(&LONG, Kind::Request, Some(&long)));
        assert!(term(&met[0]) == Some(0) && !Arc::ptr_eq(&met[0], &met[1]));
    }
}
