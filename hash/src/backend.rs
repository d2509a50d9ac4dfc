//! Which instructions hash: what the CPU has, and what is preferred.

use std::{fmt, str::FromStr, sync::OnceLock};

use crate::lanes::{Job, Words, run};
#[cfg(target_arch = "x86_64")]
use crate::x86::{avx2, avx512, sha_ni};

/// A way to compute SHA-1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Backend {
    /// Sixteen messages at once; needs AVX-512 F and BW.
    Avx512,
    /// Eight messages at once; needs AVX2.
    Avx2,
    /// Four messages at once with the SHA instructions of x86-64.
    ShaNi,
    /// One message at a time by the `sha1` crate, which itself uses SHA instructions of x86-64 and ARMv8 where there are any.
    Scalar,
}

impl Backend {
    /// All of them, widest first.
    pub const ALL: [Self; 4] = [Self::Avx512, Self::Avx2, Self::ShaNi, Self::Scalar];

    /// Whether this CPU can run it.
    pub fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        match self {
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
            }
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            Self::ShaNi => {
                is_x86_feature_detected!("sha")
                    && is_x86_feature_detected!("ssse3")
                    && is_x86_feature_detected!("sse4.1")
            }
            Self::Scalar => true,
        }
        #[cfg(not(target_arch = "x86_64"))]
        matches!(self, Self::Scalar)
    }

    /// How many messages it advances at once.
    pub fn lanes(self) -> usize {
        match self {
            Self::Avx512 => 16,
            Self::Avx2 => 8,
            Self::ShaNi => 4,
            Self::Scalar => 1,
        }
    }

    /// Its name in a configuration file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::ShaNi => "sha-ni",
            Self::Scalar => "scalar",
        }
    }

    /// Works `jobs` off until fewer than `min_active` lanes have work, and returns the rest.
    ///
    /// # Panics
    ///
    /// If the CPU cannot run this backend.
    #[allow(unsafe_code, reason = "functions that need CPU features, checked here")]
    pub(crate) fn run<'a>(
        self,
        jobs: impl IntoIterator<Item = Job<'a>>,
        min_active: usize,
    ) -> Vec<Job<'a>> {
        assert!(self.is_available(), "this CPU has no {self}");
        // SAFETY: `is_available` has just checked the features that the function names.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Self::Avx512 => run(avx512::compress, jobs, min_active),
                #[cfg(target_arch = "x86_64")]
                Self::Avx2 => run(avx2::compress, jobs, min_active),
                #[cfg(target_arch = "x86_64")]
                Self::ShaNi => {
                    // Two alone take two thirds of the time of four.
                    let rest = run(sha_ni::compress::<4>, jobs, min_active.max(3));
                    run(sha_ni::compress::<2>, rest, min_active)
                }
                _ => run(one, jobs, min_active),
            }
        }
    }
}

/// One message, by the `sha1` crate. Unsafe only for the type it shares with the vector backends.
#[allow(unsafe_code, reason = "has the signature of the vector backends")]
unsafe fn one(state: &mut Words<1>, data: &[&[u8]; 1], blocks: usize) {
    let mut words = state.0.map(|[word]| word);
    let (whole, _) = data[0].as_chunks();
    sha1::block_api::compress(&mut words, &whole[..blocks]);
    state.0 = words.map(|word| [word]);
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a backend cannot be had.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BackendError {
    /// No backend has this name.
    #[error("unknown hashing backend {0:?}; choose auto, avx512, avx2, sha-ni or scalar")]
    Unknown(String),
    /// The CPU lacks the instructions.
    #[error("this CPU cannot run the hashing backend {0}; choose auto")]
    Unavailable(Backend),
}

/// What hashes: one backend, or the fastest ones this CPU has. A small value, free to copy.
///
/// With few messages most of a wide backend's lanes idle, and one or two streams on a narrower one are quicker. So the
/// automatic choice has a wide backend for as long as enough lanes have work, and narrower ones for the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hasher(&'static [Step]);

/// A backend, and how many messages it takes for it to be the quickest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Step {
    backend: Backend,
    min_active: usize,
}

const fn step(backend: Backend, min_active: usize) -> Step {
    Step {
        backend,
        min_active,
    }
}

