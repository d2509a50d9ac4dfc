//! What names and passwords may be.

use crate::refusal::Refusal;

const MIN_PASSWORD: usize = 8;
/// Longer ones only cost memory.
pub(super) const MAX_PASSWORD: usize = 1_024;
const MAX_NODE_NAME: usize = 64;

/// 1 to 32 of `a-z 0-9 - _ .`, beginning with a letter or digit.
pub(super) fn check_username(name: &str) -> Result<(), Refusal> {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_.".contains(&c);
    let good = (1..=32).contains(&name.len())
        && name.bytes().all(allowed)
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if good {
        return Ok(());
    }
    Err(Refusal::invalid(
        "that cannot be a user name",
        "Take 1 to 32 of a-z 0-9 - _ . beginning with a letter or digit.",
    ))
}

pub(super) fn check_password(password: &str) -> Result<(), Refusal> {
    if password.chars().count() < MIN_PASSWORD {
        return Err(Refusal::invalid(
            "the password is too short",
            format!("Take at least {MIN_PASSWORD} characters."),
        ));
    }
    if password.len() > MAX_PASSWORD {
        return Err(Refusal::invalid(
            "the password is too long",
            format!("Take at most {MAX_PASSWORD} bytes."),
        ));
    }
    Ok(())
}

pub(super) fn check_node_name(name: &str) -> Result<String, Refusal> {
    let name = name.trim();
    if name.is_empty()
        || name.len() > MAX_NODE_NAME
        || name.contains(|c: char| c.is_control() || c == '/')
    {
        return Err(Refusal::invalid(
            "`node_name` cannot be the name of a machine",
            format!("Take 1 to {MAX_NODE_NAME} bytes without `/` and control characters."),
        ));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_are_plain() {
        for good in ["ann", "a", "0x", "a.b-c_d", &"a".repeat(32)] {
            assert!(check_username(good).is_ok(), "{good}");
        }
        for bad in ["", "Ann", ".ann", "-a", "a b", "a/b", "ä", &"a".repeat(33)] {
            assert!(check_username(bad).is_err(), "{bad}");
        }
    }
}
