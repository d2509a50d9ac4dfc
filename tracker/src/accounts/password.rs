//! Password hashing: argon2id on a few threads, so that logins can neither stall announces nor take all memory.

use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::BASE64_NOPAD;
use p2p_wire::api::ProblemType;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use crate::refusal::Refusal;

/// KiB of memory of one hash.
const MEMORY_KIB: u32 = 19 * 1_024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_LEN: usize = 16;
const HASH_LEN: usize = 32;
/// Logins that may wait for a thread; the next is told to come back.
const MAX_WAITING: usize = 32;

/// Bounds how much hashing goes on at once.
pub(super) struct PasswordPool {
    working: Semaphore,
    waiting: Semaphore,
}

impl Default for PasswordPool {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            working: Semaphore::new((cores / 2).max(1)),
            waiting: Semaphore::new(MAX_WAITING),
        }
    }
}

impl PasswordPool {
    /// The encoded hash to store for a password.
    pub(super) async fn hash(&self, password: String) -> Result<String, Refusal> {
        self.run(move || {
            let mut salt = [0; SALT_LEN];
            getrandom::fill(&mut salt).map_err(|_| internal("no randomness"))?;
            let hash = argon2id(&password, &salt)?;
            Ok(format!(
                "$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${}${}",
                BASE64_NOPAD.encode(&salt),
                BASE64_NOPAD.encode(&hash)
            ))
        })
        .await
    }

    /// Whether the password is that of the encoded hash. Without a hash it takes as long and says no: neither time nor text tells whether
    /// a name exists.
    pub(super) async fn verify(
        &self,
        password: String,
        encoded: Option<String>,
    ) -> Result<bool, Refusal> {
        self.run(move || {
            let Some(encoded) = encoded else {
                argon2id(&password, &[0; SALT_LEN])?;
                return Ok(false);
            };
            let mut fields = encoded
                .rsplit('$')
                .map(|field| BASE64_NOPAD.decode(field.as_bytes()));
            let (Some(Ok(expected)), Some(Ok(salt))) = (fields.next(), fields.next()) else {
                return Err(internal("a password hash in the database cannot be read"));
            };
            Ok(bool::from(argon2id(&password, &salt)?.ct_eq(&expected)))
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let _place = self.waiting.try_acquire().map_err(|_| {
            Refusal::new(
                ProblemType::SlowDown,
                "too many logins at once",
                "Try again in a few seconds.",
            )
            .retry_after(3)
        })?;
        let _permit = self
            .working
            .acquire()
            .await
            .map_err(|_| internal("the password threads ended"))?;
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| internal("a password thread failed"))?
    }
}

fn argon2id(password: &str, salt: &[u8]) -> Result<[u8; HASH_LEN], Refusal> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_LEN))
        .map_err(|_| internal("bad hash parameters"))?;
    let mut out = [0; HASH_LEN];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), salt, &mut out)
        .map_err(|_| internal("a password cannot be hashed"))?;
    Ok(out)
}

fn internal(what: &str) -> Refusal {
    Refusal::internal(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_fits() {
        let pool = PasswordPool::default();
        let hash = pool.hash("correct horse".to_owned()).await.unwrap();
        assert_ne!(
            hash,
            pool.hash("correct horse".to_owned()).await.unwrap(),
            "salted"
        );
        assert!(
            pool.verify("correct horse".to_owned(), Some(hash.clone()))
                .await
                .unwrap()
        );
        assert!(
            !pool
                .verify("battery staple".to_owned(), Some(hash))
                .await
                .unwrap()
        );
        assert!(!pool.verify("correct horse".to_owned(), None).await.unwrap());
    }
}
