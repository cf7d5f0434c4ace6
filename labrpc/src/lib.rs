//! A simulated unreliable network with typed remote procedure calls.
//!
//! Servers and clients are objects of one process; the network between them delays, loses, duplicates and
//! reorders messages, cuts links and removes servers, as a test tells it to. Whoever serves or calls writes
//! ordinary code on ordinary threads. All that is random comes from one [seed](NetworkOptions::seed).
//!
//! ```
//! use std::sync::Arc;
//!
//! use labrpc::{Network, NetworkOptions, Result, RpcError, Server, Threads};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! pub struct AddArgs {
//!     pub a: u64,
//!     pub b: u64,
//! }
//!
//! labrpc::service! {
//!     pub service "adder" {
//!         trait AdderService; client AdderClient;
//!         /// The sum of both.
//!         rpc add(AddArgs) -> u64;
//!     }
//! }
//!
//! #[derive(Clone)]
//! struct Adder;
//!
//! impl AdderService for Adder {
//!     fn add(&self, args: AddArgs) -> Result<u64> {
//!         Ok(args.a + args.b)
//!     }
//! }
//!
//! let network = Network::new(NetworkOptions::default());
//! let mut server = Server::new("server", Arc::new(Threads));
//! server.add(Adder.into_service());
//! network.add_server(server);
//!
//! let client = network.client("client", "server", Arc::new(Threads));
//! network.enable(&client, true);
//! let adder = AdderClient::new(client.clone());
//! assert_eq!(adder.add(&AddArgs { a: 1, b: 2 }).wait(), Ok(3));
//!
//! network.enable(&client, false);
//! assert_eq!(adder.add(&AddArgs { a: 1, b: 2 }).wait(), Err(RpcError::TimedOut));
//! ```
//!
//! # The life of a call
//!
//! 1. A stub encodes the arguments and hands them to the network, on the caller's thread, and returns an
//!    [`RpcFuture`]. The call is counted ([`Counts`]), whatever becomes of it.
//! 2. If the [client](Client) is disabled or there is no server of that name, the call resolves
//!    [`TimedOut`](RpcError::TimedOut) after up to 0.1 s, or up to 7 s with [`Faults::long_delays`].
//! 3. Otherwise the test may decide about the request ([`Network::intercept`]), or the [`Faults`] are
//!    drawn: the request is delayed, lost or duplicated. A lost one resolves [`Lost`](RpcError::Lost) after
//!    its delay, or `TimedOut` when the call's time is up ([`Notice`]).
//! 4. After the latency it arrives, if the client is enabled then and the server is still the same. Its
//!    handler runs on a thread of the server's node. *No request overtakes another one of its client*,
//!    unless one of the two was delayed or held, or is a copy. Handlers run side by side all the same.
//! 5. When the handler has ended, and once more when the reply arrives, the same is asked again: *no reply
//!    is delivered once the client was disabled or the server deleted.* The one exception is a reply held
//!    back by [`Faults::long_reordering`].
//! 6. The reply can be intercepted, lost or delayed as the request could, and overtakes replies as little.
//!    When it arrives, the caller is woken.
//!
//! When the client is disabled or the server deleted, all calls between steps 3 and 6 resolve `Lost` at
//! that moment; when the client is [closed](Network::close) or the network dropped, all its calls resolve
//! [`Stopped`](RpcError::Stopped). Whatever comes first counts. Without any of this a call resolves
//! `TimedOut` after [`call_timeout`](NetworkOptions::call_timeout), unless its handler is running then: it
//! then waits for the handler, but for nothing after that but the latency. A call that the network itself
//! fails takes at least 0.1 ms.
//!
//! A handler that returns `Stopped` gives no answer: the caller finds the server unreachable, as in step 2.
//! One that panics gives none either: the call is `Lost`. Other errors go to the caller as they are.
//!
//! # Threads
//!
//! Plain handlers, and callbacks of [`RpcFuture::on_reply`], run on threads of their node ([`Spawn`]),
//! which may block: there are as many as are needed, up to 4,096 a node, and they are reused. If all of
//! these are blocked, that is logged as an error with the oldest handler's name, and calls wait their turn.
//! `async` handlers are polled there too, and take no thread while they wait. The network has one thread of
//! its own, for all that takes time.
//!
//! # Watching
//!
//! An [`Observer`] is told of each step of each message, with the message itself, decoded on demand
//! ([`Envelope::message`]). Each copy of a message has one beginning and one end ([`Step`]). Without an
//! observer that costs nothing.
//!
//! # Randomness
//!
//! What happens to a call is drawn from a stream of its own, which depends on the seed, the two names, the
//! number of the client among those of the two names, and the number of the call among those of that
//! client: not on other calls, and not on how threads interleave. (Other calls matter in one way: a message
//! that would overtake one arrives right behind it instead.)
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod call;
mod core;
mod counts;
mod draws;
mod error;
mod faults;
mod future;
mod job;
mod lane;
mod link;
mod macros;
mod message;
mod network;
mod observe;
mod options;
mod parcel;
mod pool;
mod server;
mod service;
mod timer;
mod transit;

pub use counts::Counts;
pub use error::{Result, RpcError};
pub use faults::{Faults, Notice};
pub use future::RpcFuture;
pub use link::Client;
pub use message::{AnyMessage, Message, Method};
pub use network::Network;
pub use observe::{CallId, Envelope, Event, Fate, Kind, MessageId, Observer, Reason, Step};
pub use options::{Clock, NetworkOptions};
pub use pool::{Spawn, Threads};
pub use server::Server;
pub use service::Service;
