//! The integration's `defaults`: who writes where no agent is known, and fields of an account's own.

use patchbay_kit::Settings;
use serde_json::{Map, Value, json};

use crate::is_id;

/// The extra fields, without what must not be in them.
pub(crate) struct Defaults {
    /// The agent in whose name a call is written down that no agent had. A message needs one.
    pub(crate) actor: Option<String>,
    /// Conversation properties, for new conversations.
    properties: Map<String, Value>,
    /// User properties, for new users.
    user: Map<String, Value>,
}

/// Only which fields there are: their values may be anything.
impl std::fmt::Debug for Defaults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys = |map: &Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
        f.debug_struct("Defaults")
            .field("properties", &keys(&self.properties))
            .field("user", &keys(&self.user))
            .finish_non_exhaustive()
    }
}

fn table(value: Option<&Value>) -> Map<String, Value> {
    value.and_then(Value::as_object).cloned().unwrap_or_default()
}

impl Defaults {
    pub(crate) fn of(settings: &Settings) -> Self {
        let defaults = &settings.defaults;
        let actor = defaults.get("actor_id").and_then(Value::as_str).filter(|id| is_id(id));
        Self {
            actor: actor.map(str::to_owned),
            properties: table(defaults.get("properties")),
            user: table(table(defaults.get("contact")).get("properties")),
        }
    }

    /// Puts an account's own fields into a new conversation.
    pub(crate) fn conversation(&self, mut fields: Map<String, Value>) -> Value {
        if !self.properties.is_empty() {
            fields.insert("properties".to_owned(), Value::Object(self.properties.clone()));
        }
        Value::Object(fields)
    }

    /// A new user's properties: `[{"name":…,"value":…}]`, texts all of them.
    pub(crate) fn user_properties(&self) -> Value {
        let mut all = vec![json!({"name": "source", "value": "exotel"})];
        all.extend(self.user.iter().filter(|(name, _)| *name != "source").map(|(name, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            json!({"name": name, "value": value})
        }));
        Value::Array(all)
    }
}

/// What is wrong with the `defaults`, one line for each.
pub(crate) fn problems(settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    let defaults = &settings.defaults;
    if defaults.get("actor_id").is_some_and(|id| !id.as_str().is_some_and(is_id)) {
        problems.push("defaults.actor_id: must be an agent's id, as GET /v2/agents shows it".to_owned());
    }
    if defaults.get("properties").is_some_and(|value| !value.is_object()) {
        problems.push("defaults.properties: must be a table of conversation properties and their values".to_owned());
    }
    match defaults.get("contact") {
        None => {}
        Some(Value::Object(contact)) => {
            for key in contact.keys().filter(|key| *key != "properties") {
                problems.push(format!("defaults.contact.{key}: is not known; `properties` is all that can be set"));
            }
            if contact.get("properties").is_some_and(|value| !value.is_object()) {
                problems.push("defaults.contact.properties: must be a table of user properties and values".to_owned());
            }
        }
        Some(_) => problems.push("defaults.contact: must be a table with `properties` in it".to_owned()),
    }
    for key in defaults.keys().filter(|key| !["actor_id", "properties", "contact"].contains(&key.as_str())) {
        problems.push(format!(
            "defaults.{key}: is not known; `actor_id`, `properties` and `contact.properties` are all that can be set"
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(defaults: Value) -> Settings {
        let Value::Object(defaults) = defaults else { panic!("not a table") };
        Settings { defaults, ..Settings::default() }
    }

    #[test]
    fn defaults_fill_in_what_the_call_leaves_open() {
        let defaults = Defaults::of(&settings(json!({
            "actor_id": "a9e17000-1", "properties": {"cf_line": "voice"},
            "contact": {"properties": {"plan": 3, "source": "x"}}, "message_type": "normal",
        })));
        assert_eq!(defaults.actor.as_deref(), Some("a9e17000-1"));
        let fields = Map::from_iter([("channel_id".to_owned(), json!("c"))]);
        assert_eq!(defaults.conversation(fields), json!({"channel_id": "c", "properties": {"cf_line": "voice"}}));
        let expected = json!([{"name": "source", "value": "exotel"}, {"name": "plan", "value": "3"}]);
        assert_eq!(defaults.user_properties(), expected);
    }

    #[test]
    fn every_problem_is_told_with_its_key() {
        let told = problems(&settings(json!({
            "actor_id": 7, "properties": [], "message_type": "normal", "contact": {"phone": "1", "properties": 1},
        })));
        for key in ["actor_id", "properties", "message_type", "contact.phone", "contact.properties"] {
            assert!(told.iter().any(|line| line.starts_with(&format!("defaults.{key}:"))), "{key}: {told:?}");
        }
        assert_eq!(told.len(), 5);
        assert_eq!(problems(&settings(json!({"contact": 1}))).len(), 1);
        assert_eq!(Defaults::of(&settings(json!({"actor_id": "../x"}))).actor, None);
    }
}
