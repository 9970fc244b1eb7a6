//! What is known of a call, as a set of facts that only grows: nodes that could not hear each other merge theirs by
//! putting them together, in any order. What it comes to is folded from them.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::call::Stage;

/// One thing that became known of a call.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// The caller pressed keys, in the IVR step or Gather of this tag.
    Pressed { tag: String, digits: String },
    /// An agent is being rung.
    Agent { agent: String, stage: Stage },
    /// This number was named to dial-whom.
    Offered { number: String },
    /// A bot says who is to go on with the call.
    HandOver { target: String },
    /// That hand-over went to a dial-whom.
    Taken { hand_over: String },
}

/// It holds keys pressed and numbers.
impl fmt::Debug for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pressed { tag, .. } => write!(f, "Pressed({tag})"),
            Self::Agent { stage, .. } => write!(f, "Agent({stage:?})"),
            Self::Offered { .. } => f.write_str("Offered"),
            Self::HandOver { .. } => f.write_str("HandOver"),
            Self::Taken { hand_over } => write!(f, "Taken({hand_over})"),
        }
    }
}

/// A fact and when it became known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Noted {
    pub at: Timestamp,
    pub fact: Fact,
}

impl Noted {
    /// Made of what it says: noted twice, or on two nodes, it is one. A hand-over is taken once, whoever takes it when.
    pub(super) fn id(&self) -> String {
        if let Fact::Taken { hand_over } = &self.fact {
            return taken(hand_over);
        }
        // A value of our own always has a JSON form.
        let text = serde_json::to_vec(self).unwrap_or_default();
        Sha256::digest(&text)[..12].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The id of "this hand-over was taken".
pub(super) fn taken(hand_over: &str) -> String {
    format!("taken-{hand_over}")
}

/// By id.
pub(super) type Facts = BTreeMap<String, Noted>;

/// What is known of a call.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CallContext {
    /// By tag, in the order of pressing; of one tag the last.
    pub digits: Vec<(String, String)>,
    /// In the order in which they were first rung.
    pub agents: Vec<(String, Stage)>,
    /// In the order of naming, each once.
    pub offered: Vec<String>,
    /// The last hand-over that nobody has taken.
    pub(super) hand_over: Option<(String, String)>,
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages: Vec<Stage> = self.agents.iter().map(|(_, stage)| *stage).collect();
        f.debug_struct("CallContext")
            .field("digits", &self.digits.len())
            .field("agents", &stages)
            .field("offered", &self.offered.len())
            .field("hand_over", &self.hand_over.is_some())
            .finish()
    }
}

impl CallContext {
    pub(super) fn fold(facts: &Facts) -> Self {
        let mut in_order: Vec<(&String, &Noted)> = facts.iter().collect();
        in_order.sort_by_key(|(_, noted)| *noted);
        let mut known = Self::default();
        for (id, noted) in in_order {
            match &noted.fact {
                Fact::Pressed { tag, digits } => {
                    known.digits.retain(|(other, _)| other != tag);
                    known.digits.push((tag.clone(), digits.clone()));
                }
                Fact::Agent { agent, stage } => match known.agents.iter_mut().find(|(other, _)| other == agent) {
                    Some((_, last)) => *last = *stage,
                    None => known.agents.push((agent.clone(), *stage)),
                },
                Fact::Offered { number } if known.offered.contains(number) => {}
                Fact::Offered { number } => known.offered.push(number.clone()),
                // A later word replaces an earlier one, also one that was taken.
                Fact::HandOver { target } => {
                    known.hand_over = (!facts.contains_key(&taken(id))).then(|| (id.clone(), target.clone()));
                }
                Fact::Taken { .. } => {}
            }
        }
        known
    }

    /// The hand-over that is open: its id and target.
    pub(super) fn open_hand_over(&self) -> Option<(&str, &str)> {
        self.hand_over.as_ref().map(|(id, target)| (id.as_str(), target.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(second: i64, fact: Fact) -> (String, Noted) {
        let at = Timestamp::from_second(1_700_000_000 + second).expect("a time");
        let noted = Noted { at, fact };
        (noted.id(), noted)
    }

    fn agent(second: i64, agent: &str, stage: Stage) -> (String, Noted) {
        noted(second, Fact::Agent { agent: agent.to_owned(), stage })
    }

    #[test]
    fn the_order_of_hearing_is_nothing() {
        let pressed = |second, tag: &str, digits: &str| {
            noted(second, Fact::Pressed { tag: tag.to_owned(), digits: digits.to_owned() })
        };
        let facts = vec![
            pressed(1, "language", "2"),
            pressed(9, "language", "1"),
            pressed(5, "pin", "4711"),
            agent(10, "a", Stage::Dialing),
            agent(11, "b", Stage::Ringing),
            agent(12, "a", Stage::Ended),
            // Rung once more after he was left.
            agent(13, "b", Stage::Ended),
            agent(14, "b", Stage::Dialing),
        ];
        let folded = CallContext::fold(&facts.iter().cloned().collect());
        assert_eq!(folded, CallContext::fold(&facts.into_iter().rev().collect()));
        let texts = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
        };
        assert_eq!(folded.digits, texts(&[("pin", "4711"), ("language", "1")]));
        assert_eq!(folded.agents, [("a".to_owned(), Stage::Ended), ("b".to_owned(), Stage::Dialing)]);
    }

    #[test]
    fn of_one_moment_the_further_stage_counts() {
        let facts = [agent(1, "a", Stage::Answered), agent(1, "a", Stage::Ringing)].into();
        assert_eq!(CallContext::fold(&facts).agents, [("a".to_owned(), Stage::Answered)]);
    }

    #[test]
    fn the_last_hand_over_counts_until_it_is_taken() {
        let to = |second, target: &str| noted(second, Fact::HandOver { target: target.to_owned() });
        let (first, second) = (to(1, "sales"), to(2, "support"));
        let taken = |of: &(String, Noted)| noted(3, Fact::Taken { hand_over: of.0.clone() });
        let open = |facts: Vec<(String, Noted)>| {
            CallContext::fold(&facts.into_iter().collect()).open_hand_over().map(|(_, target)| target.to_owned())
        };
        assert_eq!(open(vec![second.clone(), first.clone()]).as_deref(), Some("support"));
        assert_eq!(open(vec![first.clone(), second.clone(), taken(&first)]).as_deref(), Some("support"));
        assert_eq!(open(vec![first.clone(), second.clone(), taken(&second)]), None);
    }

    #[test]
    fn debug_shows_neither_keys_nor_numbers() {
        let facts: Facts = [
            noted(1, Fact::Pressed { tag: "pin".to_owned(), digits: "47114711".to_owned() }),
            agent(2, "+919711581199", Stage::Ringing),
            noted(3, Fact::Offered { number: "+919711581199".to_owned() }),
            noted(4, Fact::HandOver { target: "+919711581199".to_owned() }),
        ]
        .into();
        let shown = format!("{facts:?} {:?}", CallContext::fold(&facts));
        assert!(!shown.contains("47114711") && !shown.contains("9711581199"), "{shown}");
        assert!(shown.contains("Ringing"), "{shown}");
    }
}
