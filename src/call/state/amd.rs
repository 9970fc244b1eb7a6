//! Who took the telephone that was rung, as Exotel's answering machine detection heard it (exotel-api §3).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Trace;
use crate::call::event::Leg;

/// What is said of the leg that was listened to. Exotel is right in 60 to 75 of 100 calls, so nothing is decided by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Amd {
    pub answered_by: AnsweredBy,
    /// Exotel's reason, in its own grammar: `LONGGREETING-…`.
    pub cause: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnsweredBy {
    Human,
    /// Also its beep.
    Machine,
    Unsure,
}

impl AnsweredBy {
    /// In any case: `MACHINE`, `Machine`, `machine`. `None` for what says nothing (`NA`) and what nobody has written down.
    fn read(said: &str) -> Option<Self> {
        const WORDS: [(&str, AnsweredBy); 4] = [
            ("human", AnsweredBy::Human),
            ("machine", AnsweredBy::Machine),
            ("beep", AnsweredBy::Machine),
            ("notsure", AnsweredBy::Unsure),
        ];
        WORDS.iter().find(|(word, _)| said.trim().eq_ignore_ascii_case(word)).map(|(_, by)| *by)
    }

    /// As records show it.
    pub(crate) fn shown(self) -> &'static str {
        match self {
            Self::Human => "a human",
            Self::Machine => "an answering machine",
            Self::Unsure => "a human or a machine, not clear which",
        }
    }
}

/// Of several legs the last counts: the first is whoever had the call placed.
pub(super) fn of(trace: &Trace<'_>) -> Option<Amd> {
    trace.latest(|facts| facts.legs.iter().rev().find_map(told))
}

fn told(leg: &Leg) -> Option<Amd> {
    let answered_by = AnsweredBy::read(leg.answered_by.as_deref()?)?;
    let cause = leg.amd_cause.clone().filter(|cause| !cause.trim().is_empty());
    Some(Amd { answered_by, cause })
}
