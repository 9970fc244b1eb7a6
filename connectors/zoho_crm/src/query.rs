//! COQL: the way to look that is not behind. What callers control is quoted here, and nowhere else.

use patchbay_kit::{Exchange, Failure, Request, Response, Safety, StatusCode, Step};
use serde_json::{Map, Value, json};

use crate::{
    errors::{self, On, Refusal},
    path,
};

/// What a query is answered with.
pub(crate) enum Answer {
    Rows(Vec<Map<String, Value>>),
    /// The query, not the credentials, is refused: a field or a module this organisation has not.
    Refused(Refusal),
}

/// A text as it stands in a query: in quotes, a quote in it doubled ("Kaizen 171 – FAQs on COQL API" \[V\]).
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `column in ('a','b')`; at most fifty values ("Query API: Limitations", v8 \[V\]).
pub(crate) fn among(column: &str, texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("{column} in ({})", texts.join(","))
}

/// Criteria joined two by two, as COQL wants them ("Query API: Limitations", v8 \[V\]).
pub(crate) fn any(criteria: impl IntoIterator<Item = String>) -> String {
    criteria.into_iter().reduce(|all, one| format!("({all} or {one})")).unwrap_or_default()
}

/// Asks, and reads the rows. It is a `POST` that changes nothing.
pub(crate) fn ask<T>(
    label: &'static str,
    query: &str,
    read: impl Fn(Answer) -> Result<Step<T>, Failure> + Send + Sync + 'static,
) -> Exchange<T> {
    Request::post(label, path(["coql"]))
        .safety(Safety::Read)
        .json(json!({"select_query": query}))
        .then(move |reply| read(answer(reply)?))
        .accepting(&[StatusCode::BAD_REQUEST])
}

fn answer(reply: &Response) -> Result<Answer, Failure> {
    if reply.status == StatusCode::NO_CONTENT {
        return Ok(Answer::Rows(Vec::new()));
    }
    match Refusal::in_reply(reply) {
        Some(refusal) if matches!(refusal.code.as_str(), "INVALID_QUERY" | "INVALID_MODULE") => {
            return Ok(Answer::Refused(refusal));
        }
        // An error inside a success means what it would mean by itself.
        Some(refusal) => return Err(refusal.failure(On::Call)),
        None if !reply.status.is_success() => return Err(errors::classify(reply, On::Call)),
        None => {}
    }
    let body: Value = reply.json()?;
    let rows = body.get("data").and_then(Value::as_array).ok_or_else(errors::malformed)?;
    Ok(Answer::Rows(rows.iter().filter_map(|row| row.as_object().cloned()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_text_but_its_quote() {
        assert_eq!(quoted("O'Brien"), "'O''Brien'");
        assert_eq!(quoted("' or '1' = '1"), "''' or ''1'' = ''1'");
        assert_eq!(among("Phone", &["1".into(), "'".into()]), "Phone in ('1','''')");
    }

    #[test]
    fn criteria_come_in_pairs() {
        assert_eq!(any(["a".to_owned()]), "a");
        assert_eq!(any(["a".to_owned(), "b".to_owned(), "c".to_owned()]), "((a or b) or c)");
    }
}
