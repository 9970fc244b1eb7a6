//! Zoho Desk's ways of saying no, so that every error body in the sandbox has the one form (§6.2.b; `[S]` Common.json).

use http::StatusCode;
use serde_json::{Value, json};

use crate::Reply;

/// What an operation comes to.
pub(super) type Answer = Result<Reply, Refusal>;

/// A no.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// Fields in JSON Pointer form, each with `invalid`, `duplicate` or `missing`.
    fields: Vec<(String, &'static str)>,
}

impl Refusal {
    pub(super) fn coded(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), fields: Vec::new() }
    }

    /// 422 with the faulty fields.
    pub(super) fn fields(fields: Vec<(String, &'static str)>) -> Self {
        let message = "The data does not comply to the validation restrictions defined.";
        Self { fields, ..Self::coded(StatusCode::UNPROCESSABLE_ENTITY, "INVALID_DATA", message) }
    }

    /// 422 for what is wrong with the request as a whole.
    pub(super) fn unprocessable(message: impl Into<String>) -> Self {
        Self::coded(StatusCode::UNPROCESSABLE_ENTITY, "UNPROCESSABLE_ENTITY", message)
    }

    pub(super) fn not_found() -> Self {
        Self::of_status(StatusCode::NOT_FOUND)
    }

    /// What Zoho Desk says with this status and nothing more particular.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let (code, message) = match status.as_u16() {
            400 => ("BAD_REQUEST", "The request is not valid."),
            401 => ("INVALID_OAUTH", "The OAuth Token you provided is invalid."),
            403 => ("FORBIDDEN", "You are not authorized to access this resource."),
            404 => ("URL_NOT_FOUND", "The URL you requested could not be found."),
            413 => ("RESOURCE_SIZE_EXCEEDED", "The size of the resource exceeds the limit."),
            415 => ("UNSUPPORTED_MEDIA_TYPE", "The media type of the request is not supported."),
            422 => ("UNPROCESSABLE_ENTITY", "The input does not fulfil the conditions of this API."),
            429 => ("TOO_MANY_REQUESTS", "Too many requests are being processed at the same time."),
            _ => ("INTERNAL_SERVER_ERROR", "An internal server error occurred while performing this operation."),
        };
        Self::coded(status, code, message)
    }

    pub(super) fn into_reply(self) -> Reply {
        let mut body = json!({"errorCode": self.code, "message": self.message});
        if !self.fields.is_empty() {
            let shown = self
                .fields
                .into_iter()
                .map(|(field, kind)| json!({"fieldName": field, "errorType": kind, "errorMessage": ""}));
            body["errors"] = Value::Array(shown.collect());
        }
        Reply::json(self.status, &body)
    }
}
