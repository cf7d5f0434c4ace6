//! [`Input`]: the bytes one value is decoded from, and the account kept while it is.

use std::cell::{Cell, OnceCell};

use serde::de;

use crate::{DecodeError, Limits};

/// What the format's reader and the bounds around it share while one value is decoded: the bytes still to
/// come, the memory still to spend, and the first thing that went wrong.
///
/// The first failure is kept here because serde leaves the error type to the format: on the way up through the
/// types' own code an error may carry nothing but text.
pub(crate) struct Input<'de> {
    limits: Limits,
    /// Where the caller's bytes end, for offsets.
    end: usize,
    /// Whether the caller has more bytes than one value may take, and `rest` was cut to those.
    cut: bool,
    rest: Cell<&'de [u8]>,
    memory_left: Cell<usize>,
    failure: OnceCell<DecodeError>,
}

impl<'de> Input<'de> {
    /// The value that starts at `offset` of `bytes`.
    pub(crate) fn new(limits: Limits, bytes: &'de [u8], offset: usize) -> Self {
        let rest = &bytes[offset..];
        let window = &rest[..rest.len().min(limits.max_bytes)];
        Input {
            limits,
            end: offset + window.len(),
            cut: window.len() < rest.len(),
            rest: Cell::new(window),
            memory_left: Cell::new(limits.max_memory),
            failure: OnceCell::new(),
        }
    }

    /// How far decoding got, in the caller's bytes.
    pub(crate) fn offset(&self) -> usize {
        self.end - self.left()
    }

    /// How many bytes are still to come.
    pub(crate) fn left(&self) -> usize {
        self.rest.get().len()
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes the next `count` bytes; `None`, and the failure recorded, if there are not as many.
    #[inline]
    pub(crate) fn take(&self, count: usize) -> Option<&'de [u8]> {
        match self.rest.get().split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest.set(rest);
                Some(taken)
            }
            None => {
                self.record_short(count);
                None
            }
        }
    }

    #[cold]
    fn record_short(&self, expected: usize) {
        self.record(if self.cut {
            DecodeError::TooLarge { offset: self.end - self.limits.max_bytes, limit: self.limits.max_bytes }
        } else {
            DecodeError::Truncated { offset: self.offset(), expected, left: self.left() }
        });
    }

    /// Spends `bytes` of memory; the failure if they are not there.
    #[inline]
    pub(crate) fn spend<E: de::Error>(&self, bytes: usize) -> Result<(), E> {
        match self.memory_left.get().checked_sub(bytes) {
            Some(left) => {
                self.memory_left.set(left);
                Ok(())
            }
            None => Err(self
                .fail(DecodeError::TooMuchMemory { offset: self.offset(), limit: self.limits.max_memory })),
        }
    }

    /// Records what went wrong, unless something did before.
    pub(crate) fn record(&self, failure: DecodeError) {
        let _ = self.failure.set(failure);
    }

    /// Records what went wrong and makes the error that carries the news up; its text is never seen.
    #[cold]
    pub(crate) fn fail<E: de::Error>(&self, failure: DecodeError) -> E {
        self.record(failure);
        E::custom("")
    }

    pub(crate) fn into_failure(self) -> Option<DecodeError> {
        self.failure.into_inner()
    }
}
