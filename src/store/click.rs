//! Clicks: who wants to be connected with whom, and how far that has come. Of one key there is one, and it dials once.

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;
use patchbay_kit::mask;
use uuid::Uuid;

use super::StoreError;
use crate::call::{BotWish, Receipt};

/// How far a click has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClickState {
    /// Wanted; nothing has been sent to Exotel, or what was sent was certainly not carried out.
    Intended,
    /// Durable before the first byte goes to Exotel: from here on it may have been dialled.
    Dialling,
    Placed {
        call_sid: String,
        /// The word for where it stood in Exotel's answer; none where it was found otherwise.
        status: Option<String>,
    },
    /// Exotel says no: nobody was rung.
    Refused { code: String, message: String },
    /// It may have been dialled. Never dialled again; looked for.
    Unknown { reason: String },
    /// It was looked for and is not there: nobody was rung.
    NotPlaced { reason: String },
}

impl ClickState {
    /// Every word for a state.
    pub const ALL: [&str; 6] = ["intended", "dialling", "placed", "refused", "unknown", "not_placed"];

    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Dialling => "dialling",
            Self::Placed { .. } => "placed",
            Self::Refused { .. } => "refused",
            Self::Unknown { .. } => "unknown",
            Self::NotPlaced { .. } => "not_placed",
        }
    }

    /// As it was stored: its word, and [`ClickState::parts`].
    pub(super) fn of(word: &str, call_sid: String, code: String, told: String) -> Option<Self> {
        Some(match word {
            "intended" => Self::Intended,
            "dialling" => Self::Dialling,
            "placed" => Self::Placed { call_sid, status: Some(code).filter(|word| !word.is_empty()) },
            "refused" => Self::Refused { code, message: told },
            "unknown" => Self::Unknown { reason: told },
            "not_placed" => Self::NotPlaced { reason: told },
            _ => return None,
        })
    }

    /// CallSid, code or status, and what is told of it, where it has them.
    pub(super) fn parts(&self) -> [Option<&str>; 3] {
        match self {
            Self::Intended | Self::Dialling => [None; 3],
            Self::Placed { call_sid, status } => [Some(call_sid), status.as_deref(), None],
            Self::Refused { code, message } => [None, Some(code), Some(message)],
            Self::Unknown { reason } | Self::NotPlaced { reason } => [None, None, Some(reason)],
        }
    }

    /// Whether nothing more is to be done about it.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Placed { .. } | Self::Refused { .. } | Self::NotPlaced { .. })
    }

    /// The whole life of a click. Nothing leads from where it may have been dialled to where it may be dialled, but for
    /// what was certainly not carried out; and a call that shows itself after all is believed.
    pub fn may_become(&self, next: &Self) -> bool {
        matches!(
            (self, next),
            (Self::Intended, Self::Dialling | Self::NotPlaced { .. })
                | (Self::Dialling, Self::Intended | Self::Placed { .. } | Self::Refused { .. } | Self::Unknown { .. })
                | (Self::Unknown { .. }, Self::Unknown { .. } | Self::Placed { .. } | Self::NotPlaced { .. })
                | (Self::NotPlaced { .. }, Self::Placed { .. })
        )
    }
}

/// One click. Of the key only a hash is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Click {
    /// UUIDv7. Also the mark that its call carries.
    pub id: Uuid,
    pub account: String,
    /// Grows with every change.
    pub version: i64,
    /// Of the idempotency key.
    pub key: [u8; 32],
    /// Of the request: the same key with another one is a mistake.
    pub fingerprint: [u8; 32],
    /// Who is rung first: E.164, or `sip:…`. Of a call into a flow or to a bot, the customer.
    pub agent: String,
    /// E.164, or `sip:…`. Of a call into a flow or to a bot the DID, as Exotel has it too.
    pub to: String,
    /// E.164.
    pub caller_id: String,
    /// The address of the flow that the customer is put into.
    pub flow_url: Option<String>,
    /// The voicebot that the customer is connected with: through that flow, or without one over a stream of its own.
    pub bot: Option<BotWish>,
    /// What the caller had it carry, without our mark.
    pub custom_field: Option<String>,
    pub record: bool,
    pub state: ClickState,
    pub asked_at: Timestamp,
    /// When it became durable that it would be dialled, the last time.
    pub dialled_at: Option<Timestamp>,
    pub updated_at: Timestamp,
}

