//! The remote procedure calls that clerks make on servers.
//!
//! The tests know nothing of these messages: change, add and rename what you like. What must stay is the service's
//! name, `"kv"`, and the names `KvService` and `KvClient`.

use serde::{Deserialize, Serialize};

labrpc::service! {
    /// The calls that clerks make on servers. This generates
    /// - the trait `KvService`, which your `KvServer` implements: one handler per call;
    /// - the struct `KvClient`, with a method per call that sends it to one server.
    pub service "kv" {
        trait KvService; client KvClient;
        rpc get(GetArgs) -> GetReply;
        rpc put_append(PutAppendArgs) -> PutAppendReply;
    }
}

/// A clerk asks for the value of a key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GetArgs {
    pub key: String,
    // 3A: what tells this request from all others, of this clerk and of other clerks.
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GetReply {
    /// This server does not lead; there is no value.
    pub wrong_leader: bool,
    /// Empty if the key has none.
    pub value: String,
}

/// A clerk changes the value of a key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PutAppendArgs {
    pub key: String,
    pub value: String,
    /// Add `value` to what the key has, instead of replacing it.
    pub append: bool,
    // 3A: what tells this request from all others, so that one that comes twice is executed once.
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PutAppendReply {
    /// This server does not lead; nothing is known about the request.
    pub wrong_leader: bool,
}
