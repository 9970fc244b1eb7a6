//! `/composite`: several requests in one, answered with 200 even where each of them fails ("REST API Developer Guide,
//! Composite").

use http::{HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Salesforce,
    refusal::{Answer, Refusal},
    rows,
};
use crate::{Reply, Request};

const PARTS_MAX: usize = 25;
/// Of the parts, so many at most may be queries.
const QUERIES_MAX: usize = 5;

impl Salesforce {
    /// The parts in order. References between them (`@{…}`) are not played: a part that has one is refused.
    pub(super) fn composite(&mut self, request: &Request, now: Timestamp) -> Answer {
        let body = rows::body(request)?;
        let known = ["allOrNone", "collateSubrequests", "compositeRequest"];
        if let Some(name) = body.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(Refusal::unreadable(format!("Unrecognized field \"{name}\"")));
        }
        let parts = body.get("compositeRequest").and_then(Value::as_array);
        let parts = parts.ok_or_else(|| Refusal::unreadable("Missing compositeRequest"))?.clone();
        if parts.is_empty() || parts.len() > PARTS_MAX {
            return Err(Refusal::bad("INVALID_INPUT", "The composite request exceeds the maximum of 25 operations"));
        }
        let mut answers = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        let mut queries = 0;
        for part in &parts {
            let text = |name: &str| part.get(name).and_then(Value::as_str);
            let (Some(method), Some(url), Some(name)) = (text("method"), text("url"), text("referenceId")) else {
                return Err(Refusal::bad("INVALID_INPUT", "method, url and referenceId are required"));
            };
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if names.contains(&name) || !plain || name.is_empty() {
                return Err(Refusal::bad("INVALID_INPUT", format!("Invalid or duplicate reference id: {name}")));
            }
            names.push(name);
            let version = request.path.get(2).map_or("", String::as_str);
            if !url.starts_with(&format!("/services/data/{version}/")) || url.contains(' ') || url.contains("@{") {
                return Err(Refusal::bad("INVALID_INPUT", "Invalid URL in a composite subrequest"));
            }
            queries += usize::from(url.contains("/query"));
            if queries > QUERIES_MAX {
                return Err(Refusal::bad("INVALID_INPUT", "too many query operations in the composite request"));
            }
            let method: Method = method.parse().map_err(|_| Refusal::bad("INVALID_INPUT", "unknown method"))?;
            let body = part.get("body").map(Value::to_string).unwrap_or_default();
            let mut headers = request.headers.clone();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let part = Request::parse(method, url, headers, body.into());
            let reply = if part.path.last().is_some_and(|last| last == "composite") {
                Refusal::not_found().into_reply()
            } else {
                self.route(&part, now).unwrap_or_else(Refusal::into_reply)
            };
            let shown: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
            answers.push(json!({"body": shown, "httpHeaders": {}, "httpStatusCode": reply.status.as_u16(),
                                "referenceId": name}));
        }
        Ok(Reply::json(StatusCode::OK, &json!({"compositeResponse": answers})))
    }
}
