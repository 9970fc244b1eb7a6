//! Click-to-call over the API: an agent is connected with somebody, once for each `Idempotency-Key`.

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{StatusCode, header},
    web::{Bytes, Data, Path},
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    api::{self, Answer, ApiError},
    auth::{Endpoint, get, post},
    openapi::{Failed, Wrong},
};
use crate::{
    access::{Caller, Role},
    app::Services,
    codes::Code,
    dialer::{Declined, Wish},
    store::{Click, ClickFilter, ClickState},
};

pub(super) const KEY: &str = "Idempotency-Key";
/// The longest key there may be.
const KEY_CHARS: usize = 255;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    post("/api/v1/accounts/{sid}/calls", Role::Agent, |route| route.to(place))
        .noted()
        .says("place_call", "Click-to-call: rings the agent, then connects him; once for each key")
        .header(KEY, "New for each call, the same when the same is asked again.")
        .body::<Placing>()
        .gives::<ClickShown>(201)
        .or(&[202]),
    get("/api/v1/accounts/{sid}/clicks", Role::Agent, |route| route.to(list))
        .says("list_clicks", "What was clicked, the latest first")
        .query::<ClicksQuery>()
        .gives::<ClicksShown>(200),
    get("/api/v1/accounts/{sid}/clicks/{id}", Role::Agent, |route| route.to(one))
        .says("get_click", "What became of a click")
        .gives::<ClickShown>(200),
];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Placing {
    /// Number, `sip:…` or e-mail address.
    agent: String,
    to: String,
    caller_id: Option<String>,
    custom_field: Option<String>,
    record: Option<bool>,
}

/// The numbers that clicks which the caller may see are for; `None`: everybody's. An agent's own are those of who has his
/// e-mail in the user mapping.
fn own_numbers(services: &Services, caller: &Caller, sid: &str) -> Option<Vec<String>> {
    if caller.role > Role::Agent {
        return None;
    }
    let roster = services.agents.of(sid);
    let own = caller.email.iter().flat_map(|email| roster.with_email(email));
    Some(own.filter_map(|agent| agent.profile.number.clone()).collect())
}

/// An agent clicks for himself.
fn may_click(services: &Services, caller: &Caller, sid: &str, agent: &str) -> Result<(), ApiError> {
    if caller.role > Role::Agent {
        return Ok(());
    }
    let country = services.account(sid).map(|account| account.country.clone()).unwrap_or_default();
    let roster = services.agents.of(sid);
    if roster.named(agent.trim(), &country).is_some_and(|agent| caller.is_agent(agent)) {
        return Ok(());
    }
    let message = match &caller.email {
        None => {
            "the role agent clicks for himself, and this token is nobody's: it was made with the admin token. Make it \
                 while signed in as the agent, or give it the role admin"
                .to_owned()
        }
        Some(email) if roster.with_email(email).next().is_none() => {
            format!("the role agent clicks for himself, and no agent of the user mapping has the e-mail {email}")
        }
        Some(_) => {
            "the role agent clicks for himself: name the agent who has your e-mail in the user mapping".to_owned()
        }
    };
    Err(ApiError::Forbidden(message))
}

/// A bot's call is nobody's own: an agent who may click at all may have one made.
pub(super) fn may_have_called(services: &Services, caller: &Caller, sid: &str) -> Result<(), ApiError> {
    let roster = services.agents.of(sid);
    let own = caller.email.as_deref().is_some_and(|email| {
        let mut agents = roster.with_email(email);
        agents.any(|agent| agent.profile.click_to_call)
    });
    if caller.role > Role::Agent || own {
        return Ok(());
    }
    let message = "the role agent is a person: it takes an agent of the user mapping who has your e-mail, and whose \
                   click-to-call is on; else a token of the role admin";
    Err(ApiError::Forbidden(message.to_owned()))
}

