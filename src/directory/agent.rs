//! One agent: what is known of him, and how it is checked before it is believed.

use std::{collections::BTreeMap, fmt};

use patchbay_kit::mask;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use super::{
    kept::{Entry, Known},
    roster,
};
use crate::{
    call::phone,
    config::Account,
    key::MasterKey,
    store::{Document, DocumentKind, DocumentRef, StoreError, Writing},
};

/// CRMs cut names and ids at 255.
const TEXT_CHARS: usize = 255;
/// Of an e-mail address (RFC 5321).
const EMAIL_CHARS: usize = 254;

/// What is known of an agent, checked.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Profile {
    pub name: Option<String>,
    /// E.164, or `sip:…`. Without one he is known to a CRM and nobody can call him yet.
    pub number: Option<String>,
    pub email: Option<String>,
    /// The ExoPhone that those he calls see.
    pub caller_id: Option<String>,
    pub click_to_call: bool,
    /// Integration name → CRM user id.
    pub crm_user: BTreeMap<String, String>,
    /// His id in Exotel, under which his devices are.
    pub exotel_user: Option<String>,
}

/// Numbers and e-mails stand in it.
impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Profile({})", self.number.as_deref().map(mask::number).unwrap_or_default())
    }
}

impl Profile {
    /// What people call him by.
    pub fn label(&self) -> &str {
        [&self.name, &self.email, &self.number].into_iter().find_map(|text| text.as_deref()).unwrap_or_default()
    }
}

/// An agent of an account.
pub type Agent = Entry<Profile>;

impl Known for Profile {
    const KIND: DocumentKind = DocumentKind::Agent;

    fn written(&self, _at: &DocumentRef, _key: &MasterKey) -> Result<Writing, StoreError> {
        let unwritable = |error: serde_json::Error| {
            StoreError::Unwritable(format!("an agent cannot be put in words: {:?}", error.classify()))
        };
        let body = serde_json::to_value(self).map_err(unwritable)?;
        Ok(Writing { name: self.number.as_deref().map(roster::key), body, ..Writing::default() })
    }

    fn read(document: &Document, _key: &MasterKey) -> Result<Self, StoreError> {
        serde_json::from_value(document.says.body.clone())
            .map_err(|_| StoreError::Unreadable("stored agent is not of a known form".to_owned()))
    }

    fn difference(was: Option<&Self>, now: Option<&Self>) -> Value {
        difference(was, now)
    }
}

/// Against what an agent is checked.
#[derive(Clone, Debug)]
pub struct Place {
    pub sid: String,
    pub country: String,
    /// Names of the account's integrations.
    pub integrations: Vec<String>,
}

impl Place {
    pub fn of(account: &Account) -> Self {
        Self {
            sid: account.sid.clone(),
            country: account.country.clone(),
            integrations: account.integrations.iter().map(|one| one.name.clone()).collect(),
        }
    }
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub field: String,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl Problem {
    pub fn new(field: &str, message: impl Into<String>) -> Self {
        Self { field: field.to_owned(), message: message.into() }
    }
}

/// What is to change of an agent: what is not named stays, `null` takes it away.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Patch {
    #[serde(deserialize_with = "named")]
    pub name: Option<Option<String>>,
    #[serde(deserialize_with = "named")]
    pub number: Option<Option<String>>,
    #[serde(deserialize_with = "named")]
    pub email: Option<Option<String>>,
    #[serde(deserialize_with = "named")]
    pub caller_id: Option<Option<String>>,
    pub click_to_call: Option<bool>,
    pub crm_user: BTreeMap<String, Option<CrmUser>>,
    #[serde(deserialize_with = "named")]
    pub exotel_user: Option<Option<String>>,
    /// The version that was read: the change is refused if there is a newer one.
    pub version: Option<i64>,
}

impl fmt::Debug for Patch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patch").field("version", &self.version).finish_non_exhaustive()
    }
}

/// A CRM user's id: some CRMs count, some write.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CrmUser {
    Text(String),
    Number(u64),
}

impl CrmUser {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.trim().to_owned(),
            Self::Number(number) => number.to_string(),
        }
    }
}

