//! [`DecodeStream`]: the records of a file that is only appended to, one after the other.

use std::iter::FusedIterator;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::{DecodeError, Limits, wire};

/// Iterates over concatenated encodings; made by [`decode_stream`](crate::decode_stream()).
///
/// After an error it ends: where the next record would start is unknown.
#[derive(Clone, Debug)]
pub struct DecodeStream<'a, T> {
    limits: Limits,
    bytes: &'a [u8],
    offset: usize,
    failed: bool,
    record: PhantomData<fn() -> T>,
}

impl<'a, T> DecodeStream<'a, T> {
    pub(crate) fn new(limits: Limits, bytes: &'a [u8]) -> Self {
        DecodeStream { limits, bytes, offset: 0, failed: false, record: PhantomData }
    }

    /// Where the records returned so far end, in bytes from the start. After an error the bytes before
    /// this offset are whole records, the record that starts here is not.
    pub fn offset(&self) -> usize {
        self.offset
    }
}

impl<T: DeserializeOwned> Iterator for DecodeStream<'_, T> {
    type Item = Result<T, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.offset == self.bytes.len() {
            return None;
        }
        let record = match wire::decode_at(&self.limits, self.bytes, self.offset) {
            Ok((_, end)) if end == self.offset => Err(DecodeError::EmptyRecord { offset: end }),
            Ok((record, end)) => {
                self.offset = end;
                Ok(record)
            }
            Err(error) => Err(error),
        };
        self.failed = record.is_err();
        Some(record)
    }
}

impl<T: DeserializeOwned> FusedIterator for DecodeStream<'_, T> {}
