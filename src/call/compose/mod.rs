//! The texts of records and notes: Handlebars templates, escaped and cut for where they land.

mod check;
mod merge;
mod values;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt};

use handlebars::Handlebars;
use jiff::tz::Offset;
use serde_json::Value;

use patchbay_kit::{Direction, Outcome, TextFormat, TextRules, words};

use super::state::CallState;
use values::{Caps, Extras};

pub use merge::merge;
pub(super) use values::{UNKNOWN_CALLER, shown_number};

/// A template: its name, and the default in either format.
struct Builtin {
    name: &'static str,
    html: &'static str,
    plain: &'static str,
}

macro_rules! subject {
    ($name:literal) => {{
        let text = include_str!(concat!("../../../templates/call/", $name, ".hbs"));
        Builtin { name: $name, html: text, plain: text }
    }};
}

macro_rules! body {
    ($name:literal, $file:literal) => {
        Builtin {
            name: $name,
            html: include_str!(concat!("../../../templates/call/html/", $file, ".hbs")),
            plain: include_str!(concat!("../../../templates/call/plain/", $file, ".hbs")),
        }
    };
    ($name:literal, $file:literal, $more:literal) => {
        Builtin {
            name: $name,
            html: concat!(
                include_str!(concat!("../../../templates/call/html/", $file, ".hbs")),
                include_str!(concat!("../../../templates/call/html/", $more, ".hbs"))
            ),
            plain: concat!(
                include_str!(concat!("../../../templates/call/plain/", $file, ".hbs")),
                include_str!(concat!("../../../templates/call/plain/", $more, ".hbs"))
            ),
        }
    };
}

/// Wording after the screens of the Freshdesk plug-in (seed 003, "Screenshots of tickets with …").
const DEFAULTS: [Builtin; 18] = [
    subject!("answered.subject"),
    subject!("automated.subject"),
    subject!("missed.subject"),
    subject!("voicemail.subject"),
    subject!("digits.subject"),
    subject!("outgoing.subject"),
    subject!("outgoing_missed.subject"),
    subject!("outgoing_digits.subject"),
    body!("answered.body", "call", "talk"),
    body!("automated.body", "call", "talk"),
    body!("missed.body", "call", "talk"),
    body!("voicemail.body", "call", "talk"),
    body!("digits.body", "digits", "talk"),
    body!("outgoing.body", "call", "talk"),
    body!("outgoing_missed.body", "call", "talk"),
    body!("outgoing_digits.body", "digits", "talk"),
    body!("note.body", "note"),
    body!("voicemail_note.body", "voicemail_note"),
];

