//! What `labcodec` promises, seen from outside.
#![forbid(unsafe_code)]

mod errors;
mod format;
mod hostile;
mod limits;
mod round_trip;
mod shapes;
mod stream;
