//! What a connector says of itself, as data.

use std::{collections::BTreeMap, time::Duration};

use crate::Rendering;

/// Who a request is made as. Applied by the driver; an adapter never sees a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthScheme {
    /// HTTP Basic; the user is the value of the secret setting `user`, the password a constant.
    Basic { user: &'static str, password: &'static str },
    /// A header `name: prefix secret`.
    Header { name: &'static str, prefix: &'static str, secret: &'static str },
}

/// Where the CRM of one customer lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `https://{value of setting}`; the value may be typed with a scheme or a path, and without `suffix`.
    Domain { setting: &'static str, suffix: &'static str },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingKind {
    Text,
    Bool,
}

/// One setting of a connector: a key of `[[account.integration]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    pub key: &'static str,
    pub kind: SettingKind,
    pub required: bool,
    /// Kept from the adapter, from every log and from every answer of the API.
    pub secret: bool,
    /// One line: what it is and where to find it.
    pub help: &'static str,
}

/// The settings an adapter may see: none of the secret ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    pub text: BTreeMap<String, String>,
    pub flags: BTreeMap<String, bool>,
    /// The integration's `defaults`: extra CRM fields for created records.
    pub defaults: serde_json::Map<String, serde_json::Value>,
}

impl Settings {
    /// A flag, false where it is not set.
    pub fn flag(&self, key: &str) -> bool {
        self.flags.get(key).copied().unwrap_or_default()
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
    /// What a call becomes: `ticket`, `task`, `call`.
    pub record: &'static str,
    /// The record has fields of its own for end, duration and outcome: a change of those alone is written too. Where it
    /// has none, `ended_at` and `talk_seconds` of a [`crate::CallActivity`] are `None`.
    pub record_facts: bool,
}
