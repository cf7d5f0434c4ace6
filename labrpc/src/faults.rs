//! [`Faults`]: how the network mistreats messages that nobody decides about one by one.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::draws::Draws;

/// How a caller learns that its request or the reply was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The call resolves [`Lost`](crate::RpcError::Lost) at once.
    AtOnce,
    /// Nobody tells: the call resolves [`TimedOut`](crate::RpcError::TimedOut) when its time is up.
    ByTimeout,
}

/// The faults of a network or of a single link.
///
/// Probabilities lie in `0.0..=1.0`. Delays come on top of the network's latency. Start from
/// [`reliable`](Self::reliable) or [`unreliable`](Self::unreliable):
///
/// ```
/// use labrpc::{Faults, Notice};
///
/// let silent = Faults { loss_notice: Notice::ByTimeout, ..Faults::unreliable() };
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    /// A request is delayed by up to this much.
    pub request_delay_max: Duration,
    /// Probability that a request is dropped.
    pub request_loss: f64,
    /// Probability that a reply is dropped.
    pub reply_loss: f64,
    /// How the caller learns of these losses.
    pub loss_notice: Notice,
    /// Probability that a request is delivered twice.
    pub duplicate: f64,
    /// Probability that a request is delayed by a draw from `long_request_delay_range`.
    pub long_request_delay: f64,
    /// How long a request is then delayed.
    pub long_request_delay_range: RangeInclusive<Duration>,
    /// Two replies of three are held back for 0.2 to 2.2 s, 0.7 s on average. Such a reply arrives even
    /// when the link was cut or the server deleted in the meantime; it is the only one that does.
    pub long_reordering: bool,
    /// A call to a server that cannot be reached takes up to 7 s to fail, instead of up to 0.1 s.
    pub long_delays: bool,
}

impl Faults {
    /// No faults.
    pub fn reliable() -> Self {
        Faults {
            request_delay_max: Duration::ZERO,
            request_loss: 0.0,
            reply_loss: 0.0,
            loss_notice: Notice::AtOnce,
            duplicate: 0.0,
            long_request_delay: 0.0,
            long_request_delay_range: Duration::from_millis(200)..=Duration::from_millis(2200),
            long_reordering: false,
            long_delays: false,
        }
    }

    /// The labs' unreliable network: requests are delayed by up to 26 ms, and one of ten messages is lost,
    /// which the caller learns at once.
    pub fn unreliable() -> Self {
        Faults {
            request_delay_max: Duration::from_millis(26),
            request_loss: 0.1,
            reply_loss: 0.1,
            ..Faults::reliable()
        }
    }

    /// # Panics
    ///
    /// Panics when a field is out of range, and names it.
    pub(crate) fn validate(&self) {
        let probabilities = [
            ("request_loss", self.request_loss),
            ("reply_loss", self.reply_loss),
            ("duplicate", self.duplicate),
            ("long_request_delay", self.long_request_delay),
        ];
        for (field, value) in probabilities {
            assert!((0.0..=1.0).contains(&value), "Faults::{field} is {value}; it must lie in 0.0..=1.0");
        }
        let range = &self.long_request_delay_range;
        assert!(!range.is_empty(), "Faults::long_request_delay_range is {range:?}, which is empty");
        for (field, value) in
            [("request_delay_max", &self.request_delay_max), ("long_request_delay_range", range.end())]
        {
            assert!(*value <= DELAY_MAX, "Faults::{field} is {value:?}; it must be at most {DELAY_MAX:?}");
        }
    }

    /// By how much a request is delayed.
    pub(crate) fn request_delay(&self, draws: &mut Draws) -> Duration {
        let mut delay = Duration::ZERO;
        if self.request_delay_max > Duration::ZERO {
            delay += draws.duration(&(Duration::ZERO..=self.request_delay_max));
        }
        if draws.chance(self.long_request_delay) {
            delay += draws.duration(&self.long_request_delay_range);
        }
        delay
    }

    /// By how much a reply is held back, if it is.
    pub(crate) fn reply_delay(&self, draws: &mut Draws) -> Option<Duration> {
        if !self.long_reordering || !draws.chance(2.0 / 3.0) {
            return None;
        }
        let most = draws.duration(&(Duration::ZERO..=Duration::from_millis(1999)));
        Some(Duration::from_millis(200) + draws.duration(&(Duration::ZERO..=most)))
    }

    /// How long it takes to learn that a server cannot be reached.
    pub(crate) fn unreachable_delay(&self, draws: &mut Draws) -> Duration {
        let max_ms = if self.long_delays { 6999 } else { 99 };
        draws.duration(&(Duration::ZERO..=Duration::from_millis(max_ms)))
    }
}

/// Longer delays than this are taken for mistakes.
pub(crate) const DELAY_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for Faults {
    /// [`Faults::reliable`].
    fn default() -> Self {
        Faults::reliable()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;
    use crate::draws::Seed;

    fn objection(faults: Faults) -> String {
        let panic = catch_unwind(|| faults.validate()).expect_err("accepted");
        *panic.downcast::<String>().expect("a message")
    }

    #[test]
    fn a_field_out_of_range_is_named() {
        Faults::reliable().validate();
        Faults::unreliable().validate();
        let base = Faults::reliable;
        let day = DELAY_MAX + Duration::from_secs(1);
        let empty = Duration::from_secs(2)..=Duration::from_secs(1);
        for (field, faults) in [
            ("request_loss is 1.5", Faults { request_loss: 1.5, ..base() }),
            ("reply_loss is -0.1", Faults { reply_loss: -0.1, ..base() }),
            ("duplicate is NaN", Faults { duplicate: f64::NAN, ..base() }),
            ("long_request_delay is 2", Faults { long_request_delay: 2.0, ..base() }),
            ("long_request_delay_range is 2s..=1s", Faults { long_request_delay_range: empty, ..base() }),
            ("request_delay_max is 86401s", Faults { request_delay_max: day, ..base() }),
        ] {
            let text = objection(faults);
            assert!(text.starts_with(&format!("Faults::{field}")), "{text}");
        }
    }

    #[test]
    fn replies_are_reordered_as_the_labs_have_it() {
        let faults = Faults { long_reordering: true, ..Faults::reliable() };
        let mut draws = Draws::new(Seed::new(5));
        let held: Vec<_> = (0..9000).filter_map(|_| faults.reply_delay(&mut draws)).collect();
        assert!((5800..6200).contains(&held.len()), "{} of 9000", held.len());
        let ms = Duration::from_millis;
        assert!(held.iter().all(|d| (ms(200)..=ms(2199)).contains(d)));
        let mean = held.iter().sum::<Duration>() / held.len() as u32;
        assert!((ms(670)..ms(730)).contains(&mean), "{mean:?}");
        assert_eq!(Faults::reliable().reply_delay(&mut draws), None);
    }

    #[test]
    fn an_unreachable_server_takes_its_time() {
        let mut draws = Draws::new(Seed::new(6));
        let long = Faults { long_delays: true, ..Faults::reliable() };
        let mut longest =
            |faults: &Faults| (0..1000).map(|_| faults.unreachable_delay(&mut draws)).max().unwrap();
        assert!(
            (Duration::from_millis(90)..=Duration::from_millis(99)).contains(&longest(&Faults::reliable()))
        );
        assert!((Duration::from_millis(6900)..=Duration::from_millis(6999)).contains(&longest(&long)));
    }
}
