//! One DID: an ExoPhone, what answers it, and the flow that its test call is put into.

use std::fmt;

use patchbay_kit::mask;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::bot::{self, Bot};
use crate::{
    config::{Did, bot as rules},
    directory::{
        agent::{Problem, named},
        kept::{Known, Named, Rows},
    },
    key::MasterKey,
    store::{Document, DocumentKind, DocumentRef, StoreError, Writing},
};

impl Known for Did {
    const KIND: DocumentKind = DocumentKind::Did;

    fn written(&self, _: &DocumentRef, _: &MasterKey) -> Result<Writing, StoreError> {
        let body = serde_json::to_value(self)
            .map_err(|error| StoreError::Unwritable(format!("a DID cannot be put in words: {:?}", error.classify())))?;
        Ok(Writing { name: Some(self.number.clone()), body, ..Writing::default() })
    }

    fn read(document: &Document, _: &MasterKey) -> Result<Self, StoreError> {
        serde_json::from_value(document.says.body.clone())
            .map_err(|_| StoreError::Unreadable("stored DID is not of a known form".to_owned()))
    }

    fn difference(was: Option<&Self>, now: Option<&Self>) -> Value {
        let of = |did: Option<&Self>| {
            [
                ("number", json!(did.map(|did| mask::number(&did.number)))),
                ("label", json!(did.and_then(|did| did.label.as_ref()))),
                ("bot_id", json!(did.and_then(|did| did.bot_id.as_ref()))),
                ("flow_url", json!(did.and_then(|did| did.flow_url.as_ref()))),
            ]
        };
        let told = of(was).into_iter().zip(of(now)).filter(|((_, was), (_, now))| was != now);
        Value::Object(told.map(|(_, (field, now))| (field.to_owned(), now)).collect::<Map<_, _>>())
    }
}

impl Named for Did {
    fn name(&self) -> Option<&str> {
        Some(&self.number)
    }

    fn taken(&self, by_file: bool) -> Problem {
        let of_file = if by_file { ", in the configuration file" } else { "" };
        Problem::new("number", format!("{} is there already{of_file}", mask::number(&self.number)))
    }
}

/// What is to change of a DID: what is not named stays, `null` and an empty text take it away.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DidPatch {
    /// Of a new one.
    pub number: Option<String>,
    #[serde(deserialize_with = "named")]
    pub label: Option<Option<String>>,
    #[serde(deserialize_with = "named")]
    pub bot_id: Option<Option<String>>,
    #[serde(deserialize_with = "named")]
    pub flow_url: Option<Option<String>>,
    /// The version that was read: the change is refused if there is a newer one.
    pub version: Option<i64>,
}

impl fmt::Debug for DidPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DidPatch").field("version", &self.version).finish_non_exhaustive()
    }
}

impl DidPatch {
    /// What a whole DID is that says no more than this: what is not named is taken away.
    #[must_use]
    pub fn whole(self) -> Self {
        Self {
            label: Some(self.label.flatten()),
            bot_id: Some(self.bot_id.flatten()),
            flow_url: Some(self.flow_url.flatten()),
            ..self
        }
    }

    /// The DID as it is then.
    ///
    /// # Errors
    /// Everything that is wrong with it, not only the first.
    pub(super) fn onto(&self, was: Option<&Did>, country: &str, bots: &Rows<Bot>) -> Result<Did, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut now = was.cloned().unwrap_or(Did { number: String::new(), label: None, bot_id: None, flow_url: None });
        let number = self.number.as_deref().map(|text| rules::did_number(text, country));
        match (was, number) {
            (None, None) => problems.push(Problem::new("number", "is missing; give the ExoPhone as \"+918047494574\"")),
            (_, Some(Err(message))) => problems.push(Problem::new("number", message)),
            (None, Some(Ok(number))) => now.number = number,
            (Some(was), Some(Ok(number))) if number != was.number => {
                problems.push(Problem::new("number", "cannot be changed: remove this DID and make another"));
            }
            (Some(_), _) => {}
        }
        let mut take = |field: &str, given: &Option<Option<String>>, read: &dyn Fn(&str) -> Result<String, String>| {
            let given = given.as_ref()?;
            match given.as_deref().filter(|text| !text.trim().is_empty()).map(read).transpose() {
                Ok(value) => Some(value),
                Err(message) => {
                    problems.push(Problem::new(field, message));
                    None
                }
            }
        };
        // One that was removed from the file stays attached until somebody changes that.
        let there = |text: &str| match bots.get(text) {
            Some(_) => Ok(text.to_owned()),
            None => {
                let known: Vec<&str> = bots.all().map(|bot| bot.id.as_str()).collect();
                Err(format!("there is no such bot; there are: {}", known.join(", ")))
            }
        };
        if let Some(value) = take("label", &self.label, &bot::label) {
            now.label = value;
        }
        if let Some(value) = take("bot_id", &self.bot_id, &there) {
            now.bot_id = value;
        }
        if let Some(value) = take("flow_url", &self.flow_url, &rules::flow_url) {
            now.flow_url = value;
        }
        if problems.is_empty() { Ok(now) } else { Err(problems) }
    }
}
