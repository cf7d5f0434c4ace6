//! A simulated unreliable network with typed remote procedure calls.
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

pub use counts::Counts;
pub use error::{Result, RpcError};
pub use faults::{Faults, Notice};
pub use future::RpcFuture;
pub use link::Client;
pub use message::{AnyMessage, Message, Method};
pub use network::Network;
pub use observe::{CallId, Envelope, Event, Fate, Kind, MessageId, Observer, Reason, Step};
pub use options::NetworkOptions;
pub use pool::{Spawn, Threads};
pub use server::Server;
pub use service::Service;
