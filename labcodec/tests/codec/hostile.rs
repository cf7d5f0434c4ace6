//! Whatever the bytes, decoding ends with a value or an error: no panic, no hang, no abort.
//!
//! Random bytes, and encodings that were cut, flipped in some bits or given a wild length, for types of every shape.
//! The draws come from a fixed seed; a failure prints the case, and bytes to feed to `decode`.

use std::collections::{BTreeMap, BTreeSet, HashMap, LinkedList, VecDeque};
use std::fmt::Debug;
use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::time::Duration;

use labcodec::{DecodeError, Limits, decode_stream};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;

use crate::shapes::{Entry, Everything, Tree, Unit, entry, everything, text, tree};

const SEED: u64 = 0x6c61_6263_6f64_6563;

/// Small enough that a case which reaches them is quick.
const LIMITS: Limits = Limits::new().max_bytes(1 << 16).max_memory(1 << 18).max_depth(32);

/// How often decoding ended in which way.
#[derive(Debug, Default)]
struct Tally {
    decoded: usize,
    failed: BTreeMap<String, usize>,
}

/// Says which input was at work when a panic passes by.
struct Case<'a> {
    shape: &'a str,
    number: usize,
    bytes: &'a [u8],
}

impl Drop for Case<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {SEED:#x}, {} case {}: {:?}", self.shape, self.number, self.bytes);
        }
    }
}

fn attack<T: Serialize + DeserializeOwned + Debug>(
    tally: &mut Tally,
    shape: &str,
    valid: impl Strategy<Value = T>,
) {
    let mut rng = StdRng::seed_from_u64(SEED);
    let seed = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), seed);
    for number in 0..1200 {
        let value = valid.new_tree(&mut runner).unwrap().current();
        let mut bytes = LIMITS.encode(&value).unwrap();
        damage(&mut bytes, number % 5, &mut rng);
        check::<T>(tally, Case { shape, number, bytes: &bytes });
    }
}

fn damage(bytes: &mut Vec<u8>, how: usize, rng: &mut StdRng) {
    match how {
        0 => {
            bytes.resize(rng.random_range(0..200), 0);
            rng.fill_bytes(bytes);
        }
        1 => bytes.truncate(rng.random_range(0..=bytes.len())),
        2 => bytes.extend_from_within(..rng.random_range(0..=bytes.len())),
        3 => {
            for _ in 0..rng.random_range(1..8) {
                let at = rng.random_range(0..=bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << rng.random_range(0..8);
                }
            }
        }
        _ => {
            let len = 1u64 << rng.random_range(0..64);
            let at = rng.random_range(0..=bytes.len().saturating_sub(8));
            for (byte, new) in bytes[at..].iter_mut().zip(len.to_le_bytes()) {
                *byte = new;
            }
        }
    }
}

fn check<T: Serialize + DeserializeOwned + Debug>(tally: &mut Tally, case: Case<'_>) {
    match LIMITS.decode::<T>(case.bytes) {
        // What is decoded is a value like any other: it can be sent on.
        Ok(value) => {
            tally.decoded += 1;
            let again = LIMITS.encode(&value).unwrap();
            assert!(again.len() <= case.bytes.len());
            LIMITS.decode::<T>(&again).unwrap();
        }
        Err(error) => {
            assert!(offset(&error) <= case.bytes.len(), "{error}");
            let kind = format!("{error:?}");
            let kind = kind.split([' ', '(']).next().unwrap();
            *tally.failed.entry(kind.to_owned()).or_default() += 1;
        }
    }
    let mut stream = LIMITS.decode_stream::<T>(case.bytes);
    let mut end = 0;
    while let Some(record) = stream.next() {
        assert_eq!(record.is_ok(), stream.offset() > end, "only a record moves the offset, and each does");
        end = stream.offset();
    }
    assert!(end <= case.bytes.len());
}

