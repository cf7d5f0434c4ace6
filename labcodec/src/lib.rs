//! Bounded binary encoding of messages and persisted state.
//!
//! [`encode`] turns any serde type into bytes and [`decode`] turns them back; [`encode_into`] appends a record and
//! [`decode_stream`] reads what was appended. Bytes come from a network that may corrupt them, from a peer that may be
//! wrong, and from a disk that may hold half a record. Whatever they are, decoding returns a value or a
//! [`DecodeError`] that says what is wrong and where: it never panics, hangs, overflows the stack or takes more
//! memory than [`Limits`] allow.
//!
//! ```
//! use labcodec::{DecodeError, decode, decode_stream, encode, encode_into};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct LogEntry {
//!     term: u64,
//!     #[serde(with = "serde_bytes")] // as one piece: many times faster than byte by byte
//!     command: Vec<u8>,
//! }
//!
//! // A message: one value, all of the input.
//! let entry = LogEntry { term: 1, command: b"x=1".to_vec() };
//! let bytes = encode(&entry)?;
//! assert_eq!(decode::<LogEntry>(&bytes)?, entry);
//! assert_eq!(
//!     decode::<LogEntry>(&bytes[..17]),
//!     Err(DecodeError::Truncated { offset: 16, expected: 3, left: 1 }),
//! );
//!
//! // A log: records appended one after the other.
//! let mut log = Vec::new();
//! for term in 1..=3 {
//!     encode_into(&mut log, &LogEntry { term, command: Vec::new() })?;
//! }
//! let terms: Vec<u64> = decode_stream::<LogEntry>(&log)
//!     .map(|entry| Ok(entry?.term))
//!     .collect::<Result<_, DecodeError>>()?;
//! assert_eq!(terms, [1, 2, 3]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The encoding is compact and says nothing about itself: who decodes must know the type. A field added, removed or
//! moved makes a different type. Nothing marks damage that happens to be another valid value.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod de;
mod error;
mod input;
mod limits;
mod ser;
mod stream;
mod wire;

pub use error::{DecodeError, EncodeError};
pub use limits::Limits;
pub use stream::DecodeStream;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Encodes a value, within the default [`Limits`]. See [`EncodeError`] for what can fail; a type of plain data that fits
/// the limits never does.
#[inline]
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, EncodeError> {
    Limits::new().encode(value)
}

/// Appends the encoding of a value to `out`, within the default [`Limits`]. On an error `out` is what it was.
#[inline]
pub fn encode_into<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), EncodeError> {
    Limits::new().encode_into(out, value)
}

/// Decodes a value from all of `bytes`, within the default [`Limits`].
#[inline]
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    Limits::new().decode(bytes)
}

/// Decodes values that were encoded one after the other, each within the default [`Limits`].
pub fn decode_stream<T: DeserializeOwned>(bytes: &[u8]) -> DecodeStream<'_, T> {
    Limits::new().decode_stream(bytes)
}
