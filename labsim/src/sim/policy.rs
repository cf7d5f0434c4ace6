//! Who runs next, and where a running thread is made to give way: the part of a schedule that is drawn.
//!
//! Two ways to choose. *Uniform*: every runnable thread with the same probability. *PCT*, probabilistic
//! concurrency testing (Burckhardt, Kothari, Musuvathi, Nagarakatte, ASPLOS 2010): every thread draws a
//! priority, the highest runnable one runs, and at `depth - 1` points drawn from the first `steps` the running
//! thread falls below all others. A bug that needs `depth` ordering constraints, in a program of `n` threads and
//! at most `steps` points, shows with probability at least `1 / (n * steps^(depth - 1))` per seed.
//!
//! Whatever was drawn, once in some 100,000 points without a choice the running thread gives way: it may wait for another
//! without a call that says so. PCT's bound holds for programs that choose more often; that of its authors is for
//! programs that end under every schedule.

use super::rng::Rng;
use super::scheduler::{Nanos, ThreadId};
use crate::options::Schedule;

#[derive(Debug)]
pub(crate) struct Policy {
    chooser: Chooser,
    /// Mean number of allocations between two offers to give way; 0 for never.
    alloc_gap: u32,
    /// One synchronising call in so many gives way; 0 for never.
    sync_one_in: u32,
    /// A timer fires up to this much late, as on a machine with other work to do.
    slack_max: Nanos,
    /// Points to pass until the running thread gives way in any case.
    patience: u32,
}

/// Points between two choices: some milliseconds of work.
const PATIENCE: u32 = 100_000;

#[derive(Debug)]
enum Chooser {
    Uniform,
    Pct(Pct),
}

#[derive(Debug)]
struct Pct {
    step: u64,
    /// invariant: descending, all later than `step`.
    changes: Vec<u64>,
    /// By thread; higher runs first.
    priorities: Vec<u64>,
    /// Below every priority given so far.
    low: u64,
}

/// Drawn priorities have the top bit, demoted ones have not.
const HIGH: u64 = 1 << 63;

impl Policy {
    pub(crate) fn new(schedule: &Schedule, rng: &mut Rng) -> Self {
        match *schedule {
            Schedule::PerSeed => Self::draw(rng),
            Schedule::Uniform { alloc_one_in, sync_one_in } => {
                Policy { alloc_gap: alloc_one_in, sync_one_in, ..Self::of(Chooser::Uniform) }
            }
            Schedule::Pct { depth, steps } => Self::of(Chooser::Pct(Pct::new(depth, steps, rng))),
        }
    }

    /// Without preemption, but for what the chooser itself decides.
    fn of(chooser: Chooser) -> Self {
        Policy { chooser, alloc_gap: 0, sync_one_in: 0, slack_max: 0, patience: PATIENCE }
    }

    /// The mix: of eight seeds two run PCT, one switches only where threads block, five preempt, from often to
    /// rarely; one in four has late timers.
    fn draw(rng: &mut Rng) -> Self {
        let slack_max = [0, 0, 0, 0, 0, 0, 50_000, 500_000][rng.below(8) as usize];
        match rng.below(8) {
            0 | 1 => {
                let depth = 2 + rng.below(3) as u32;
                let steps = 1 << (6 + rng.below(14));
                Policy { slack_max, ..Self::new(&Schedule::Pct { depth, steps }, rng) }
            }
            2 => Policy { slack_max, ..Self::of(Chooser::Uniform) },
            _ => Policy {
                alloc_gap: 1 << (1 + rng.below(7)),
                sync_one_in: 1 << rng.below(5),
                slack_max,
                ..Self::of(Chooser::Uniform)
            },
        }
    }

    pub(crate) fn thread_started(&mut self, rng: &mut Rng) {
        if let Chooser::Pct(pct) = &mut self.chooser {
            pct.priorities.push(rng.next() | HIGH);
        }
    }

    /// The position in `runnable`, which is not empty, of the thread to run.
    ///
    /// With `fair` every thread gets its turn whatever its priority: PCT assumes a program that ends, and would
    /// let two threads that wait for a third keep it from running for ever.
    pub(crate) fn choose(&mut self, runnable: &[ThreadId], fair: bool, rng: &mut Rng) -> usize {
        self.patience = PATIENCE;
        match &self.chooser {
            Chooser::Uniform if runnable.len() == 1 => 0,
            Chooser::Pct(pct) if !fair => {
                let highest = runnable.iter().enumerate().max_by_key(|(_, t)| pct.priority(**t));
                highest.map_or(0, |(at, _)| at)
            }
            _ => rng.below(runnable.len() as u64) as usize,
        }
    }

    /// Whether `me`, running, gives way here, having passed `points` scheduling points since it was last asked.
    pub(crate) fn gives_way(
        &mut self,
        me: ThreadId,
        runnable: &[ThreadId],
        points: Points,
        rng: &mut Rng,
    ) -> bool {
        self.patience = self.patience.saturating_sub(points.count());
        let impatient = self.patience == 0;
        match &mut self.chooser {
            Chooser::Pct(pct) => {
                pct.pass(me, points.count());
                if impatient {
                    pct.demote(me);
                }
                runnable.iter().any(|t| pct.priority(*t) > pct.priority(me))
            }
            Chooser::Uniform => match points {
                Points::Allocations(_) => impatient || self.alloc_gap != 0,
                Points::Sync => impatient || (self.sync_one_in != 0 && rng.one_in(self.sync_one_in)),
            },
        }
    }

