//! Models of the objects that tests of distributed systems are usually about.

mod cas_register;
mod kv;
mod lock;
mod per_key;
mod queue;
mod set;
mod stack;

pub use cas_register::{CasInput, CasOutput, CasRegister};
pub use kv::{KvCall, KvClient, KvInput, KvRecorder, KvStore};
pub use lock::{Lock, LockInput};
pub use per_key::{Keyed, PerKey};
pub use queue::{Queue, QueueInput};
pub use set::{Set, SetInput};
pub use stack::{Stack, StackInput};
