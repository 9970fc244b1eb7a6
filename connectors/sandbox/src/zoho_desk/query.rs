//! Query parameters, the same for every operation: unknown ones are refused, lists are paged and sorted.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Settings, Times,
    refusal::{Answer, Refusal},
};
use crate::{Reply, Request};

/// Refuses parameters that the operation does not know (§6.2.b).
pub(super) fn only(request: &Request, known: &[&str]) -> Result<(), Refusal> {
    match request.query.iter().find(|(name, _)| !known.contains(&name.as_str()) && name != "orgId") {
        Some((name, _)) => Err(Refusal::unprocessable(format!("Extra query parameter '{name}' is found."))),
        None => Ok(()),
    }
}

/// The part of a list that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    skip: usize,
    limit: usize,
}

impl Page {
    /// Reads `from` and `limit`, and refuses parameters that the list does not know.
    pub(super) fn of(
        request: &Request,
        settings: &Settings,
        default: usize,
        most: usize,
        known: &[&str],
    ) -> Result<Self, Refusal> {
        let all: Vec<&str> = known.iter().copied().chain(["from", "limit"]).collect();
        only(request, &all)?;
        let number = |name: &str, default: usize| match request.param(name) {
            None => Ok(default),
            Some(text) => text.parse::<usize>().map_err(|_| invalid(name)),
        };
        let limit = number("limit", default)?;
        if !(1..=most).contains(&limit) {
            return Err(invalid("limit"));
        }
        let from = number("from", settings.first_index)?;
        Ok(Self { skip: from.saturating_sub(settings.first_index), limit })
    }

    /// Cuts the page out of the list.
    pub(super) fn cut(self, settings: &Settings, list: impl Iterator<Item = Value>) -> Answer {
        let data: Vec<Value> = list.skip(self.skip).take(self.limit).collect();
        if data.is_empty() && settings.empty_is_204 {
            return Ok(Reply::empty(StatusCode::NO_CONTENT));
        }
        Ok(Reply::json(StatusCode::OK, &json!({"data": data})))
    }
}

pub(super) fn invalid(name: &str) -> Refusal {
    Refusal::unprocessable(format!("The value passed for the '{name}' query parameter is invalid."))
}

/// By what a list is sorted, and whether downwards; the first of `allowed` where nothing is asked.
pub(super) fn sorting<'a>(request: &'a Request, allowed: &[&'a str]) -> Result<(&'a str, bool), Refusal> {
    let Some(asked) = request.param("sortBy") else {
        return Ok((allowed.first().copied().unwrap_or_default(), false));
    };
    let name = asked.strip_prefix('-').unwrap_or(asked);
    if allowed.contains(&name) { Ok((name, name != asked)) } else { Err(invalid("sortBy")) }
}

/// A time as this organisation shows it.
pub(super) fn time(settings: &Settings, at: Timestamp) -> Value {
    match settings.times {
        Times::Text => at.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string().into(),
        Times::Millis => at.as_millisecond().into(),
    }
}
