//! Who may come in: credentials of accounts, hook tokens and AccountUids, compared in constant time; and what is open.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use uuid::Uuid;

use crate::{call::Hook, config::Account, key::MasterKey, store::HookToken};

type Hash = [u8; 32];

/// What opens which account. Only hashes are kept here.
pub struct Doors {
    /// By account SID: the hash of `key:token`.
    basic: HashMap<String, Hash>,
    /// By the token's hash: a look-up by hash says nothing about the tokens it did not find.
    tokens: HashMap<Hash, HookToken>,
    /// By account SID: the hashes of its Salesforce integrations' AccountUids.
    uids: HashMap<String, Vec<Hash>>,
    /// By account SID: the families that its `open_hooks` names.
    open: HashMap<String, HashSet<&'static str>>,
    /// By app of Exotel's WebRTC integrations: the account SID.
    apps: HashMap<String, String>,
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

/// What opens the hooks of Exotel's Salesforce connector, by integration: as it is set, for those who migrate with flows
/// that have one; else made of the master key, so that it is nowhere stored.
pub fn account_uids(account: &Account, key: &MasterKey) -> Vec<(String, String)> {
    let uids = uids_by_key(account, key).into_iter();
    uids.filter_map(|(name, uids)| Some((name, uids.into_iter().next()?))).collect()
}

/// By integration the one to paste, and behind it those of previous master keys, which flows still have in them.
fn uids_by_key(account: &Account, key: &MasterKey) -> Vec<(String, Vec<String>)> {
    let salesforce = account.integrations.iter().filter(|integration| integration.manifest.id == "salesforce");
    salesforce
        .map(|integration| {
            let set = integration.secrets.get("account_uid").map(|uid| uid.expose_secret().trim().to_owned());
            let uids = match set.filter(|uid| !uid.is_empty()) {
                Some(uid) => vec![uid],
                None => {
                    let all = key.derive_all("salesforce account uid", &[&account.sid, &integration.name]);
                    all.into_iter()
                        .map(|bytes| uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string())
                        .collect()
                }
            };
            (integration.name.clone(), uids)
        })
        .collect()
}

/// What the token of [`status_token`] is made for.
const STATUS: &str = "status hook token";

/// The hook token of the status callbacks of calls that we place: made of the master key, so that it is nowhere stored.
pub fn status_token(sid: &str, key: &MasterKey) -> String {
    URL_SAFE_NO_PAD.encode(key.derive(STATUS, &[sid]))
}

impl Doors {
    pub fn new<'a>(
        accounts: impl IntoIterator<Item = &'a Account>,
        tokens: Vec<(HookToken, Hash)>,
        key: &MasterKey,
    ) -> Self {
        let accounts: Vec<&Account> = accounts.into_iter().collect();
        let basic: HashMap<String, Hash> = accounts
            .iter()
            .map(|account| {
                let pair = format!("{}:{}", account.api_key.expose_secret(), account.api_token.expose_secret());
                (account.sid.clone(), Sha256::digest(pair.as_bytes()).into())
            })
            .collect();
        // Calls that were placed under a previous master key may still be on.
        let status = |sid: &str| key.derive_all(STATUS, &[sid]).into_iter().map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        let made = accounts.iter().flat_map(|account| status(&account.sid).map(move |token| (*account, token)));
        let own = made.map(|(account, own)| {
            let token = HookToken {
                id: Uuid::nil(),
                account: account.sid.clone(),
                label: "status callbacks of click-to-call".to_owned(),
                scope: Some(Hook::Status.as_str().to_owned()),
                created_at: Timestamp::UNIX_EPOCH,
                expires_at: None,
            };
            (hash_token(&own), token)
        });
        // A token outlives its account, and must not open what is not there.
        let known = tokens.into_iter().filter(|(token, _)| basic.contains_key(&token.account));
        let tokens = known.map(|(token, hash)| (hash, token)).chain(own).collect();
        let hashes = |account: &Account| {
            uids_by_key(account, key).iter().flat_map(|(_, uids)| uids).map(|uid| hash_token(uid)).collect()
        };
        let uids = accounts.iter().map(|account| (account.sid.clone(), hashes(account))).collect();
        let named = |account: &Account| {
            let families = Hook::OPENABLE.into_iter().map(Hook::as_str);
            families.filter(|family| account.open_hooks.iter().any(|open| open == family)).collect()
        };
        let open = accounts.iter().map(|account| (account.sid.clone(), named(account))).collect();
        let apps =
            accounts.iter().flat_map(|account| account.app_ids.iter().map(|app| (app.clone(), account.sid.clone())));
        Self { basic, tokens, uids, open, apps: apps.collect(), nobody: Sha256::digest(b"nobody").into() }
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

    /// The same, as LeadSquared sends it: the Base64 of `key:token`, with `Basic ` before it or without.
    pub fn base64(&self, sid: &str, authorization: Option<&[u8]>) -> bool {
        let bare = authorization.map(|text| {
            let basic = text.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic "));
            if basic { text.to_vec() } else { [b"Basic ", text.trim_ascii()].concat() }
        });
        self.basic(sid, bare.as_deref())
    }

    /// The same, as two headers.
    pub fn pair(&self, sid: &str, key: &str, token: &str) -> bool {
        self.basic(sid, Some(format!("Basic {}", STANDARD.encode(format!("{key}:{token}"))).as_bytes()))
    }

    /// Whether this account lets this family in without a credential.
    pub fn open(&self, hook: Hook, sid: &str) -> bool {
        self.open.get(sid).is_some_and(|families| families.contains(hook.as_str()))
    }

    /// Whether an AccountUid opens this account. An account that is not there, one that has none, one with another, and
    /// no AccountUid at all cost the same.
    pub fn account_uid(&self, sid: &str, given: Option<&str>) -> bool {
        let given = hash_token(given.unwrap_or_default());
        let known = self.uids.get(sid).map(Vec::as_slice).filter(|known| !known.is_empty());
        let expected = known.unwrap_or(std::slice::from_ref(&self.nobody));
        let fits = expected.iter().fold(Choice::from(0), |fits, expected| fits | given.ct_eq(expected));
        bool::from(fits) & known.is_some()
    }

    /// The account whose app this is.
    pub fn app(&self, id: &str) -> Option<&str> {
        self.apps.get(id).map(String::as_str)
    }

    /// The account that a hook token opens, and what of it; without a scope, all.
    pub fn token(&self, token: &str, now: Timestamp) -> Option<(&str, Option<&str>)> {
        let found = self.tokens.get(&hash_token(token))?;
        let valid = found.expires_at.is_none_or(|at| now < at);
        valid.then_some((found.account.as_str(), found.scope.as_deref()))
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
    use patchbay_kit::Manifest;

    use super::*;
    use crate::config::Config;

    fn key() -> MasterKey {
        let dir = tempfile::tempdir().expect("a directory");
        MasterKey::load_or_make(None, &dir.path().join("x.db")).expect("made")
    }

    fn config() -> Config {
        let account = |sid: &str, open: &str, app: &str| {
            let desk = |name: &str| {
                format!(
                    "[[account.integration]]\nconnector = \"freshdesk\"\nname = \"{name}\"\napi_key = \"x\"\n\
                     base_url = \"http://127.0.0.1:1\"\n"
                )
            };
            format!(
                "[[account]]\nsid = \"{sid}\"\napi_key = \"key\"\napi_token = \"token\"\nopen_hooks = [{open}]\n\
                 app_ids = [\"{app}\"]\n{}{}",
                desk("one"),
                desk("two")
            )
        };
        let text = account("acme1", "\"zoho\", \"ip_pstn\"", "app-1") + &account("acme2", "", "app-2");
        crate::config::parse("test", &text, &Default::default()).expect("a configuration")
    }

    fn doors() -> Doors {
        let config = config();
        let at = Timestamp::from_second(1000).expect("a time");
        let token = |expires_at| HookToken {
            id: Uuid::nil(),
            account: "acme1".into(),
            label: String::new(),
            scope: None,
            created_at: at,
            expires_at,
        };
        Doors::new(
            &config.accounts,
            vec![(token(None), hash_token("forever")), (token(Some(at)), hash_token("rotated"))],
            &key(),
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
            assert!(!doors.basic("acme3", Some(&header(wrong))), "{wrong}");
        }
        assert!(!doors.basic("acme3", Some(&header("key:token"))));
        assert!(!doors.basic("acme1", None));
        assert!(!doors.basic("acme1", Some(b"Bearer x")));
        assert!(doors.base64("acme1", Some(b"a2V5OnRva2Vu")) && doors.base64("acme1", Some(b"Basic a2V5OnRva2Vu")));
        assert!(!doors.base64("acme1", Some(b"x")) && !doors.base64("acme3", Some(b"a2V5OnRva2Vu")));
        assert!(!doors.base64("acme1", None) && !doors.base64("acme1", Some(b"")));
        assert!(
            doors.pair("acme1", "key", "token")
                && !doors.pair("acme1", "key", "")
                && !doors.pair("acme3", "key", "token")
        );
    }

    #[test]
    fn a_rotated_token_works_until_it_expires() {
        let doors = doors();
        let at = |second| Timestamp::from_second(second).expect("a time");
        assert_eq!(doors.token("forever", at(5000)), Some(("acme1", None)));
        assert_eq!(doors.token("rotated", at(999)), Some(("acme1", None)));
        assert_eq!(doors.token("rotated", at(1000)), None);
        assert_eq!(doors.token("other", at(0)), None);
        let status = |sid: &str| status_token(sid, &key());
        assert_eq!(doors.token(&status("acme1"), at(0)), None, "of another master key");
        let key = key();
        let doors = Doors::new(&config().accounts, Vec::new(), &key);
        assert_eq!(doors.token(&status_token("acme2", &key), at(0)), Some(("acme2", Some("status"))));
    }

    #[test]
    fn only_named_families_of_this_account_are_open() {
        let doors = doors();
        assert!(doors.open(Hook::Zoho, "acme1") && doors.open(Hook::IpPstn, "acme1"));
        for (hook, sid) in [(Hook::Freshworks, "acme1"), (Hook::Zoho, "acme2"), (Hook::Zoho, "acme3")] {
            assert!(!doors.open(hook, sid), "{hook:?} {sid}");
        }
        assert!(!doors.open(Hook::CallEvents, "acme1") && !doors.open(Hook::Person, "acme1"));
        assert_eq!((doors.app("app-2"), doors.app("app-3")), (Some("acme2"), None));
    }

    #[test]
    fn an_account_uid_opens_its_own_account() {
        let mut config = config();
        for account in &mut config.accounts {
            for integration in &mut account.integrations {
                let manifest = Manifest { id: "salesforce", ..*integration.manifest };
                integration.manifest = Box::leak(Box::new(manifest));
            }
        }
        let migrated = secrecy::SecretString::from("1234");
        config.accounts[1].integrations[1].secrets.insert("account_uid".to_owned(), migrated);
        let key = key();
        let doors = Doors::new(&config.accounts, Vec::new(), &key);
        let uids = |at: usize| account_uids(&config.accounts[at], &key);
        let (first, second) = (uids(0), uids(1));
        assert_eq!(second[1], ("two".to_owned(), "1234".to_owned()));
        assert!(first[0].1 != first[1].1 && first[0].1 != second[0].1);
        assert!(Uuid::parse_str(&first[0].1).is_ok());
        for (_, uid) in &first {
            assert!(doors.account_uid("acme1", Some(uid)));
            assert!(!doors.account_uid("acme2", Some(uid)), "of another account");
            assert!(!doors.account_uid("acme3", Some(uid)));
        }
        assert!(doors.account_uid("acme2", Some("1234")));
        assert!(!doors.account_uid("acme1", Some("1234")));
        assert!(!doors.account_uid("acme1", Some("")) && !doors.account_uid("acme1", None));
        // Another master key, other AccountUids.
        assert_ne!(account_uids(&config.accounts[0], &super::tests::key())[0], first[0]);
        let none = Doors::new(&super::tests::config().accounts, Vec::new(), &key);
        assert!(!none.account_uid("acme1", Some("nobody")) && !none.account_uid("nobody", Some("nobody")));
    }
}
