//! How the kit's values look as JSON, for the description of the API: the kit itself knows nothing of schemas.

use schemars::JsonSchema;

/// A record in a CRM.
#[derive(JsonSchema)]
#[schemars(rename = "RecordRef")]
#[allow(dead_code, reason = "it describes patchbay_kit::RecordRef")]
pub(crate) struct RecordShape {
    kind: String,
    id: String,
}

/// What was keyed in at one step.
#[derive(JsonSchema)]
#[schemars(rename = "Digits")]
#[allow(dead_code, reason = "it describes patchbay_kit::Digits")]
pub(crate) struct DigitsShape {
    tag: String,
    value: String,
}

/// How a call ended.
#[derive(JsonSchema)]
#[schemars(rename = "Outcome", rename_all = "snake_case")]
#[allow(dead_code, reason = "it describes patchbay_kit::Outcome")]
pub(crate) enum OutcomeShape {
    Answered,
    Voicemail,
    Missed,
    FlowEnded,
}

#[derive(JsonSchema)]
#[schemars(rename = "Direction", rename_all = "snake_case")]
#[allow(dead_code, reason = "it describes patchbay_kit::Direction")]
pub(crate) enum DirectionShape {
    Incoming,
    Outgoing,
}

/// What can be made after a call.
#[derive(JsonSchema)]
#[schemars(rename = "FollowUpKind", rename_all = "snake_case")]
#[allow(dead_code, reason = "it describes patchbay_kit::FollowUpKind")]
pub(crate) enum FollowUpKindShape {
    Task,
    Call,
    Event,
    Ticket,
}

#[cfg(test)]
mod tests {
    use patchbay_kit::{Digits, Direction, FollowUpKind, Outcome, RecordRef};
    use schemars::schema_for;
    use serde_json::{Value, json};

    use super::*;

    /// What an enumeration's schema lists, whether its values have a description or not.
    fn words(schema: &Value) -> Vec<String> {
        let listed = schema["enum"].as_array().into_iter().flatten().cloned();
        let described = schema["oneOf"].as_array().into_iter().flatten().flat_map(|one| {
            one["enum"].as_array().cloned().unwrap_or_default().into_iter().chain(one.get("const").cloned())
        });
        listed.chain(described).filter_map(|word| word.as_str().map(str::to_owned)).collect()
    }

    #[test]
    fn the_kits_values_are_as_described() {
        let outcomes = [Outcome::Answered, Outcome::Voicemail, Outcome::Missed, Outcome::FlowEnded];
        assert_eq!(json!(words(schema_for!(OutcomeShape).as_value())), json!(outcomes));
        let directions = [Direction::Incoming, Direction::Outgoing];
        assert_eq!(json!(words(schema_for!(DirectionShape).as_value())), json!(directions));
        let mut kinds = words(schema_for!(FollowUpKindShape).as_value());
        let mut known: Vec<String> = FollowUpKind::ALL.iter().map(|kind| kind.as_str().to_owned()).collect();
        kinds.sort();
        known.sort();
        assert_eq!(kinds, known);
        let fields = |value: Value| value.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>());
        let described = |schema: schemars::Schema| fields(schema.as_value()["properties"].clone());
        assert_eq!(fields(json!(RecordRef::new("a", "b"))), described(schema_for!(RecordShape)));
        let digits = Digits { tag: "a".into(), value: "1".into() };
        assert_eq!(fields(json!(digits)), described(schema_for!(DigitsShape)));
    }
}
