//! The texts of records and notes: Handlebars templates, escaped and cut for where they land.

use std::collections::BTreeMap;

use patchbay_kit::{Outcome, TextRules};

use super::state::CallState;

/// The compiled templates of one integration: the defaults with its overrides.
#[derive(Debug)]
pub struct Texts {}

/// What is wrong with an override.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    #[error("there is no template {name:?}; there are: {known}")]
    Unknown { name: String, known: String },
    #[error("{name}: {problem}")]
    Broken { name: String, problem: String },
}

impl Texts {
    /// Names of all templates, `missed.subject` and so on: the keys an integration may override.
    pub fn names() -> Vec<&'static str> {
        unimplemented!()
    }

    /// Compiles the defaults with `overrides`, and renders each once with a sample, so that a mistake is found at start.
    ///
    /// # Errors
    /// All that is wrong, not only the first.
    pub fn new(rules: TextRules, overrides: &BTreeMap<String, String>) -> Result<Self, Vec<TextError>> {
        let _ = (rules, overrides);
        unimplemented!()
    }

    /// The record's subject: one line of plain text.
    pub fn subject(&self, state: &CallState, outcome: Outcome) -> String {
        let _ = (state, outcome);
        unimplemented!()
    }

    /// The record's text; contains the CallSid.
    pub fn body(&self, state: &CallState, outcome: Outcome) -> String {
        let _ = (state, outcome);
        unimplemented!()
    }

    /// The private note with recording and duration; contains the CallSid.
    pub fn note(&self, state: &CallState, outcome: Outcome, recording_link: Option<&str>) -> String {
        let _ = (state, outcome, recording_link);
        unimplemented!()
    }
}
