//! How LeadSquared says no: one envelope with an exception's name, under whatever status (`crm-api.md` §4.b).

use http::StatusCode;
use serde_json::json;

use super::{limits::WINDOW_S, settings::Settings};
use crate::Reply;

pub(super) type Answer = Result<Reply, Refusal>;

/// A refusal, before it is put into words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The envelope. Without a status of its own it takes the organisation's for errors.
    Exception { status: Option<StatusCode>, kind: &'static str, message: String },
    /// The API could not be found.
    NotFound,
    /// The API has another method `[M]`.
    Method,
    /// The body is not as the API describes it (the documentation's 400).
    Body(String),
}

impl Refusal {
    pub(super) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self::Exception { status: None, kind, message: message.into() }
    }

    pub(super) fn under(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self::Exception { status: Some(status), kind, message: message.into() }
    }

    /// A value nobody can use.
    pub(super) fn invalid(parameter: &str) -> Self {
        Self::new("MXInvalidInputException", format!("Invalid Input! Parameter Name: {parameter}"))
    }

    /// A value that must be there.
    pub(super) fn missing(parameter: &str, purpose: &str) -> Self {
        Self::new("MXMandatoryAttributeMissingException", format!("'{parameter}' is mandatory for {purpose}"))
    }

    /// Too many calls; `inside` a 200 as has been seen, else as documented.
    pub(super) fn limit(settings: &Settings, inside: bool) -> Self {
        let status = if inside { StatusCode::OK } else { StatusCode::TOO_MANY_REQUESTS };
        let limit = settings.limit.unwrap_or(25);
        let message = format!("API calls exceeded the limit of {limit} in {WINDOW_S} second(s)");
        Self::under(status, "MXAPIRateLimitExceededException", message)
    }

    /// What LeadSquared says under a status when nothing is known of why.
    pub(super) fn of_status(settings: &Settings, status: StatusCode) -> Self {
        match status {
            StatusCode::TOO_MANY_REQUESTS => Self::limit(settings, false),
            StatusCode::UNAUTHORIZED => {
                Self::under(status, "MXUnAuthorizedAccessException", "Invalid Access Key or Secret Key")
            }
            StatusCode::FORBIDDEN => {
                Self::under(status, "MXUnauthorizedRequestException", "You are not authorized for this request")
            }
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::BAD_REQUEST => Self::Body("The request is not as per API specification".to_owned()),
            _ => {
                let message = "There was an error processing the request. Please contact administrator.";
                Self::under(status, "Exception", message)
            }
        }
    }

    pub(super) fn into_reply(self, error_status: StatusCode) -> Reply {
        let envelope = |status, kind: &str, message: &str| {
            Reply::json(status, &json!({ "Status": "Error", "ExceptionType": kind, "ExceptionMessage": message }))
        };
        match self {
            Self::Exception { status, kind, message } => envelope(status.unwrap_or(error_status), kind, &message),
            Self::NotFound => Reply::of(StatusCode::NOT_FOUND, "text/html", "<p>Endpoint not found.</p>"),
            Self::Method => Reply::of(StatusCode::METHOD_NOT_ALLOWED, "text/html", "<p>Method not allowed.</p>"),
            Self::Body(message) => envelope(StatusCode::BAD_REQUEST, "MXInvalidRequestBodyException", &message),
        }
    }
}
