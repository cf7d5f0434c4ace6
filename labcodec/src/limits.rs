//! [`Limits`]: how large, how memory-hungry and how deep a value may be.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{DecodeError, DecodeStream, EncodeError, wire};

/// The bounds within which values are encoded and decoded.
///
/// # What they promise
///
/// **`max_bytes`**: no value is longer on the wire, in either direction. In a stream it holds for each record.
///
/// **`max_memory`**: decoding one value never asks the allocator for more than four times this at a time, plus 1 MiB for
/// each container among the outer eight levels (2.3 MiB for hash maps), which serde reserves for announced elements. To
/// that end a value is charged as it is read:
///
/// - a struct, tuple, enum, option, container, string or byte string: its size in memory;
/// - text and byte strings: their length besides;
/// - each element of a sequence, and each key and value of a map: its size besides;
/// - never less than 16 bytes at a time, so that elements which take no bytes at all come to an end as well.
///
/// The factor of four is for what is not seen from here: containers that grow by doubling, hash maps with room to
/// spare, nodes, boxes of integers. A `HashSet<u128>` comes to 3.64, most values stay near one. A `Vec<u8>` that is not
/// marked `serde_bytes` pays 16 for each byte. What a type allocates in a hand-written `Deserialize` or conversion is
/// its own affair.
///
/// **`max_depth`**: values nested in one another, a level for each struct, tuple, sequence, map, enum and option. Encoding
/// and decoding count alike, so that what was encoded can be decoded. The default of 64 keeps the stack small: a level
/// of decoding was measured to take about 0.4 KiB in the workspace's own build, 2 KiB without optimisation, and more
/// for types that are themselves large. 64 levels then fit a thread of 64 KiB, or 256 KiB without optimisation.
///
/// ```
/// use labcodec::{DecodeError, Limits};
///
/// const SMALL: Limits = Limits::new().max_bytes(16);
///
/// let bytes = SMALL.encode("raft")?;
/// assert_eq!(SMALL.decode::<String>(&bytes)?, "raft");
/// let bytes = labcodec::encode("more than eight letters")?;
/// assert_eq!(SMALL.decode::<String>(&bytes), Err(DecodeError::TooLarge { offset: 0, limit: 16 }));
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
        Limits { max_bytes: 64 << 20, max_memory: 256 << 20, max_depth: 64 }
    }

    /// Sets how many bytes the encoding of one value may take; 64 MiB by default.
    #[must_use]
    pub const fn max_bytes(self, max_bytes: usize) -> Self {
        Limits { max_bytes, ..self }
    }

    /// Sets how many bytes of memory one decoded value may be charged, as the type's documentation says; 256 MiB by
    /// default.
    #[must_use]
    pub const fn max_memory(self, max_memory: usize) -> Self {
        Limits { max_memory, ..self }
    }

    /// Sets how many values may be nested in one another, encoding and decoding; 64 by default.
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
