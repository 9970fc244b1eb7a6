//! Freshsales' ways of saying no, so that every error body in the sandbox has the one form (`crm-api.md` §2.b).

use http::StatusCode;
use serde_json::{Value, json};

use super::Settings;
use crate::Reply;

/// What an operation comes to.
pub(super) type Answer = Result<Reply, Refusal>;

/// A no.
#[derive(Debug)]
pub(super) enum Refusal {
    /// `{"errors":{"code":…,"message":[…]}}`
    Errors(StatusCode, Vec<String>),
    /// 401 has a form of its own `[M]`.
    Login,
}

impl Refusal {
    /// 400 with this one message.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::Errors(StatusCode::BAD_REQUEST, vec![message.into()])
    }

    /// 404.
    pub(super) fn not_found() -> Self {
        Self::of_status(StatusCode::NOT_FOUND)
    }

    /// 500: what Freshsales' own code stumbles over.
    pub(super) fn stumbled() -> Self {
        Self::of_status(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// What Freshsales says with this status and nothing more particular `[M]`.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let message = match status {
            StatusCode::UNAUTHORIZED => return Self::Login,
            StatusCode::FORBIDDEN => "You do not have permission to perform this action",
            StatusCode::NOT_FOUND => "Record not found",
            StatusCode::TOO_MANY_REQUESTS => "Too many requests",
            StatusCode::INTERNAL_SERVER_ERROR => "Something went wrong",
            _ => status.canonical_reason().unwrap_or("Error"),
        };
        Self::Errors(status, vec![message.to_owned()])
    }

    pub(super) fn into_reply(self, settings: &Settings) -> Reply {
        match self {
            Self::Errors(status, messages) => {
                let message =
                    if settings.message_as_text { Value::from(messages.join(", ")) } else { Value::from(messages) };
                Reply::json(status, &json!({"errors": {"code": status.as_u16(), "message": message}}))
            }
            Self::Login => Reply::json(
                StatusCode::UNAUTHORIZED,
                &json!({"login": "failed", "message": "Incorrect API key or the user is deactivated"}),
            ),
        }
    }
}
