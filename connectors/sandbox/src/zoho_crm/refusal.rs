//! Zoho's ways of saying no, so that every error body in the sandbox has one of its forms (`crm-api.md` §6).

use http::StatusCode;
use serde_json::{Value, json};

use crate::Reply;

/// What an operation comes to.
pub(super) type Answer = Result<Reply, Refusal>;

/// A no of the CRM's API: `{"code":…,"details":{…},"message":…,"status":"error"}`, alone or inside `data`.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) details: Value,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, details: json!({}), message: message.into() }
    }

    pub(super) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// A value that is not what the field takes.
    pub(super) fn invalid(field: &str, expected: &str) -> Self {
        let path = format!("$.data[0].{field}");
        let details = json!({"expected_data_type": expected, "api_name": field, "json_path": path});
        Self { details, ..Self::bad("INVALID_DATA", "invalid data") }
    }

    pub(super) fn missing(field: &str) -> Self {
        let details = json!({"api_name": field, "json_path": format!("$.data[0].{field}")});
        Self { details, ..Self::bad("MANDATORY_NOT_FOUND", "required field not found") }
    }

    /// The record that the path names is not there.
    pub(super) fn gone(id: &str) -> Self {
        Self { details: json!({"id": id}), ..Self::bad("INVALID_DATA", "the id given seems to be invalid") }
    }

    pub(super) fn url() -> Self {
        let message = "Please check if the URL trying to access is a correct one";
        Self::new(StatusCode::NOT_FOUND, "INVALID_URL_PATTERN", message)
    }

    pub(super) fn method() -> Self {
        Self::bad("INVALID_REQUEST_METHOD", "The http request method type is not a valid one")
    }

    pub(super) fn module(name: &str) -> Self {
        let details = json!({"module": name});
        Self { details, ..Self::bad("INVALID_MODULE", "the module name given seems to be invalid") }
    }

    /// What Zoho says with this status and nothing more particular.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            400 => Self::bad("INVALID_DATA", "invalid data"),
            401 => Self::new(status, "INVALID_TOKEN", "invalid oauth token"),
            403 => Self::new(status, "NO_PERMISSION", "permission denied"),
            404 => Self::url(),
            412 => Self::new(status, "RECORD_MODIFIED", "The record has been modified"),
            429 => Self::new(
                status,
                "TOO_MANY_REQUESTS",
                "You have exceeded the maximum number of requests that can be made at a time",
            ),
            _ => Self::new(status, "INTERNAL_ERROR", "Internal Server Error"),
        }
    }

    /// The error as an object, as it stands alone or in `data`.
    pub(super) fn shown(&self) -> Value {
        json!({"code": self.code, "details": self.details, "message": self.message, "status": "error"})
    }

    pub(super) fn into_reply(self) -> Reply {
        Reply::json(self.status, &self.shown())
    }
}
