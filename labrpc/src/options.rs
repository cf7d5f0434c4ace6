//! [`NetworkOptions`]: what is fixed for the life of a network.

use std::fmt;
use std::ops::RangeInclusive;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::faults::DELAY_MAX;

/// What is fixed for the life of a network.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// Determines everything the network draws. 0 by default.
    pub seed: u64,
    /// How long a message takes, each way, drawn for each message; 0.5 to 1.5 ms by default. One that would
    /// overtake an earlier one of its client, without a fault that lets it, arrives right behind that.
    ///
    /// `ZERO..=ZERO` is for benchmarks alone: a call then runs without the network's own thread, and an
    /// `async` handler runs on the caller's thread within the stub call. Who holds a lock there that a
    /// handler takes too, directly or by way of another server, waits for ever.
    pub latency: RangeInclusive<Duration>,
    /// When a call without a reply resolves [`TimedOut`](crate::RpcError::TimedOut), unless its handler is
    /// still running then; 7 s by default.
    pub call_timeout: Duration,
    /// How large the encoded arguments or reply may be; 64 MiB by default.
    pub max_message_bytes: usize,
    /// How long, with zero latency, a thread that waits for a job or a reply offers its processor to others
    /// before it goes to sleep; zero by default. For benchmarks in real time alone.
    pub linger: Duration,
    /// The network's own clock, [`Instant::now`] by default. A harness whose nodes have clocks that run fast or slow
    /// gives one that is the same on all threads: messages must not be late because their sender's clock is ahead.
    pub clock: Clock,
}

/// See [`NetworkOptions::clock`].
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Instant + Send + Sync + UnwindSafe + RefUnwindSafe>);

impl Clock {
    /// A clock that `now` reads, on whichever thread it is called.
    pub fn new(now: impl Fn() -> Instant + Send + Sync + UnwindSafe + RefUnwindSafe + 'static) -> Clock {
        Clock(Arc::new(now))
    }

    pub(crate) fn now(&self) -> Instant {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new(Instant::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl Default for NetworkOptions {
    fn default() -> Self {
        NetworkOptions {
            seed: 0,
            latency: Duration::from_micros(500)..=Duration::from_micros(1500),
            call_timeout: Duration::from_secs(7),
            max_message_bytes: 64 << 20,
            linger: Duration::ZERO,
            clock: Clock::default(),
        }
    }
}

impl NetworkOptions {
    pub(crate) fn is_instant(&self) -> bool {
        *self.latency.end() == Duration::ZERO
    }

    /// # Panics
    ///
    /// Panics when a field is out of range, and names it.
    pub(crate) fn validate(&self) {
        let latency = &self.latency;
        assert!(!latency.is_empty(), "NetworkOptions::latency is {latency:?}, which is empty");
        for (field, value) in [("latency", latency.end()), ("call_timeout", &self.call_timeout)] {
            assert!(
                *value <= DELAY_MAX,
                "NetworkOptions::{field} is {value:?}; it must be at most {DELAY_MAX:?}"
            );
        }
        assert!(
            self.linger == Duration::ZERO || self.is_instant(),
            "NetworkOptions::linger is {:?}; it is for zero latency alone",
            self.linger
        );
    }
}
