//! The format on the wire: bincode with fixed-width little-endian integers.
//!
//! This is the only file that names bincode, so that it can be swapped here. It is 1.3.3 on purpose: its
//! authors call that release complete, 3.0.0 is a tombstone that does not compile, and every version carries an
//! "unmaintained" advisory.

use bincode::{DefaultOptions, ErrorKind, Options};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{DecodeError, EncodeError, Limits};

fn format() -> impl Options {
    DefaultOptions::new().with_fixint_encoding()
}

/// Appends the encoding of `value` to `out`; on an error `out` is what it was.
pub(crate) fn encode_into<T: Serialize + ?Sized>(
    limits: &Limits,
    out: &mut Vec<u8>,
    value: &T,
) -> Result<(), EncodeError> {
    let explain = |error: bincode::Error| match *error {
        ErrorKind::SizeLimit => EncodeError::TooLarge { limit: limits.max_bytes },
        ErrorKind::SequenceMustHaveLength => EncodeError::UnknownLength,
        other => EncodeError::Refused(other.to_string()),
    };
    let size = format().with_limit(limits.max_bytes as u64).serialized_size(value).map_err(explain)?;
    let start = out.len();
    out.reserve(size as usize);
    format().serialize_into(&mut *out, value).map_err(|error| {
        out.truncate(start);
        explain(error)
    })
}

/// Decodes one value that starts at `offset`; returns it and where it ends.
pub(crate) fn decode_at<T: DeserializeOwned>(
    limits: &Limits,
    bytes: &[u8],
    offset: usize,
) -> Result<(T, usize), DecodeError> {
    let mut rest = &bytes[offset..];
    let value =
        format().with_limit(limits.max_bytes as u64).deserialize_from(&mut rest).map_err(|error| {
            DecodeError::Refused { offset: bytes.len() - rest.len(), reason: error.to_string() }
        })?;
    Ok((value, bytes.len() - rest.len()))
}
