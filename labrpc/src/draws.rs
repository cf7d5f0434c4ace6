//! [`Seed`] and [`Draws`]: the network's randomness.
//!
//! Each call draws from a stream of its own, keyed by the network's seed, the two names, which client of
//! that pair it is and which call of that client. So what happens to a call depends on nothing that happens
//! to another one, however the threads interleave. The generator is SplitMix64, written out here because
//! the generators of `rand` may change between its versions, and an old seed must replay an old failure.

use std::ops::RangeInclusive;
use std::time::Duration;

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finalizer of SplitMix64: a bijection under which each bit of the input changes half of the output.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Names one stream of draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) const fn new(seed: u64) -> Self {
        Seed(mix(seed))
    }

    /// The stream numbered `part` within this one.
    pub(crate) const fn at(self, part: u64) -> Self {
        Seed(mix(self.0.wrapping_add(STEP) ^ mix(part.wrapping_add(STEP))))
    }

    /// The stream named `part` within this one.
    pub(crate) fn named(self, part: &str) -> Self {
        part.bytes().fold(self.at(part.len() as u64), |seed, byte| seed.at(byte.into()))
    }
}

/// The draws of one stream, in order.
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) const fn new(seed: Seed) -> Self {
        Draws(seed.0)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        const UNIT: f64 = 1.0 / (1_u64 << 53) as f64;
        probability > 0.0 && (self.next() >> 11) as f64 * UNIT < probability
    }

    /// A duration of the range, each nanosecond as likely as the others.
    pub(crate) fn duration(&mut self, range: &RangeInclusive<Duration>) -> Duration {
        let span = range.end().saturating_sub(*range.start()).as_nanos() as u64;
        let part = (u128::from(self.next()) * (u128::from(span) + 1)) >> 64;
        *range.start() + Duration::from_nanos(part as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(seed: Seed) -> u64 {
        Draws::new(seed).next()
    }

    #[test]
    fn the_generator_is_splitmix64() {
        // The published first outputs for the state 1234567.
        let mut draws = Draws(1_234_567);
        assert_eq!(draws.next(), 6_457_827_717_110_365_317);
        assert_eq!(draws.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn streams_differ_by_every_part_of_their_name() {
        let seed = Seed::new(1);
        let streams = [
            first(seed),
            first(Seed::new(2)),
            first(seed.at(0)),
            first(seed.at(1)),
            first(seed.at(0).at(1)),
            first(seed.at(1).at(0)),
            first(seed.named("a").named("bc")),
            first(seed.named("ab").named("c")),
            first(seed.named("abc")),
        ];
        for (i, a) in streams.iter().enumerate() {
            assert_eq!(streams.iter().position(|b| a == b), Some(i));
        }
        assert_eq!(first(seed.named("a").at(7)), first(Seed::new(1).named("a").at(7)));
    }

    #[test]
    fn durations_fill_their_range_and_no_more() {
        let ms = Duration::from_millis;
        let mut draws = Draws::new(Seed::new(3));
        let drawn: Vec<_> = (0..1000).map(|_| draws.duration(&(ms(2)..=ms(3)))).collect();
        assert!(drawn.iter().all(|d| (ms(2)..=ms(3)).contains(d)));
        let mean = drawn.iter().sum::<Duration>() / 1000;
        assert!((Duration::from_micros(2450)..Duration::from_micros(2550)).contains(&mean), "{mean:?}");
        assert_eq!(draws.duration(&(ms(5)..=ms(5))), ms(5));
        let ns = Duration::from_nanos;
        let both =
            (0..100).map(|_| draws.duration(&(ns(0)..=ns(1)))).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(both.len(), 2);
    }

    #[test]
    fn chances_are_what_they_say() {
        let mut draws = Draws::new(Seed::new(4));
        let mut count = |p| (0..10_000).filter(|_| draws.chance(p)).count();
        assert_eq!(count(0.0), 0);
        assert_eq!(count(1.0), 10_000);
        assert!((900..1100).contains(&count(0.1)));
    }
}
