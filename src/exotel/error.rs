//! What can go wrong between us and Exotel, told apart by what may follow, each with its cure.

use std::time::Duration;

use crate::codes::Code;

/// Why Exotel's REST API did not do, or did not say, what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExotelError {
    /// Exotel says no; nothing was done, and asked the same it would say the same again.
    #[error("Exotel refuses it ({}): {message}", numbers(*status, *code))]
    Refused {
        status: u16,
        /// Of the newer APIs (exotel-api §1.5): 10706, say.
        code: Option<i64>,
        message: String,
    },
    /// API key, token, Account SID and region do not go together, or the key may not do this.
    #[error("Exotel refuses the account's credentials ({status})")]
    Auth { status: u16 },
    /// Too many requests, of ours or of others in the account; nothing was done.
    #[error("Exotel's limit of requests is used up; it can be asked again in {} s", retry_after.as_secs().max(1))]
    Busy { retry_after: Duration },
    /// No answer, or one that does not tell: the request may have been carried out.
    #[error("it is not known whether Exotel did it: {reason}")]
    Unknown { reason: String },
    /// Nothing reached Exotel.
    #[error("Exotel cannot be reached: {reason}")]
    Unreachable { reason: String },
    #[error("Exotel knows nothing of this: {message}")]
    NotFound { code: Option<i64>, message: String },
    /// An answer that cannot be understood, to a question that changes nothing.
    #[error("Exotel's answer cannot be read: {reason}")]
    Unreadable { reason: String },
}

fn numbers(status: u16, code: Option<i64>) -> String {
    code.map_or_else(|| status.to_string(), |code| format!("{status}, code {code}"))
}

impl ExotelError {
    pub fn code(&self) -> Code {
        match self {
            Self::Refused { .. } => Code::Refused,
            Self::Auth { .. } => Code::ExotelUnauthorized,
            Self::Busy { .. } => Code::ExotelBusy,
            Self::Unknown { .. } => Code::Unknown,
            Self::Unreachable { .. } => Code::ExotelUnreachable,
            Self::NotFound { .. } => Code::UnknownToExotel,
            Self::Unreadable { .. } => Code::ExotelUnreadable,
        }
    }

    /// What to do about it, in words for a person.
    pub fn cure(&self) -> &'static str {
        match self {
            Self::Auth { status: 403 } => {
                "the API key may lack permissions, or this address is not on the account's IP list"
            }
            Self::Auth { .. } => {
                "copy API key and token anew from Settings → API, and see that `region` is that of your dashboard \
                 (my.exotel.com: singapore, my.in.exotel.com: mumbai)"
            }
            Self::NotFound { .. } => "check what was asked for; if nothing is known at all, check `sid` and `region`",
            Self::Busy { .. } => "wait, or have Exotel raise the account's limit",
            Self::Unknown { .. } => "look whether it was done before it is asked for again",
            Self::Unreachable { .. } => "check `api_url` and `ccm_url`, and the way out of this machine",
            Self::Unreadable { .. } => "try again later; a proxy on the way may have answered in Exotel's place",
            Self::Refused { code: Some(code), .. } => of_code(*code),
            Self::Refused { status: 402, .. } => "the account's balance or plan does not allow it: see the dashboard",
            Self::Refused { .. } => "mend what Exotel names",
        }
    }
}

/// The codes that people can do something about (exotel-api §1.5).
fn of_code(code: i64) -> &'static str {
    match code {
        1012 => "the agent's device is switched off: switch it on",
        10_705 | 10_809 => "the agent's number is not verified: verify it in Exotel's dashboard",
        10_706 => "the agent is on another call: wait for its end",
        10_716 => "the ExoPhone is not of this account: check the caller id",
        10_717 => "the number is on the do-not-disturb register: it may not be called",
        10_810 => "another device of this user is switched on: switch that one off first",
        10_811 | 1008 => "it is there already",
        10_817 => "only telephones can be changed here, not SIP devices",
        _ => "mend what Exotel names",
    }
}
