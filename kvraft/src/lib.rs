//! A key/value service that survives the failure of servers: the solution of labs 3A (the service) and 3B (its
//! snapshots), built on [`Raft`].
//!
//! "Raft" refers to Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm (Extended Version)",
//! sections 7 and 8; "thesis" to Ongaro, "Consensus: Bridging Theory and Practice", chapter 6.
//!
//! # The way of a request
//!
//! ```text
//!   Clerk            KvServer, leader                     Raft, leader        others
//!     │  execute        │                                    │                   │
//!     ├────────────────►│ agree_on: start(command) ─────────►│ ─── AppendEntries ─►
//!     │                 │ Waiters::add(index, request)       │ ◄── success ──────┤
//!     │                 │                                    │ committed         │
//!     │                 │ apply_all ◄─────── apply channel ──┤                   ├─► apply_all:
//!     │                 │ StateMachine::apply(request)       │                   │   the same
//!     │  Done           │ Waiters::applied(index, request)   │                   │
//!     │◄────────────────┤                                    │                   │
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `messages` | a [`Request`], which is also the command in the log, and its [`Reply`] |
//! | `clerk` | [`Clerk`]: finds the leader, asks until it has an answer |
//! | `server` | [`KvServer`]: handlers that wait, and the one thread that applies |
//! | `state_machine` | values, and the latest write of each client; what a snapshot holds |
//! | `waiters` | who waits for what to be applied |
//!
//! # Exactly once
//!
//! A clerk that hears nothing asks again, and its request may be in the log twice. So each request has a number of its
//! clerk's, and the state machine skips a write whose number it has seen: when it executes the log, where all servers
//! decide alike, and not when the request arrives, where both copies may come before either is executed. The numbers
//! are part of the state and of its snapshots.
//!
//! # Nobody waits for ever
//!
//! A handler waits at the index that its command was given. It is answered when just that request is applied there. It
//! is told `WrongLeader` when another request is applied there or a snapshot passes the place, and when its server
//! ceases to lead ([`Raft::on_deposed`]): the new leader may apply nothing for a long time. A leader that is cut off from
//! the majority does not know that it has been replaced; its clerks leave it when they have waited long enough.
//!
//! # Reads
//!
//! A leader must not answer from its state as it is: another may have been elected and have overwritten it. By default
//! a `Get` is served by the read index ([`Reads::ByIndex`], thesis 6.4): Raft remembers what is committed, a majority
//! confirms that this server still leads, and when that much is applied, the value is read. Nothing goes to the log, to
//! any disk or through the apply channel of five servers. Where the new leader has not committed anything yet, the read
//! goes through the log like a write, as all do with [`Reads::ByLog`].
//!
//! Measured with five servers and five clerks, half of the operations reads, in virtual time and with all of Raft's rules
//! watched: with reads by index an operation costs a sixth less CPU (60 against 73 us with one seed, 55 against 63 with
//! another) and switches between threads a sixth less often, and the log grows half as fast; the time it takes is the
//! same. `cargo bench -p kvraft` compares both in real time.
//!
//! # Locks
//!
//! One mutex guards state machine and waiters. It is taken before Raft's: `start` is called under it, so that no command
//! can be applied before its waiter is there. Raft never calls the service with its own lock held, and its applier holds
//! none while it waits for the channel. `Raft::snapshot` is called by the applier thread without the mutex. Handlers
//! wait for their answers without it.
//!
//! Handlers are plain functions that block a thread of the network's pool while they wait. As `async` functions, of which
//! only the awaiting differs, they cost a twentieth more in the tests; with hundreds of clerks they would cost less.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod clerk;
mod messages;
mod server;
mod state_machine;
mod waiters;

pub use labnode::Persister;
pub use raft::{Raft, RaftClient};

pub use crate::clerk::{Clerk, MAX_OP_BYTES};
pub use crate::messages::{KvClient, KvService, Op, Reply, Request, RequestId};
pub use crate::server::{KvServer, Reads};
