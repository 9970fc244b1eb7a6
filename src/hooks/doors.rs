//! Who may come in: credentials of accounts and hook tokens, compared in constant time.

use std::{collections::HashMap, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{config::Account, store::HookToken};

type Hash = [u8; 32];

/// What opens which account. Only hashes are kept here.
pub struct Doors {
    /// By account SID: the hash of `key:token`.
    basic: HashMap<String, Hash>,
    /// By the token's hash: a look-up by hash says nothing about the tokens it did not find.
    tokens: HashMap<Hash, HookToken>,
    /// What an unknown account is compared with, so that it takes as long as a known one.
    nobody: Hash,
}

impl fmt::Debug for Doors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Doors({} accounts, {} tokens)", self.basic.len(), self.tokens.len())
    }
}

/// The hash under which a hook token is kept. The token is 256 random bits, so a plain hash is enough.
pub fn hash_token(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

impl Doors {
    pub fn new(accounts: &[Account], tokens: Vec<(HookToken, Hash)>) -> Self {
        let basic = accounts
            .iter()
            .map(|account| {
                let pair = format!("{}:{}", account.api_key.expose_secret(), account.api_token.expose_secret());
                (account.sid.clone(), Sha256::digest(pair.as_bytes()).into())
            })
            .collect();
        let tokens = tokens.into_iter().map(|(token, hash)| (hash, token)).collect();
        Self { basic, tokens, nobody: Sha256::digest(b"nobody").into() }
    }

    /// Whether an `Authorization` header opens this account. An account that is not there, one with another
    /// credential, and no header at all cost the same.
    pub fn basic(&self, sid: &str, authorization: Option<&[u8]>) -> bool {
        let given = authorization.and_then(credentials).unwrap_or_default();
        let given: Hash = Sha256::digest(&given).into();
        let (expected, known) = match self.basic.get(sid) {
            Some(hash) => (hash, true),
            None => (&self.nobody, false),
        };
        bool::from(given.ct_eq(expected)) & known
    }

    /// The account that a hook token opens.
    pub fn token(&self, token: &str, now: jiff::Timestamp) -> Option<&str> {
        let found = self.tokens.get(&hash_token(token))?;
        found.expires_at.is_none_or(|at| now < at).then_some(found.account.as_str())
    }
}

/// `user:password` of a Basic header.
fn credentials(header: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    STANDARD.decode(rest.trim_ascii()).ok()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn doors() -> Doors {
        let text = r#"
            [[account]]
            sid = "acme1"
            api_key = "key"
            api_token = "token"
        "#;
        let config = crate::config::parse("test", text, &Default::default()).expect("a configuration");
        let at = Timestamp::from_second(1000).expect("a time");
        let token = |expires_at| HookToken {
            id: Uuid::nil(),
            account: "acme1".into(),
            label: String::new(),
            created_at: at,
            expires_at,
        };
        Doors::new(
            &config.accounts,
            vec![(token(None), hash_token("forever")), (token(Some(at)), hash_token("rotated"))],
        )
    }

    #[test]
    fn only_the_right_pair_opens_an_account() {
        let doors = doors();
        let header = |pair: &str| format!("Basic {}", STANDARD.encode(pair)).into_bytes();
        assert!(doors.basic("acme1", Some(&header("key:token"))));
        assert!(doors.basic("acme1", Some(b"bAsIc a2V5OnRva2Vu")));
        for wrong in ["key:tokem", "key", ":", "token:key", "nobody"] {
            assert!(!doors.basic("acme1", Some(&header(wrong))), "{wrong}");
            assert!(!doors.basic("acme2", Some(&header(wrong))), "{wrong}");
        }
        assert!(!doors.basic("acme2", Some(&header("key:token"))));
        assert!(!doors.basic("acme1", None));
        assert!(!doors.basic("acme1", Some(b"Bearer x")));
    }

    #[test]
    fn a_rotated_token_works_until_it_expires() {
        let doors = doors();
        let at = |second| Timestamp::from_second(second).expect("a time");
        assert_eq!(doors.token("forever", at(5000)), Some("acme1"));
        assert_eq!(doors.token("rotated", at(999)), Some("acme1"));
        assert_eq!(doors.token("rotated", at(1000)), None);
        assert_eq!(doors.token("other", at(0)), None);
    }
}
