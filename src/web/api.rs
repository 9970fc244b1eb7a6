//! What every endpoint of the API shares: how query and body are read, and what can be wrong with a request.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{StatusCode, header},
    web::Bytes,
};
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};

use super::openapi::{Failed, ProblemShown, Wrong};
use crate::{
    access::GateError, accounts::AccountsError, config::Problem, directory::DirectoryError, exotel::ExotelError,
    store::StoreError,
};

/// The most rows of one page.
const PAGE: u32 = 200;

/// What can be wrong with a request to the API. One table: code, status, words.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("{0}")]
    BadRequest(String),
    #[error("sign in, or give a token as `Authorization: Bearer …`")]
    Unauthorized,
    /// What was given to come in with is wrong.
    #[error("{0}")]
    SignIn(String),
    #[error("{0}")]
    Forbidden(String),
    #[error("the API is closed: set server.admin_token")]
    Closed,
    #[error("{0}")]
    NotFound(String),
    /// Settings that cannot be, each with what would be right.
    #[error("{}", told(.0))]
    Invalid(Vec<Problem>),
    /// Secrets that were tried in vain.
    #[error("{0}")]
    NotVerified(String),
    /// It is not as whoever asks believes it to be.
    #[error("{0}")]
    Conflict(String),
    #[error("at most {0} bytes")]
    TooLarge(usize),
    #[error("too many attempts: try again in {} s", .0.as_secs() + 1)]
    TooMany(Duration),
    /// So many are open already: of his own, or of all.
    #[error("{0}")]
    Crowded(String),
    #[error("{0}")]
    Full(String),
    /// A CRM, or Exotel, does not answer as it should.
    #[error("{0}")]
    Upstream(String),
    /// What was asked of Exotel, and why it did not do or say it.
    #[error("{0}: {1}; {cure}", cure = .1.cure())]
    Exotel(&'static str, ExotelError),
    #[error("{}", of_store(.0))]
    Store(#[from] StoreError),
}

/// What the caller should know of it: what is his to mend; of the rest, that it is ours.
fn of_store(error: &StoreError) -> String {
    match error {
        StoreError::BadCursor => "before: give the `next` of the page before, as it was answered".to_owned(),
        _ => "the store cannot be asked now".to_owned(),
    }
}

fn told(problems: &[Problem]) -> String {
    AccountsError::Invalid(problems.to_vec()).to_string()
}

impl ApiError {
    fn parts(&self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid"),
            Self::NotVerified(_) => (StatusCode::UNPROCESSABLE_ENTITY, "not_verified"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::SignIn(_) => (StatusCode::UNAUTHORIZED, "wrong_credentials"),
            Self::Closed => (StatusCode::FORBIDDEN, "api_closed"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many"),
            Self::Crowded(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_streams"),
            Self::Full(_) => (StatusCode::SERVICE_UNAVAILABLE, "too_many_streams"),
            Self::Upstream(_) => (StatusCode::BAD_GATEWAY, "upstream"),
            Self::Exotel(_, ExotelError::Busy { .. }) => (StatusCode::TOO_MANY_REQUESTS, "exotel_busy"),
            Self::Exotel(_, ExotelError::NotFound { .. }) => (StatusCode::NOT_FOUND, "unknown_to_exotel"),
            Self::Exotel(_, ExotelError::Refused { .. }) => (StatusCode::UNPROCESSABLE_ENTITY, "refused"),
            Self::Exotel(_, ExotelError::Unknown { .. }) => (StatusCode::BAD_GATEWAY, "unknown"),
            Self::Exotel(..) => (StatusCode::BAD_GATEWAY, "upstream"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::Store(StoreError::BadCursor) => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
        }
    }

    pub(super) fn answer(&self) -> HttpResponse {
        let (status, code) = self.parts();
        if let (Self::Store(error), StatusCode::SERVICE_UNAVAILABLE) = (self, status) {
            tracing::error!(%error, "the API cannot ask the store");
        }
        let mut answer = HttpResponseBuilder::new(status);
        if status == StatusCode::UNAUTHORIZED {
            answer.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if let Self::TooMany(wait) | Self::Exotel(_, ExotelError::Busy { retry_after: wait }) = self {
            answer.insert_header((header::RETRY_AFTER, (wait.as_secs() + 1).to_string()));
        }
        if matches!(self, Self::Crowded(_) | Self::Full(_)) {
            answer.insert_header((header::RETRY_AFTER, "15"));
        }
        let problems = match self {
            Self::Invalid(problems) => Some(problems.iter().map(ProblemShown::of).collect()),
            _ => None,
        };
        answer.json(Failed { error: Wrong { code: code.to_owned(), message: self.to_string(), problems } })
    }
}

impl actix_web::ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.parts().0
    }

    fn error_response(&self) -> HttpResponse {
        self.answer()
    }
}

pub(super) type Answer = Result<HttpResponse, ApiError>;

impl From<DirectoryError> for ApiError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Unknown(_) => Self::NotFound(error.to_string()),
            DirectoryError::Invalid(_) => Self::BadRequest(error.to_string()),
            DirectoryError::ReadOnly(_) | DirectoryError::Changed(_) | DirectoryError::InUse(_) => {
                Self::Conflict(error.to_string())
            }
            DirectoryError::Store(error) => Self::Store(error),
        }
    }
}

impl From<AccountsError> for ApiError {
    fn from(error: AccountsError) -> Self {
        match error {
            AccountsError::Unknown(_) => Self::NotFound(error.to_string()),
            AccountsError::Invalid(problems) => Self::Invalid(problems),
            AccountsError::ReadOnly(_) | AccountsError::Exists(_) | AccountsError::Changed => {
                Self::Conflict(error.to_string())
            }
            AccountsError::NotVerified(_) => Self::NotVerified(error.to_string()),
            AccountsError::Store(error) => Self::Store(error),
        }
    }
}

impl From<GateError> for ApiError {
    fn from(error: GateError) -> Self {
        match error {
            GateError::WrongPassword | GateError::WrongToken => Self::SignIn(error.to_string()),
            GateError::TooMany(wait) => Self::TooMany(wait),
            GateError::Unknown(_) => Self::NotFound(error.to_string()),
            GateError::Invalid(..) => Self::BadRequest(error.to_string()),
            GateError::Changed | GateError::Taken => Self::Conflict(error.to_string()),
            GateError::Forbidden(_) => Self::Forbidden(error.to_string()),
            GateError::NotNow(reason) => Self::Store(StoreError::Unwritable(reason)),
            GateError::Store(error) => Self::Store(error),
        }
    }
}

pub(super) fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, ApiError> {
    serde_html_form::from_str(request.query_string()).map_err(|error| ApiError::BadRequest(format!("query: {error}")))
}

/// An empty body is an empty object.
pub(super) fn body<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, ApiError> {
    let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| ApiError::BadRequest(format!("body: {error}")))
}

/// What may be said of a removal: the version that was read, if another shall not be removed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Removal {
    pub(super) version: Option<i64>,
}

pub(super) fn limit(asked: Option<u32>) -> u32 {
    asked.unwrap_or(50).clamp(1, PAGE)
}
