//! How long to leave a tracker alone after a failure: doubling, bounded, and jittered so that a herd does not come back at once.

use std::time::Duration;

use rand::RngExt as _;

/// The wait after `failures` failures in a row (1 for the first): `first` doubled for each further one, at most `most`, and then a random
/// part of it between a half and the whole.
pub(crate) fn backoff(first: Duration, most: Duration, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    let full = first.saturating_mul(1 << doublings).min(most);
    full.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_up_to_the_bound_and_is_never_more() {
        let (first, most) = (Duration::from_secs(5), Duration::from_secs(60));
        for failures in [0, 1, 2, 5, 30, u32::MAX] {
            let wait = backoff(first, most, failures);
            assert!(wait >= first / 2 && wait <= most, "{failures}: {wait:?}");
        }
        assert!(backoff(first, most, 30) >= most / 2);
    }
}
