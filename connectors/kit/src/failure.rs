//! What went wrong with an exchange, and what may follow.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// The sort of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The credentials are wrong, expired or revoked: nothing of this integration can work. The lane is held.
    Unauthorized,
    /// The credentials are right and may not do this.
    Forbidden,
    NotFound,
    /// The record, or its unique field, exists already.
    Conflict,
    /// The CRM refuses what the request says (a mandatory field, a wrong value). A human must change something.
    Invalid,
    RateLimited,
    /// The CRM, or the way to it, is down. Counts for the breaker.
    Unavailable,
    /// A reply nobody can read.
    Malformed,
    Unsupported,
}

impl Kind {
    /// The word that a reason begins with and a log line has as its code. `docs/ERRORS.md` says what to do about each.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unauthorized => "crm_unauthorized",
            Self::Forbidden => "crm_forbidden",
            Self::NotFound => "crm_not_found",
            Self::Conflict => "crm_conflict",
            Self::Invalid => "crm_invalid",
            Self::RateLimited => "crm_rate_limited",
            Self::Unavailable => "crm_unavailable",
            Self::Malformed => "crm_malformed",
            Self::Unsupported => "crm_unsupported",
        }
    }
}

/// When the same thing may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    Never,
    Backoff,
    After(Duration),
    /// After the access token has been renewed.
    AfterRefresh,
}

/// Which part of the request the CRM refused, where the core can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// The contact is not there any more (deleted, merged): the core looks for it again.
    Contact,
    /// The agent cannot be assigned (deactivated, removed): the core goes on without.
    Agent,
    /// The call's own record is not there any more.
    Record,
}

/// A failure, with the verdict of the connector on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub kind: Kind,
    pub retry: Retry,
    /// The CRM's own code: `invalid_credentials`, `missing_field`.
    pub remote_code: Option<String>,
    pub about: Option<About>,
    /// For the person who has to mend it. The driver masks numbers in it before it is stored or logged.
    pub detail: String,
}

impl Failure {
    pub fn new(kind: Kind, retry: Retry) -> Self {
        Self { kind, retry, remote_code: None, about: None, detail: String::new() }
    }

    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.remote_code = Some(code.into());
        self
    }

    #[must_use]
    pub fn about(mut self, about: About) -> Self {
        self.about = Some(about);
        self
    }

    #[must_use]
    pub fn because(mut self, detail: impl fmt::Display) -> Self {
        self.detail = detail.to_string();
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.code())?;
        if let Some(code) = &self.remote_code {
            write!(f, " [{code}]")?;
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
