//! What a connector says of itself, as data.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::tz::Offset;

use crate::Rendering;

/// Who a request is made as. Applied by the driver; a connector never sees a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthScheme {
    /// HTTP Basic; the user is the value of the secret setting `user`, the password a constant.
    Basic { user: &'static str, password: &'static str },
    /// A header `name: prefix secret`.
    Header { name: &'static str, prefix: &'static str, secret: &'static str },
    /// Headers by name, each with its secret setting. Sent only where all of them are set: a connector may do without.
    Headers(&'static [(&'static str, &'static str)]),
    /// `authorization: prefix token`, with an access token that the core gets, keeps, renews and never shows.
    OAuth(&'static OAuth),
}

/// How access tokens are come by (RFC 6749). The settings `client_id`, `client_secret` (secret) and `refresh_token`
/// (secret, optional: `patchbay connect` can get one) belong to it, and to every manifest with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OAuth {
    /// `Bearer `, `Zoho-oauthtoken `.
    pub prefix: &'static str,
    pub authority: Authority,
    /// Where a person consents, under the authority: `/oauth/v2/auth`. With a scheme, an address of its own.
    pub authorize: &'static str,
    /// Where tokens are given, under the authority: `/oauth/v2/token`.
    pub token: &'static str,
    pub scopes: &'static [&'static str],
    /// Hosts of the CRM's other token servers, which its callback may name (`accounts-server`): the client's secret is
    /// told to none but these.
    pub siblings: &'static [&'static str],
    /// Between scopes: `" "` by the RFC, `","` for some.
    pub scope_separator: &'static str,
    /// What else the consent URL carries: `access_type=offline`.
    pub consent: &'static [(&'static str, &'static str)],
    /// PKCE with S256 (RFC 7636).
    pub pkce: bool,
    /// How long an access token is taken to live where the answer does not say it (`expires_in`).
    pub lifetime: Duration,
    /// At most so many access tokens in this time, by the CRM's own rules; the core stays below.
    pub at_most: Option<(u32, Duration)>,
    /// The key of the token answer that holds the CRM's address: `instance_url`, `api_domain`.
    pub origin_key: Option<&'static str>,
    /// A secret setting with an access token that does not expire: where it is set, nothing of the rest is needed.
    pub fixed: Option<&'static str>,
    /// Tokens for a signed assertion (RFC 7523) where these settings are set.
    pub assertion: Option<Assertion>,
}

/// The JWT bearer grant: RS256 over issuer (`client_id`), subject and audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// The setting with the subject: the user the integration works as.
    pub subject: &'static str,
    /// The setting with the path of the private key, PEM.
    pub key_file: &'static str,
}

/// Where tokens come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The value of a setting, else `default`.
    Setting { setting: &'static str, default: &'static str },
    /// The same address as the API.
    Origin,
}

/// Where the CRM of one customer lives. The setting `base_url`, which every integration has, replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `https://{value of setting}`; the value may be typed with a scheme or a path, and without the first of `suffixes`.
    Domain { setting: &'static str, suffixes: &'static [&'static str] },
    /// The same for everybody.
    Fixed(&'static str),
    /// The token answer says it ([`OAuth::origin_key`]).
    Token,
    /// The token server's address with the first label of its host exchanged: `accounts.zoho.in` → `desk.zoho.in`.
    BesideAuthority { from: &'static str, to: &'static str },
    /// The value of a setting; where it is not set there is none, and only capability URLs are used.
    Setting { setting: &'static str },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingKind {
    Text,
    Bool,
    /// A list of strings.
    Texts,
    /// A whole URL. Where it is secret, it is a capability: `base_url`, where set, replaces its scheme, host and port.
    Url,
    /// The path of a file that the core reads.
    File,
}

/// One setting of a connector: a key of `[[account.integration]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    pub key: &'static str,
    pub kind: SettingKind,
    pub required: bool,
    /// Kept from the connector, from every log and from every answer of the API.
    pub secret: bool,
    /// One line: what it is and where to find it.
    pub help: &'static str,
}

impl Setting {
    /// One that may be left out, and seen.
    pub const fn open(key: &'static str, kind: SettingKind, help: &'static str) -> Self {
        Self { key, kind, required: false, secret: false, help }
    }

    /// One that may be left out, and must not be seen.
    pub const fn secret(key: &'static str, kind: SettingKind, help: &'static str) -> Self {
        Self { key, kind, required: false, secret: true, help }
    }

    /// That it must be there.
    #[must_use]
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

/// The settings a connector may see: none of the secret ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub text: BTreeMap<String, String>,
    pub flags: BTreeMap<String, bool>,
    pub lists: BTreeMap<String, Vec<String>>,
    /// Keys of the secret settings that are set.
    pub secrets: BTreeSet<String>,
    /// The account's SID.
    pub account: String,
    /// Of the clock the account works by.
    pub utc_offset: Offset,
    /// The integration's `defaults`: extra CRM fields for created records.
    pub defaults: serde_json::Map<String, serde_json::Value>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            text: BTreeMap::new(),
            flags: BTreeMap::new(),
            lists: BTreeMap::new(),
            secrets: BTreeSet::new(),
            account: String::new(),
            utc_offset: Offset::UTC,
            defaults: serde_json::Map::new(),
        }
    }
}

