//! Each limit holds exactly at its border, and input made to break it meets an error.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use labcodec::{DecodeError, EncodeError, Limits, decode, encode};
use proptest::prelude::*;
use serde::{Deserialize, Serialize, Serializer};
use serde_bytes::ByteBuf;

use crate::shapes::{Everything, Tree, Unit, everything};

/// The smallest limit at which `fits`.
fn least(fits: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, 1 << 30);
    while low < high {
        let middle = (low + high) / 2;
        if fits(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_are_limited_exactly(value in everything()) {
        let bytes = encode(&value).unwrap();
        let (just, less) = (Limits::new().max_bytes(bytes.len()), Limits::new().max_bytes(bytes.len() - 1));
        prop_assert_eq!(just.encode(&value).unwrap(), &bytes[..]);
        prop_assert_eq!(just.decode::<Everything>(&bytes).unwrap(), value.clone());
        let limit = bytes.len() - 1;
        prop_assert_eq!(less.encode(&value).unwrap_err(), EncodeError::TooLarge { limit });
        prop_assert_eq!(less.decode::<Everything>(&bytes).unwrap_err(), DecodeError::TooLarge { offset: 0, limit });
    }

    /// Both sides count the same levels: what could be encoded can be decoded.
    #[test]
    fn depth_is_limited_alike_on_both_sides(value in everything()) {
        let bytes = encode(&value).unwrap();
        let depth = least(|depth| Limits::new().max_depth(depth).encode(&value).is_ok());
        prop_assert!(depth >= 3);
        prop_assert_eq!(Limits::new().max_depth(depth).decode::<Everything>(&bytes).unwrap(), value.clone());
        let (limits, limit) = (Limits::new().max_depth(depth - 1), depth - 1);
        prop_assert_eq!(limits.encode(&value).unwrap_err(), EncodeError::TooDeep { limit });
        let error = limits.decode::<Everything>(&bytes).unwrap_err();
        prop_assert!(matches!(error, DecodeError::TooDeep { limit: l, .. } if l == limit), "{:?}", error);
    }

    #[test]
    fn memory_is_limited(value in everything()) {
        let bytes = encode(&value).unwrap();
        let memory = least(|memory| Limits::new().max_memory(memory).decode::<Everything>(&bytes).is_ok());
        prop_assert!(memory > size_of::<Everything>());
        let error = Limits::new().max_memory(memory - 1).decode::<Everything>(&bytes).unwrap_err();
        prop_assert!(matches!(error, DecodeError::TooMuchMemory { .. }), "{:?}", error);
    }
}

/// The costs as documented: containers, strings and structs their size, elements theirs or 16 bytes, text its length.
#[test]
fn memory_costs_what_the_docs_say() {
    fn cost<T: Serialize + serde::de::DeserializeOwned>(value: &T) -> usize {
        let bytes = encode(value).unwrap();
        least(|memory| Limits::new().max_memory(memory).decode::<T>(&bytes).is_ok())
    }
    assert_eq!(cost(&1u64), 0, "a primitive lies in what holds it");
    assert_eq!(cost(&vec![1u64, 2, 3]), 24 + 3 * 16);
    assert_eq!(cost(&"abc".to_owned()), 24 + 3);
    assert_eq!(cost(&ByteBuf::from(vec![1, 2])), 24 + 2);
    assert_eq!(cost(&vec!["a".to_owned()]), 24 + 24 + 24 + 1);
    assert_eq!(cost(&vec![[0u64; 8]]), 24 + 64 + 64, "once as a value, once as an element");
    assert_eq!(cost(&vec![Unit; 5]), 24 + 5 * 16);
    assert_eq!(cost(&BTreeMap::from([(1u8, 2u128)])), 24 + 16 + 16);
    assert_eq!(cost(&(Some(1u8), None::<[u64; 4]>)), 48 + 16 + 40);
}

/// A length that promises what is not there is not believed.
#[test]
fn huge_lengths() {
    for len in [1 << 20, 1 << 40, 1 << 60, u64::MAX] {
        let bytes = len.to_le_bytes();
        let missing = usize::try_from(len).unwrap();
        let error = Err(DecodeError::Truncated { offset: 8, expected: missing, left: 0 });
        assert_eq!(decode::<String>(&bytes).map(|_| ()), error);
        assert_eq!(decode::<ByteBuf>(&bytes).map(|_| ()), error);
        let error = Err(DecodeError::Truncated { offset: 8, expected: 8, left: 0 });
        assert_eq!(decode::<Vec<u64>>(&bytes).map(|_| ()), error);
        assert_eq!(decode::<HashMap<u64, u64>>(&bytes).map(|_| ()), error);
        assert_eq!(decode::<HashSet<[u64; 16]>>(&bytes).map(|_| ()), error);
        assert_eq!(decode::<BTreeMap<u64, u64>>(&bytes).map(|_| ()), error);
    }
}

/// Eight bytes once asked for 2^60 values of no size and were worked on for ever: nothing was read, nothing stored,
/// nothing ran out.
#[test]
fn endless_nothing() {
    let bytes = (1u64 << 60).to_le_bytes();
    let error = |offset| DecodeError::TooMuchMemory { offset, limit: 256 << 20 };
    assert_eq!(decode::<Vec<()>>(&bytes), Err(error(8)));
    assert_eq!(decode::<Vec<Unit>>(&bytes), Err(error(8)));
    assert_eq!(decode::<Vec<((), [u64; 0])>>(&bytes), Err(error(8)));
    assert_eq!(decode::<BTreeMap<(), Unit>>(&bytes), Err(error(8)));
}

#[allow(clippy::large_enum_variant, reason = "that is the point")]
#[derive(Debug, Serialize, Deserialize)]
enum Lopsided {
    Small,
    Large([[u64; 32]; 8]),
}

/// Four bytes on the wire, two kilobytes in memory, and hidden behind a pointer: paid for all the same.
#[test]
fn small_on_the_wire_large_in_memory() {
    let many: Vec<_> = (0..10_000).map(|_| Box::new(Lopsided::Small)).collect();
    let bytes = encode(&many).unwrap();
    assert!(bytes.len() < 41_000);
    let limits = Limits::new().max_memory(10_000 * size_of::<Lopsided>());
    assert!(matches!(limits.decode::<Vec<Box<Lopsided>>>(&bytes), Err(DecodeError::TooMuchMemory { .. })));
    let large = encode(&vec![Lopsided::Large([[1; 32]; 8])]).unwrap();
    assert_eq!(limits.decode::<Vec<Lopsided>>(&large).unwrap().len(), 1);
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Chain {
    next: Option<Box<Chain>>,
}

fn chain(links: usize) -> Chain {
    (0..links).fold(Chain::default(), |chain, _| Chain { next: Some(Box::new(chain)) })
}

/// On a stack an eighth of what Rust gives its threads.
fn on_a_small_stack(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, test).unwrap();
        thread.join().unwrap();
    });
}

