//! Between values of the domain and what every store keeps of them: documents, names, numbers. Written out before a
//! transaction begins, so that nobody waits for it.

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use patchbay_kit::{Outcome, RecordRef};

use super::{Decision, DeliveryState, Settlement, StoreError};
use crate::call::{Content, Intent, IntentKind, SeenPopups};

/// Attempts kept of one delivery.
pub(super) const ATTEMPTS_KEPT: i64 = 50;

/// The most that is sent again in one transaction.
pub(super) const REDRIVE_PIECE: u32 = 500;

/// A page where the question does not say how large.
const PAGE: u32 = 50;

pub(super) fn page_size(limit: u32) -> usize {
    if limit == 0 { PAGE as usize } else { limit as usize }
}

pub(super) fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A value in the database that this program cannot have written.
pub(super) fn alien(what: &str) -> StoreError {
    StoreError::Unreadable(format!("stored {what} is not of a known form"))
}

pub(super) fn time(ms: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(ms).map_err(|_| alien("time"))
}

pub(super) fn to_json<T: Serialize>(what: &str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Unwritable(format!("{what} cannot be put in words: {:?}", error.classify())))
}

/// What serde says of a document may quote phone numbers, hence only the place.
pub(super) fn from_json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| {
        let (class, column) = (error.classify(), error.column());
        StoreError::Unreadable(format!("stored {what} cannot be read ({class:?} error at column {column})"))
    })
}

/// The column's number for a kind: earlier ones are smaller, with room for those to come.
pub(super) fn kind_rank(kind: IntentKind) -> i64 {
    match kind {
        IntentKind::Log => 10,
        IntentKind::Recording => 20,
        IntentKind::FollowUp => 30,
    }
}

pub(super) fn kind(rank: i64) -> Result<IntentKind, StoreError> {
    IntentKind::ALL.into_iter().find(|kind| kind_rank(*kind) == rank).ok_or_else(|| alien("kind of delivery"))
}

pub(super) fn state(text: &str) -> Result<DeliveryState, StoreError> {
    DeliveryState::parse(text).ok_or_else(|| alien("state of delivery"))
}

pub(super) fn outcome(text: &str) -> Result<Outcome, StoreError> {
    [Outcome::Answered, Outcome::Voicemail, Outcome::Missed, Outcome::FlowEnded]
        .into_iter()
        .find(|outcome| outcome.as_str() == text)
        .ok_or_else(|| alien("outcome"))
}

/// Digits of a number back to front, so that numbers with the same end stand together. `None` when there are none.
pub(super) fn reversed_digits(number: &str) -> Option<String> {
    let digits: String = number.chars().rev().filter(char::is_ascii_digit).collect();
    (!digits.is_empty()).then_some(digits)
}

/// The cursor of a list of calls: when the last one shown was first seen, and its row.
pub(super) fn parse_call_cursor(text: &str) -> Result<(i64, i64), StoreError> {
    let (first_seen, n) = text.rsplit_once('-').ok_or(StoreError::BadCursor)?;
    let parse = |number: &str| number.parse().map_err(|_| StoreError::BadCursor);
    Ok((parse(first_seen)?, parse(n)?))
}

/// The column's number for the popups that came.
pub(super) fn popups(seen: SeenPopups) -> i64 {
    match seen {
        SeenPopups::None => 0,
        SeenPopups::Dialling => 1,
        SeenPopups::Ringing => 2,
    }
}

/// A decision with its documents already written out.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) decision: Decision,
    pub(super) state: String,
    /// One each, in the order of the decision.
    pub(super) events: Vec<String>,
    pub(super) contents: Vec<String>,
}

impl Draft {
    pub(super) fn new(decision: Decision) -> Result<Self, StoreError> {
        let events = decision.witnessed.iter().map(|one| to_json("an event", &one.event));
        let contents = decision.intents.iter().map(|one| to_json("content of a delivery", &one.content));
        Ok(Self {
            state: to_json("a call's state", &decision.state)?,
            events: events.collect::<Result<_, _>>()?,
            contents: contents.collect::<Result<_, _>>()?,
            decision,
        })
    }
}

/// What planning an intent again does to its delivery.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replanned {
    /// It has other content, and a higher revision.
    pub(super) changed: bool,
    /// It is pending again, due at once, with a fresh schedule.
    pub(super) again: bool,
}

/// Compares a stored delivery with the intent that holds now. A newer program may write the same content in other
/// words, and must not for that write every old call to every CRM again; so what is not the same text is compared as
/// what it says.
pub(super) fn replan(
    state: DeliveryState,
    stored: &str,
    intent: &Intent,
    content: &str,
) -> Result<Replanned, StoreError> {
    let mut was = None;
    if stored != content {
        let found: Content = from_json("content of a delivery", stored)?;
        was = (found != intent.content).then_some(found);
    }
    let changed = was.is_some();
    // Superseded means that it was not wanted; now it is, whether or not its content is another.
    // And what was held because a person had to choose goes out once he has.
    let chosen = state == DeliveryState::Held && was.is_some_and(|was| chosen(&was) != chosen(&intent.content));
    let again = chosen || state == DeliveryState::Superseded || (changed && state == DeliveryState::Done);
    Ok(Replanned { changed, again })
}

/// The contact that a person chose.
fn chosen(content: &Content) -> Option<&RecordRef> {
    match content {
        Content::Log(log) => log.chosen.as_ref(),
        Content::Recording(_) | Content::FollowUp(_) => None,
    }
}

/// Whether a delivery of that state is superseded when it is not wanted any more. One in flight cannot be called back:
/// what becomes of it is known when it is settled.
pub(super) fn can_be_superseded(state: DeliveryState) -> bool {
    matches!(state, DeliveryState::Pending | DeliveryState::Held | DeliveryState::Dead)
}

/// Whether a delivery of that state can be sent again.
pub(super) fn can_be_redriven(state: DeliveryState, even_done: bool) -> bool {
    match state {
        DeliveryState::Inflight => false,
        DeliveryState::Done => even_done,
        DeliveryState::Pending | DeliveryState::Held | DeliveryState::Dead | DeliveryState::Superseded => true,
    }
}

/// A settlement with its documents already written out.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) settlement: Settlement,
    pub(super) attempt: String,
    pub(super) link: Option<String>,
    pub(super) contact: Option<String>,
}

impl Settled {
    pub(super) fn new(settlement: Settlement) -> Result<Self, StoreError> {
        let contact = settlement.contact.as_ref().and_then(|(_, contact)| contact.as_ref());
        Ok(Self {
            attempt: to_json("an attempt", &settlement.attempt)?,
            link: settlement.link.as_ref().map(|link| to_json("a link", link)).transpose()?,
            contact: contact.map(|contact| to_json("a contact", contact)).transpose()?,
            settlement,
        })
    }
}