fn offset(error: &DecodeError) -> usize {
    match *error {
        DecodeError::TooLarge { offset, .. }
        | DecodeError::TooMuchMemory { offset, .. }
        | DecodeError::TooDeep { offset, .. }
        | DecodeError::Truncated { offset, .. }
        | DecodeError::TrailingBytes { offset, .. }
        | DecodeError::EmptyRecord { offset }
        | DecodeError::InvalidBool { offset, .. }
        | DecodeError::InvalidOption { offset, .. }
        | DecodeError::InvalidChar { offset }
        | DecodeError::InvalidUtf8 { offset }
        | DecodeError::UnknownVariant { offset, .. }
        | DecodeError::NotSelfDescribing { offset }
        | DecodeError::Refused { offset, .. } => offset,
        ref other => panic!("a kind of error this test does not know: {other:?}"),
    }
}

#[test]
fn no_bytes_do_harm() {
    use proptest::collection::{btree_map, btree_set, hash_map, linked_list, vec, vec_deque};
    use proptest::prelude::{Just, any};

    let mut tally = Tally::default();
    let t = &mut tally;
    attack::<Everything>(t, "Everything", everything());
    attack::<Tree>(t, "Tree", tree());
    attack::<Vec<Entry>>(t, "Vec<Entry>", vec(entry(), 0..6));
    attack::<Vec<Unit>>(t, "Vec<Unit>", vec(Just(Unit), 0..9));
    attack::<Vec<Vec<Vec<u8>>>>(t, "Vec<Vec<Vec<u8>>>", vec(vec(vec(any::<u8>(), 0..4), 0..4), 0..4));
    attack::<String>(t, "String", text());
    attack::<ByteBuf>(t, "ByteBuf", vec(any::<u8>(), 0..60).prop_map(ByteBuf::from));
    attack::<HashMap<String, u32>>(t, "HashMap<String, u32>", hash_map(text(), any::<u32>(), 0..6));
    attack::<BTreeMap<u8, Option<bool>>>(
        t,
        "BTreeMap<u8, Option<bool>>",
        btree_map(any::<u8>(), any::<Option<bool>>(), 0..9),
    );
    attack::<BTreeSet<(char, bool)>>(t, "BTreeSet<(char, bool)>", btree_set(any::<(char, bool)>(), 0..9));
    attack::<LinkedList<u8>>(t, "LinkedList<u8>", linked_list(any::<u8>(), 0..30));
    attack::<VecDeque<f64>>(t, "VecDeque<f64>", vec_deque(any::<f64>(), 0..9));
    attack::<[Option<u128>; 4]>(t, "[Option<u128>; 4]", any::<[Option<u128>; 4]>());
    attack::<Vec<NonZeroU8>>(t, "Vec<NonZeroU8>", vec(any::<NonZeroU8>(), 0..9));
    attack::<Duration>(t, "Duration", any::<Duration>());
    attack::<Vec<SocketAddr>>(t, "Vec<SocketAddr>", vec(any::<SocketAddr>(), 0..4));

    // The damage must have been of all kinds, or the test shows nothing.
    println!("{tally:?}");
    assert!(tally.decoded > 1000, "{tally:?}");
    for kind in [
        "TooMuchMemory",
        "Truncated",
        "TrailingBytes",
        "InvalidBool",
        "InvalidOption",
        "InvalidChar",
        "InvalidUtf8",
        "UnknownVariant",
        "Refused",
    ] {
        assert!(tally.failed.get(kind).is_some_and(|&times| times > 10), "{kind}: {tally:?}");
    }
}

/// Every single bit of an encoding flipped, and every length of it, in the stream reader with the default limits too.
#[test]
fn each_bit_and_each_length() {
    let entry = Entry { term: 7, command: b"set x".to_vec() };
    let value = vec![Tree::Pair(1, Some('é')), Tree::Boxed(Box::new(Tree::Name("leader".into())))];
    let bytes = labcodec::encode(&(entry, value)).unwrap();
    let read = |bytes: &[u8]| decode_stream::<(Entry, Vec<Tree>)>(bytes).count();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&flipped) >= 1, "bit {bit}");
    }
    for len in 1..bytes.len() {
        assert_eq!(read(&bytes[..len]), 1, "an error and no more, at length {len}");
    }
}
