//! Connection ids (BEP 15): proof that a client gets what is sent to its address. PURE.
//!
//! An id is the minute it was made in and a MAC over minute and address, so none is stored and none can be made for another's address.
//! It is not bound to a port: the announces of one client may come from several. BEP 15 lets a client use an id for a minute and wants a
//! tracker to take it for two; clients behind slow networks come later than that, so it is ten here.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Minutes for which an id is good.
const LIFETIME: u16 = 10;
/// Bytes of the id that are MAC; the two before them are the minute.
const MAC_LEN: usize = 6;

/// The key of the MAC; a new one at each start, so ids of an earlier run are no longer good.
pub(super) struct ConnectionKey([u8; 32]);

impl ConnectionKey {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// An id for a client at `ip`; `now` in seconds of any clock that does not go back.
    pub(super) fn issue(&self, ip: IpAddr, now: u32) -> u64 {
        self.id(ip, minute(now))
    }

    /// Whether `id` was made for `ip` at most ten minutes ago.
    pub(super) fn verify(&self, id: u64, ip: IpAddr, now: u32) -> bool {
        let made = (id >> (8 * MAC_LEN)) as u16;
        // The counter of minutes may have come round.
        let age = minute(now).wrapping_sub(made);
        if age > LIFETIME {
            return false;
        }
        let bytes = id.to_be_bytes();
        self.mac(ip, made)
            .verify_truncated_left(&bytes[8 - MAC_LEN..])
            .is_ok()
    }

    fn id(&self, ip: IpAddr, minute: u16) -> u64 {
        let mac = self.mac(ip, minute).finalize().into_bytes();
        let mut id = [0; 8];
        id[..8 - MAC_LEN].copy_from_slice(&minute.to_be_bytes());
        id[8 - MAC_LEN..].copy_from_slice(&mac[..MAC_LEN]);
        u64::from_be_bytes(id)
    }

    fn mac(&self, ip: IpAddr, minute: u16) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(&minute.to_be_bytes());
        match ip.to_canonical() {
            IpAddr::V4(ip) => mac.update(&ip.octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        mac
    }
}

fn minute(now: u32) -> u16 {
    (now / 60) as u16 // comes round after 45 days
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_is_good_for_ten_minutes_at_its_address_alone(
            key in any::<[u8; 32]>(), ip in any::<u32>(), made in any::<u32>(), later in 0_u32..86_400, other in any::<u32>(), noise in 1_u64..
        ) {
            let made = made / 2;
            let key = ConnectionKey::new(key);
            let ip = IpAddr::from(ip.to_be_bytes());
            let id = key.issue(ip, made);
            let good = key.verify(id, ip, made + later);
            prop_assert!(good || later > 9 * 60);
            prop_assert!(!good || later < 11 * 60);
            let stranger = IpAddr::from(other.to_be_bytes());
            prop_assert!(stranger == ip || !key.verify(id, stranger, made));
            prop_assert!(!key.verify(id ^ noise, ip, made));
            prop_assert!(!ConnectionKey::new([7; 32]).verify(id, ip, made));
        }
    }

    #[test]
    fn an_address_is_the_same_on_a_socket_of_both_families() {
        let key = ConnectionKey::new([1; 32]);
        let [plain, mapped] = ["192.0.2.1", "::ffff:192.0.2.1"].map(|ip| ip.parse().unwrap());
        assert!(key.verify(key.issue(plain, 60), mapped, 60));
    }
}
