//! The exit codes of the commands for students. Those of `grade` and `mutants` have meanings of their own, which their help
//! tells.

/// Some test failed.
pub(crate) const FAILED: u8 = 1;
/// Nothing was found out: the command line is wrong, the code does not compile, a tool is missing.
pub(crate) const NOT_BEGUN: u8 = 2;
/// Of some runs nothing can be said, as when the system killed them; nothing else failed.
pub(crate) const UNKNOWN: u8 = 3;
/// By Ctrl-C, or by being asked to end.
pub(crate) const INTERRUPTED: u8 = 130;