    /// How many allocations pass before [`gives_way`](Self::gives_way) is asked; never 0.
    pub(crate) fn next_gap(&self, rng: &mut Rng) -> u32 {
        match &self.chooser {
            Chooser::Uniform if self.alloc_gap == 0 => PATIENCE,
            Chooser::Uniform => 1 + rng.below(2 * u64::from(self.alloc_gap) - 1) as u32,
            Chooser::Pct(pct) => pct.until_change().min(PATIENCE),
        }
    }

    /// A thread that yields has nothing to do until another has run.
    pub(crate) fn yielded(&mut self, me: ThreadId) {
        if let Chooser::Pct(pct) = &mut self.chooser {
            pct.demote(me);
        }
    }

    pub(crate) fn slack(&self, rng: &mut Rng) -> Nanos {
        if self.slack_max == 0 { 0 } else { rng.below(self.slack_max) }
    }
}

/// What a thread passed since the policy was last asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Points {
    Allocations(u32),
    Sync,
}

impl Points {
    fn count(self) -> u32 {
        match self {
            Points::Allocations(n) => n,
            Points::Sync => 1,
        }
    }
}

impl Pct {
    fn new(depth: u32, steps: u64, rng: &mut Rng) -> Self {
        let mut changes: Vec<u64> = (1..depth.max(1)).map(|_| 1 + rng.below(steps.max(1))).collect();
        changes.sort_unstable_by(|a, b| b.cmp(a));
        Pct { step: 0, changes, priorities: Vec::new(), low: HIGH - 1 }
    }

    fn priority(&self, thread: ThreadId) -> u64 {
        self.priorities[thread.0 as usize]
    }

    fn demote(&mut self, thread: ThreadId) {
        self.low -= 1;
        self.priorities[thread.0 as usize] = self.low;
    }

    fn pass(&mut self, me: ThreadId, points: u32) {
        self.step += u64::from(points);
        while self.changes.last().is_some_and(|change| *change <= self.step) {
            self.changes.pop();
            self.demote(me);
        }
    }

    fn until_change(&self) -> u32 {
        let gap = self.changes.last().map_or(u64::MAX, |change| change - self.step);
        u32::try_from(gap).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ThreadId = ThreadId(0);
    const B: ThreadId = ThreadId(1);

    fn pct(depth: u32, steps: u64, seed: u64) -> (Policy, Rng) {
        let mut rng = Rng::new(seed, 0);
        let mut policy = Policy::new(&Schedule::Pct { depth, steps }, &mut rng);
        policy.thread_started(&mut rng);
        policy.thread_started(&mut rng);
        (policy, rng)
    }

    #[test]
    fn pct_sticks_to_the_highest_until_a_change_point() {
        let (mut policy, mut rng) = pct(2, 10, 3);
        let first = [A, B][policy.choose(&[A, B], false, &mut rng)];
        let other = if first == A { B } else { A };
        let passed = (1..=10).find(|_| policy.gives_way(first, &[other], Points::Sync, &mut rng));
        assert!(passed.is_some(), "the one change point lies within the first ten");
        assert_eq!([A, B][policy.choose(&[A, B], false, &mut rng)], other);
        assert!(!policy.gives_way(other, &[first], Points::Allocations(1_000), &mut rng));
    }

    #[test]
    fn pct_of_depth_one_never_preempts_and_yield_lets_others_run() {
        let (mut policy, mut rng) = pct(1, 10, 4);
        let first = [A, B][policy.choose(&[A, B], false, &mut rng)];
        let other = if first == A { B } else { A };
        assert!((0..100).all(|_| !policy.gives_way(first, &[other], Points::Sync, &mut rng)));
        policy.yielded(first);
        assert_eq!([A, B][policy.choose(&[A, B], false, &mut rng)], other);
    }

    #[test]
    fn pct_is_fair_when_asked() {
        let (mut policy, mut rng) = pct(1, 10, 4);
        let first = (0..100).filter(|_| policy.choose(&[A, B], true, &mut rng) == 0).count();
        assert!((20..80).contains(&first), "{first}");
    }

    /// Two threads, one of which spins: it allocates, or wakes nobody, until the other has run. It never did.
    #[test]
    fn whoever_passes_points_without_end_gives_way_under_every_policy() {
        let calm = Schedule::Uniform { alloc_one_in: 0, sync_one_in: 0 };
        for schedule in
            [calm, Schedule::Pct { depth: 1, steps: 10 }, Schedule::Pct { depth: 4, steps: 1_000 }]
        {
            for allocates in [false, true] {
                let mut rng = Rng::new(4, 0);
                let mut policy = Policy::new(&schedule, &mut rng);
                policy.thread_started(&mut rng);
                policy.thread_started(&mut rng);
                let spins = [A, B][policy.choose(&[A, B], false, &mut rng)];
                let other = if spins == A { B } else { A };
                let mut passed = 0;
                loop {
                    let gap = policy.next_gap(&mut rng);
                    let points = if allocates { Points::Allocations(gap) } else { Points::Sync };
                    passed += u64::from(points.count());
                    if policy.gives_way(spins, &[other], points, &mut rng) {
                        break;
                    }
                    assert!(passed < 300_000, "{schedule:?}");
                }
            }
        }
    }

    #[test]
    fn the_mix_contains_every_kind() {
        let (mut pct, mut calm, mut late) = (0, 0, 0);
        for seed in 0..400 {
            let policy = Policy::new(&Schedule::PerSeed, &mut Rng::new(seed, 0));
            let is_pct = matches!(policy.chooser, Chooser::Pct(_));
            pct += u32::from(is_pct);
            calm += u32::from(!is_pct && policy.alloc_gap == 0);
            late += u32::from(policy.slack_max > 0);
        }
        assert!([pct, 2 * calm, late].iter().all(|n| (60..140).contains(n)), "{pct} {calm} {late}");
    }
}
