//! [`Counts`]: how many messages and bytes a server, or the whole network, has seen.

use std::ops::{AddAssign, Sub};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many calls were made on a server, or on all of them, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls made, whether or not the server could be reached.
    pub calls: u64,
    /// Bytes of the encoded arguments of these calls.
    pub request_bytes: u64,
    /// Requests that reached a handler's server, each copy of a duplicated one.
    pub delivered: u64,
    /// Replies that reached their caller.
    pub replies: u64,
    /// Bytes of these replies.
    pub reply_bytes: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.calls += other.calls;
        self.request_bytes += other.request_bytes;
        self.delivered += other.delivered;
        self.replies += other.replies;
        self.reply_bytes += other.reply_bytes;
    }
}

impl Sub for Counts {
    type Output = Counts;

    /// What was counted since `earlier`.
    fn sub(self, earlier: Counts) -> Counts {
        Counts {
            calls: self.calls - earlier.calls,
            request_bytes: self.request_bytes - earlier.request_bytes,
            delivered: self.delivered - earlier.delivered,
            replies: self.replies - earlier.replies,
            reply_bytes: self.reply_bytes - earlier.reply_bytes,
        }
    }
}

/// Counts as they are taken, by many threads.
#[derive(Default)]
pub(crate) struct Counters {
    calls: AtomicU64,
    request_bytes: AtomicU64,
    delivered: AtomicU64,
    replies: AtomicU64,
    reply_bytes: AtomicU64,
}

impl Counters {
    pub(crate) fn call(&self, bytes: usize) {
        self.calls.fetch_add(1, Relaxed);
        self.request_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn delivered(&self) {
        self.delivered.fetch_add(1, Relaxed);
    }

    pub(crate) fn reply(&self, bytes: usize) {
        self.replies.fetch_add(1, Relaxed);
        self.reply_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn read(&self) -> Counts {
        Counts {
            calls: self.calls.load(Relaxed),
            request_bytes: self.request_bytes.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
            replies: self.replies.load(Relaxed),
            reply_bytes: self.reply_bytes.load(Relaxed),
        }
    }
}
