//! Paging, the same for every list: `page`, `per_page` and the `link` header.

use http::{StatusCode, header};
use serde::Serialize;

use super::refusal::{FieldError, Refusal};
use crate::{Reply, Request};

const PER_PAGE: usize = 30;
const PER_PAGE_MAX: usize = 100;

/// The part of a list that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    number: usize,
    per_page: usize,
}

impl Page {
    /// Reads `page` and `per_page`, and refuses parameters that the list does not know.
    pub(super) fn of(request: &Request, filters: &[&str]) -> Result<Self, Refusal> {
        let mut errors: Vec<FieldError> = request
            .query
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| !filters.contains(name) && !["page", "per_page"].contains(name))
            .map(|name| FieldError::new(name, "invalid_field", "Unexpected/invalid field in request"))
            .collect();
        let mut read = |name: &str, default: usize, max: usize, message: String| match request.param(name) {
            None => default,
            Some(text) => text.parse().ok().filter(|number| (1..=max).contains(number)).unwrap_or_else(|| {
                errors.push(FieldError::new(name, "invalid_value", message));
                default
            }),
        };
        let number = read("page", 1, usize::MAX, "It should be a Positive Integer".to_owned());
        let per_page = read(
            "per_page",
            PER_PAGE,
            PER_PAGE_MAX,
            format!("It should be a Positive Integer less than or equal to {PER_PAGE_MAX}"),
        );
        if errors.is_empty() { Ok(Self { number, per_page }) } else { Err(Refusal::fields(errors)) }
    }

    /// Cuts the page out of the list; where more follows, the `link` header says where.
    pub(super) fn cut<T: Serialize>(self, request: &Request, list: impl Iterator<Item = T>) -> Reply {
        let before = (self.number - 1).saturating_mul(self.per_page);
        let mut shown: Vec<T> = list.skip(before).take(self.per_page + 1).collect();
        let more = shown.len() > self.per_page;
        shown.truncate(self.per_page);
        let reply = Reply::json(StatusCode::OK, &shown);
        if more { reply.with(header::LINK, format!("<{}>; rel=\"next\"", self.next(request))) } else { reply }
    }

    fn next(self, request: &Request) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(request.query.iter().filter(|(name, _)| name != "page"));
        query.append_pair("page", &(self.number + 1).to_string());
        // Lists have plain paths, so nothing in them needs encoding again.
        format!("{}/{}?{}", request.origin(), request.path.join("/"), query.finish())
    }
}
