//! `/search`: SOSL over an index of words that is behind the writes ("SOQL and SOSL Reference, SOSL").

use http::StatusCode;
use jiff::Timestamp;
use serde_json::json;

use super::{
    Salesforce,
    refusal::{Answer, Refusal},
    schema::{Kind, Object},
    soql,
    store::{Record, Values},
};
use crate::{Reply, Request};

const FOUND_MAX: usize = 2000;
const MARKS: &str = "?&|!{}[]()^~*:\\\"'+-";

/// What is looked for: any of these phrases.
type Phrases = Vec<Phrase>;

struct Phrase {
    words: Vec<String>,
    /// The last word may go on: `9876*`.
    open: bool,
}

impl Salesforce {
    pub(super) fn search(&self, request: &Request, now: Timestamp) -> Answer {
        let wrong = |why: &str| Refusal::bad("MALFORMED_SEARCH", why);
        let text = request.param("q").ok_or_else(|| wrong("No search string was specified"))?;
        let rest = text.trim_start().strip_prefix("FIND").map(str::trim_start).and_then(|rest| rest.strip_prefix('{'));
        let rest = rest.ok_or_else(|| wrong("expecting FIND {"))?;
        let (phrases, rest) = phrases(rest).map_err(wrong)?;
        let mut rest = rest.trim_start();
        let mut only_phones = false;
        if let Some(after) = rest.strip_prefix("IN ") {
            let (scope, after) = after.split_once(" FIELDS").ok_or_else(|| wrong("expecting FIELDS"))?;
            only_phones = match scope.trim() {
                "PHONE" => true,
                "ALL" => false,
                other => return Err(wrong(&format!("unexpected token: {other}"))),
            };
            rest = after.trim_start();
        }
        let rest = rest.strip_prefix("RETURNING ").ok_or_else(|| wrong("expecting RETURNING"))?;
        let (returning, limit) = returning(rest).map_err(|why| wrong(&why))?;

        let mut found = Vec::new();
        for query in returning {
            let object = self.object(&query.from).map_err(|_| {
                Refusal::bad("INVALID_TYPE", format!("sObject type '{}' is not supported.", query.from))
            })?;
            for field in
                query.select.iter().map(String::as_str).chain(query.filter.iter().flat_map(soql::Filter::fields))
            {
                self.resolve(object, field)?;
            }
            let holds = |record: &&Record| {
                record
                    .indexed(now, self.settings.index_lag)
                    .is_some_and(|values| matches(object, values, &phrases, only_phones))
                    && query.filter.as_ref().is_none_or(|filter| filter.holds(&|field| record.value(field)))
            };
            let records = self.store.of(object.name).filter(holds).take(query.limit.unwrap_or(FOUND_MAX));
            found.extend(records.map(|record| self.shown(object, record, &query.select, request)));
        }
        found.truncate(limit.unwrap_or(FOUND_MAX).min(FOUND_MAX));
        Ok(Reply::json(StatusCode::OK, &json!({"searchRecords": found})))
    }
}

fn matches(object: &Object, values: &Values, phrases: &Phrases, only_phones: bool) -> bool {
    let searched = |kind: &Kind| match kind {
        Kind::Phone => true,
        Kind::Text(_) | Kind::Long(_) => !only_phones,
        _ => false,
    };
    values.iter().any(|(name, value)| {
        object.fields.get(name).is_some_and(|field| searched(&field.kind))
            && value.as_str().is_some_and(|text| {
                let words = words(text);
                phrases.iter().any(|phrase| phrase.stands_in(&words))
            })
    })
}

impl Phrase {
    fn stands_in(&self, words: &[String]) -> bool {
        words.windows(self.words.len()).any(|window| {
            let last = self.words.len() - 1;
            window.iter().zip(&self.words).enumerate().all(|(at, (held, asked))| {
                if at == last && self.open { held.starts_with(asked.as_str()) } else { held == asked }
            })
        })
    }
}

