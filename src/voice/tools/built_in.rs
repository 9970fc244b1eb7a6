//! The tools that every bot of a service has: how they are told to a model, and what it may say to them. Pure.

use std::fmt;

use patchbay_voice::backend::Tool;
use serde_json::{Map, Value, json};

use super::targets::Targets;
use crate::call::HandOver;

/// Of what stands in a record later.
const NAME_CHARS: usize = 64;
const VALUE_CHARS: usize = 1000;
const TEXT_CHARS: usize = 4000;
/// CRMs have a field for it.
const OUTCOME_CHARS: usize = 100;

/// What a model wants, checked.
#[derive(PartialEq, Eq)]
pub(super) enum Wish {
    HandOver(HandOver),
    End { outcome: Option<String> },
    Field { name: String, value: String },
    Note(String),
}

/// What a caller said to a bot is in no log.
impl fmt::Debug for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HandOver(_) => "HandOver",
            Self::End { .. } => "End",
            Self::Field { .. } => "Field",
            Self::Note(_) => "Note",
        })
    }
}

pub(super) fn declared(targets: &Targets) -> Vec<Tool> {
    let tool = |name: &str, description: &str, properties: Value, required: &[&str]| Tool {
        name: name.to_owned(),
        description: description.to_owned(),
        parameters: json!({ "type": "object", "properties": properties, "required": required }),
    };
    let text = |description: &str| json!({ "type": "string", "description": description });
    let mut transfer = json!({
        "reason": text("Why a human is needed, in a few words."),
        "summary": text("What the colleague who takes the call should know: who calls, what for, what was agreed."),
    });
    if let Some(target) = targets.schema() {
        transfer["target"] = target;
    }
    vec![
        tool(
            "transfer_to_human",
            "Puts the caller through to a human colleague and ends your part of the call. Use it when the caller asks for a \
             person, or when you cannot help. Tell the caller that you put him through before you use it; say nothing after.",
            transfer,
            &[],
        ),
        tool(
            "end_call",
            "Hangs up. Use it when the caller has what he wants or says goodbye, after you have said goodbye; say nothing \
             after.",
            json!({ "outcome": text("How the call ended, in one or two words, e.g. \"booked\" or \"not interested\".") }),
            &[],
        ),
        tool(
            "set_field",
            "Keeps something that you found out in the call's record, e.g. an order number or a callback time. Set again, the \
             newer value counts. The caller does not notice.",
            json!({ "name": text("What it is, e.g. \"order_number\"."), "value": text("Its value.") }),
            &["name", "value"],
        ),
        tool(
            "note",
            "Writes a note into the call's record for the colleagues who read it later. The caller does not notice.",
            json!({ "text": text("The note.") }),
            &["text"],
        ),
    ]
}

/// What a model said to a tool.
///
/// # Errors
/// For the model, in words.
pub(super) fn read(name: &str, arguments: Value, targets: &Targets) -> Result<Wish, String> {
    let mut said = match arguments {
        Value::Object(said) => Said(said),
        // Some services send nothing where there is nothing.
        Value::Null => Said(Map::new()),
        _ => return Err("the arguments must be an object".to_owned()),
    };
    let wish = match name {
        "transfer_to_human" => {
            let target = match said.text("target", VALUE_CHARS)? {
                Some(target) => Some(targets.find(&target)?),
                None => targets.usual.clone(),
            };
            let (reason, summary) = (said.text("reason", VALUE_CHARS)?, said.text("summary", TEXT_CHARS)?);
            Wish::HandOver(HandOver { target, reason, summary })
        }
        "end_call" => Wish::End { outcome: said.text("outcome", OUTCOME_CHARS)? },
        "set_field" => {
            let name = said.needed("name", NAME_CHARS)?;
            Wish::Field { name, value: said.needed("value", VALUE_CHARS)? }
        }
        "note" => Wish::Note(said.needed("text", TEXT_CHARS)?),
        other => return Err(format!("there is no tool {other:?}")),
    };
    Ok(wish)
}

struct Said(Map<String, Value>);

