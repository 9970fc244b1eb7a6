//! What a voicebot did in a call: the bridge writes it into the journal, `normalise` reads it back, so that it is a part of
//! the call as durable, and as free of order, as what Exotel says.

use std::{collections::BTreeMap, fmt};

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
    /// With neither of these it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<SessionEnd>,
    /// What became known while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<TalkPart>,
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    Caller,
    Bot,
}

/// One thing that somebody said.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// Its place among those of the session: told once more, the later telling counts.
    pub n: u32,
    /// When it was first told, since the session began.
    pub at_ms: u64,
    pub speaker: Speaker,
    pub text: String,
    /// It was interrupted: not all of it was heard.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// What people say is in no log.
impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({}, {:?}, {} characters)", self.n, self.speaker, self.text.chars().count())
    }
}

/// A bot has its caller put through to a human.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HandOver {
    /// `None`: the flow decides.
    pub target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For whoever takes the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// What a caller said to a bot is in no log.
impl fmt::Debug for HandOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandOver")
    }
}

/// What became known of a session since the part before.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TalkPart {
    /// Parts of a session have their order by it.
    pub number: u32,
    pub lines: Vec<Line>,
    pub fields: BTreeMap<String, String>,
    pub notes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hand_over: Option<HandOver>,
}

/// What a caller said to the bot is in no log.
impl fmt::Debug for TalkPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TalkPart({}, {} lines)", self.number, self.lines.len())
    }
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording_lost_ms: Option<u64>,
    /// From when the caller stopped speaking to the first audio of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turns: Option<Turns>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolTally>,
    /// What was said beyond what one session may say.
    #[serde(skip_serializing_if = "is_zero")]
    pub lost_lines: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// How long the caller waited for answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Turns {
    pub count: u32,
    pub p50_ms: u32,
    pub max_ms: u32,
}

/// How often a tool was used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolTally {
    pub name: String,
    pub calls: u32,
    pub failed: u32,
    pub max_ms: u32,
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
        let kind = match (&bot.part, &bot.end) {
            (Some(_), _) => EventKind::BotSaid,
            (None, Some(_)) => EventKind::BotEnded,
            (None, None) => EventKind::BotStarted,
        };
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
            part: None,
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
        // Of its parts each is an event of its own, however quick they come.
        let part = |number| {
            let mut told = told(1, None);
            told.bot.part = Some(TalkPart { number, notes: vec!["hunter2".to_owned()], ..TalkPart::default() });
            told
        };
        let parts = [part(0), part(1)].map(|told| event(&told));
        assert!(parts[0].id != parts[1].id && parts[0] == event(&part(0)));
        assert_eq!(parts[0].kind, EventKind::BotSaid);
        assert!(!format!("{:?} {:?}", part(0), parts[0]).contains("hunter2"));
    }
}
