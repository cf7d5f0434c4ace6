//! Bounded binary encoding of messages and persisted state.
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

/// Encodes a value, within the default [`Limits`].
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, EncodeError> {
    Limits::new().encode(value)
}

/// Appends the encoding of a value to `out`, within the default [`Limits`]. On an error `out` is what it was.
pub fn encode_into<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), EncodeError> {
    Limits::new().encode_into(out, value)
}

/// Decodes a value from all of `bytes`, within the default [`Limits`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    Limits::new().decode(bytes)
}

/// Decodes values that were encoded one after the other, each within the default [`Limits`].
pub fn decode_stream<T: DeserializeOwned>(bytes: &[u8]) -> DecodeStream<'_, T> {
    Limits::new().decode_stream(bytes)
}
