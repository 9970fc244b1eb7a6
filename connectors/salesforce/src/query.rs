//! Questions in SOQL and SOSL, in which nothing that comes from outside is more than a text.

use patchbay_kit::{PhoneNumber, Rendering, Request, Safety};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{objects::Object, settings::Org};

/// People under one number who are read.
const FOUND_MAX: usize = 20;

/// A page of a query ("REST API Developer Guide, Query" \[V\]).
#[derive(Deserialize)]
pub(crate) struct Records<T> {
    pub(crate) records: Vec<T>,
    #[serde(rename = "nextRecordsUrl")]
    pub(crate) next: Option<String>,
}

/// The one thing every record shows.
#[derive(Deserialize)]
pub(crate) struct Id {
    #[serde(rename = "Id")]
    pub(crate) id: String,
}

/// Whether a text can be the name of a field or an object, and so stand in a query as it is.
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The same, or a parent's field: `Account.Phone`.
pub(crate) fn is_path(text: &str) -> bool {
    match text.split_once('.') {
        None => is_name(text),
        Some((parent, field)) => is_name(parent) && is_name(field),
    }
}

/// A text as a literal of SOQL ("SOQL and SOSL Reference, Quoted String Escape Sequences" \[V\]).
pub(crate) fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\'' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // No other control character has an escape, and none is in anything that is looked for.
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

impl Org {
    /// A path under the API's version.
    pub(crate) fn path<const N: usize>(&self, rest: [&str; N]) -> Vec<String> {
        ["services", "data", &self.version].into_iter().chain(rest).map(str::to_owned).collect()
    }

    /// A query: exact, and never behind.
    pub(crate) fn query(&self, label: &'static str, soql: &str) -> Request {
        Request::get(label, self.path(["query"])).query("q", soql)
    }

    /// The fields that a person is read from.
    fn fields_of(object: &Object) -> String {
        let mut fields = vec!["Id", object.name_field.as_str(), "OwnerId", "LastModifiedDate"];
        fields.extend(object.phones.iter().map(String::as_str).filter(|field| *field != object.name_field));
        fields.join(", ")
    }

    /// Everybody of one object with one of these writings in one of its fields.
    fn people_query(object: &Object, writings: &[String]) -> String {
        let list = writings.iter().map(|text| literal(text)).collect::<Vec<_>>().join(", ");
        let any = object.phones.iter().map(|field| format!("{field} IN ({list})")).collect::<Vec<_>>().join(" OR ");
        let filter = match object.only() {
            Some(only) => format!("{only} AND ({any})"),
            None => any,
        };
        let fields = Self::fields_of(object);
        format!("SELECT {fields} FROM {} WHERE {filter} ORDER BY LastModifiedDate DESC LIMIT {FOUND_MAX}", object.name)
    }

    /// One request with a query for each object ("REST API Developer Guide, Composite" \[V\]): one call of the budget, and
    /// of its 25 parts five may be queries, which is as many objects as there are.
    pub(crate) fn people(&self, label: &'static str, writings: &[String]) -> Request {
        let part = |object: &Object| {
            let query = self.query(label, &Self::people_query(object, writings));
            json!({"method": "GET", "url": query.target(), "referenceId": object.name})
        };
        let parts: Vec<Value> = self.objects.iter().map(part).collect();
        Request::post(label, self.path(["composite"]))
            .safety(Safety::Read)
            .json(json!({"allOrNone": false, "compositeRequest": parts}))
    }

    /// One question to the index of numbers, which is seconds to minutes behind ("SOQL and SOSL Reference, FIND" \[V\]).
    /// It knows the pieces between punctuation, so one phrase finds `98765 43210` and `98765-43210`. `None` where no
    /// object has a number of its own.
    pub(crate) fn search(&self, label: &'static str, number: &PhoneNumber) -> Option<Request> {
        let returning: Vec<String> = self
            .objects
            .iter()
            .filter(|object| object.own_phones().next().is_some())
            .map(|object| {
                let only = object.only().map(|only| format!(" WHERE {only}")).unwrap_or_default();
                format!("{}({}{only} LIMIT {FOUND_MAX})", object.name, Self::fields_of(object))
            })
            .collect();
        if returning.is_empty() {
            return None;
        }
        let mut phrases: Vec<String> = Vec::new();
        let writings = [Rendering::National, Rendering::E164NoPlus, Rendering::NationalZero, Rendering::Spaced];
        for text in writings.map(|writing| number.render(writing)) {
            // Without the country: it is a piece of its own where it is apart, and the number then stands alone.
            let bare = text.strip_prefix(&format!("+{} ", number.country)).unwrap_or(&text).to_owned();
            let safe = bare.chars().all(|c| c.is_ascii_digit() || c == ' ');
            let phrase = format!("\"{bare}\"");
            if safe && !phrases.contains(&phrase) {
                phrases.push(phrase);
            }
        }
        let sosl = format!("FIND {{{}}} IN PHONE FIELDS RETURNING {}", phrases.join(" OR "), returning.join(", "));
        Some(Request::get(label, self.path(["search"])).query("q", sosl))
    }

    /// Those of the default object that an external id made.
    pub(crate) fn created(&self, label: &'static str, field: &str, external_id: &str) -> Request {
        let object = &self.default_object;
        let only = object.only().map(|only| format!(" AND {only}")).unwrap_or_default();
        let fields = Self::fields_of(object);
        let soql =
            format!("SELECT {fields} FROM {} WHERE {field} = {}{only} LIMIT 1", object.name, literal(external_id));
        self.query(label, &soql)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_cannot_be_left() {
        assert_eq!(literal(r"O'Neil\"), r"'O\'Neil\\'");
        assert_eq!(literal("a\nb\u{7}"), r"'a\nb'");
        assert!(is_path("Account.Phone") && is_name("Exotel_Call_Sid__c"));
        for bad in ["", "1a", "a b", "a'b", "a.b.c", ".a", "a.", "ä"] {
            assert!(!is_path(bad), "{bad}");
        }
    }
}