impl Said {
    /// What does not fit is told, not cut: the model can say it shorter.
    fn text(&mut self, key: &str, chars: usize) -> Result<Option<String>, String> {
        let text = match self.0.remove(key) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text.trim().to_owned(),
            Some(plain @ (Value::Number(_) | Value::Bool(_))) => plain.to_string(),
            Some(_) => return Err(format!("{key}: must be a string")),
        };
        match text.chars().count() {
            0 => Ok(None),
            count if count <= chars => Ok(Some(text)),
            _ => Err(format!("{key}: at most {chars} characters")),
        }
    }

    fn needed(&mut self, key: &str, chars: usize) -> Result<String, String> {
        self.text(key, chars)?.ok_or_else(|| format!("{key}: is missing"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(usual: Option<&str>) -> Targets {
        Targets::new(
            usual.map(str::to_owned),
            vec!["support".to_owned()],
            vec![("asha@example.com".to_owned(), "Asha".to_owned())],
        )
    }

    #[test]
    fn what_a_model_says_is_checked_and_told_in_words() {
        let targets = targets(None);
        let read = |name: &str, arguments: Value| read(name, arguments, &targets);
        assert_eq!(read("end_call", Value::Null), Ok(Wish::End { outcome: None }));
        assert_eq!(
            read("set_field", json!({ "name": " order ", "value": 7 })),
            Ok(Wish::Field { name: "order".to_owned(), value: "7".to_owned() })
        );
        let long = "x".repeat(VALUE_CHARS + 1);
        for (name, arguments, told) in [
            ("set_field", json!({ "name": "order" }), "value: is missing"),
            ("set_field", json!({ "name": "order", "value": long }), "value: at most 1000 characters"),
            ("set_field", json!([1]), "the arguments must be an object"),
            ("note", json!({ "text": " " }), "text: is missing"),
            ("note", json!({ "text": {} }), "text: must be a string"),
            ("open_door", json!({}), "there is no tool \"open_door\""),
        ] {
            assert_eq!(read(name, arguments), Err(told.to_owned()));
        }
    }

    #[test]
    fn a_model_names_only_those_it_was_told_of() {
        let names = |usual: Option<&str>, arguments: Value| {
            let wish = read("transfer_to_human", arguments, &targets(usual))?;
            let Wish::HandOver(hand_over) = wish else { panic!("{wish:?}") };
            Ok(hand_over.target)
        };
        let to = |target: &str| json!({ "target": target });
        for named in ["support", "group:support", " Support "] {
            assert_eq!(names(None, to(named)), Ok(Some("support".to_owned())), "{named}");
        }
        for named in ["asha@example.com", "ASHA@example.com", "Asha"] {
            assert_eq!(names(None, to(named)), Ok(Some("asha@example.com".to_owned())), "{named}");
        }
        // Nobody but the account says which numbers are called.
        let told: Result<_, String> = names(None, to("+919000000000"));
        assert!(told.is_err_and(|told| told.contains("there are: support, asha@example.com")));
        assert_eq!(names(Some("+919000000000"), to("+919000000000")), Ok(Some("+919000000000".to_owned())));
        assert_eq!(names(Some("sales"), json!({})), Ok(Some("sales".to_owned())));
        assert_eq!(names(None, json!({ "target": "" })), Ok(None), "the flow decides");
    }

    #[test]
    fn tools_are_declared_with_the_targets_that_there_are() {
        let declared = super::declared(&targets(None));
        let names: Vec<&str> = declared.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(names, crate::config::tool::BUILT_IN);
        let target = &declared[0].parameters["properties"]["target"];
        assert_eq!(target["enum"], json!(["support", "asha@example.com"]));
        assert!(target["description"].as_str().is_some_and(|told| told.contains("asha@example.com (Asha)")));
        let none = super::declared(&Targets::new(None, Vec::new(), Vec::new()));
        assert!(none[0].parameters["properties"].get("target").is_none());
        assert!(declared.iter().all(|tool| tool.parameters["type"] == "object" && tool.description.len() <= 1024));
    }
}
