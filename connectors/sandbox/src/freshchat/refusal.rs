//! Freshchat's way of saying no: one body for every error (`crm-api.md` §3.b).

use http::StatusCode;
use serde_json::json;

use crate::Reply;

/// What an operation comes to.
pub(super) type Answer = Result<Reply, Refusal>;

/// A no. Only `AGENT_NOT_FOUND` is shown by the documentation; the other words are made by its pattern `[M]`.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    word: String,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, word: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, word: word.into(), message: message.into() }
    }

    /// 404 for an `agent`, `user`, `conversation` or `channel` that is not there.
    pub(super) fn missing(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("{}_NOT_FOUND", what.to_ascii_uppercase()),
            format!("{what} not found"),
        )
    }

    /// 400 about a value.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_VALUE", message)
    }

    /// 409: the value must be unique.
    pub(super) fn taken(field: &str) -> Self {
        Self::new(StatusCode::CONFLICT, "CONFLICT", format!("a user with this {field} already exists"))
    }

    pub(super) fn credentials(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", message)
    }

    pub(super) fn no_route() -> Self {
        Self::of_status(StatusCode::NOT_FOUND)
    }

    pub(super) fn method() -> Self {
        Self::of_status(StatusCode::METHOD_NOT_ALLOWED)
    }

    /// What Freshchat says with this status and nothing more particular.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let (word, message) = match status {
            StatusCode::BAD_REQUEST => ("BAD_REQUEST", "Bad Request"),
            StatusCode::UNAUTHORIZED => ("UNAUTHENTICATED", "Unauthenticated Request"),
            StatusCode::FORBIDDEN => ("FORBIDDEN", "Forbidden"),
            StatusCode::NOT_FOUND => ("NOT_FOUND", "Not Found"),
            StatusCode::METHOD_NOT_ALLOWED => ("METHOD_NOT_ALLOWED", "Method Not Allowed"),
            StatusCode::CONFLICT => ("CONFLICT", "Conflict"),
            StatusCode::TOO_MANY_REQUESTS => ("TOO_MANY_REQUESTS", "Too Many Requests"),
            StatusCode::INTERNAL_SERVER_ERROR => ("INTERNAL_SERVER_ERROR", "Internal Server Request"),
            StatusCode::SERVICE_UNAVAILABLE => ("SERVICE_UNAVAILABLE", "Service Unavailable"),
            other => ("ERROR", other.canonical_reason().unwrap_or("Error")),
        };
        Self::new(status, word, message)
    }

    pub(super) fn into_reply(self, older: bool) -> Reply {
        let Self { status, word, message } = self;
        let body = if older {
            json!({"error": word, "detail": message, "code": status.as_u16(), "more_info": "https://developers.freshchat.com/api/"})
        } else {
            json!({"code": status.as_u16(), "status": word, "message": message})
        };
        Reply::json(status, &body)
    }
}
