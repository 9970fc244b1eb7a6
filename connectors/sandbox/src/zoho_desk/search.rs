//! The search over contacts: wildcards, and an index that is behind (§6.2.c).

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Contact, ZohoDesk,
    query::{Page, sorting},
    refusal::{Answer, Refusal},
};
use crate::{Reply, Request};

/// Criteria that `[S]` knows.
const CRITERIA: &[&str] = &["id", "fullName", "firstName", "lastName", "email", "_all"];
/// Those that only the public documentation knows.
const NUMBERS: &[&str] = &["phone", "mobile"];

/// Whether `text` is what `pattern` says, letter case apart; a `*` stands for anything.
fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern) = (text.to_lowercase(), pattern.to_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

fn matches(contact: &Contact, criterion: &str, pattern: &str) -> bool {
    let like = |field: &Option<String>| field.as_ref().is_some_and(|text| is_like(text, pattern));
    match criterion {
        "id" => contact.id.to_string() == pattern,
        "fullName" => is_like(&contact.full_name(), pattern),
        "firstName" => like(&contact.first_name),
        "lastName" => is_like(&contact.last_name, pattern),
        "email" => like(&contact.email),
        "phone" => like(&contact.phone),
        "mobile" => like(&contact.mobile),
        _ => {
            is_like(&contact.full_name(), pattern)
                || like(&contact.email)
                || like(&contact.phone)
                || like(&contact.mobile)
        }
    }
}

impl ZohoDesk {
    pub(super) fn search_contacts(&self, request: &Request, now: Timestamp) -> Answer {
        let numbers = if self.settings.search_by_number { NUMBERS } else { &[] };
        let criteria: Vec<&str> = CRITERIA.iter().chain(numbers).copied().collect();
        let known: Vec<&str> = criteria.iter().copied().chain(["sortBy"]).collect();
        let page = Page::of(request, &self.settings, 10, 100, &known)?;
        let (by, down) = sorting(request, &["relevance", "modifiedTime", "createdTime"])?;
        let asked: Vec<(&str, &str)> = criteria.iter().filter_map(|name| Some((*name, request.param(name)?))).collect();
        if asked.is_empty() || asked.iter().any(|(_, pattern)| pattern.trim().is_empty()) {
            return Err(Refusal::unprocessable("A search needs a criterion with a value."));
        }
        let mut found: Vec<&Contact> = self
            .contacts
            .as_indexed(now, self.settings.index_lag)
            .filter(|contact| !contact.trashed && asked.iter().all(|(name, pattern)| matches(contact, name, pattern)))
            .collect();
        match by {
            "modifiedTime" => found.sort_by_key(|contact| contact.modified_at),
            "createdTime" => found.sort_by_key(|contact| contact.created_at),
            _ => {}
        }
        if down {
            found.reverse();
        }
        let count = found.len();
        let reply = page.cut(&self.settings, found.into_iter().map(|contact| self.listed_contact(contact)))?;
        // None is 204 here in any case; and a search tells how many there are.
        let Ok(mut body) = serde_json::from_slice::<Value>(&reply.body) else { return Ok(reply) };
        if count == 0 {
            return Ok(Reply::empty(StatusCode::NO_CONTENT));
        }
        body["count"] = json!(count);
        Ok(Reply::json(StatusCode::OK, &body))
    }
}

#[cfg(test)]
mod tests {
    use super::is_like;

    #[test]
    fn a_star_stands_for_anything() {
        for (text, pattern, yes) in [
            ("+919876543210", "*9876543210", true),
            ("+919876543210", "*9876543210*", true),
            ("+91 98765 43210", "*98765*43210", true),
            ("+919876543210", "9876543210", false),
            ("Asha", "ASHA", true),
            ("Asha", "Ash", false),
            ("aa", "a*a*a", false),
        ] {
            assert_eq!(is_like(text, pattern), yes, "{text} {pattern}");
        }
    }
}
