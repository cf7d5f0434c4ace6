//! The simulation: everything that needs Linux on x86_64 with a shared glibc.

mod alloc;
mod arena;
mod carrier;
mod clock;
mod diagnosis;
mod handover;
mod interpose;
mod lifecycle;
mod locals;
mod locks;
mod policy;
mod raw;
mod rng;
mod run;
mod runtime;
mod scheduler;
mod scope;
mod thread;
mod trace;
mod watchdog;
mod what_if;

pub use alloc::Alloc;
pub(crate) use arena::populate;
pub(crate) use interpose::end_rather_than_wait;
pub(crate) use run::{debugged, run, unsupported};
pub(crate) use scope::{
    Scope, add_node, alive_on, crash_node, current_node, diagnose, eprint, freeze_node, is_simulated, now,
    preemption_point, set_node_clock, set_node_stalls, stop_here, thaw_node, trace_event, visit,
};
pub(crate) use what_if::what_if;
