//! What is known of a call, as a set of facts that only grows: nodes that could not hear each other merge theirs by
//! putting them together, in any order. What it comes to is folded from them.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::call::{
    Stage, phone,
    route::{Attempt, Decision, Given},
};

/// What an applet asks when it asks whom to dial: what tells one question of a call from the next.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Question {
    pub applet: String,
    /// Answers that were given to this call before.
    pub place: usize,
    pub after: Attempt,
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Question({}, {}, {:?})", self.applet, self.place, self.after)
    }
}

/// One thing that became known of a call.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// The caller pressed keys, in the IVR step or Gather of this tag.
    Pressed { tag: String, digits: String },
    /// An agent is being rung.
    Agent { agent: String, stage: Stage },
    /// The answer to a question of whom to dial.
    Named { question: Question, decision: Decision },
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
            Self::Named { question, .. } => write!(f, "Named({question:?})"),
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
    /// Made of what it says: noted twice, or on two nodes, it is one. A hand-over is taken once, whoever takes it when,
    /// and a question has one answer, whatever others would have said.
    pub(super) fn id(&self) -> String {
        match &self.fact {
            Fact::Taken { hand_over } => taken(hand_over),
            Fact::Named { question, .. } => format!("named-{}", digest(question)),
            _ => digest(self),
        }
    }

    /// Of an answer.
    pub(super) fn decision(self) -> Option<Decision> {
        match self.fact {
            Fact::Named { decision, .. } => Some(decision),
            _ => None,
        }
    }
}

fn digest(what: &impl Serialize) -> String {
    // A value of our own always has a JSON form.
    let text = serde_json::to_vec(what).unwrap_or_default();
    Sha256::digest(&text)[..12].iter().map(|byte| format!("{byte:02x}")).collect()
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
    /// The answers of whom to dial, in order.
    pub given: Vec<Given>,
    /// The last hand-over that nobody has taken.
    pub(super) hand_over: Option<(String, String)>,
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages: Vec<Stage> = self.agents.iter().map(|(_, stage)| *stage).collect();
        f.debug_struct("CallContext")
            .field("digits", &self.digits.len())
            .field("agents", &stages)
            .field("given", &self.given.len())
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
                Fact::Agent { agent, stage } => {
                    match known.agents.iter_mut().find(|(other, _)| other == agent) {
                        Some((_, last)) => *last = *stage,
                        None => known.agents.push((agent.clone(), *stage)),
                    }
                    let named = |given: &&mut Given| given.decision.numbers.iter().any(|one| phone::same(one, agent));
                    if let Some(given) = known.given.last_mut().filter(named) {
                        given.tried |= *stage == Stage::Ended;
                    }
                }
                Fact::Named { question, decision } => known.given.push(Given {
                    applet: question.applet.clone(),
                    at: noted.at,
                    after: question.after.clone(),
                    decision: decision.clone(),
                    tried: false,
                }),
                // A later word replaces an earlier one, also one that was taken.
                Fact::HandOver { target } => {
                    known.hand_over = (!facts.contains_key(&taken(id))).then(|| (id.clone(), target.clone()));
                }
                Fact::Taken { .. } => {}
            }
        }
        known
    }

    /// Whom a bot named, if nobody has taken it yet.
    pub fn hand_over(&self) -> Option<&str> {
        self.open_hand_over().map(|(_, target)| target)
    }

    /// The numbers that were named, in order, each once.
    pub fn offered(&self) -> Vec<String> {
        let mut offered: Vec<String> = Vec::new();
        for number in self.given.iter().flat_map(|given| &given.decision.numbers) {
            if !offered.contains(number) {
                offered.push(number.clone());
            }
        }
        offered
    }

    /// The hand-over that is open: its id and target.
    pub(super) fn open_hand_over(&self) -> Option<(&str, &str)> {
        self.hand_over.as_ref().map(|(id, target)| (id.as_str(), target.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::route::Source;

    fn noted(second: i64, fact: Fact) -> (String, Noted) {
        let at = Timestamp::from_second(1_700_000_000 + second).expect("a time");
        let noted = Noted { at, fact };
        (noted.id(), noted)
    }

    fn agent(second: i64, agent: &str, stage: Stage) -> (String, Noted) {
        noted(second, Fact::Agent { agent: agent.to_owned(), stage })
    }

    fn named(numbers: &[&str]) -> Fact {
        Fact::Named {
            question: Question {
                applet: "dialwhom".to_owned(),
                place: 0,
                after: Attempt { dialled: Some("+919711581199".to_owned()), failed: true },
            },
            decision: Decision {
                numbers: numbers.iter().map(|&number| number.to_owned()).collect(),
                together: false,
                more: true,
                rule: "owner".to_owned(),
                source: Source::Cache,
                integration: None,
                outside_hours: false,
            },
        }
    }

    #[test]
    fn an_answer_is_tried_once_somebody_of_it_is_rung_no_more() {
        let fold = |facts: Vec<(String, Noted)>| {
            let known = CallContext::fold(&facts.into_iter().collect());
            (known.offered(), known.given.iter().map(|given| given.tried).collect::<Vec<_>>())
        };
        let answer = noted(5, named(&["+919711581199", "sip:ravi"]));
        let numbers = vec!["+919711581199".to_owned(), "sip:ravi".to_owned()];
        for (event, tried) in [
            (agent(6, "09711581199", Stage::Ended), true),
            (agent(6, "09711581199", Stage::Ringing), false),
            (agent(6, "09945476362", Stage::Ended), false),
            // The end of an attempt before it.
            (agent(4, "09711581199", Stage::Ended), false),
        ] {
            assert_eq!(fold(vec![event.clone(), answer.clone()]), (numbers.clone(), vec![tried]), "{event:?}");
        }
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
            noted(3, named(&["+919711581199"])),
            noted(4, Fact::HandOver { target: "+919711581199".to_owned() }),
        ]
        .into();
        let shown = format!("{facts:?} {:?}", CallContext::fold(&facts));
        assert!(!shown.contains("47114711") && !shown.contains("9711581199"), "{shown}");
        assert!(shown.contains("Ringing"), "{shown}");
    }
}
