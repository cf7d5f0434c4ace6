//! The promise of `Limits::max_memory`, measured: what decoding asks of the allocator at the worst moment.
//!
//! Alone in its program, because the allocator counts for the whole process; one test, for the same reason.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};

use labcodec::{DecodeError, Limits};
use peak_alloc::PeakAlloc;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Containers grow by doubling, when they are full or, hash maps, to seven eighths. The worst moment is when
/// the limit is reached just after that, so there is a limit for either.
const MAX_MEMORY: [usize; 2] = [(16 << 18) + 64, (16 << 18) / 8 * 7 + 64];

/// More elements than the limits pay for at the least cost.
const MANY: u64 = MAX_MEMORY[0] as u64 / 16 + 2;

/// What serde reserves for a container on a promise: 1 MiB, which a hash map rounds up.
const RESERVED: usize = (1 << 20) * 16 / 7 + 4096;

/// Decodes a container that promises endless elements and has `count` of them, which is more than can be paid for.
/// Returns the peak of the memory asked for, as a multiple of the limit.
fn worst<T: DeserializeOwned, E: Serialize>(name: &str, count: u64, element: impl Fn(u64) -> E) -> f64 {
    let mut bytes = u64::MAX.to_le_bytes().to_vec();
    for i in 0..count {
        labcodec::encode_into(&mut bytes, &element(i)).unwrap();
    }
    let factor = MAX_MEMORY.map(|limit| {
        let (result, peak) = peak_of(|| Limits::new().max_memory(limit).decode::<T>(&bytes).map(drop));
        assert!(matches!(result, Err(DecodeError::TooMuchMemory { .. })), "{name}: {result:?}");
        assert!(peak <= 4 * limit + RESERVED, "{name} took {peak} bytes with a limit of {limit}");
        peak as f64 / limit as f64
    });
    println!("{name}: {:.2} {:.2}", factor[0], factor[1]);
    factor[0].max(factor[1])
}

fn peak_of<R>(work: impl FnOnce() -> R) -> (R, usize) {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let result = work();
    (result, ALLOCATOR.peak_usage() - before)
}

#[allow(clippy::large_enum_variant, reason = "that is the point")]
#[derive(Serialize, Deserialize)]
enum Lopsided {
    Small,
    Large([[u64; 32]; 4]),
}

/// A level of it may reserve 1 MiB for the next on eight bytes.
#[derive(Serialize, Deserialize)]
struct Nested(Vec<Nested>);

#[test]
fn decoding_stays_within_four_times_the_limit() {
    let factors = [
        worst::<Vec<()>, _>("Vec<()>", 0, |_| ()),
        worst::<LinkedList<()>, _>("LinkedList<()>", 0, |_| ()),
        worst::<Vec<u8>, _>("Vec<u8>", MANY, |i| i as u8),
        worst::<Vec<u64>, _>("Vec<u64>", MANY, |i| i),
        worst::<Vec<u128>, _>("Vec<u128>", MANY, u128::from),
        worst::<VecDeque<u128>, _>("VecDeque<u128>", MANY, u128::from),
        worst::<BinaryHeap<u128>, _>("BinaryHeap<u128>", MANY, u128::from),
        worst::<LinkedList<u8>, _>("LinkedList<u8>", MANY, |i| i as u8),
        worst::<LinkedList<u128>, _>("LinkedList<u128>", MANY, u128::from),
        worst::<BTreeSet<u32>, _>("BTreeSet<u32>", MANY, |i| i as u32),
        worst::<BTreeSet<u128>, _>("BTreeSet<u128>", MANY, u128::from),
        worst::<BTreeMap<u128, u128>, _>("BTreeMap<u128, u128>", MANY, |i| (u128::from(i), 0u128)),
        worst::<HashSet<u32>, _>("HashSet<u32>", MANY, |i| i as u32),
        worst::<HashSet<u128>, _>("HashSet<u128>", MANY, u128::from),
        worst::<HashMap<u64, u8>, _>("HashMap<u64, u8>", MANY, |i| (i, 1u8)),
        worst::<HashMap<u128, u128>, _>("HashMap<u128, u128>", MANY, |i| (u128::from(i), 0u128)),
        worst::<HashMap<String, String>, _>("HashMap<String, String>", MANY, |i| (i.to_string(), "")),
        worst::<Vec<Box<u8>>, _>("Vec<Box<u8>>", MANY, |i| i as u8),
        worst::<Vec<Box<u128>>, _>("Vec<Box<u128>>", MANY, u128::from),
        worst::<Vec<Option<Box<u128>>>, _>("Vec<Option<Box<u128>>>", MANY, |i| Some(u128::from(i))),
        worst::<Vec<String>, _>("Vec<String>", MANY, |_| "x"),
        worst::<Vec<Vec<u8>>, _>("Vec<Vec<u8>>", MANY, |_| vec![7u8]),
        worst::<Vec<ByteBuf>, _>("Vec<ByteBuf>", MANY, |_| ByteBuf::from([7; 200])),
        worst::<Vec<[u64; 32]>, _>("Vec<[u64; 32]>", MANY / 16, |i| [i; 32]),
        worst::<Vec<Lopsided>, _>("Vec<Lopsided>", MANY, |_| Lopsided::Small),
        worst::<Vec<Box<Lopsided>>, _>("Vec<Box<Lopsided>>", MANY, |_| Lopsided::Small),
        worst::<Vec<Box<Lopsided>>, _>("Vec<Box<Lopsided>>", MANY / 16, |_| Lopsided::Large([[1; 32]; 4])),
        worst::<Vec<Box<(u64, Lopsided)>>, _>("Vec<Box<(u64, Lopsided)>>", MANY, |i| (i, Lopsided::Small)),
    ];
    // The factor is promised because something comes near it.
    assert!(factors.into_iter().any(|factor| factor > 3.5), "{factors:?}");

    // Promises within promises, each with bytes enough behind it to be believed: eight levels reserve, no more.
    let mut bytes = (1u64 << 40).to_le_bytes().repeat(64);
    bytes.resize(1 << 20, 0xff);
    let (result, peak) = peak_of(|| Limits::new().decode::<Nested>(&bytes).map(drop));
    assert!(matches!(result, Err(DecodeError::TooDeep { .. })), "{result:?}");
    println!("Nested: {peak}");
    assert!(peak > 2 << 20 && peak <= 8 * RESERVED, "{peak}");

    // A promise with nothing behind it reserves nothing.
    let (result, peak) = peak_of(|| Limits::new().decode::<Vec<u64>>(&u64::MAX.to_le_bytes()).map(drop));
    assert!(matches!(result, Err(DecodeError::Truncated { .. })), "{result:?}");
    assert!(peak < 4096, "{peak}");

    // One string longer than the limit is refused before it is copied.
    let long = labcodec::encode(&"x".repeat(MAX_MEMORY[0])).unwrap();
    let (result, peak) =
        peak_of(|| Limits::new().max_memory(MAX_MEMORY[0]).decode::<String>(&long).map(drop));
    assert!(matches!(result, Err(DecodeError::TooMuchMemory { .. })), "{result:?}");
    assert!(peak < 4096, "{peak}");

    // And encoding reserves what it needs, no more.
    let value = vec![7u64; 100_000];
    let (bytes, peak) = peak_of(|| labcodec::encode(&value).unwrap());
    assert_eq!(peak, bytes.len());
}
