//! What can go wrong: [`EncodeError`] and [`DecodeError`], one variant for each meaning.

use thiserror::Error;

/// Why a value could not be encoded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Occurs when the encoding would take more than [`Limits::max_bytes`](crate::Limits::max_bytes).
    #[error("the encoding is longer than the limit of {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// Occurs when values are nested deeper than [`Limits::max_depth`](crate::Limits::max_depth).
    #[error("values are nested deeper than the limit of {limit}")]
    TooDeep {
        /// The limit in nested values.
        limit: usize,
    },
    /// Occurs when a sequence or map does not know its length before it is walked, as with `#[serde(flatten)]`.
    #[error("a sequence or map must know its length before it is encoded (is there a `#[serde(flatten)]`?)")]
    UnknownLength,
    /// Occurs when the value's own `Serialize` refuses, with its words; a poisoned `Mutex` does so.
    #[error("the value refused to be encoded: {0}")]
    Refused(String),
}

/// Why bytes could not be decoded. `offset` counts bytes from the start of the input handed in; in a
/// [`DecodeStream`](crate::DecodeStream) that is the start of the stream.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Occurs when one value takes more than [`Limits::max_bytes`](crate::Limits::max_bytes).
    #[error("byte {offset}: the value that starts here is longer than the limit of {limit} bytes")]
    TooLarge {
        /// Where the value starts.
        offset: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Occurs when the value in memory could exceed [`Limits::max_memory`](crate::Limits::max_memory).
    #[error("byte {offset}: the value would take more than the limit of {limit} bytes of memory")]
    TooMuchMemory {
        /// How far decoding got.
        offset: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Occurs when values are nested deeper than [`Limits::max_depth`](crate::Limits::max_depth).
    #[error("byte {offset}: values are nested deeper than the limit of {limit}")]
    TooDeep {
        /// How far decoding got.
        offset: usize,
        /// The limit in nested values.
        limit: usize,
    },
    /// Occurs when the input ends within the value, or a length in it promises more than there is.
    #[error("byte {offset}: {expected} bytes expected, {left} left")]
    Truncated {
        /// Where the missing piece should start.
        offset: usize,
        /// How many bytes that piece takes.
        expected: usize,
        /// How many bytes there are.
        left: usize,
    },
    /// Occurs when the value ends before the input does.
    #[error("byte {offset}: the value ends here, {left} bytes before the input does")]
    TrailingBytes {
        /// Where the value ends.
        offset: usize,
        /// How many bytes follow it.
        left: usize,
    },
    /// Occurs when a stream's record type takes no bytes, such as `()`: nothing says how many records there are.
    #[error("byte {offset}: a record of no bytes cannot be read from a stream")]
    EmptyRecord {
        /// Where the stream stands.
        offset: usize,
    },
    /// Occurs when a `bool` is neither 0 nor 1.
    #[error("byte {offset}: a bool is 0 or 1, not {found}")]
    InvalidBool {
        /// Where the bool stands.
        offset: usize,
        /// The byte found.
        found: u8,
    },
    /// Occurs when the tag of an `Option` is neither 0 (`None`) nor 1 (`Some`).
    #[error("byte {offset}: the tag of an Option is 0 or 1, not {found}")]
    InvalidOption {
        /// Where the tag stands.
        offset: usize,
        /// The byte found.
        found: u8,
    },
    /// Occurs when a `char` is not one character of UTF-8.
    #[error("before byte {offset}: not a char in UTF-8")]
    InvalidChar {
        /// The end of what was read of the char.
        offset: usize,
    },
    /// Occurs when a string is not UTF-8.
    #[error("byte {offset}: not UTF-8")]
    InvalidUtf8 {
        /// The first byte that does not fit.
        offset: usize,
    },
    /// Occurs when an enum has no such variant.
    #[error("byte {offset}: enum {name}: {reason}")]
    UnknownVariant {
        /// Where the number of the variant stands.
        offset: usize,
        /// The enum's name.
        name: &'static str,
        /// What was found and what the enum expects.
        reason: String,
    },
    /// Occurs when the type asks the input what it holds, as `#[serde(untagged)]` and `#[serde(flatten)]` do:
    /// the encoding holds values, not their types.
    #[error(
        "byte {offset}: the type asks the input for its type (is there a `#[serde(untagged)]` or `flatten`?)"
    )]
    NotSelfDescribing {
        /// How far decoding got.
        offset: usize,
    },
    /// Occurs when the type's own `Deserialize` refuses what it read, with its words.
    #[error("before byte {offset}: {reason}")]
    Refused {
        /// How far decoding got.
        offset: usize,
        /// The type's words.
        reason: String,
    },
}
