//! Freshdesk's ways of saying no, so that every error body in the sandbox has the one form (`crm-api.md` §1.b).

use http::{StatusCode, header};
use serde::Serialize;

use crate::{Reply, Request};

/// What an operation comes to.
pub(super) type Answer = Result<Reply, Refusal>;

/// One item of `errors`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct FieldError {
    pub(super) field: String,
    pub(super) message: String,
    pub(super) code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) additional_info: Option<Holder>,
}

/// Who already has a value that must be unique.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Holder {
    pub(super) user_id: u64,
}

impl FieldError {
    pub(super) fn new(field: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self { field: field.to_owned(), message: message.into(), code, additional_info: None }
    }
}

/// A no.
#[derive(Debug)]
pub(super) enum Refusal {
    /// `{"description":"Validation failed","errors":[…]}`
    Fields(StatusCode, Vec<FieldError>),
    /// `{"code":…,"message":…}`
    Coded(StatusCode, &'static str, &'static str),
    /// `{"message":…}`
    Said(StatusCode, String),
    /// 405 names what would be allowed.
    Method { asked: String, allowed: &'static str },
    /// 404 has no body.
    NotFound,
}

impl Refusal {
    /// 400 with these errors.
    pub(super) fn fields(errors: Vec<FieldError>) -> Self {
        Self::Fields(StatusCode::BAD_REQUEST, errors)
    }

    /// 400 with one error.
    pub(super) fn field(field: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self::fields(vec![FieldError::new(field, code, message)])
    }

    pub(super) fn credentials() -> Self {
        Self::of_status(StatusCode::UNAUTHORIZED)
    }

    pub(super) fn invalid_json() -> Self {
        Self::Coded(StatusCode::BAD_REQUEST, "invalid_json", "Request body has invalid json format")
    }

    pub(super) fn method(request: &Request, allowed: &'static str) -> Self {
        Self::Method { asked: request.method.to_string(), allowed }
    }

    /// What Freshdesk says with this status and nothing more particular.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::BAD_REQUEST => Self::invalid_json(),
            StatusCode::UNAUTHORIZED => {
                Self::Coded(status, "invalid_credentials", "You have to be logged in to perform this action.")
            }
            StatusCode::FORBIDDEN => {
                Self::Coded(status, "access_denied", "You are not authorized to perform this action.")
            }
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::CONFLICT => Self::Fields(
                status,
                vec![FieldError::new("unique_external_id", "duplicate_value", "It should be a unique value")],
            ),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::Coded(
                status,
                "invalid_content_type",
                "Content-Type header is not supported. It should be application/json",
            ),
            // [M]
            StatusCode::TOO_MANY_REQUESTS => {
                Self::Said(status, "You have exceeded the limit of requests per minute".to_owned())
            }
            _ => Self::Said(status, status.canonical_reason().unwrap_or("Error").to_owned()),
        }
    }

    pub(super) fn into_reply(self) -> Reply {
        #[derive(Serialize)]
        struct Validation {
            description: &'static str,
            errors: Vec<FieldError>,
        }
        #[derive(Serialize)]
        struct Plain<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            code: Option<&'static str>,
            message: &'a str,
        }
        match self {
            Self::Fields(status, errors) => {
                Reply::json(status, &Validation { description: "Validation failed", errors })
            }
            Self::Coded(status, code, message) => Reply::json(status, &Plain { code: Some(code), message }),
            Self::Said(status, message) => Reply::json(status, &Plain { code: None, message: &message }),
            Self::Method { asked, allowed } => {
                let message = format!("{asked} method is not allowed. It should be one of these method(s): {allowed}");
                Reply::json(StatusCode::METHOD_NOT_ALLOWED, &Plain { code: None, message: &message })
                    .with(header::ALLOW, allowed)
            }
            Self::NotFound => Reply::empty(StatusCode::NOT_FOUND),
        }
    }
}
