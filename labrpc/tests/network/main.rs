//! What the network promises, seen from outside. The bounds on time are generous: they tell a call that was
//! ended from one that nobody ended.

mod calls;
mod common;
mod death;
mod errors;
mod fates;
mod faults;
mod futures;
mod order;
mod recorder;
mod threads;
