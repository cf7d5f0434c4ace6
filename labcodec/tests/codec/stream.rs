//! Reading records that were appended one after the other.

use labcodec::{DecodeError, Limits, decode_stream, encode, encode_into};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::shapes::{Entry, Unit, entry};

fn file(entries: &[Entry]) -> Vec<u8> {
    let mut file = Vec::new();
    for entry in entries {
        encode_into(&mut file, entry).unwrap();
    }
    file
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_come_back_in_order(entries in vec(entry(), 0..10)) {
        let file = file(&entries);
        let mut stream = decode_stream::<Entry>(&file);
        let read: Vec<Entry> = stream.by_ref().map(Result::unwrap).collect();
        prop_assert_eq!(read, entries);
        prop_assert_eq!(stream.offset(), file.len());
    }

    /// A file cut anywhere gives its whole records, then one error that tells where the torn one starts.
    #[test]
    fn a_torn_file_gives_its_whole_records(entries in vec(entry(), 1..6), cut in any::<prop::sample::Index>()) {
        let file = file(&entries);
        let cut = cut.index(file.len());
        let mut whole = Vec::new();
        let mut end = 0;
        for entry in entries {
            let next = end + encode(&entry).unwrap().len();
            if next > cut {
                break;
            }
            end = next;
            whole.push(Ok(entry));
        }
        let mut stream = decode_stream::<Entry>(&file[..cut]);
        let mut read: Vec<_> = stream.by_ref().collect();
        prop_assert_eq!(stream.offset(), end);
        if end < cut {
            let error = read.pop().unwrap().unwrap_err();
            prop_assert!(matches!(error, DecodeError::Truncated { .. }), "{:?}", error);
        }
        prop_assert_eq!(read, whole);
        prop_assert!(stream.next().is_none());
    }
}

#[test]
fn an_empty_stream_has_no_records() {
    assert!(decode_stream::<Entry>(&[]).next().is_none());
}

/// Offsets in errors count from the start of the stream, and nothing comes after an error.
#[test]
fn a_bad_record_ends_the_stream() {
    let mut stream = decode_stream::<bool>(&[1, 0, 7, 1]);
    assert_eq!(stream.next(), Some(Ok(true)));
    assert_eq!(stream.next(), Some(Ok(false)));
    assert_eq!(stream.next(), Some(Err(DecodeError::InvalidBool { offset: 2, found: 7 })));
    assert_eq!(stream.offset(), 2);
    assert_eq!(stream.next(), None);
    assert_eq!(stream.offset(), 2);
}

/// Records that take no bytes would come for ever.
#[test]
fn records_of_no_bytes_are_refused() {
    let mut stream = decode_stream::<Unit>(&[1]);
    assert_eq!(stream.next(), Some(Err(DecodeError::EmptyRecord { offset: 0 })));
    assert_eq!(stream.next(), None);
}

/// Each record has the limits to itself: a long file of small records is fine, a large record is not.
#[test]
fn limits_hold_for_each_record() {
    let entries = [b"one".to_vec(), b"two".to_vec(), vec![0; 20]].map(|command| Entry { term: 1, command });
    let file = file(&entries);
    let limits = Limits::new().max_bytes(19).max_memory(cost_of_an_entry(3));
    let read: Vec<_> = limits.decode_stream::<Entry>(&file).collect();
    let [first, second, _] = entries;
    assert_eq!(read, [Ok(first), Ok(second), Err(DecodeError::TooLarge { offset: 38, limit: 19 })]);
}

fn cost_of_an_entry(command: usize) -> usize {
    size_of::<Entry>() + size_of::<Vec<u8>>() + command
}
