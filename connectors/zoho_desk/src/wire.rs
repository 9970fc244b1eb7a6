//! How Zoho Desk writes ids, times and truth, which its sources do not agree on: every form is read.

use jiff::Timestamp;
use patchbay_kit::{Failure, Response, StatusCode};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

/// An id: digits in quotes (\[V\]), or a number (\[S\] allows both).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Id(pub(crate) String);

impl Id {
    fn of(value: &Value) -> Option<Self> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.as_u64()?.to_string(),
            _ => return None,
        };
        (!text.is_empty()).then_some(Self(text))
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::of(&value).ok_or_else(|| serde::de::Error::custom("an id is neither digits nor a number"))
    }
}

/// An id that may be missing: `null`, an empty text and anything unheard of are none.
pub(crate) fn maybe_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Id>, D::Error> {
    Ok(Id::of(&Value::deserialize(deserializer)?))
}

/// A time: `2026-01-15T10:00:00.000Z` in the schemas, milliseconds in the examples beside them \[S\]. A time in a form
/// nobody expected is none.
pub(crate) fn maybe_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let millis = |number: i64| Timestamp::from_millisecond(number).ok();
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text.parse().ok().or_else(|| millis(text.parse().ok()?)),
        Value::Number(number) => number.as_i64().and_then(millis),
        _ => None,
    })
}

/// A truth, also in quotes (\[V\] writes `"isPublic" : "true"`).
pub(crate) fn maybe_true<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Bool(truth) => Some(truth),
        Value::String(text) => text.parse().ok(),
        _ => None,
    })
}

/// A count, also in quotes.
pub(crate) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_default())
}

/// The items of a list or a search. None at all is 204 without a body (\[S\]), or an empty list.
pub(crate) fn items<T: DeserializeOwned>(reply: &Response) -> Result<Vec<T>, Failure> {
    #[derive(Deserialize)]
    struct List<T> {
        data: Vec<T>,
    }
    if reply.status == StatusCode::NO_CONTENT {
        return Ok(Vec::new());
    }
    Ok(reply.json::<List<T>>()?.data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Shown {
        id: Id,
        #[serde(default, deserialize_with = "maybe_id")]
        owner: Option<Id>,
        #[serde(default, deserialize_with = "maybe_time")]
        at: Option<Timestamp>,
        #[serde(default, deserialize_with = "maybe_true")]
        public: Option<bool>,
        #[serde(default, deserialize_with = "count")]
        comments: u64,
    }

    #[test]
    fn every_form_is_read() {
        let at = Timestamp::from_second(1_768_471_200).ok();
        for text in [
            r#"{"id":"7","owner":"8","at":"2026-01-15T10:00:00.000Z","public":"false","comments":"2"}"#,
            r#"{"id":7,"owner":8,"at":1768471200000,"public":false,"comments":2}"#,
            r#"{"id":"7","owner":8,"at":"1768471200000","public":false,"comments":"2"}"#,
        ] {
            let Shown { id, owner, at: read, public, comments } = serde_json::from_str(text).expect(text);
            assert_eq!((id.0.as_str(), owner, comments), ("7", Some(Id("8".into())), 2), "{text}");
            assert_eq!((read, public), (at, Some(false)), "{text}");
        }
        for text in [r#"{"id":"7","owner":null,"at":{},"public":1,"comments":null}"#, r#"{"id":"7"}"#] {
            let Shown { owner, at, public, comments, .. } = serde_json::from_str(text).expect(text);
            assert_eq!((owner, at, public, comments), (None, None, None, 0), "{text}");
        }
        for text in [r#"{"id":""}"#, r#"{"id":null}"#, r#"{"id":-7}"#, "{}"] {
            assert!(serde_json::from_str::<Shown>(text).is_err(), "{text}");
        }
    }
}
