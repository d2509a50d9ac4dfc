//! Fingerprints of TLS certificates, as people compare and type them.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The SHA-256 of a certificate in DER. Shown as 64 lower-case hex digits; `openssl x509 -fingerprint -sha256` shows the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(
    /// The digest.
    pub [u8; 32],
);

/// What was given is no fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no SHA-256 fingerprint, which has 64 hexadecimal digits")]
pub struct BadFingerprint;

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER_PERMISSIVE.encode(&self.0))
    }
}

impl FromStr for Fingerprint {
    type Err = BadFingerprint;

    /// Takes what other programs print too: upper case, colons or blanks between the bytes, `sha256:` or, as openssl, a name and `=` before them.
    fn from_str(text: &str) -> Result<Self, BadFingerprint> {
        let text = text.trim().to_ascii_lowercase();
        let digits = text.strip_prefix("sha256:").unwrap_or(&text);
        let digits = digits.rsplit('=').next().unwrap_or_default();
        let digits: String = digits.chars().filter(|c| !matches!(c, ':' | ' ')).collect();
        let bytes = HEXLOWER_PERMISSIVE
            .decode(digits.as_bytes())
            .map_err(|_| BadFingerprint)?;
        Ok(Self(bytes.try_into().map_err(|_| BadFingerprint)?))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_and_openssl_print() {
        let fingerprint = Fingerprint(std::array::from_fn(|i| i as u8 * 8));
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        let openssl: Vec<String> = fingerprint
            .0
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        let openssl = openssl.join(":");
        assert_eq!(openssl.parse(), Ok(fingerprint));
        let line = format!("sha256 Fingerprint={openssl}\n");
        assert_eq!(line.parse(), Ok(fingerprint));
        assert_eq!(format!("sha256:{fingerprint}\n").parse(), Ok(fingerprint));
    }

    #[test]
    fn refuses_what_is_too_short_too_long_or_no_hex() {
        let good = Fingerprint([0xa5; 32]).to_string();
        for bad in [
            "",
            &good[1..],
            &format!("{good}00"),
            &good.replace('a', "é"),
        ] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(BadFingerprint), "{bad}");
        }
    }
}
