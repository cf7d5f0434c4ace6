//! [`Limits`]: how large, how memory-hungry and how deep a value may be.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{DecodeError, DecodeStream, EncodeError, wire};

/// The bounds within which values are encoded and decoded.
///
/// ```
/// use labcodec::{DecodeError, Limits};
///
/// const SMALL: Limits = Limits::new().max_bytes(16);
///
/// let bytes = SMALL.encode("raft")?;
/// assert_eq!(SMALL.decode::<String>(&bytes)?, "raft");
/// assert_eq!(SMALL.decode::<String>(&[0; 17]), Err(DecodeError::TooLarge { offset: 0, limit: 16 }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(crate) max_bytes: usize,
    pub(crate) max_memory: usize,
    pub(crate) max_depth: usize,
}

impl Limits {
    /// The default limits.
    pub const fn new() -> Self {
        Limits { max_bytes: 64 << 20, max_memory: 256 << 20, max_depth: 128 }
    }

    /// Sets how many bytes the encoding of one value may take; 64 MiB by default.
    #[must_use]
    pub const fn max_bytes(self, max_bytes: usize) -> Self {
        Limits { max_bytes, ..self }
    }

    /// Sets how many bytes of memory one decoded value may be charged; 256 MiB by default.
    #[must_use]
    pub const fn max_memory(self, max_memory: usize) -> Self {
        Limits { max_memory, ..self }
    }

    /// Sets how many values may be nested in one another, encoding and decoding; 128 by default.
    #[must_use]
    pub const fn max_depth(self, max_depth: usize) -> Self {
        Limits { max_depth, ..self }
    }

    /// [`encode`](crate::encode()) within these limits.
    #[inline]
    pub fn encode<T: Serialize + ?Sized>(&self, value: &T) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::new();
        self.encode_into(&mut out, value)?;
        Ok(out)
    }

    /// [`encode_into`](crate::encode_into()) within these limits.
    #[inline]
    pub fn encode_into<T: Serialize + ?Sized>(
        &self,
        out: &mut Vec<u8>,
        value: &T,
    ) -> Result<(), EncodeError> {
        wire::encode_into(self, out, value)
    }

    /// [`decode`](crate::decode()) within these limits.
    #[inline]
    pub fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, DecodeError> {
        if bytes.len() > self.max_bytes {
            return Err(DecodeError::TooLarge { offset: 0, limit: self.max_bytes });
        }
        let (value, end) = wire::decode_at(self, bytes, 0)?;
        match bytes.len() - end {
            0 => Ok(value),
            left => Err(DecodeError::TrailingBytes { offset: end, left }),
        }
    }

    /// [`decode_stream`](crate::decode_stream()) within these limits, which hold for each record by itself.
    pub fn decode_stream<T: DeserializeOwned>(self, bytes: &[u8]) -> DecodeStream<'_, T> {
        DecodeStream::new(self, bytes)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}
