//! In which time runs take place.

use std::env;
use std::fmt;

/// `LAB_TIME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Time {
    /// Virtual: jumps to the next timer, and a seed replays a run exactly
    Sim,
    /// The wall clock, one run at a time
    Real,
}

impl Time {
    /// As asked for, or as the environment says, or what there is. The suites, which were built by the same compiler for the
    /// same system, choose in the same way.
    pub(crate) fn choose(asked: Option<Time>) -> Time {
        let there_is_virtual = cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"));
        let of_environment = || env::var("LAB_TIME").is_ok_and(|time| time == "real").then_some(Time::Real);
        match asked.or_else(of_environment) {
            Some(Time::Real) => Time::Real,
            _ if there_is_virtual => Time::Sim,
            _ => Time::Real,
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Time::Sim => "sim",
            Time::Real => "real",
        })
    }
}
