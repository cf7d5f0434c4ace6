//! The bytes themselves: persisted state outlives the program that wrote it, so the format is pinned here.

use std::collections::BTreeMap;

use labcodec::encode;

use crate::shapes::{Entry, Index, Tree};

#[test]
fn integers_are_fixed_width_and_little_endian() {
    assert_eq!(encode(&0x0102_0304_u32).unwrap(), [4, 3, 2, 1]);
    assert_eq!(encode(&Index(258)).unwrap(), [2, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(encode(&-2_i16).unwrap(), [254, 255]);
    assert_eq!(encode(&7_usize).unwrap().len(), 8);
}

#[test]
fn a_struct_is_its_fields_and_bytes_follow_their_length() {
    let entry = Entry { term: 3, command: b"ab".to_vec() };
    assert_eq!(encode(&entry).unwrap(), [3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, b'a', b'b']);
}

#[test]
fn tags_stand_before_what_they_tag() {
    assert_eq!(encode(&Some(true)).unwrap(), [1, 1]);
    assert_eq!(encode(&None::<bool>).unwrap(), [0]);
    assert_eq!(encode(&Tree::Pair(5, None)).unwrap(), [2, 0, 0, 0, 5, 0, 0, 0, 0]);
    assert_eq!(encode(&'é').unwrap(), [0xc3, 0xa9]);
    assert_eq!(encode(&BTreeMap::from([(1u8, 2u8)])).unwrap(), [1, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
}
