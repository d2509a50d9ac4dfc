//! Invitation codes: random, shown once, kept as hashes.

use super::random;
use crate::ids::SecretHash;
use crate::refusal::Refusal;

/// 75 bits as `xxxxx-xxxxx-xxxxx`.
pub(super) fn new_invite() -> Result<String, Refusal> {
    let text = data_encoding::BASE32_NOPAD
        .encode(&random::<10>()?)
        .to_ascii_lowercase();
    Ok(format!("{}-{}-{}", &text[..5], &text[5..10], &text[10..15]))
}

/// People type codes: case, blanks and dashes do not matter.
pub(super) fn hash_invite(code: &str) -> SecretHash {
    let plain: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    SecretHash::of(plain.to_ascii_lowercase().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_may_be_typed_in_any_way() {
        let code = new_invite().unwrap();
        assert_eq!(code.len(), 17);
        assert_eq!(
            hash_invite(&code),
            hash_invite(&code.to_uppercase().replace('-', " "))
        );
        assert_ne!(hash_invite(&code), hash_invite(&new_invite().unwrap()));
    }
}