impl Settings {
    /// A flag, false where it is not set.
    pub fn flag(&self, key: &str) -> bool {
        self.flags.get(key).copied().unwrap_or_default()
    }

    /// A text, where it is set and not empty.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.text.get(key).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    /// A list, empty where it is not set.
    pub fn list(&self, key: &str) -> &[String] {
        self.lists.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether a setting, secret or not, is set.
    pub fn has(&self, key: &str) -> bool {
        self.secrets.contains(key) || self.text(key).is_some() || self.lists.contains_key(key)
    }
}

/// A budget that the far side enforces over all requests, or over those with the given labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub name: &'static str,
    pub per: Duration,
    /// `None`: there is one, it differs by plan and no header tells it. It is found by its 429s, which then stop only the
    /// requests it covers.
    pub limit: Option<u32>,
    /// Empty: every request.
    pub labels: &'static [&'static str],
}

/// What a reply's headers say of the budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowance {
    /// Requests per period.
    pub limit: Option<f64>,
    /// Requests left in this period.
    pub remaining: Option<f64>,
}

impl Allowance {
    /// `None` where a reply tells neither.
    pub fn told(limit: Option<f64>, remaining: Option<f64>) -> Option<Self> {
        (limit.is_some() || remaining.is_some()).then_some(Self { limit, remaining })
    }

    /// Reads an amount; decimals are one, what is below nothing is none.
    pub fn amount(text: &str) -> Option<f64> {
        text.trim().parse().ok().filter(|amount: &f64| amount.is_finite() && *amount >= 0.0)
    }
}

/// How the CRM reads the texts that are written into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// Bodies are HTML: what callers control is escaped.
    Html,
    /// Bodies are shown as they are.
    Plain,
}

/// Limits in Unicode scalar values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextRules {
    pub format: TextFormat,
    pub subject_chars: usize,
    pub body_chars: usize,
}

/// Whether a call's record is assigned to the agent who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assigns {
    Always,
    /// Where this flag is set.
    Flag(&'static str),
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// As it stands in the configuration: `freshdesk`.
    pub id: &'static str,
    /// As people call it: `Freshdesk`.
    pub name: &'static str,
    pub origin: Origin,
    pub auth: AuthScheme,
    pub settings: &'static [Setting],
    pub quotas: &'static [Quota],
    pub text: TextRules,
    /// Under which renderings a contact's number may be stored, likeliest first.
    pub phone: &'static [Rendering],
    /// How many of them one [`crate::Contacts::find`] takes.
    pub writings_per_find: usize,
    /// What a call becomes: `ticket`, `task`, `call`.
    pub record: &'static str,
    pub assigns: Assigns,
    /// The record has fields of its own for times, durations, agents tried, outcome and recording: a change of those
    /// alone is written too. Where it has none, they are empty in a [`crate::CallActivity`].
    pub record_facts: bool,
}
