//! What can be seen of the network, and done to single messages: [`Observer`] and [`Event`], [`Envelope`]
//! and [`Fate`].

use std::fmt;
use std::time::Duration;

use crate::faults::Notice;
use crate::message::{AnyMessage, Method};

/// One copy of one message. Numbers are unique within a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u64);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {}", self.0)
    }
}

/// One call: the request, the reply and all their copies. Numbers are unique within a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {}", self.0)
    }
}

/// Whether a message asks or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// From the caller to the server.
    Request,
    /// From the server to the caller.
    Reply,
}

/// One copy of one message, seen from outside.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// This copy.
    pub id: MessageId,
    /// The call it belongs to.
    pub call: CallId,
    /// Who sent it: the caller of a request, the server of a reply.
    pub from: &'a str,
    /// To whom: the server of a request, the caller of a reply.
    pub to: &'a str,
    /// The procedure called.
    pub method: &'static Method,
    /// Request or reply.
    pub kind: Kind,
    /// The encoded arguments of the call; of a request the same as `bytes`.
    pub args: &'a [u8],
    /// The encoded arguments or reply; `None` for a reply that says there is no such method, or that
    /// something could not be decoded or encoded.
    pub bytes: Option<&'a [u8]>,
}

impl Envelope<'_> {
    /// How many bytes the message has.
    pub fn size(&self) -> usize {
        self.bytes.map_or(0, <[u8]>::len)
    }

    /// The message, decoded; `None` if it has no bytes or they are not what its type expects.
    pub fn message(&self) -> Option<Box<dyn AnyMessage>> {
        let decode = match self.kind {
            Kind::Request => self.method.decode_args,
            Kind::Reply => self.method.decode_reply,
        };
        decode(self.bytes?)
    }
}

/// One step of one copy of a message. It happens now: an observer that wants to know when reads the clock itself, as
/// one that must not disturb what it watches.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Which message.
    pub envelope: Envelope<'a>,
    /// What became of it.
    pub step: Step,
}

/// What became of a copy of a message. It begins with one of `Sent` and `Duplicated`, and ends with exactly
/// one of `Delivered` and `Dropped`, unless its handler or its network still holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was handed to the network.
    Sent,
    /// The network made it.
    Duplicated {
        /// Of this message, whose `Sent` came before.
        of: MessageId,
    },
    /// It will be late by this much, beyond the latency.
    Delayed(Duration),
    /// It was put aside, until [`Network::release`](crate::Network::release), which finds it from now on.
    Held,
    /// It goes on after being held.
    Released,
    /// A request: its handler starts. A reply: the caller has it.
    Delivered,
    /// It will not arrive.
    Dropped(Reason),
}

impl Step {
    /// Whether nothing more happens to the message.
    pub fn is_end(&self) -> bool {
        matches!(self, Step::Delivered | Step::Dropped(_))
    }
}

/// Why a message does not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The link was disabled when the request was sent.
    LinkDisabled,
    /// There was no server of that name when the request was sent.
    NoServer,
    /// The network lost it, as its [`Faults`](crate::Faults) have it.
    Loss,
    /// [`Network::intercept`](crate::Network::intercept) said so.
    Intercepted,
    /// The link was disabled while the message was on its way or its handler ran.
    LinkCut,
    /// The server was deleted while the message was on its way or its handler ran.
    ServerDeleted,
    /// The caller closed its client.
    CallerClosed,
    /// The call had ended before its reply came: another copy was faster, or it was taken for lost.
    CallOver,
    /// The handler returned [`Stopped`](crate::RpcError::Stopped) instead of a reply.
    Unanswered,
    /// The handler panicked instead of returning a reply.
    Panicked,
    /// The network is gone.
    NetworkStopped,
}

/// Watches a network.
pub trait Observer: Send + Sync {
    /// Called for each step of each copy of each message, on whatever thread made it: the steps of one copy
    /// in their order, and before what follows from them can be seen otherwise.
    ///
    /// It may be called with locks of the network held: it must be quick, must not wait for other threads,
    /// and must not call the network.
    fn observe(&self, event: &Event<'_>);
}

/// What is to become of one message; the answer of [`Network::intercept`](crate::Network::intercept).
///
/// Anything but `Default` exempts the message from the network's [`Faults`](crate::Faults).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// What the network's faults draw for it.
    Default,
    /// It is delivered.
    Deliver,
    /// It is dropped, and the caller learns it like this.
    Drop(Notice),
    /// It is delivered late by this much.
    Delay(Duration),
    /// It is put aside until [`Network::release`](crate::Network::release). The call resolves
    /// [`TimedOut`](crate::RpcError::TimedOut) when its time is up.
    Hold,
    /// It is delivered, and this many copies of it too. They are not intercepted again.
    Duplicate(u32),
    /// It is delivered, and a copy of it is put aside, as with [`Hold`](Fate::Hold): to arrive once more, much later.
    Keep,
}
