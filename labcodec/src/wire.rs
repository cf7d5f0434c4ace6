//! The format on the wire: bincode with fixed-width little-endian integers.
//!
//! This is the only file that names bincode, so that it can be swapped here. It is 1.3.3 on purpose: its
//! authors call that release complete, 3.0.0 is a tombstone that does not compile, and every version carries an
//! "unmaintained" advisory.

use std::cell::Cell;
use std::io;

use bincode::de::read::BincodeRead;
use bincode::{DefaultOptions, Deserializer, ErrorKind, Options};
use serde::Serialize;
use serde::de::{DeserializeOwned, Visitor};

use crate::input::Input;
use crate::{DecodeError, EncodeError, Limits, de, ser};

fn format() -> impl Options {
    DefaultOptions::new().with_fixint_encoding()
}

/// Appends the encoding of `value` to `out`; on an error `out` is what it was.
///
/// The format walks a value twice, to measure it and to write it. The limits are checked on the first walk alone, so
/// that writing is as fast as the format's own.
#[inline]
pub(crate) fn encode_into<T: Serialize + ?Sized>(
    limits: &Limits,
    out: &mut Vec<u8>,
    value: &T,
) -> Result<(), EncodeError> {
    let too_large = EncodeError::TooLarge { limit: limits.max_bytes };
    let too_deep = Cell::new(false);
    let explain = |error: bincode::Error| match *error {
        _ if too_deep.get() => EncodeError::TooDeep { limit: limits.max_depth },
        ErrorKind::SizeLimit => too_large.clone(),
        ErrorKind::SequenceMustHaveLength => EncodeError::UnknownLength,
        other => EncodeError::Refused(other.to_string()),
    };
    let size =
        format().serialized_size(&ser::Bounded::new(value, limits.max_depth, &too_deep)).map_err(explain)?;
    if size > limits.max_bytes as u64 {
        return Err(too_large);
    }

    let start = out.len();
    out.reserve(size as usize);
    let written = match format().serialize_into(&mut *out, value) {
        Ok(()) if out.len() - start <= limits.max_bytes => return Ok(()),
        // A value behind a lock can grow between the walks.
        Ok(()) => Err(too_large.clone()),
        Err(error) => Err(explain(error)),
    };
    out.truncate(start);
    written
}

/// Decodes one value that starts at `offset`; returns it and where it ends.
#[inline]
pub(crate) fn decode_at<T: DeserializeOwned>(
    limits: &Limits,
    bytes: &[u8],
    offset: usize,
) -> Result<(T, usize), DecodeError> {
    let input = Input::new(*limits, bytes, offset);
    let mut format = Deserializer::with_bincode_read(Reader(&input), format());
    match T::deserialize(de::Bounded::new(&mut format, &input)) {
        Ok(value) => Ok((value, input.offset())),
        Err(error) => Err(explain(*error, input)),
    }
}

/// What went wrong in decoding: what was recorded at the time, or else what the format found.
#[cold]
fn explain(error: ErrorKind, input: Input<'_>) -> DecodeError {
    let offset = input.offset();
    input.into_failure().unwrap_or_else(|| match error {
        ErrorKind::InvalidBoolEncoding(found) => DecodeError::InvalidBool { offset: offset - 1, found },
        ErrorKind::InvalidTagEncoding(tag) => {
            DecodeError::InvalidOption { offset: offset - 1, found: tag as u8 }
        }
        ErrorKind::InvalidCharEncoding => DecodeError::InvalidChar { offset },
        other => DecodeError::Refused { offset, reason: other.to_string() },
    })
}

/// Reads from an [`Input`], which knows how far decoding got and what memory is left.
struct Reader<'i, 'de>(&'i Input<'de>);

impl<'de> Reader<'_, 'de> {
    #[inline]
    fn take(&mut self, count: usize) -> io::Result<&'de [u8]> {
        self.0.take(count).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Takes bytes that will be copied to memory of their own.
    #[inline]
    fn take_paid(&mut self, count: usize) -> bincode::Result<&'de [u8]> {
        let bytes = self.take(count)?;
        self.0.spend(count).map(|()| bytes)
    }
}

impl io::Read for Reader<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = out.len().min(self.0.left());
        self.read_exact(&mut out[..count])?;
        Ok(count)
    }

    #[inline]
    fn read_exact(&mut self, out: &mut [u8]) -> io::Result<()> {
        out.copy_from_slice(self.take(out.len())?);
        Ok(())
    }
}

impl<'de> BincodeRead<'de> for Reader<'_, 'de> {
    #[inline]
    fn forward_read_str<V: Visitor<'de>>(&mut self, len: usize, visitor: V) -> bincode::Result<V::Value> {
        let start = self.0.offset();
        match std::str::from_utf8(self.take_paid(len)?) {
            Ok(text) => visitor.visit_borrowed_str(text),
            Err(error) => Err(self.0.fail(DecodeError::InvalidUtf8 { offset: start + error.valid_up_to() })),
        }
    }

    #[inline]
    fn get_byte_buffer(&mut self, len: usize) -> bincode::Result<Vec<u8>> {
        self.take_paid(len).map(<[u8]>::to_vec)
    }

    #[inline]
    fn forward_read_bytes<V: Visitor<'de>>(&mut self, len: usize, visitor: V) -> bincode::Result<V::Value> {
        visitor.visit_borrowed_bytes(self.take_paid(len)?)
    }
}