/// A link is two levels, the struct and the option in it.
#[test]
fn depth_is_limited_exactly() {
    on_a_small_stack(|| {
        let deepest = chain(31);
        let bytes = encode(&deepest).unwrap();
        assert_eq!(decode::<Chain>(&bytes).unwrap(), deepest);
        assert_eq!(encode(&chain(32)), Err(EncodeError::TooDeep { limit: 64 }));
        assert_eq!(decode::<Chain>(&[1; 33]), Err(DecodeError::TooDeep { offset: 32, limit: 64 }));
        assert_eq!(Limits::new().max_depth(66).encode(&chain(32)).unwrap().len(), 33);
        assert_eq!(Limits::new().max_depth(0).encode(&7u8).unwrap(), [7], "a primitive has no levels");
    });
}

/// 800 kB of nested values once overflowed the stack, which ends the process.
#[test]
fn deep_input() {
    on_a_small_stack(|| {
        let error = |offset| DecodeError::TooDeep { offset, limit: 64 };
        assert_eq!(decode::<Chain>(&vec![1; 800_000]), Err(error(32)));
        let boxed = encode(&4u32).unwrap().repeat(200_000);
        assert_eq!(decode::<Tree>(&boxed), Err(error(256)));
        let branches = [3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0].repeat(40_000);
        assert_eq!(decode::<Tree>(&branches), Err(error(640)));
        let maps = [5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 9].repeat(60_000);
        assert_eq!(decode::<Tree>(&maps), Err(error(448)));
    });
}

/// A value that has no end: itself within itself.
struct Endless;

impl Serialize for Endless {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_some(self)
    }
}

#[test]
fn deep_values() {
    on_a_small_stack(|| {
        let error = Err(EncodeError::TooDeep { limit: 64 });
        assert_eq!(encode(&Endless), error);
        assert_eq!(encode(&[Endless]), error);
        assert_eq!(encode(&BTreeMap::from([(1, Endless)])), error);
        assert_eq!(encode(&(1, Endless)), error);
        assert_eq!(encode(&Ok::<Endless, ()>(Endless)), error);
    });
}

/// What was in the vector before stays, nothing of the failed value does.
#[test]
fn a_failed_append_leaves_no_trace() {
    let mut out = b"before".to_vec();
    assert!(Limits::new().max_bytes(3).encode_into(&mut out, "four").is_err());
    assert!(Limits::new().encode_into(&mut out, &(1u64, Endless)).is_err());
    assert!(Limits::new().encode_into(&mut out, &Fickle::refusing()).is_err());
    assert!(Limits::new().max_bytes(20).encode_into(&mut out, &Fickle::growing()).is_err());
    assert_eq!(out, b"before");
}

/// A value that is another each time it is looked at, as one behind a lock can be. The first walk measures it, the
/// second writes it.
struct Fickle {
    walks: AtomicUsize,
    /// What the second walk finds; it is refused if this is nothing.
    second: Option<Vec<u64>>,
}

impl Fickle {
    fn refusing() -> Self {
        Fickle { walks: AtomicUsize::new(0), second: None }
    }

    fn growing() -> Self {
        Fickle { walks: AtomicUsize::new(0), second: Some(vec![1; 100]) }
    }
}

impl Serialize for Fickle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.walks.fetch_add(1, Ordering::Relaxed), &self.second) {
            (0, _) => [1u8].serialize(serializer),
            (_, Some(longer)) => (7u8, longer).serialize(serializer),
            (_, None) => (7u8, Refusing).serialize(serializer),
        }
    }
}

struct Refusing;

impl Serialize for Refusing {
    fn serialize<S: Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not now"))
    }
}