pub(super) fn named<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl Patch {
    /// The agent as he is then.
    ///
    /// # Errors
    /// Everything that is wrong with it, not only the first.
    pub fn onto(&self, was: &Profile, place: &Place) -> Result<Profile, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut now = was.clone();
        let mut take = |field: &str, given: &Option<Option<String>>, read: &dyn Fn(&str) -> Result<String, String>| {
            let given = given.as_ref()?;
            let text = given.as_deref().map(str::trim).filter(|text| !text.is_empty());
            match text.map(read).transpose() {
                Ok(value) => Some(value),
                Err(message) => {
                    problems.push(Problem::new(field, message));
                    None
                }
            }
        };
        let short = |text: &str| match text.chars().count() <= TEXT_CHARS && !text.chars().any(char::is_control) {
            true => Ok(text.to_owned()),
            false => Err(format!("at most {TEXT_CHARS} characters, on one line")),
        };
        let dialled = |text: &str| number(text, &place.country);
        let shown = |text: &str| match phone::parse(text, &place.country) {
            Some(number) => Ok(number.e164),
            None => Err("is not a phone number; write an ExoPhone as \"+918047494574\"".to_owned()),
        };
        let address = |text: &str| email(text);
        if let Some(value) = take("name", &self.name, &short) {
            now.name = value;
        }
        if let Some(value) = take("number", &self.number, &dialled) {
            now.number = value;
        }
        if let Some(value) = take("email", &self.email, &address) {
            now.email = value;
        }
        if let Some(value) = take("caller_id", &self.caller_id, &shown) {
            now.caller_id = value;
        }
        if let Some(value) = take("exotel_user", &self.exotel_user, &short) {
            now.exotel_user = value;
        }
        for (integration, user) in &self.crm_user {
            let field = format!("crm_user.{integration}");
            let user = user.as_ref().map(CrmUser::text).filter(|id| !id.is_empty());
            match user {
                None => drop(now.crm_user.remove(integration)),
                Some(_) if !place.integrations.contains(integration) => {
                    let there = place.integrations.join(", ");
                    problems.push(Problem::new(&field, format!("there is no such integration; there are: {there}")));
                }
                Some(id) => match short(&id) {
                    Ok(id) => drop(now.crm_user.insert(integration.clone(), id)),
                    Err(message) => problems.push(Problem::new(&field, message)),
                },
            }
        }
        now.click_to_call = self.click_to_call.unwrap_or(now.click_to_call);
        if now.click_to_call && now.number.is_none() && problems.is_empty() {
            problems.push(Problem::new("click_to_call", "wants a number that the agent is called on"));
        }
        if now.number.is_none() && now.email.is_none() && now.crm_user.is_empty() && problems.is_empty() {
            problems
                .push(Problem::new("number", "give a number, an e-mail or a crm_user: nothing would find this agent"));
        }
        if problems.is_empty() { Ok(now) } else { Err(problems) }
    }
}

/// A number as it is kept: E.164, or a SIP address as it was written.
pub(super) fn number(text: &str, country: &str) -> Result<String, String> {
    let text = text.trim();
    if phone::is_sip(text) {
        let user = text.split_once(':').map(|(_, user)| user).unwrap_or_default();
        let usable =
            !user.is_empty() && text.chars().count() <= TEXT_CHARS && user.chars().all(|c| c.is_ascii_graphic());
        return match usable {
            true => Ok(text.to_owned()),
            false => Err("is not a SIP address; write \"sip:name\"".to_owned()),
        };
    }
    let parsed = phone::parse(text, country).map(|number| number.e164);
    parsed.ok_or_else(|| "is not a phone number; write it as \"+919711581199\", or \"sip:…\"".to_owned())
}

/// An e-mail address, as far as it can be told without sending to it.
pub fn email(text: &str) -> Result<String, String> {
    let text = text.trim();
    let parts = text.split_once('@');
    let plain = |part: &str| !part.is_empty() && !part.chars().any(|c| c.is_whitespace() || c.is_control() || c == '@');
    match parts {
        Some((who, at)) if plain(who) && plain(at) && text.len() <= EMAIL_CHARS => Ok(text.to_owned()),
        _ => Err("is not an e-mail address".to_owned()),
    }
}

/// The fields that changed, with what they say now; numbers masked.
pub(super) fn difference(was: Option<&Profile>, now: Option<&Profile>) -> Value {
    let fields = |profile: Option<&Profile>| {
        let none = Profile::default();
        let profile = profile.unwrap_or(&none);
        let masked = |number: &Option<String>| number.as_deref().map(mask::number);
        [
            ("name", json!(profile.name)),
            ("number", json!(masked(&profile.number))),
            ("email", json!(profile.email)),
            ("caller_id", json!(masked(&profile.caller_id))),
            ("click_to_call", json!(profile.click_to_call)),
            ("crm_user", json!(profile.crm_user)),
            ("exotel_user", json!(profile.exotel_user)),
        ]
    };
    // Two numbers may look the same once they are masked.
    let renumbered = was.and_then(|was| was.number.as_ref()) != now.and_then(|now| now.number.as_ref());
    let reshown = was.and_then(|was| was.caller_id.as_ref()) != now.and_then(|now| now.caller_id.as_ref());
    let changed = fields(was).into_iter().zip(fields(now)).filter(|((field, was), (_, now))| match *field {
        "number" => renumbered,
        "caller_id" => reshown,
        _ => was != now,
    });
    Value::Object(changed.map(|(_, (field, now))| (field.to_owned(), now)).collect::<Map<_, _>>())
}
