//! What travels: [`Message`], any type that can be encoded; [`AnyMessage`], a message whose type the reader
//! does not know beforehand; [`Method`], which says what type the messages of one procedure have.

use std::any::Any;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A type that can be the arguments or the reply of a call. Nothing to implement: any fitting type is one.
pub trait Message: Serialize + DeserializeOwned + fmt::Debug + Send + 'static {}

impl<T: Serialize + DeserializeOwned + fmt::Debug + Send + 'static> Message for T {}

/// A message of some type, for those who watch the network: print it, or ask whether it is of a certain
/// type.
pub trait AnyMessage: Any + fmt::Debug + Send {
    /// The message as [`Any`].
    fn as_any(&self) -> &dyn Any;
}

impl<T: Message> AnyMessage for T {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl dyn AnyMessage {
    /// The message, if it is a `T`.
    pub fn downcast_ref<T: Message>(&self) -> Option<&T> {
        self.as_any().downcast_ref()
    }
}

type DecodeAny = fn(&[u8]) -> Option<Box<dyn AnyMessage>>;

/// One remote procedure: its names, and the types of its messages. [`service!`](crate::service!) makes one
/// for each.
pub struct Method {
    /// The name of the service, such as `raft`.
    pub service: &'static str,
    /// The name of the procedure, such as `append_entries`.
    pub method: &'static str,
    pub(crate) decode_args: DecodeAny,
    pub(crate) decode_reply: DecodeAny,
}

impl Method {
    /// A procedure that takes an `A` and replies with an `R`.
    pub const fn new<A: Message, R: Message>(service: &'static str, method: &'static str) -> Self {
        Method { service, method, decode_args: decode_any::<A>, decode_reply: decode_any::<R> }
    }
}

fn decode_any<T: Message>(bytes: &[u8]) -> Option<Box<dyn AnyMessage>> {
    labcodec::decode::<T>(bytes).ok().map(|message| Box::new(message) as _)
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.service, self.method)
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Method({self})")
    }
}
