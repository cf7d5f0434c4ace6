//! Each kind of damage is named for what it is, with the place where it was found.

use std::sync::Mutex;

use labcodec::{DecodeError, EncodeError, decode, encode};
use serde::{Deserialize, Serialize};

use crate::shapes::{Entry, Index, Tree};

#[test]
fn truncated_input() {
    let bytes = encode(&Entry { term: 1, command: b"abc".to_vec() }).unwrap();
    let error = |len: usize| decode::<Entry>(&bytes[..len]).unwrap_err();
    assert_eq!(error(0), DecodeError::Truncated { offset: 0, expected: 8, left: 0 });
    assert_eq!(error(7), DecodeError::Truncated { offset: 0, expected: 8, left: 7 });
    assert_eq!(error(8), DecodeError::Truncated { offset: 8, expected: 8, left: 0 });
    assert_eq!(error(18), DecodeError::Truncated { offset: 16, expected: 3, left: 2 });
}

#[test]
fn truncated_char() {
    assert_eq!(decode::<char>(&[0xc3]), Err(DecodeError::Truncated { offset: 1, expected: 1, left: 0 }));
}

#[test]
fn trailing_bytes() {
    assert_eq!(decode::<u16>(&[1, 2, 3]), Err(DecodeError::TrailingBytes { offset: 2, left: 1 }));
    assert_eq!(decode::<()>(&[0]), Err(DecodeError::TrailingBytes { offset: 0, left: 1 }));
}

#[test]
fn bad_tags() {
    assert_eq!(decode::<(u8, bool)>(&[0, 2]), Err(DecodeError::InvalidBool { offset: 1, found: 2 }));
    assert_eq!(
        decode::<(u8, Option<u8>)>(&[0, 255]),
        Err(DecodeError::InvalidOption { offset: 1, found: 255 })
    );
}

#[test]
fn unknown_variant() {
    let error = decode::<(u8, Tree)>(&[0, 99, 0, 0, 0]).unwrap_err();
    let DecodeError::UnknownVariant { offset: 1, name: "Tree", reason } = &error else { panic!("{error:?}") };
    assert!(reason.contains("`99`") && reason.contains("< 6"), "{reason}");
}

#[test]
fn truncated_variant_is_not_unknown() {
    assert_eq!(decode::<Tree>(&[9, 0]), Err(DecodeError::Truncated { offset: 0, expected: 4, left: 2 }));
}

#[test]
fn invalid_text() {
    let bytes = [3, 0, 0, 0, 0, 0, 0, 0, b'a', b'b', 0xff];
    assert_eq!(decode::<String>(&bytes), Err(DecodeError::InvalidUtf8 { offset: 10 }));
    assert_eq!(decode::<char>(&[0xff]), Err(DecodeError::InvalidChar { offset: 1 }));
    assert_eq!(decode::<char>(&[0xc3, 0x00]), Err(DecodeError::InvalidChar { offset: 2 }));
}

/// A type may have rules of its own; its words are kept, and where it stopped reading.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(try_from = "u8")]
struct Percent(u8);

impl TryFrom<u8> for Percent {
    type Error = String;
    fn try_from(value: u8) -> Result<Self, String> {
        if value <= 100 { Ok(Percent(value)) } else { Err(format!("{value} is no percentage")) }
    }
}

#[test]
fn the_types_own_refusal() {
    assert_eq!(decode::<Percent>(&[100]), Ok(Percent(100)));
    let error = DecodeError::Refused { offset: 1, reason: "101 is no percentage".into() };
    assert_eq!(decode::<Percent>(&[101]), Err(error));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u64),
}

#[derive(Serialize)]
struct Flattened {
    #[serde(flatten)]
    inner: Entry,
}

#[test]
fn types_that_need_a_self_describing_format() {
    let bytes = encode(&Untagged::Number(1)).unwrap();
    assert_eq!(decode::<Untagged>(&bytes), Err(DecodeError::NotSelfDescribing { offset: 0 }));
    let flattened = Flattened { inner: Entry { term: 1, command: Vec::new() } };
    assert_eq!(encode(&flattened), Err(EncodeError::UnknownLength));
}

#[test]
fn a_value_that_refuses_to_be_encoded() {
    let poisoned = Mutex::new(1);
    std::thread::scope(|scope| {
        let poison = || {
            let _guard = poisoned.lock();
            std::panic::resume_unwind(Box::new("poison"));
        };
        assert!(scope.spawn(poison).join().is_err());
    });
    assert!(matches!(encode(&poisoned), Err(EncodeError::Refused(reason)) if reason.contains("poison")));
}

/// The texts that students and reports read.
#[test]
fn errors_say_where_and_what() {
    let text = |error: DecodeError| error.to_string();
    assert_eq!(text(decode::<u64>(&[1, 2]).unwrap_err()), "byte 0: 8 bytes expected, 2 left");
    assert_eq!(text(decode::<bool>(&[9]).unwrap_err()), "byte 0: a bool is 0 or 1, not 9");
    assert_eq!(
        text(decode::<Index>(&[0; 9]).unwrap_err()),
        "byte 8: the value ends here, 1 bytes before the input does"
    );
    assert_eq!(
        text(decode::<Tree>(&[6, 0, 0, 0]).unwrap_err()),
        "byte 0: enum Tree: invalid value: integer `6`, expected variant index 0 <= i < 6"
    );
}
