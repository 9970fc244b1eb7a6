//! PhoneBridge (v3): Zoho shows the call to the agent, and logs it under Calls by itself when it is told that it is over.
//!
//! The end is told once, with the recording, and is the call's record; so no call is logged twice. Calls that PhoneBridge
//! cannot be told of (no number, no plain CallSid) are records of ours alone, and were never shown.

use patchbay_kit::{
    About, CallActivity, Direction, Exchange, Failure, Outcome, Party, Phase, Popup, Popups, RecordRef, Request,
    Response, Safety, StatusCode, Step,
};
use serde_json::Value;

use crate::{
    ZohoCrm, agents,
    errors::{self, On, Refusal},
};

type Form = Vec<(String, String)>;

fn path(last: &str) -> Vec<String> {
    ["phonebridge", "v3", last].map(str::to_owned).to_vec()
}

/// Who is registered, for the proof that PhoneBridge takes this client. "PhoneBridge v3, Users" \[V\]
pub(crate) fn users() -> Request {
    Request::get("bridge.users", path("users"))
}

/// "Accepts an alphanumeric value" ("PhoneBridge v3, Call Notify" \[V\]).
fn id(key: &str) -> Option<&str> {
    (!key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(key)
}

fn pair(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

/// The parameters that every notification has.
fn call(direction: Direction, state: &str, key: &str, customer: &str, other: &str) -> Form {
    let (kind, from, to) = match direction {
        Direction::Incoming => ("received", customer, other),
        Direction::Outgoing => ("dialed", other, customer),
    };
    vec![pair("type", kind), pair("state", state), pair("id", key), pair("from", from), pair("to", to)]
}

/// The end of a call, as far as PhoneBridge can be told of it. "PhoneBridge v3, Incoming and Outgoing" \[V\]
fn end(it: &CallActivity) -> Option<Form> {
    let customer = it.customer.e164()?;
    let other = it.agent_number().and_then(Party::e164).or_else(|| it.exophone.e164())?;
    // "yyyy-MM-dd HH:mm:ss", GMT.
    let started = it.started_at.or(it.ended_at)?.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let state = match (it.direction, it.outcome) {
        (_, Outcome::Answered) => "ended",
        (Direction::Incoming, _) => "missed",
        (Direction::Outgoing, _) => "noanswer",
    };
    let mut form = call(it.direction, state, id(&it.key.0)?, customer, other);
    form.push(pair("start_time", started));
    if it.outcome == Outcome::Answered {
        form.push(pair("duration", it.talk_seconds.unwrap_or(0).to_string()));
    }
    form.extend(it.recording_link.as_ref().map(|link| pair("voiceuri", link)));
    Some(form)
}

/// Whether PhoneBridge makes this call's record.
pub(crate) fn knows(it: &CallActivity) -> bool {
    end(it).is_some()
}

/// Has PhoneBridge log the call; `None` where it cannot be told of it.
pub(crate) fn log(it: &CallActivity) -> Option<Exchange<RecordRef>> {
    let form = end(it)?;
    let key = it.key.0.clone();
    let done = move || RecordRef::new("phonebridge_call", &key);
    Some(match &it.agent {
        None => notify(form, done),
        Some(agent) => with_agent(agent, form, done),
    })
}

/// Tells PhoneBridge. It knows a call by its id, so that telling it again changes what was told \[M\].
fn notify<T>(form: Form, done: impl Fn() -> T + Send + Sync + 'static) -> Exchange<T> {
    Request::post("bridge.notify", path("callnotify")).safety(Safety::Idempotent).form(form).done(move |reply| {
        if let Some(refusal) = Refusal::in_reply(reply) {
            return Err(refusal.failure(On::Call));
        }
        let body: Value = reply.json()?;
        // `{"status":"success","code":"SUCCESS"}`
        if body.get("status").is_some_and(|status| status == "success") { Ok(done()) } else { Err(errors::malformed()) }
    })
}

/// The same for an agent: PhoneBridge knows him by another id than the CRM does, which is asked for first.
fn with_agent<T: 'static>(
    agent: &RecordRef,
    form: Form,
    done: impl Fn() -> T + Clone + Send + Sync + 'static,
) -> Exchange<T> {
    const GONE: &[StatusCode] = &[StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND];
    agents::user(&agent.id)
        .then(move |reply| {
            let mut form = form.clone();
            form.extend(zuid(reply)?.map(|zuid| pair("zohouser", zuid)));
            Ok(Step::Then(notify(form, done.clone())))
        })
        .accepting(GONE)
}

fn zuid(reply: &Response) -> Result<Option<String>, Failure> {
    let gone = |failure: Failure| failure.about(About::Agent);
    if !reply.status.is_success() {
        return Err(gone(errors::classify(reply, On::Call)));
    }
    if let Some(refusal) = Refusal::in_reply(reply) {
        return Err(gone(refusal.failure(On::Call)));
    }
    let shown: agents::Users = reply.json()?;
    Ok(shown.users.into_iter().next().and_then(|user| user.zuid))
}

impl Popups for ZohoCrm {
    /// "PhoneBridge v3, Incoming: Ringing and Answered" \[V\]. The end is told by the call's record.
    fn show(&self, popup: &Popup) -> Option<Exchange<()>> {
        let state = match popup.phase {
            Phase::Ringing => "ringing",
            Phase::Answered => "answered",
            Phase::Ended => return None,
        };
        let other = popup.agent_number.e164().or_else(|| popup.exophone.e164())?;
        let form = call(popup.direction, state, id(&popup.key.0)?, popup.customer.e164()?, other);
        // Without the agent nobody would see it.
        Some(with_agent(popup.agent.as_ref()?, form, || ()))
    }
}
