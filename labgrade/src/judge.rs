//! Our end of the channel to a suite: asks for seeds, and hears what became of them, one by one as they end.
//!
//! The other end is `labsim`'s, which describes the messages. A grader may not believe it: here whatever comes is taken for hostile: lengths are bounded, the
//! nonce must be right, no seed counts twice or unasked, and without the end nothing is complete.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::time::Duration;

/// The longest text or output of a run that is taken.
const TEXT_MAX: u64 = 4 << 20;
/// The number that marks the end.
const END: u64 = 4;

/// What became of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) became: Became,
    /// The run's summary, or why it failed.
    pub(crate) text: String,
    /// What was printed in it. The code under test may have written all of this.
    pub(crate) output: String,
    /// On the run's own clock.
    pub(crate) elapsed: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Became {
    Passed,
    Failed,
    /// Nothing can be said: it was killed from outside, there was no process for it, or the machine gave it too little of its
    /// CPU time.
    Unknown,
}

/// What a suite has told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// By seed.
    pub(crate) runs: BTreeMap<u64, Run>,
    /// `None` if the end was told as well; else what was wrong.
    pub(crate) broken: Option<String>,
}

/// A number that was not there before.
pub(crate) fn nonce() -> io::Result<[u8; 16]> {
    let mut nonce = [0; 16];
    rustix::rand::getrandom(&mut nonce, rustix::rand::GetRandomFlags::empty())?;
    Ok(nonce)
}

/// Asks for `seeds`.
pub(crate) fn order(to: &mut impl Write, nonce: [u8; 16], seeds: &[u64]) -> io::Result<()> {
    let numbers = [seeds.len() as u64].into_iter().chain(seeds.iter().copied());
    let bytes: Vec<u8> = nonce.into_iter().chain(numbers.flat_map(u64::to_le_bytes)).collect();
    to.write_all(&bytes)
}

/// Hears the answer, up to its end or its first flaw. Blocks as long as nothing comes.
pub(crate) fn hear(from: &mut impl Read, nonce: [u8; 16], seeds: &[u64]) -> Told {
    let mut runs = BTreeMap::new();
    let broken = hear_each(from, nonce, seeds, |seed, run| drop(runs.insert(seed, run)));
    Told { runs, broken }
}

/// As [`hear`], but gives away each run as soon as it is heard. Returns what was wrong, if anything was.
pub(crate) fn hear_each(
    from: &mut impl Read,
    nonce: [u8; 16],
    seeds: &[u64],
    mut each: impl FnMut(u64, Run),
) -> Option<String> {
    let mut heard = BTreeSet::new();
    loop {
        match hear_one(from, nonce) {
            Ok(Heard::Run(seed, run)) => {
                if !seeds.contains(&seed) || !heard.insert(seed) {
                    return Some(format!("it spoke of seed {seed}, unasked or twice"));
                }
                each(seed, run);
            }
            Ok(Heard::End(count)) => {
                let complete = count == seeds.len() as u64 && heard.len() == seeds.len();
                return (!complete).then(|| "it came to the end before all seeds were tried".into());
            }
            Err(error) => {
                return Some(match error.kind() {
                    io::ErrorKind::UnexpectedEof => "it ended before the tests did".into(),
                    _ => error.to_string(),
                });
            }
        }
    }
}

enum Heard {
    Run(u64, Run),
    End(u64),
}

fn hear_one(from: &mut impl Read, nonce: [u8; 16]) -> io::Result<Heard> {
    let mut theirs = [0; 16];
    from.read_exact(&mut theirs)?;
    if theirs != nonce {
        return Err(io::Error::other("it does not know its number"));
    }
    let mut number = || {
        let mut bytes = [0; 8];
        from.read_exact(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    };
    let [became, seed, elapsed, text, output] = [number()?, number()?, number()?, number()?, number()?];
    let became = match became {
        0 => Became::Passed,
        1 => Became::Failed,
        2 | 3 | 5 => Became::Unknown,
        END => return Ok(Heard::End(seed)),
        other => return Err(io::Error::other(format!("it told something unknown: {other}"))),
    };
    let mut part = |length: u64| {
        if length > TEXT_MAX {
            return Err(io::Error::other(format!("it told {length} bytes at once")));
        }
        let mut bytes = vec![0; length as usize];
        from.read_exact(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let (text, output) = (part(text)?, part(output)?);
    Ok(Heard::Run(seed, Run { became, text, output, elapsed: Duration::from_nanos(elapsed) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: [u8; 16] = *b"sixteen bytes...";

    fn message(numbers: [u64; 5], parts: &str) -> Vec<u8> {
        let numbers = numbers.into_iter().flat_map(u64::to_le_bytes);
        NONCE.into_iter().chain(numbers).chain(parts.bytes()).collect()
    }

    fn told(messages: &[Vec<u8>]) -> Told {
        hear(&mut &messages.concat()[..], NONCE, &[7, 8])
    }

    fn good() -> [Vec<u8>; 3] {
        [message([1, 8, 5, 3, 2], "badhm"), message([0, 7, 5, 2, 0], "ok"), message([END, 2, 0, 0, 0], "")]
    }

    #[test]
    fn what_is_complete_is_heard() {
        let told = told(&good());
        assert_eq!(told.broken, None);
        let (seven, eight) = (&told.runs[&7], &told.runs[&8]);
        assert_eq!((seven.became, seven.text.as_str()), (Became::Passed, "ok"));
        assert_eq!((eight.became, eight.text.as_str(), eight.output.as_str()), (Became::Failed, "bad", "hm"));
    }

    #[test]
    fn nothing_else_is_complete() {
        let [one, two, end] = good();
        let all = [one.clone(), two.clone(), end.clone()].concat();
        for cut in 0..all.len() {
            let told = hear(&mut &all[..cut], NONCE, &[7, 8]);
            assert_eq!(told.broken.as_deref(), Some("it ended before the tests did"), "cut at {cut}");
        }
        let broken = |messages: &[Vec<u8>], what: &str| {
            let why = told(messages).broken.unwrap();
            assert!(why.contains(what), "{why}");
        };
        broken(&[one.clone(), end.clone()], "before all seeds");
        broken(&[one.clone(), two.clone(), message([END, 1, 0, 0, 0], "")], "before all seeds");
        broken(&[one.clone(), one.clone(), end.clone()], "seed 8, unasked or twice");
        broken(&[message([0, 9, 0, 0, 0], ""), one.clone(), two.clone(), end.clone()], "seed 9, unasked");
        broken(&[message([0, 7, 0, u64::MAX, 0], "")], "bytes at once");
        broken(&[message([9, 7, 0, 0, 0], "")], "unknown: 9");
        let mut forged = two;
        forged[3] ^= 1;
        broken(&[one, forged, end], "does not know its number");
    }

    #[test]
    fn an_order_is_what_the_suite_reads() {
        let mut bytes = Vec::new();
        order(&mut bytes, NONCE, &[7, 8]).unwrap();
        let numbers: Vec<_> = [2_u64, 7, 8].into_iter().flat_map(u64::to_le_bytes).collect();
        assert_eq!(bytes, [&NONCE[..], &numbers].concat());
        assert_ne!(nonce().unwrap(), nonce().unwrap());
    }
}
