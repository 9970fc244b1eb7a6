//! Salesforce's ways of saying no: always a list, always `message` and `errorCode` (`crm-api.md` §5.b).

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::Reply;

/// What an operation comes to.
pub(super) type Answer = Result<Reply, Refusal>;

/// A no.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) fields: Option<Vec<String>>,
    /// What some refusals say beside (the duplicates that were found).
    pub(super) more: Map<String, Value>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), fields: None, more: Map::new() }
    }

    /// 400: what most refusals are.
    pub(super) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// Names the fields at fault; refusals of writes do, with an empty list where no field is.
    pub(super) fn on<S: Into<String>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
        self.fields = Some(fields.into_iter().map(Into::into).collect());
        self
    }

    pub(super) fn with(mut self, key: &str, value: Value) -> Self {
        self.more.insert(key.to_owned(), value);
        self
    }

    pub(super) fn session() -> Self {
        Self::of_status(StatusCode::UNAUTHORIZED)
    }

    pub(super) fn not_found() -> Self {
        Self::of_status(StatusCode::NOT_FOUND)
    }

    /// A path that names neither an id nor an external id field: one form for both.
    pub(super) fn no_such_field(name: &str) -> Self {
        let message = format!("Provided external ID field does not exist or is not accessible: {name}");
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", message)
    }

    pub(super) fn deleted(status: StatusCode) -> Self {
        Self::new(status, "ENTITY_IS_DELETED", "entity is deleted").on([] as [&str; 0])
    }

    pub(super) fn method(method: &http::Method) -> Self {
        let message = format!("HTTP Method '{method}' not allowed. Allowed are HEAD,GET,POST,PATCH,DELETE");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message)
    }

    pub(super) fn unreadable(message: impl Into<String>) -> Self {
        Self::bad("JSON_PARSER_ERROR", message)
    }

    /// What Salesforce says with this status and nothing more particular. It has no 429: who asks too much is refused
    /// with 403 and a code of its own.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::BAD_REQUEST => Self::unreadable("Unexpected character at [line:1, column:1]"),
            StatusCode::UNAUTHORIZED => Self::new(status, "INVALID_SESSION_ID", "Session expired or invalid"),
            StatusCode::TOO_MANY_REQUESTS => Self::new(
                StatusCode::FORBIDDEN,
                "REQUEST_LIMIT_EXCEEDED",
                "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
            ),
            StatusCode::FORBIDDEN => {
                Self::new(status, "INSUFFICIENT_ACCESS", "insufficient access rights on object id")
            }
            StatusCode::NOT_FOUND => Self::new(status, "NOT_FOUND", "The requested resource does not exist"),
            StatusCode::CONFLICT => {
                // A conflict of two writers; by the documented code it is a 400.
                Self::bad("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record").on([] as [&str; 0])
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Self::new(status, "UNSUPPORTED_MEDIA_TYPE", "Content type not supported, use application/json")
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                Self::new(status, "SERVER_UNAVAILABLE", "Server is temporarily unavailable, please try again")
            }
            _ => Self::new(status, "UNKNOWN_EXCEPTION", "An unexpected error occurred. Please include this ErrorId"),
        }
    }

    pub(super) fn body(&self) -> Value {
        let mut said = self.more.clone();
        said.insert("message".to_owned(), json!(self.message));
        said.insert("errorCode".to_owned(), json!(self.code));
        if let Some(fields) = &self.fields {
            said.insert("fields".to_owned(), json!(fields));
        }
        json!([said])
    }

    pub(super) fn into_reply(self) -> Reply {
        Reply::json(self.status, &self.body())
    }
}