impl Hasher {
    /// The fastest this CPU has.
    ///
    /// A wide backend takes the same time for a block of each message, be it one message or as many as it has lanes. Where
    /// the narrower one is overtaken was measured with `cargo bench -p p2p-hash -- sha1` (microseconds for 32 KiB of each message, whole
    /// range of the lanes). AMD Zen 5: AVX-512 50, AVX2 71, SHA-NI 18 for two (not measured with four), the `sha1` crate 17 for each with
    /// SHA instructions and 35 without. AMD Zen 3: SHA-NI 23 for two and 39 for four, AVX2 106: it is not used beside SHA-NI.
    pub fn auto() -> Self {
        let has = Backend::is_available;
        Self(if has(Backend::Avx512) && has(Backend::ShaNi) {
            const {
                &[
                    step(Backend::Avx512, 5),
                    step(Backend::ShaNi, 2),
                    step(Backend::Scalar, 1),
                ]
            }
        } else if has(Backend::Avx512) {
            const { &[step(Backend::Avx512, 2), step(Backend::Scalar, 1)] }
        } else if has(Backend::ShaNi) {
            const { &[step(Backend::ShaNi, 2), step(Backend::Scalar, 1)] }
        } else if has(Backend::Avx2) {
            const { &[step(Backend::Avx2, 3), step(Backend::Scalar, 1)] }
        } else {
            const { &[step(Backend::Scalar, 1)] }
        })
    }

    /// This backend for everything.
    pub fn force(backend: Backend) -> Result<Self, BackendError> {
        if !backend.is_available() {
            return Err(BackendError::Unavailable(backend));
        }
        Ok(Self(match backend {
            Backend::Avx512 => const { &[step(Backend::Avx512, 1)] },
            Backend::Avx2 => const { &[step(Backend::Avx2, 1)] },
            Backend::ShaNi => const { &[step(Backend::ShaNi, 1)] },
            Backend::Scalar => const { &[step(Backend::Scalar, 1)] },
        }))
    }

    /// Makes this the [`Hasher::default`] of the process. The first choice stands; it is made before anything is hashed.
    pub fn choose(self) {
        let _stands = CHOSEN.set(self);
    }

    /// The backend of large batches.
    pub fn backend(&self) -> Backend {
        self.0.first().map_or(Backend::Scalar, |step| step.backend)
    }

    /// How many messages are best given at once; more are fine.
    pub fn lanes(&self) -> usize {
        self.backend().lanes()
    }

    /// Works all jobs off.
    pub(crate) fn run(&self, mut jobs: Vec<Job<'_>>) {
        // The longest first, or the last lane at work would be a long one, alone.
        jobs.sort_by_key(|job| std::cmp::Reverse(job.data.len()));
        for step in self.0 {
            if jobs.len() >= step.min_active {
                jobs = step.backend.run(jobs, step.min_active);
            }
        }
        debug_assert!(jobs.is_empty(), "the last step takes one message");
    }
}

/// What a process hashes with where nothing else is said.
static CHOSEN: OnceLock<Hasher> = OnceLock::new();

impl Default for Hasher {
    /// What [`Hasher::choose`] said, and [`Hasher::auto`] without it.
    fn default() -> Self {
        CHOSEN.get().copied().unwrap_or_else(Self::auto)
    }
}

impl FromStr for Hasher {
    type Err = BackendError;

    /// From `auto`, `avx512`, `avx2`, `sha-ni` or `scalar`.
    fn from_str(name: &str) -> Result<Self, BackendError> {
        if name == "auto" {
            return Ok(Self::auto());
        }
        let backend = Backend::ALL
            .into_iter()
            .find(|backend| backend.name() == name)
            .ok_or_else(|| BackendError::Unknown(name.to_owned()))?;
        Self::force(backend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_available_backend_has_a_name_that_forces_it() {
        for backend in Backend::ALL {
            let hasher: Result<Hasher, _> = backend.name().parse();
            if backend.is_available() {
                assert_eq!(hasher.expect("available").backend(), backend);
            } else {
                assert_eq!(hasher, Err(BackendError::Unavailable(backend)));
            }
        }
        assert_eq!("auto".parse(), Ok(Hasher::auto()));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = "sse9".parse::<Hasher>().expect_err("no such backend");
        assert!(error.to_string().contains("sha-ni"), "{error}");
    }
}
