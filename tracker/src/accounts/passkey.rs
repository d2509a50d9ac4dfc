//! Passkeys: the secret in an account's announce URL.
//!
//! A passkey is account, generation and a MAC over both, so an announce is checked with one hash and one look into memory. Rotating bumps
//! the generation: older passkeys then differ from what the account has now.

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::ids::AccountId;

/// Bytes of the MAC that are kept: 128 bits.
const MAC_LEN: usize = 16;

/// The key of the MAC.
#[derive(Clone)]
pub struct PasskeyKey([u8; 32]);

impl PasskeyKey {
    /// From the store.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// The passkey of an account: 39 characters of `a-z2-7`.
    pub fn issue(&self, account: AccountId, generation: u32) -> String {
        let mut bytes = Vec::with_capacity(8 + MAC_LEN);
        bytes.extend(account.0.to_be_bytes());
        bytes.extend(generation.to_be_bytes());
        let mac = self.mac(&bytes).finalize().into_bytes();
        bytes.extend(&mac[..MAC_LEN]);
        BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()
    }

    /// Account and generation of a passkey that was made with this key.
    pub fn verify(&self, passkey: &str) -> Option<(AccountId, u32)> {
        if passkey.len() != 39 {
            return None;
        }
        let bytes = BASE32_NOPAD
            .decode(passkey.to_ascii_uppercase().as_bytes())
            .ok()?;
        let (id, mac) = bytes.split_at_checked(8)?;
        self.mac(id).verify_truncated_left(mac).ok()?;
        let (account, generation) = id.split_first_chunk::<4>()?;
        Some((
            AccountId(u32::from_be_bytes(*account)),
            u32::from_be_bytes(generation.try_into().ok()?),
        ))
    }

    fn mac(&self, bytes: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(b"p2p-tracker passkey\0");
        mac.update(bytes);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passkey_is_good_for_its_account_and_generation_and_key_alone() {
        let key = PasskeyKey::new([1; 32]);
        let passkey = key.issue(AccountId(7), 3);
        assert_eq!(key.verify(&passkey), Some((AccountId(7), 3)));
        assert_eq!(PasskeyKey::new([2; 32]).verify(&passkey), None);
        for at in 0..passkey.len() {
            let mut other = passkey.clone().into_bytes();
            other[at] = if other[at] == b'a' { b'b' } else { b'a' };
            assert_eq!(
                key.verify(std::str::from_utf8(&other).unwrap()),
                None,
                "changed at {at}"
            );
        }
        for bad in ["", "announce", &passkey[1..], &format!("{passkey}a")] {
            assert_eq!(key.verify(bad), None, "{bad}");
        }
    }
}
