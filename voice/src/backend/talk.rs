//! What was said, as text: the form in which every dialect tells it, whatever its service sends.

use std::fmt;

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    Caller,
    Bot,
}

/// One thing that somebody said, whole.
#[derive(Clone, PartialEq, Eq)]
pub struct Utterance {
    pub speaker: Speaker,
    pub text: String,
    /// By which the service knows it: a later one with the same id takes its place (the caller interrupted the bot, and
    /// heard less).
    pub id: Option<String>,
    /// It was cut off: not all of the text was heard.
    pub cut: bool,
}

/// What people say is in no log.
impl fmt::Debug for Utterance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Utterance({:?}, {} characters)", self.speaker, self.text.chars().count())
    }
}