impl fmt::Debug for Click {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Click({} {} → {} {:?})", self.id, mask::number(&self.agent), mask::number(&self.to), self.state)
    }
}

impl Click {
    /// Whether it has no agent: whoever is rung is the customer.
    pub fn rings_customer(&self) -> bool {
        self.flow_url.is_some() || self.bot.is_some()
    }
}

/// A bot's part of a click, as it is stored.
pub(super) fn bot_written(click: &Click) -> Result<Option<String>, StoreError> {
    let written = click.bot.as_ref().map(serde_json::to_string).transpose();
    written.map_err(|error| StoreError::Unwritable(error.to_string()))
}

/// The same, read. `Err`: it is not of a known form.
pub(super) fn bot_read(stored: Option<&str>) -> Result<Option<BotWish>, ()> {
    stored.map(serde_json::from_str).transpose().map_err(|_| ())
}

/// What became of an intent that was to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    New,
    /// There is one of this key already.
    Known(Box<Click>),
}

/// A change of a click: written if it is still at `on_version` and may become that.
#[derive(Clone, Debug, PartialEq)]
pub struct ClickStep {
    pub account: String,
    pub id: Uuid,
    pub on_version: i64,
    pub state: ClickState,
    pub at: Timestamp,
    /// Goes into the journal in the same transaction: a call that is known of is a call.
    pub receipt: Option<Receipt>,
}

/// Which clicks to list, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClickFilter {
    /// Words of [`ClickState::ALL`]; none are all.
    pub states: Vec<String>,
    /// Of one agent and one he wants to be connected with.
    pub pair: Option<(String, String)>,
    /// Of these agents alone, by number; `None`: of all.
    pub agents: Option<Vec<String>>,
    pub since: Option<Timestamp>,
    /// 0: the default of 50.
    pub limit: u32,
}

/// What the dialer asks of the database.
#[async_trait]
pub trait Clicks: Send + Sync + fmt::Debug + 'static {
    /// Keeps a click that is [`ClickState::Intended`]: durable when this resolves. If there is one of its key, that one is
    /// returned and nothing is written.
    ///
    /// With `renew_before` the key is good for a while only: one asked before that, or refused, or not placed, gives its
    /// key up, unless it is not settled yet.
    async fn intend(&self, click: Click, renew_before: Option<Timestamp>) -> Result<Kept, StoreError>;

    async fn click(&self, account: &str, id: Uuid) -> Result<Option<Click>, StoreError>;

    async fn click_of_key(&self, account: &str, key: [u8; 32]) -> Result<Option<Click>, StoreError>;

    /// Durable when this resolves.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the click has changed since, is not there, or may not become that; nothing is written.
    async fn step_click(&self, step: ClickStep) -> Result<(), StoreError>;

    /// All of an account that are intended, being dialled, or unknown; oldest first.
    async fn unsettled_clicks(&self, account: &str) -> Result<Vec<Click>, StoreError>;

    async fn list_clicks(&self, account: &str, filter: &ClickFilter) -> Result<Vec<Click>, StoreError>;
}

/// Whether a click gives its key up to one that comes now: what every store must decide alike.
pub(super) fn gives_up(was: &Click, renew_before: Option<Timestamp>) -> bool {
    let Some(before) = renew_before else { return false };
    let failed = matches!(was.state, ClickState::Refused { .. } | ClickState::NotPlaced { .. });
    was.state.is_settled() && (failed || was.asked_at < before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_back_from_where_it_may_have_been_dialled() {
        let text = String::new;
        let all = [
            ClickState::Intended,
            ClickState::Dialling,
            ClickState::Placed { call_sid: text(), status: None },
            ClickState::Refused { code: text(), message: text() },
            ClickState::Unknown { reason: text() },
            ClickState::NotPlaced { reason: text() },
        ];
        assert_eq!(all.each_ref().map(ClickState::as_str), ClickState::ALL);
        for state in &all {
            for next in [ClickState::Intended, ClickState::Dialling] {
                let wanted = matches!(
                    (state, &next),
                    (ClickState::Intended, ClickState::Dialling) | (ClickState::Dialling, ClickState::Intended)
                );
                assert_eq!(state.may_become(&next), wanted, "{state:?} → {next:?}");
            }
            let open = all.iter().any(|next| state.may_become(next));
            // Placed and refused are for ever; what was not found may show itself.
            let last = matches!(state, ClickState::Placed { .. } | ClickState::Refused { .. });
            assert_eq!(open, !last, "{state:?}");
        }
    }
}
