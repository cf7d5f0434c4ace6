//! [`RpcError`]: why a call has no reply, one variant for each meaning.

use labcodec::{DecodeError, EncodeError};
use thiserror::Error;

/// The result of a call, and of a handler.
pub type Result<T> = std::result::Result<T, RpcError>;

/// Why a call has no reply.
///
/// After [`Lost`](Self::Lost) and [`TimedOut`](Self::TimedOut) nobody knows whether the handler ran, will
/// still run, or never will.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RpcError {
    /// Occurs when the request or the reply was lost and the caller noticed: dropped on the way, the link
    /// cut, the server removed, or the handler panicked.
    #[error("the request or the reply was lost")]
    Lost,
    /// Occurs when no reply came in time: the server cannot be reached, a message was lost unnoticed or
    /// held up, or the time given to [`RpcFuture::timeout`](crate::RpcFuture::timeout) is over.
    #[error("no reply in time")]
    TimedOut,
    /// Occurs when the caller's own client was closed or the network is gone. A handler that returns it
    /// gives no answer: to the caller the server is then one that cannot be reached.
    #[error("the caller was stopped")]
    Stopped,
    /// Occurs when the arguments or the reply are not what their type expects.
    #[error("cannot decode a message: {0}")]
    Decode(#[from] DecodeError),
    /// Occurs when the arguments or the reply cannot be encoded, such as when they are too large.
    #[error("cannot encode a message: {0}")]
    Encode(#[from] EncodeError),
    /// Occurs when the server has no such service or the service no such method.
    #[error("the server has no such method")]
    NoSuchMethod,
}
