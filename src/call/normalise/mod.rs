//! From a receipt to what it says: one lenient reader for every encoding Exotel uses.

mod facts;
mod fields;
mod identity;
mod kind;
mod legs;
mod recording;
mod time;

#[cfg(test)]
mod tests;

use jiff::tz::Offset;

use super::{
    bot::BotTold,
    event::{CallEvent, EventKind, Facts},
    person::{Asked, PersonRequest},
    placed::PlacedCall,
    receipt::{Hook, Receipt},
    route::Routed,
};
use fields::Fields;

pub use recording::recording_allowed;
pub use time::parse as parse_time;

/// The longest CallSid there may be: Exotel's have 32 characters and are the key of everything.
const MAX_CALL_SID: usize = 128;

/// What reading an account's callbacks depends on.
#[derive(Clone, Debug)]
pub struct Locale {
    /// Of Exotel's naive timestamps (exotel-api §1.6).
    pub utc_offset: Offset,
    /// ISO 3166 country of numbers written nationally: `IN`.
    pub country: String,
    /// Origins (scheme, host, port) beside Exotel's own hosts that a recording may come from: the account's `api_url`.
    pub recording_origins: Vec<url::Origin>,
}

/// Why a receipt cannot be read. It is set aside with this, and can be replayed once that is mended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Poison {
    #[error("no CallSid in query or body")]
    NoCallSid,
    #[error("the body is not {0}")]
    Unreadable(&'static str),
}

/// Reads a receipt: query and body, form, multipart or JSON, become one set of fields (the body adds to the query), and
/// those become one event.
///
/// # Errors
/// [`Poison`] when there is no CallSid to be found in it.
pub fn normalise(receipt: &Receipt, locale: &Locale) -> Result<CallEvent, Poison> {
    let (mut fields, unreadable) = Fields::read(&receipt.query, receipt.content_type.as_deref(), &receipt.body);
    let Some(call_sid) = call_sid(&mut fields).or_else(|| asked_about(receipt)) else {
        return Err(unreadable.map_or(Poison::NoCallSid, Poison::Unreadable));
    };
    let (kind, mut facts) = match receipt.hook {
        // Our own words, whole, and by our own clock: what a person asked is ordered by when he did.
        Hook::Person => return Ok(ours(receipt, call_sid, asked(&receipt.body))),
        Hook::Routed => return Ok(ours(receipt, call_sid, routed(&receipt.body))),
        Hook::Click => return Ok(ours(receipt, call_sid, placed(&receipt.body))),
        Hook::Bot => return Ok(ours(receipt, call_sid, bot(&receipt.body))),
        Hook::CallEvents | Hook::Freshworks | Hook::LeadSquared | Hook::Salesforce | Hook::Zoho | Hook::IpPstn => {
            let kind = kind::of(receipt.hook, &receipt.path, &mut fields);
            let mut facts = facts::of_applet(&mut fields, kind.keyed_at, locale);
            facts.automatic = kind.automatic;
            (kind.kind, facts)
        }
        Hook::Status => match fields.take("LegSid") {
            // A leg of its own: somebody listening in (exotel-api §5.2). Its end is not the call's.
            Some(_) => (EventKind::Other("leg".to_owned()), facts::of_leg(&mut fields)),
            None => (EventKind::StatusChanged, facts::of_status(&mut fields, locale)),
        },
        Hook::Details => (EventKind::Detailed, facts::of_details(&mut fields, locale)),
        Hook::Listed => (EventKind::Listed, facts::of_listed(&mut fields, locale)),
    };
    let at = ["CurrentTime", "EventTime", "DateUpdated"]
        .into_iter()
        .find_map(|key| fields.take(key).and_then(|text| time::parse(&text, locale.utc_offset)));
    facts.other = fields.rest();
    if let Some(what) = unreadable {
        facts.other.insert("unreadable body".to_owned(), what.to_owned());
    }
    let id = identity::of(receipt.hook, &call_sid, &kind, at, &facts);
    Ok(CallEvent { id, call_sid, kind, at, received_at: receipt.received_at, facts })
}

/// What a request says under the first of these names that says something, in whatever encoding: who is not let in yet
/// has to be asked for his account.
pub fn field(query: &str, content_type: Option<&str>, body: &[u8], names: &[&str]) -> Option<String> {
    let (mut fields, _) = Fields::read(query, content_type, body);
    names.iter().find_map(|name| fields.take(name))
}

