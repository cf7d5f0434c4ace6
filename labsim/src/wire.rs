//! What a child process tells its parent about the run: a few numbers and texts, length first.

/// Twelve numbers.
const HEAD: usize = 12 * 8;

/// A run as the parent knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) ok: bool,
    /// The summary that the test returned, or the failure as it is to be shown.
    pub(crate) text: String,
    pub(crate) simulated: bool,
    /// It was ended by the limit of real time, before it had used its CPU time: nothing is known of it.
    pub(crate) starved: bool,
    pub(crate) elapsed_ns: u64,
    pub(crate) trace: u64,
    pub(crate) switches: u64,
    pub(crate) threads: u64,
    /// The names of the threads, a line each, where switches were recorded.
    pub(crate) names: String,
    /// Thread, time and hash of each switch, where they were recorded.
    pub(crate) steps: Vec<[u64; 3]>,
    /// Mutexes of which it is to be learnt who holds them.
    pub(crate) locks: Vec<u64>,
    /// For the review of a run that passed.
    pub(crate) evidence: Vec<u8>,
}

impl Finished {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let numbers = [
            u64::from(self.ok),
            u64::from(self.simulated),
            u64::from(self.starved),
            self.elapsed_ns,
            self.trace,
            self.switches,
            self.threads,
            self.text.len() as u64,
            self.names.len() as u64,
            self.steps.len() as u64,
            self.locks.len() as u64,
            self.evidence.len() as u64,
        ];
        let texts = self.names.len() + self.text.len() + self.evidence.len();
        let mut bytes = Vec::with_capacity(HEAD + texts + 24 * self.steps.len());
        bytes.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
        bytes.extend(self.text.as_bytes());
        bytes.extend(self.names.as_bytes());
        bytes.extend(&self.evidence);
        bytes.extend(self.steps.iter().flatten().chain(&self.locks).flat_map(|n| n.to_le_bytes()));
        bytes
    }

    /// `None` if the bytes are not a whole message: the child died while it wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Finished> {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        let mut numbers = words(head);
        let mut next = || numbers.next();
        let (ok, simulated, starved) = (next()? != 0, next()? != 0, next()? != 0);
        let [elapsed_ns, trace, switches, threads] = [next()?, next()?, next()?, next()?];
        let [text_len, names_len] = [next()? as usize, next()? as usize];
        let [steps_len, locks_len, evidence_len] = [next()? as usize, next()? as usize, next()? as usize];
        let (text, rest) = rest.split_at_checked(text_len)?;
        let (names, rest) = rest.split_at_checked(names_len)?;
        let (evidence, rest) = rest.split_at_checked(evidence_len)?;
        if rest.len() != steps_len.checked_mul(24)?.checked_add(locks_len.checked_mul(8)?)? {
            return None;
        }
        let text = String::from_utf8(text.to_vec()).ok()?;
        let names = String::from_utf8(names.to_vec()).ok()?;
        let (steps, locks) = rest.split_at(steps_len * 24);
        let mut numbers = words(steps);
        let mut step = || Some([numbers.next()?, numbers.next()?, numbers.next()?]);
        let steps = std::iter::from_fn(&mut step).collect();
        let locks = words(locks).collect();
        let evidence = evidence.to_vec();
        Some(Finished {
            ok,
            text,
            simulated,
            starved,
            elapsed_ns,
            trace,
            switches,
            threads,
            names,
            steps,
            locks,
            evidence,
        })
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.chunks_exact(8).filter_map(|chunk| chunk.try_into().ok().map(u64::from_le_bytes))
}

#[cfg(test)]
mod tests {
    use super::Finished;

    #[test]
    fn what_is_written_is_read_and_no_part_of_it_is() {
        let finished = Finished {
            ok: true,
            text: "läuft".into(),
            simulated: true,
            starved: true,
            elapsed_ns: 5,
            trace: u64::MAX,
            switches: 7,
            threads: 2,
            names: "main\n".into(),
            steps: vec![[1, 2, 3], [4, 5, 6]],
            locks: vec![7],
            evidence: b"seen".to_vec(),
        };
        let bytes = finished.encode();
        assert_eq!(Finished::decode(&bytes), Some(finished));
        for cut in 0..bytes.len() {
            assert_eq!(Finished::decode(&bytes[..cut]), None, "cut at {cut}");
        }
    }
}
