//! Wrong passwords: how many may be tried before one has to wait.
//!
//! A try takes its token before the password is looked at, so that many at once are no more than many in a row, and gets it back unless the
//! password was wrong. What counts is who tries: strangers use up neither the tries of another address nor those of a machine that is logged
//! in. All addresses together may try a name [`EVERYWHERE`] times as often as one of them.

use std::net::IpAddr;
use std::time::Instant;

use crate::ids::NodeId;
use crate::throttle::{Throttle, household};

/// How many addresses' worth of wrong passwords a name bears.
const EVERYWHERE: u32 = 10;

/// Who tries a password.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Guesser {
    /// Somebody there, who says to be the account.
    Address(IpAddr),
    /// A machine that is logged in as the account.
    Machine(NodeId),
}

impl Guesser {
    /// Somebody at this address.
    pub(super) fn at(address: IpAddr) -> Self {
        Self::Address(household(address))
    }
}

/// Counts wrong passwords.
#[derive(Default)]
pub(super) struct Guesses {
    one: Throttle<(String, Guesser)>,
    all: Throttle<String>,
}

impl Guesses {
    /// Takes a try at the password of `name`; else how many seconds until there is one.
    pub(super) fn take(
        &self,
        name: &str,
        who: Guesser,
        per_minute: u32,
        now: Instant,
    ) -> Result<(), u32> {
        self.one.take((name.to_owned(), who), per_minute, now)?;
        if matches!(who, Guesser::Machine(_)) {
            return Ok(());
        }
        let all = per_minute.saturating_mul(EVERYWHERE);
        self.all
            .take(name.to_owned(), all, now)
            .inspect_err(|_| self.one.give_back(&(name.to_owned(), who)))
    }

    /// It was no wrong password.
    pub(super) fn give_back(&self, name: &str, who: Guesser) {
        self.one.give_back(&(name.to_owned(), who));
        if matches!(who, Guesser::Address(_)) {
            self.all.give_back(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> Guesser {
        Guesser::at([192, 0, 2, last].into())
    }

    #[test]
    fn strangers_use_up_nobody_elses_tries() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        for _ in 0..3 {
            assert_eq!(guesses.take("ann", at(1), 3, now), Ok(()));
        }
        assert!(guesses.take("ann", at(1), 3, now).is_err());
        assert_eq!(guesses.take("ann", at(2), 3, now), Ok(()));
        assert_eq!(guesses.take("bob", at(1), 3, now), Ok(()));
        for address in 3..=100 {
            let _ = guesses.take("ann", at(address), 3, now);
        }
        assert!(guesses.take("ann", at(101), 3, now).is_err(), "in all 30");
        let machine = Guesser::Machine(NodeId(1));
        assert_eq!(guesses.take("ann", machine, 3, now), Ok(()));
    }

    #[test]
    fn the_right_password_costs_nothing() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        for _ in 0..100 {
            assert_eq!(guesses.take("ann", at(1), 1, now), Ok(()));
            guesses.give_back("ann", at(1));
        }
    }
}