/// An event of a receipt that Patchbay wrote itself: nothing in it is from Exotel's clock.
fn ours(receipt: &Receipt, call_sid: String, (kind, facts): (EventKind, Facts)) -> CallEvent {
    let at = Some(receipt.received_at);
    let id = identity::of(receipt.hook, &call_sid, &kind, at, &facts);
    CallEvent { id, call_sid, kind, at, received_at: receipt.received_at, facts }
}

/// Of these, one of tomorrow's that cannot be read says at least that it was there.
fn unread(what: &str) -> (EventKind, Facts) {
    (EventKind::Other(what.to_owned()), Facts::default())
}

fn asked(body: &[u8]) -> (EventKind, Facts) {
    let Ok(PersonRequest { integration, by, asked, .. }) = serde_json::from_slice(body) else {
        return unread("person");
    };
    let integration = Some(integration).filter(|name| !name.is_empty());
    let facts = Facts { integration, asked_by: Some(by), ..Facts::default() };
    match asked {
        Asked::Contact { record } => (EventKind::Associated, Facts { chosen: Some(record), ..facts }),
        Asked::FollowUp { wish } => (EventKind::FollowUpAsked, Facts { follow_up: Some(wish), ..facts }),
        Asked::Order { order } => (EventKind::Ordered, Facts { order: Some(order), ..facts }),
    }
}

fn routed(body: &[u8]) -> (EventKind, Facts) {
    match serde_json::from_slice::<Routed>(body) {
        Ok(routed) => (EventKind::Routed, Facts { routed: Some(routed), ..Facts::default() }),
        Err(_) => unread("routed"),
    }
}

/// A call that was placed for a click.
fn placed(body: &[u8]) -> (EventKind, Facts) {
    match serde_json::from_slice::<PlacedCall>(body) {
        Ok(placed) => (EventKind::Placed, placed.facts()),
        Err(_) => unread("click"),
    }
}

fn bot(body: &[u8]) -> (EventKind, Facts) {
    match serde_json::from_slice::<BotTold>(body) {
        Ok(told) => told.says(),
        Err(_) => unread("bot"),
    }
}

/// What the request of an applet that waits for an answer says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asking {
    pub call_sid: Option<String>,
    /// As Exotel wrote it.
    pub customer: Option<String>,
    /// Likewise.
    pub exophone: Option<String>,
    /// The agent who was dialled last, as Exotel wrote him.
    pub last_dialled: Option<String>,
    /// An attempt was made before, without success.
    pub failed: bool,
    /// The rule a flow's URL asks about.
    pub rule: Option<String>,
    /// Which of an account's texts, prompts and cases a flow's URL means.
    pub name: Option<String>,
}

/// Reads what an applet asks, whatever the encoding; what cannot be read is not said.
pub fn asking(query: &str, content_type: Option<&str>, body: &[u8]) -> Asking {
    let (mut fields, _) = Fields::read(query, content_type, body);
    let status = fields.take("DialCallStatus").unwrap_or_default().to_ascii_lowercase();
    Asking {
        call_sid: call_sid(&mut fields),
        customer: facts::customer(&mut fields),
        exophone: facts::exophone(&mut fields),
        last_dialled: facts::dialled(&mut fields),
        failed: matches!(status.as_str(), "busy" | "no-answer" | "failed" | "canceled" | "cancelled"),
        rule: fields.take("rule"),
        name: fields.take("name"),
    }
}

fn call_sid(fields: &mut Fields) -> Option<String> {
    let plausible =
        |sid: &String| sid.chars().count() <= MAX_CALL_SID && !sid.chars().any(|c| c.is_whitespace() || c.is_control());
    fields.take("CallSid").filter(plausible).or_else(|| fields.take("Sid").filter(plausible))
}

/// The call that details were asked of: an answer that there is no such call names none (exotel-api §1.5).
fn asked_about(receipt: &Receipt) -> Option<String> {
    let file = receipt.path.rsplit('/').next().filter(|_| receipt.hook == Hook::Details)?;
    Some(file.strip_suffix(".json").unwrap_or(file).to_owned()).filter(|sid| !sid.is_empty())
}
