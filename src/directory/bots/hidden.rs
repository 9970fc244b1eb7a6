//! What of a bot's settings may be shown where credentials may stand among them: sending back what was shown changes
//! nothing.

use serde_json::{Map, Value};
use url::Url;

/// In the place of what is not shown.
const HIDDEN: &str = "***";

/// An address of which nothing of the query is shown but what is named.
pub(super) fn address(url: &str, shown: &[&str]) -> Option<String> {
    let mut url = Url::parse(url).ok()?;
    let mut pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    if !pairs.is_empty() {
        let hidden = pairs.iter_mut().filter(|(name, _)| !shown.contains(&name.as_str()));
        hidden.for_each(|(_, value)| *value = HIDDEN.to_owned());
        url.query_pairs_mut().clear().extend_pairs(pairs);
    }
    Some(url.into())
}

/// Options without what is called as credentials are.
pub(super) fn options(options: &Map<String, Value>) -> Map<String, Value> {
    options.iter().map(|(name, value)| (name.clone(), value_of(value, is_secret(name)))).collect()
}

fn value_of(value: &Value, secret: bool) -> Value {
    match value {
        Value::String(_) if secret => HIDDEN.into(),
        Value::Object(object) => {
            let each = object.iter().map(|(name, value)| (name.clone(), value_of(value, secret || is_secret(name))));
            Value::Object(each.collect())
        }
        Value::Array(items) => items.iter().map(|item| value_of(item, secret)).collect(),
        other => other.clone(),
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "headers" || ["key", "token", "secret", "password", "authorization"].iter().any(|end| name.ends_with(end))
}

/// Options that were sent: what is hidden in them is what stood there before.
pub(super) fn given(sent: Map<String, Value>, was: &Map<String, Value>) -> Map<String, Value> {
    let restored = sent.into_iter().map(|(name, value)| {
        let value = restore(value, was.get(&name));
        (name, value)
    });
    restored.collect()
}

fn restore(sent: Value, was: Option<&Value>) -> Value {
    match (sent, was) {
        (Value::String(text), Some(was)) if text == HIDDEN => was.clone(),
        (Value::Object(sent), Some(Value::Object(was))) => Value::Object(given(sent, was)),
        (Value::Array(sent), Some(Value::Array(was))) => {
            sent.into_iter().enumerate().map(|(at, item)| restore(item, was.get(at))).collect()
        }
        (sent, _) => sent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn credentials_among_options_are_hidden_and_come_back() {
        let object = |value: Value| value.as_object().cloned().expect("an object");
        let all = object(json!({
            "agent": { "think": [{ "endpoint": { "headers": { "x-a": "hunter2" }, "api_key": "hunter3" }, "max_tokens": 7 }] },
            "keyterms": ["Patchbay"],
        }));
        let shown = options(&all);
        assert!(!json!(shown).to_string().contains("hunter"));
        assert_eq!((&shown["agent"]["think"][0]["max_tokens"], &shown["keyterms"]), (&json!(7), &json!(["Patchbay"])));
        assert_eq!(given(shown.clone(), &all), all);
        let mut changed = shown;
        changed["agent"]["think"][0]["endpoint"]["api_key"] = json!("hunter4");
        let now = given(changed, &all);
        assert_eq!(
            now["agent"]["think"][0]["endpoint"],
            json!({ "headers": { "x-a": "hunter2" }, "api_key": "hunter4" })
        );
    }
}