/// The words of a text as they are indexed: split at everything that is no letter or digit, and between the two.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = ' ';
    for c in text.chars() {
        if c.is_alphanumeric() {
            if !before.is_alphanumeric() || before.is_ascii_digit() != c.is_ascii_digit() {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.extend(c.to_lowercase());
            }
        }
        before = c;
    }
    words
}

/// What stands in the braces: words and quoted phrases joined by OR; and what follows the braces.
fn phrases(text: &str) -> Result<(Phrases, &str), &'static str> {
    let mut phrases = Vec::new();
    let mut current = String::new();
    let mut quoted = false;
    let mut ended = None;
    let mut chars = text.char_indices();
    let mut close = |current: &mut String, open: bool| -> Result<(), &'static str> {
        let said = std::mem::take(current);
        if said.trim().is_empty() || said.trim() == "OR" {
            return Ok(());
        }
        let words = words(&said);
        if words.iter().map(String::len).sum::<usize>() < 2 {
            return Err("search term must be longer than one character");
        }
        phrases.push(Phrase { words, open });
        Ok(())
    };
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => current.push(chars.next().ok_or("unterminated search")?.1),
            '"' => {
                close(&mut current, false)?;
                quoted = !quoted;
            }
            '}' if !quoted => {
                close(&mut current, false)?;
                ended = Some(at + 1);
                break;
            }
            '*' if !quoted && !current.trim().is_empty() => close(&mut current, true)?,
            c if MARKS.contains(c) => return Err("unescaped reserved character in the search"),
            ' ' if !quoted => close(&mut current, false)?,
            c => current.push(c),
        }
    }
    let ended = ended.ok_or("expecting '}'")?;
    if phrases.is_empty() {
        return Err("search term must be longer than one character");
    }
    Ok((phrases, &text[ended..]))
}

/// `Contact(Id, Name WHERE … LIMIT 5), Lead(Id) LIMIT 20`
fn returning(text: &str) -> Result<(Vec<soql::Query>, Option<usize>), String> {
    let mut queries = Vec::new();
    let mut rest = text.trim();
    loop {
        let (name, after) = rest.split_once('(').ok_or("expecting the fields of an object")?;
        let end = closing(after).ok_or("expecting ')'")?;
        let inner = &after[..end];
        let at = inner.find(" WHERE ").or_else(|| inner.find(" LIMIT ")).unwrap_or(inner.len());
        let (fields, conditions) = inner.split_at(at);
        queries.push(soql::parse(&format!("SELECT {fields} FROM {} {conditions}", name.trim()))?);
        rest = after[end + 1..].trim_start();
        match rest.strip_prefix(',') {
            Some(after) => rest = after.trim_start(),
            None => break,
        }
    }
    match rest.strip_prefix("LIMIT ") {
        Some(limit) => Ok((queries, Some(limit.trim().parse().map_err(|_| "expecting a number after LIMIT")?))),
        None if rest.is_empty() => Ok((queries, None)),
        None => Err(format!("unexpected token: {rest}")),
    }
}

fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => return Some(at),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_indexed_in_pieces() {
        assert_eq!(words("+91 98765-43210"), ["91", "98765", "43210"]);
        assert_eq!(words("x9876543210"), ["x", "9876543210"]);
        let (asked, rest) = phrases("\"98765 43210\" OR 9876543210 OR 0987*} IN").unwrap();
        assert_eq!((asked.len(), rest), (3, " IN"));
        assert!(asked[0].stands_in(&words("+91 98765-43210")) && !asked[0].stands_in(&words("9876543210")));
        assert!(asked[2].stands_in(&words("09876543210")) && !asked[1].stands_in(&words("09876543210")));
        for bad in ["+91}", "*1}", "a}", "}", "98"] {
            assert!(phrases(bad).is_err(), "{bad}");
        }
    }
}
