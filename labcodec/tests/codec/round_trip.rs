//! What is encoded is decoded to the same, over values of every shape.

use labcodec::{decode, encode, encode_into};
use proptest::prelude::*;

use crate::shapes::{Everything, everything};

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_value_comes_back(value in everything()) {
        prop_assert_eq!(decode::<Everything>(&encode(&value).unwrap()).unwrap(), value);
    }

    /// Not by `==`: a NaN is unequal to itself, and its payload must survive too.
    #[test]
    fn floats_come_back_bit_by_bit(double in any::<u64>(), single in any::<u32>()) {
        let floats = (f64::from_bits(double), f32::from_bits(single));
        let (f, g): (f64, f32) = decode(&encode(&floats).unwrap()).unwrap();
        prop_assert_eq!((f.to_bits(), g.to_bits()), (double, single));
    }

    #[test]
    fn appending_is_encoding_at_the_end(before in any::<Vec<u8>>(), value in everything()) {
        let mut out = before.clone();
        encode_into(&mut out, &value).unwrap();
        prop_assert_eq!(out, [before, encode(&value).unwrap()].concat());
    }
}

#[test]
fn special_floats_come_back() {
    for float in [f64::NAN, -f64::NAN, f64::INFINITY, -0.0, f64::MIN_POSITIVE, 5e-324] {
        let back: f64 = decode(&encode(&float).unwrap()).unwrap();
        assert_eq!(back.to_bits(), float.to_bits());
    }
}

/// What is borrowed is encoded as what is owned: `str` and slices need no copy first.
#[test]
fn unsized_values_are_encoded() {
    assert_eq!(decode::<String>(&encode("term").unwrap()).unwrap(), "term");
    assert_eq!(decode::<Vec<u16>>(&encode(&[1u16, 2][..]).unwrap()).unwrap(), [1, 2]);
}
