//! How often something may be tried: token buckets by key, bounded in number.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Instant;

use crate::lock::lock;

/// Keys that are remembered; when there are more, those that are full again are forgotten, and then all.
const MAX_KEYS: usize = 50_000;

/// Token buckets of one kind: a minute's worth may come at once, then they refill evenly.
pub(crate) struct Throttle<K> {
    buckets: Mutex<HashMap<K, Bucket>>,
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

impl<K> Default for Throttle<K> {
    fn default() -> Self {
        Self {
            buckets: Mutex::default(),
        }
    }
}

impl<K: Hash + Eq> Throttle<K> {
    /// Takes a token; else how many seconds until there is one.
    pub(crate) fn take(&self, key: K, per_minute: u32, now: Instant) -> Result<(), u32> {
        let (full, rate) = (f64::from(per_minute), f64::from(per_minute) / 60.0);
        let refill = |bucket: &mut Bucket| {
            let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
            bucket.tokens = (bucket.tokens + passed * rate).min(full);
            bucket.at = now;
        };
        let mut buckets = lock(&self.buckets);
        if buckets.len() >= MAX_KEYS && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| {
                refill(bucket);
                bucket.tokens < full
            });
            if buckets.len() >= MAX_KEYS {
                buckets.clear();
            }
        }
        let bucket = buckets.entry(key).or_insert(Bucket {
            tokens: full,
            at: now,
        });
        refill(bucket);
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        Err(((1.0 - bucket.tokens) / rate).ceil().max(1.0) as u32)
    }

    /// Puts a token that was taken back.
    pub(crate) fn give_back<Q>(&self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut buckets = lock(&self.buckets);
        // The next refill cuts off what is too much.
        if let Some(bucket) = buckets.get_mut(key) {
            bucket.tokens += 1.0;
        }
    }
}

/// What counts as one address: a whole IPv6 /64 is one household.
pub(crate) fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_minutes_worth_at_once_then_one_after_another() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        for _ in 0..6 {
            assert_eq!(throttle.take('a', 6, start), Ok(()));
        }
        assert_eq!(throttle.take('a', 6, start), Err(10));
        assert_eq!(
            throttle.take('a', 6, start + Duration::from_secs(9)),
            Err(1)
        );
        assert_eq!(
            throttle.take('b', 6, start),
            Ok(()),
            "another key has its own"
        );
        assert_eq!(
            throttle.take('a', 6, start + Duration::from_secs(10)),
            Ok(())
        );
        assert!(
            throttle
                .take('a', 6, start + Duration::from_secs(10))
                .is_err()
        );
    }

    #[test]
    fn a_household_is_one_address() {
        let same =
            |a: &str, b: &str| household(a.parse().unwrap()) == household(b.parse().unwrap());
        assert!(same("2001:db8::1", "2001:db8::ffff:1") && same("::ffff:10.0.0.1", "10.0.0.1"));
        assert!(!same("2001:db8:0:1::1", "2001:db8::1") && !same("10.0.0.1", "10.0.0.2"));
    }
}
