//! Passwords: Argon2id, each with a salt of its own, sealed with the master key on top, so that the database alone gives
//! nobody anything to try on.

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::key;

/// What OWASP asks for at the least of Argon2id: 19 MiB, twice, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const HASH: usize = 32;
const SALT: usize = 16;

/// Fewer characters can be tried out.
const SHORTEST: usize = 12;
/// More are somebody's joke, and cost time.
const LONGEST: usize = 200;

/// A password's hash, with what it was made with: so that a later version may ask for more.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Hashed {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: [u8; SALT],
    hash: [u8; HASH],
}

impl Hashed {
    /// # Errors
    /// When the system gives no random numbers, or no memory.
    pub(super) fn new(password: &str) -> Result<Self, String> {
        let made = Self { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES, salt: key::random()?, hash: [0; HASH] };
        let hash = made.derive(password)?;
        Ok(Self { hash, ..made })
    }

    /// Of no password: whoever is compared with it waits as long as with one.
    pub(super) fn nobodys() -> Self {
        Self { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES, salt: [7; SALT], hash: [0; HASH] }
    }

    pub(super) fn is(&self, password: &str) -> bool {
        self.derive(password).is_ok_and(|hash| hash.ct_eq(&self.hash).into())
    }

    fn derive(&self, password: &str) -> Result<[u8; HASH], String> {
        let odd = |error: argon2::Error| format!("a password cannot be hashed: {error}");
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(HASH)).map_err(odd)?;
        let mut hash = [0; HASH];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.as_bytes(), &self.salt, &mut hash)
            .map_err(odd)?;
        Ok(hash)
    }
}

/// # Errors
/// What is wrong with it as a new password.
pub(super) fn acceptable(password: &str, email: &str) -> Result<(), String> {
    let chars = password.chars().count();
    if !(SHORTEST..=LONGEST).contains(&chars) {
        return Err(format!("must have {SHORTEST} to {LONGEST} characters"));
    }
    let mut distinct: Vec<char> = password.chars().collect();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() < 5 || password.eq_ignore_ascii_case(email) {
        return Err("is too easy to guess".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_itself_and_nothing_else() {
        let hashed = Hashed::new("correct horse battery").expect("hashed");
        assert!(hashed.is("correct horse battery"));
        assert!(!hashed.is("correct horse batterz") && !hashed.is(""));
        let other = Hashed::new("correct horse battery").expect("hashed");
        assert_ne!(hashed.hash, other.hash, "each has a salt of its own");
        assert!(!Hashed::nobodys().is("correct horse battery") && !Hashed::nobodys().is(""));
    }

    #[test]
    fn what_is_easily_guessed_is_refused() {
        assert!(acceptable("correct horse battery", "a@example.com").is_ok());
        for easy in ["short", "aaaaaaaaaaaaaaaa", "Avnish@Example.com", &"x1y2z3".repeat(50)] {
            assert!(acceptable(easy, "avnish@example.com").is_err(), "{easy}");
        }
    }
}
