//! What a voicebot did in a call: the bridge writes it into the journal, `normalise` reads it back, so that it is a part of
//! the call as durable, and as free of order, as what Exotel says.

use std::fmt;

use jiff::Timestamp;
use patchbay_kit::{Direction, mask};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    event::{EventKind, Facts},
    receipt::{Hook, Receipt},
};

/// A voicebot's part of a call. A call may have several: Exotel connects once more when a connection fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BotSession {
    pub session: Uuid,
    /// Its id. `None`: no bot was found for the call.
    #[serde(default)]
    pub bot: Option<String>,
    #[serde(default)]
    pub backend: Option<String>,
    /// Where it is recorded, below the directory of recordings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<String>,
    /// `None`: it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<SessionEnd>,
}

/// How it ended, and what it had been.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SessionEnd {
    /// One word: `stopped`, `closed`, `bot_done`, `backend_failed`, `silent`, `replaced`, `full`, …
    pub reason: String,
    /// Why, where there is more to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
    pub duration_ms: u64,
    /// Audio of the caller's that came.
    pub heard_ms: u64,
    /// Of it, what was too old to be passed on.
    pub dropped_ms: u64,
    /// Audio that went to the caller.
    pub said_ms: u64,
    /// When the first of it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_audio_ms: Option<u64>,
    pub barge_ins: u64,
    pub underruns: u64,
    /// What is silence in its recording because the disk was too slow.
    #[serde(skip_serializing_if = "is_zero")]
    pub recording_lost_ms: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What the bridge writes into the journal.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BotTold {
    pub call_sid: String,
    /// As Exotel wrote them.
    #[serde(default)]
    pub customer: Option<String>,
    #[serde(default)]
    pub exophone: Option<String>,
    /// The numbers of the stream say so; else not known.
    #[serde(default)]
    pub direction: Option<Direction>,
    #[serde(flatten)]
    pub bot: BotSession,
}

impl fmt::Debug for BotTold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BotTold")
            .field("call_sid", &self.call_sid)
            .field("customer", &self.customer.as_deref().map(mask::number))
            .field("bot", &self.bot)
            .finish_non_exhaustive()
    }
}

impl BotTold {
    /// As it goes into the journal.
    ///
    /// # Errors
    /// Never for what can be told; serialising has an error all the same.
    pub fn receipt(&self, id: Uuid, account: &str, at: Timestamp) -> Result<Receipt, serde_json::Error> {
        Ok(Receipt {
            id,
            account: account.to_owned(),
            hook: Hook::Bot,
            received_at: at,
            method: "POST".to_owned(),
            path: "/voicebot".to_owned(),
            query: String::new(),
            content_type: Some("application/json".to_owned()),
            body: serde_json::to_vec(self)?,
        })
    }

    pub(super) fn says(self) -> (EventKind, Facts) {
        let Self { customer, exophone, direction, bot, .. } = self;
        let kind = if bot.end.is_some() { EventKind::BotEnded } else { EventKind::BotStarted };
        (kind, Facts { customer, exophone, direction, bot: Some(bot), ..Facts::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{CallState, Locale, SeenBy, normalise};

    fn told(session: u128, end: Option<&str>) -> BotTold {
        let end = end.map(|reason| SessionEnd { reason: reason.to_owned(), ..SessionEnd::default() });
        let bot = BotSession {
            session: Uuid::from_u128(session),
            bot: Some("sales".to_owned()),
            backend: None,
            recording: None,
            end,
        };
        let (customer, exophone) = (Some("09052161119".to_owned()), Some("08047494574".to_owned()));
        BotTold { call_sid: "c1".to_owned(), customer, exophone, direction: Some(Direction::Incoming), bot }
    }

    #[test]
    fn a_session_is_two_events_of_its_call_and_a_second_one_is_others() {
        let locale =
            Locale { utc_offset: jiff::tz::Offset::UTC, country: "IN".to_owned(), recording_origins: Vec::new() };
        let at = Timestamp::from_second(1_790_000_000).expect("a time");
        let event = |told: &BotTold| {
            let receipt = told.receipt(Uuid::nil(), "acme1", at).expect("a receipt");
            normalise(&receipt, &locale).expect("an event")
        };
        let all = [told(1, None), told(1, Some("closed")), told(2, None)].map(|told| event(&told));
        assert_eq!(all[0], event(&told(1, None)), "read again it is the same");
        assert!(all[0].id != all[1].id && all[0].id != all[2].id);
        let kinds = all.each_ref().map(|event| event.kind.clone());
        assert_eq!(kinds, [EventKind::BotStarted, EventKind::BotEnded, EventKind::BotStarted]);
        assert_eq!(all[1].facts.bot, Some(told(1, Some("closed")).bot));
        let state = CallState::fold(&all).expect("a call");
        assert_eq!((state.customer.as_deref(), state.outcome), (Some("09052161119"), None), "it says of no outcome");
        assert_eq!(state.seen.first, Some(SeenBy::Callback));
        assert!(!format!("{:?}", told(1, None)).contains("09052161119"));
    }
}