async fn place(
    request: HttpRequest,
    services: Data<Services>,
    caller: Caller,
    sid: Path<String>,
    bytes: Bytes,
) -> Answer {
    let key = key(&request)?.ok_or_else(no_key)?;
    let Placing { agent, to, caller_id, custom_field, record } = api::body(&bytes)?;
    may_click(&services, &caller, &sid, &agent)?;
    let texts = [Some(&agent), Some(&to), caller_id.as_ref(), custom_field.as_ref()];
    let record_word = record.map(|record| record.to_string());
    let wish = Wish {
        key,
        fingerprint: {
            let said = texts.map(|text| text.map_or("", |text| text.trim()));
            hash(&[said[0], said[1], said[2], said[3], record_word.as_deref().unwrap_or_default()])
        },
        renew_after: None,
        agent,
        to,
        caller_id,
        custom_field,
        record,
        times: None,
    };
    let Some(dialer) = services.dialer(sid.as_str()) else {
        return Err(ApiError::NotFound("there is no such account".to_owned()));
    };
    Ok(told_of(&sid, dialer.click(&wish).await))
}

/// What became of a click, as whoever asked for it is told.
pub(super) fn told_of(sid: &str, became: Result<Click, Declined>) -> HttpResponse {
    match became {
        Ok(click) => {
            let place = format!("/api/v1/accounts/{sid}/clicks/{}", click.id);
            HttpResponseBuilder::new(status(&click.state)).insert_header((header::LOCATION, place)).json(shown(&click))
        }
        Err(declined) => refusal(&declined, parts(&declined).0),
    }
}

/// The hash of the request's key, if it brings one.
pub(super) fn key(request: &HttpRequest) -> Result<Option<[u8; 32]>, ApiError> {
    let Some(given) = request.headers().get(KEY) else { return Ok(None) };
    let key = given.to_str().ok().map(str::trim).unwrap_or_default();
    if key.is_empty() || key.chars().count() > KEY_CHARS {
        return Err(no_key());
    }
    Ok(Some(hash(&["key", key])))
}

pub(super) fn no_key() -> ApiError {
    ApiError::BadRequest(format!(
        "{KEY}: give one of 1 to {KEY_CHARS} characters, new for each call and the same when you ask again"
    ))
}

/// Why nothing was dialled.
pub(super) fn refusal(declined: &Declined, status: StatusCode) -> HttpResponse {
    let mut answer = HttpResponseBuilder::new(status);
    if let Some(seconds) = retry_after(declined) {
        answer.insert_header((header::RETRY_AFTER, seconds.to_string()));
    }
    let code = parts(declined).1;
    debug_assert!(code.row().statuses.contains(&status.as_u16()), "{code} is not answered {status}");
    answer.json(Failed { error: Wrong::new(code, told(declined)) })
}

/// Hashes texts that are told apart by their lengths.
pub(super) fn hash(texts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize().into()
}

