//! Rate limits: token buckets, one for the daemon and one for each item and direction.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// What a limit lets through at once after a pause, as a part of a second's worth. At 100 MB/s 2 MB, so that the receiver can keep up.
const BURST: f64 = 0.02;

/// The least burst in bytes: a block with its header must fit.
const LEAST_BURST: f64 = 20_000.0;

/// Lets so many bytes a second through; any number without a limit.
#[derive(Debug)]
pub struct Bucket(Mutex<Tokens>);

#[derive(Debug)]
struct Tokens {
    rate: Option<u64>,
    bytes: f64,
    at: Instant,
}

impl Bucket {
    /// A bucket with a limit in bytes/s, or none.
    pub fn new(rate: Option<u64>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Tokens {
            rate: some(rate),
            bytes: 0.0,
            at: Instant::now(),
        })))
    }

    /// Changes the limit; `None` and 0 lift it.
    pub fn set(&self, rate: Option<u64>) {
        let mut tokens = self.lock();
        tokens.fill();
        tokens.rate = some(rate);
    }

    /// The limit in force.
    pub fn rate(&self) -> Option<u64> {
        self.lock().rate
    }

    /// Up to `want` bytes now, or how long to wait.
    fn take(&self, want: usize) -> Result<usize, Duration> {
        let mut tokens = self.lock();
        let Some(rate) = tokens.rate else {
            return Ok(want);
        };
        tokens.fill();
        let rate = rate as f64;
        // Not byte by byte: half a burst, or all that is wanted if that is less.
        let least = (burst(rate) / 2.0).min(want as f64);
        if tokens.bytes >= least {
            let taken = tokens.bytes.min(want as f64).floor();
            tokens.bytes -= taken;
            return Ok(taken as usize);
        }
        let wait = (least - tokens.bytes) / rate;
        Err(Duration::from_secs_f64(wait.clamp(0.001, 1.0)))
    }

    fn give_back(&self, bytes: usize) {
        let mut tokens = self.lock();
        if tokens.rate.is_some() {
            tokens.bytes += bytes as f64;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tokens> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tokens {
    fn fill(&mut self) {
        let now = Instant::now();
        if let Some(rate) = self.rate {
            let rate = rate as f64;
            let came = now.duration_since(self.at).as_secs_f64() * rate;
            self.bytes = (self.bytes + came).min(burst(rate));
        }
        self.at = now;
    }
}

fn some(rate: Option<u64>) -> Option<u64> {
    rate.filter(|rate| *rate > 0)
}

fn burst(rate: f64) -> f64 {
    (rate * BURST).max(LEAST_BURST)
}

/// The limits that one connection is under, in one direction.
#[derive(Clone, Debug, Default)]
pub struct Throttle(Vec<Arc<Bucket>>);

impl Throttle {
    /// Under all of `buckets`.
    pub fn new(buckets: Vec<Arc<Bucket>>) -> Self {
        Self(buckets)
    }

    /// Waits until some of `want` bytes may pass, at least one, and says how many.
    pub async fn take(&self, want: usize) -> usize {
        loop {
            match self.try_take(want) {
                Ok(allowed) => return allowed,
                Err(wait) => sleep(wait).await,
            }
        }
    }

    fn try_take(&self, want: usize) -> Result<usize, Duration> {
        let mut allowed = want;
        for (n, bucket) in self.0.iter().enumerate() {
            match bucket.take(allowed) {
                Ok(less) => {
                    let back = allowed - less;
                    self.0[..n].iter().for_each(|b| b.give_back(back));
                    allowed = less;
                }
                Err(wait) => {
                    self.0[..n].iter().for_each(|b| b.give_back(allowed));
                    return Err(wait);
                }
            }
        }
        Ok(allowed)
    }

    /// Bytes that were taken and did not pass.
    pub fn give_back(&self, bytes: usize) {
        self.0.iter().for_each(|bucket| bucket.give_back(bytes));
    }
}

/// Loopback, private and link-local addresses: the machine and its own network.
pub fn is_lan(addr: IpAddr) -> bool {
    match addr.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that pass in ten seconds when `want` are asked for at a time.
    async fn passed(throttle: &Throttle, want: usize) -> usize {
        let end = Instant::now() + Duration::from_secs(10);
        let mut passed = 0;
        while Instant::now() < end {
            let allowed = throttle.take(want).await;
            assert!(allowed > 0 && allowed <= want);
            passed += allowed;
        }
        passed
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_kept_whatever_is_asked_for() {
        for want in [100, 16_397, 262_144] {
            let throttle = Throttle::new(vec![Bucket::new(Some(5_000_000))]);
            let passed = passed(&throttle, want).await as f64;
            assert!((passed / 50e6 - 1.0).abs() < 0.05, "{want}: {passed}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_lowest_of_several_limits_holds() {
        let (wide, narrow) = (Bucket::new(Some(9_000_000)), Bucket::new(Some(1_000_000)));
        let both = Throttle::new(vec![wide.clone(), narrow]);
        let through = passed(&both, 65_536).await as f64;
        assert!((through / 10e6 - 1.0).abs() < 0.05, "{through}");
        wide.set(Some(100_000));
        let through = passed(&both, 65_536).await as f64;
        assert!(through < 2.1e6, "{through}");
    }

    #[tokio::test(start_paused = true)]
    async fn zero_and_none_are_no_limit() {
        let throttle = Throttle::new(vec![Bucket::new(None), Bucket::new(Some(0))]);
        assert_eq!(throttle.take(1 << 30).await, 1 << 30);
        assert_eq!(Throttle::default().take(77).await, 77);
    }

    #[test]
    fn knows_its_own_network() {
        for (addr, lan) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("192.168.1.4", true),
            ("::ffff:10.0.0.1", true),
            ("fe80::1", true),
            ("8.8.8.8", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_lan(addr.parse().unwrap()), lan, "{addr}");
        }
    }
}
