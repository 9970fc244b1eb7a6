//! Cutting lists into pages, and reading bodies (`crm-api.md` §3.e): the same for everything but messages.

use http::{StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::refusal::{Answer, Refusal};
use crate::{Reply, Request};

/// Items on a page unless more or fewer are asked for.
const PER_PAGE: usize = 20;
/// The most (public code; the OpenAPI description that others derived).
pub(super) const PER_PAGE_MAX: usize = 50;

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    pub(super) number: usize,
    pub(super) per_page: usize,
}

impl Page {
    /// Reads `page` and `items_per_page`; other parameters must be among `known`.
    pub(super) fn of(request: &Request, known: &[&str]) -> Result<Self, Refusal> {
        let paging = ["page", "items_per_page"];
        if let Some((name, _)) =
            request.query.iter().find(|(name, _)| !known.contains(&name.as_str()) && !paging.contains(&name.as_str()))
        {
            return Err(Refusal::invalid(format!("unknown parameter {name}")));
        }
        let read = |name: &str, default: usize, max: usize| match request.param(name).map(str::parse::<usize>) {
            None => Ok(default),
            Some(Ok(number)) if (1..=max).contains(&number) => Ok(number),
            Some(_) => Err(Refusal::invalid(format!("{name} must be between 1 and {max}"))),
        };
        Ok(Self { number: read("page", 1, usize::MAX)?, per_page: read("items_per_page", PER_PAGE, PER_PAGE_MAX)? })
    }

    /// The page's items, and whether more follow.
    pub(super) fn part<T>(self, list: impl Iterator<Item = T>) -> (Vec<T>, bool) {
        let before = (self.number - 1).saturating_mul(self.per_page);
        let mut shown: Vec<T> = list.skip(before).take(self.per_page + 1).collect();
        let more = shown.len() > self.per_page;
        shown.truncate(self.per_page);
        (shown, more)
    }

    /// `{"<what>":[…],"pagination":{…},"links":{…}}`
    pub(super) fn cut<T: Serialize>(self, what: &str, request: &Request, list: impl Iterator<Item = T>) -> Reply {
        let all: Vec<T> = list.collect();
        let total = all.len();
        let (shown, more) = self.part(all.into_iter());
        let mut links = serde_json::Map::new();
        if more {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(request.query.iter().filter(|(name, _)| name != "page"));
            query.append_pair("page", &(self.number + 1).to_string());
            let href = format!("/{}?{}", request.path.join("/"), query.finish());
            links.insert("next_page".to_owned(), json!({"href": href, "rel": what, "method": "GET"}));
        }
        let pagination = json!({"total_items": total, "total_pages": total.div_ceil(self.per_page),
            "current_page": self.number, "items_per_page": self.per_page});
        Reply::json(StatusCode::OK, &json!({what: shown, "pagination": pagination, "links": links}))
    }
}

/// Reads a JSON body in which only the fields of `T` may stand.
pub(super) fn body<T: DeserializeOwned>(request: &Request) -> Result<T, Refusal> {
    let media_type = request.header(header::CONTENT_TYPE).unwrap_or("").split(';').next().unwrap_or("").trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(Refusal::invalid("Content-Type must be application/json"));
    }
    serde_json::from_slice(&request.body).map_err(|error| Refusal::invalid(error.to_string()))
}

/// What creating answers. A 202 says only that it was taken on, with the same body.
pub(super) fn created(status: StatusCode, body: &Value) -> Answer {
    Ok(Reply::json(status, body))
}