pub(super) fn status(state: &ClickState) -> StatusCode {
    match state {
        ClickState::Placed { .. } => StatusCode::CREATED,
        ClickState::Intended | ClickState::Dialling | ClickState::Unknown { .. } => StatusCode::ACCEPTED,
        ClickState::Refused { .. } | ClickState::NotPlaced { .. } => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

pub(super) fn parts(declined: &Declined) -> (StatusCode, Code) {
    match declined {
        Declined::Breach(breach) => (StatusCode::UNPROCESSABLE_ENTITY, breach.code),
        Declined::OtherRequest => (StatusCode::CONFLICT, Code::KeyOfAnotherRequest),
        Declined::Busy(_) => (StatusCode::TOO_MANY_REQUESTS, Code::TooManyCalls),
        Declined::Unreachable(_) => (StatusCode::SERVICE_UNAVAILABLE, Code::ExotelUnreachable),
        Declined::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, Code::StoreUnavailable),
    }
}

/// What is ours to mend is not told to whoever has clicked.
pub(super) fn told(declined: &Declined) -> String {
    match declined {
        Declined::Store(error) => {
            tracing::error!(
                code = %Code::StoreUnavailable, %error,
                "a click cannot be stored, and is not dialled; who asked was told"
            );
            "this cannot be stored now; nothing was dialled by this request".to_owned()
        }
        declined => declined.to_string(),
    }
}

/// When the same may be asked again.
pub(super) fn retry_after(declined: &Declined) -> Option<u64> {
    match declined {
        Declined::Busy(wait) => Some(wait.as_secs_f64().ceil().max(1.0) as u64),
        Declined::Unreachable(_) | Declined::Store(_) => Some(5),
        Declined::Breach(_) | Declined::OtherRequest => None,
    }
}

/// What is to be done about a state, where something is.
pub(super) fn advice(state: &ClickState) -> Option<String> {
    match state {
        ClickState::Intended | ClickState::Dialling => Some("it is being dialled; ask again".to_owned()),
        ClickState::Unknown { reason } => {
            Some(format!("{reason}; it is looked for in Exotel's list, and not dialled again: ask again in a minute"))
        }
        ClickState::Refused { message, .. } => Some(message.clone()),
        ClickState::NotPlaced { reason } => Some(format!("{reason}; to dial, ask with a new {KEY}")),
        ClickState::Placed { .. } => None,
    }
}

/// A click, and what became of it.
#[derive(Serialize, JsonSchema)]
pub(super) struct ClickShown {
    id: Uuid,
    /// intended, dialling, placed, refused, unknown or not_placed.
    state: &'static str,
    agent: String,
    to: String,
    caller_id: String,
    /// The flow that the customer is put into.
    flow_url: Option<String>,
    /// The voicebot that he is connected with.
    bot: Option<String>,
    custom_field: Option<String>,
    asked_at: Timestamp,
    dialled_at: Option<Timestamp>,
    updated_at: Timestamp,
    call_sid: Option<String>,
    /// What is to be done about it, where something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Wrong>,
}

/// Why it was not placed: by Exotel's code, or ours.
fn wrong(state: &ClickState) -> Option<Wrong> {
    let told = advice(state).unwrap_or_default();
    match state {
        ClickState::Refused { code, .. } => Some(Wrong::of_exotel(code, told)),
        ClickState::NotPlaced { .. } => Some(Wrong::new(Code::NotPlaced, told)),
        _ => None,
    }
}

fn shown(click: &Click) -> ClickShown {
    ClickShown {
        id: click.id,
        state: click.state.as_str(),
        agent: click.agent.clone(),
        to: click.to.clone(),
        caller_id: click.caller_id.clone(),
        flow_url: click.flow_url.clone(),
        bot: click.bot.as_ref().map(|wish| wish.bot.clone()),
        custom_field: click.custom_field.clone(),
        asked_at: click.asked_at,
        dialled_at: click.dialled_at,
        updated_at: click.updated_at,
        call_sid: match &click.state {
            ClickState::Placed { call_sid, .. } => Some(call_sid.clone()),
            _ => None,
        },
        message: advice(&click.state),
        error: wrong(&click.state),
    }
}

async fn one(services: Data<Services>, caller: Caller, path: Path<(String, Uuid)>) -> Answer {
    let (sid, id) = path.into_inner();
    let own = own_numbers(&services, &caller, &sid);
    let click = services.store.click(&sid, id).await?;
    // Another's looks as one that is not there.
    let click = click.filter(|click| own.is_none_or(|own| own.contains(&click.agent)));
    let click = click.ok_or_else(|| ApiError::NotFound("there is no such click: see …/clicks".to_owned()))?;
    Ok(HttpResponse::Ok().json(shown(&click)))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ClicksQuery {
    /// One or several: `state=unknown,refused`.
    #[serde(default)]
    state: Vec<String>,
    since: Option<Timestamp>,
    limit: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
struct ClicksShown {
    clicks: Vec<ClickShown>,
}

async fn list(request: HttpRequest, services: Data<Services>, caller: Caller, sid: Path<String>) -> Answer {
    let asked: ClicksQuery = api::query(&request)?;
    let states: Vec<String> =
        asked.state.iter().flat_map(|state| state.split(',')).map(|state| state.trim().to_owned()).collect();
    if let Some(unknown) = states.iter().find(|state| !ClickState::ALL.contains(&state.as_str())) {
        let known = ClickState::ALL.join(", ");
        return Err(ApiError::BadRequest(format!("state: there is none of the name {unknown:?}; there are: {known}")));
    }
    let agents = own_numbers(&services, &caller, &sid);
    let filter = ClickFilter { states, pair: None, agents, since: asked.since, limit: api::limit(asked.limit) };
    let clicks = services.store.list_clicks(&sid, &filter).await?;
    Ok(HttpResponse::Ok().json(ClicksShown { clicks: clicks.iter().map(shown).collect() }))
}
