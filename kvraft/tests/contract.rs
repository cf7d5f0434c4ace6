//! The public contract of the `kvraft` crate, each item once with its type.
//!
//! The suites use nothing else of it. If the crate does not compile against this file, the error names the item
//! whose signature was changed; anything may be added. What servers and clerks say to each other is the student's:
//! the suites only carry it.

use kvraft::{Clerk, KvClient, KvServer, KvService};
use labnode::Persister;
use labrpc::{Client, Service};
use raft::{Raft, RaftClient};

// A server.
const _: fn(Vec<RaftClient>, usize, Persister, Option<usize>) -> KvServer = KvServer::new;
const _: fn(&KvServer) -> Raft = KvServer::raft;
const _: fn(&KvServer) = KvServer::kill;

// Its service and its client.
const _: fn(KvServer) -> Service = <KvServer as KvService>::into_service;
const _: fn(Client) -> KvClient = KvClient::new;

// A clerk.
const _: fn(Vec<KvClient>) -> Clerk = Clerk::new;
const _: fn(&mut Clerk, &str) -> String = Clerk::get;
const _: fn(&mut Clerk, &str, &str) = Clerk::put;
const _: fn(&mut Clerk, &str, &str) = Clerk::append;

// What they are, beyond their methods.
const _: () = {
    const fn handle<T: Clone + Send + Sync + 'static>() {}
    const fn movable<T: Send + 'static>() {}
    handle::<KvServer>();
    handle::<KvClient>();
    movable::<Clerk>();
};