/// The compiled templates of one integration: the defaults with its overrides.
pub struct Texts {
    rules: TextRules,
    /// Of the times that are shown.
    offset: Offset,
    templates: Handlebars<'static>,
    /// What an override falls back to, should it fail on a call where its samples did not.
    defaults: Handlebars<'static>,
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Texts").field("rules", &self.rules).finish_non_exhaustive()
    }
}

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
        DEFAULTS.iter().map(|builtin| builtin.name).collect()
    }

    /// Compiles the defaults with `overrides`, and renders each once with a sample, so that a mistake is found at start.
    ///
    /// # Errors
    /// All that is wrong, not only the first.
    pub fn new(rules: TextRules, overrides: &BTreeMap<String, String>) -> Result<Self, Vec<TextError>> {
        let mut errors = Vec::new();
        let mut defaults = check::registry();
        for builtin in &DEFAULTS {
            let text = match rules.format {
                TextFormat::Html => builtin.html,
                TextFormat::Plain => builtin.plain,
            };
            check::register(&mut defaults, rules.format, builtin.name, text, &mut errors);
        }
        let mut templates = defaults.clone();
        for (name, text) in overrides {
            if DEFAULTS.iter().any(|builtin| builtin.name == name) {
                check::register(&mut templates, rules.format, name, text, &mut errors);
            } else {
                errors.push(TextError::Unknown { name: name.clone(), known: Self::names().join(", ") });
            }
        }
        if errors.is_empty() { Ok(Self { rules, offset: Offset::UTC, templates, defaults }) } else { Err(errors) }
    }

    /// Shows times as clocks at this offset do; without it, as UTC. The offset stands beside them either way.
    #[must_use]
    pub fn in_offset(mut self, offset: Offset) -> Self {
        self.offset = offset;
        self
    }

    /// The record's subject: one line of plain text.
    pub fn subject(&self, state: &CallState, outcome: Outcome) -> String {
        let name = format!("{}.subject", stem(state, outcome));
        let context = values::of(state, outcome, self.offset, &Extras::default(), Caps::WIDEST);
        values::cut(&values::one_line(&self.render(&name, &context)), self.rules.subject_chars)
    }

    /// The record's text; contains the CallSid.
    pub fn body(&self, state: &CallState, outcome: Outcome) -> String {
        self.fitting(&format!("{}.body", stem(state, outcome)), state, outcome, &Extras::default(), 0)
    }

    /// The record's text with the note's lines below, for CRMs without notes.
    pub fn body_with_note(&self, state: &CallState, outcome: Outcome, recording_link: Option<&str>) -> String {
        let extras = Extras { recording_link: recording_link.and_then(values::link), on_its_own: false };
        let note = self.fitting(note_name(outcome), state, outcome, &extras, 0);
        let reserved = note.chars().count() + 1;
        let body =
            self.fitting(&format!("{}.body", stem(state, outcome)), state, outcome, &Extras::default(), reserved);
        if body.chars().count() + reserved > self.rules.body_chars {
            return body;
        }
        format!("{body}\n{note}")
    }

    /// The private note with recording and duration; contains the CallSid.
    pub fn note(&self, state: &CallState, outcome: Outcome, recording_link: Option<&str>) -> String {
        let extras = Extras { recording_link: recording_link.and_then(values::link), on_its_own: true };
        self.fitting(note_name(outcome), state, outcome, &extras, 0)
    }

    /// Renders with ever shorter values until the text fits: what is rendered is never cut, so that HTML stays
    /// well-formed. The CallSid, by which the record is found again, is never cut at all.
    fn fitting(&self, name: &str, state: &CallState, outcome: Outcome, extras: &Extras, reserved: usize) -> String {
        let limit = self.rules.body_chars.saturating_sub(reserved);
        for caps in Caps::NARROWING {
            let text = self.render(name, &values::of(state, outcome, self.offset, extras, caps));
            if text.chars().count() <= limit {
                return text;
            }
        }
        let sid = values::clean(&state.call_sid);
        match self.rules.format {
            TextFormat::Html => format!("CallSid : {}", words::escaped(&sid)),
            TextFormat::Plain => format!("CallSid : {sid}"),
        }
    }

    fn render(&self, name: &str, context: &Value) -> String {
        check::render(&self.templates, self.rules.format, name, context)
            .or_else(|_| check::render(&self.defaults, self.rules.format, name, context))
            .unwrap_or_default()
    }
}

/// Which of the texts a call gets.
fn stem(state: &CallState, outcome: Outcome) -> &'static str {
    match (state.direction, outcome) {
        (_, Outcome::Voicemail) => "voicemail",
        (Direction::Incoming, Outcome::Answered) if state.automatic => "automated",
        (Direction::Incoming, Outcome::Answered) => "answered",
        (Direction::Incoming, Outcome::Missed) => "missed",
        (Direction::Incoming, Outcome::FlowEnded) => "digits",
        (Direction::Outgoing, Outcome::Answered) => "outgoing",
        (Direction::Outgoing, Outcome::Missed) => "outgoing_missed",
        (Direction::Outgoing, Outcome::FlowEnded) => "outgoing_digits",
    }
}

fn note_name(outcome: Outcome) -> &'static str {
    if outcome == Outcome::Voicemail { "voicemail_note.body" } else { "note.body" }
}
