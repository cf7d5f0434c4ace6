//! [`Service`]: the procedures of one service and the code behind them.

use std::collections::BTreeMap;
use std::pin::Pin;

use labcodec::Limits;

use crate::{Message, Result};

/// The encoded reply, or why there is none.
pub(crate) type Outcome = Result<Vec<u8>>;

pub(crate) type ReplyFuture = Pin<Box<dyn Future<Output = Outcome> + Send>>;

type Code<T> = Box<dyn Fn(&[u8], Limits) -> T + Send + Sync>;

/// The code behind one procedure: from encoded arguments to the encoded reply.
pub(crate) enum Handler {
    Plain(Code<Outcome>),
    Async(Code<Result<ReplyFuture>>),
}

/// The procedures of one service and the code behind them, to be [added](crate::Server::add) to a server.
///
/// The trait that [`service!`](crate::service!) makes turns whatever implements it into one.
pub struct Service {
    pub(crate) name: &'static str,
    pub(crate) handlers: BTreeMap<&'static str, Handler>,
}

impl Service {
    /// A service without procedures.
    pub fn new(name: &'static str) -> Self {
        Service { name, handlers: BTreeMap::new() }
    }

    /// Adds a procedure that runs on a thread of its node, on which it may block.
    #[must_use]
    pub fn plain<A: Message, R: Message>(
        mut self,
        method: &'static str,
        handler: impl Fn(A) -> Result<R> + Send + Sync + 'static,
    ) -> Self {
        let handler = Handler::Plain(Box::new(move |args, limits| {
            let reply = handler(limits.decode(args)?)?;
            Ok(limits.encode(&reply)?)
        }));
        self.handlers.insert(method, handler);
        self
    }

    /// Adds a procedure that returns a future, which must not block.
    #[must_use]
    pub fn asynchronous<A: Message, R: Message, F: Future<Output = Result<R>> + Send + 'static>(
        mut self,
        method: &'static str,
        handler: impl Fn(A) -> F + Send + Sync + 'static,
    ) -> Self {
        let handler = Handler::Async(Box::new(move |args, limits| {
            let reply = handler(limits.decode(args)?);
            Ok(Box::pin(async move { Ok(limits.encode(&reply.await?)?) }))
        }));
        self.handlers.insert(method, handler);
        self
    }
}
