//! What people do with calls that go on: who is in one, who listens in, who hangs up, what is recorded. An order goes out
//! once: it stands in the call's timeline before, and what came of it afterwards; where Exotel's answer is lost that is not
//! known, and it is never given again by itself.
//!
//! # How an order about a call goes out
//!
//! Listening in, hanging up, recording: the order is written into the journal as what a person asked, then sent once,
//! in a task that goes on when who asked has given up, and what came of it is written behind it. A lost answer is
//! *unknown*, and stays it.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use actix_web::{
    HttpResponse,
    web::{Bytes, Data, Path},
};
use jiff::Timestamp;
use patchbay_kit::{Direction, PhoneNumber, mask};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    api::{self, Answer, ApiError},
    auth::{Endpoint, Told, get, post},
};
use crate::{
    access::{Caller, Role},
    app::Services,
    call::{Asked, CallState, CameOfIt, Order, OrderKind, PersonRequest, phone},
    exotel::{Channels, Ear, ExotelClient, ExotelError, Leg, LegOrigin, Monitor, Party, StatusCallback, Tape},
    hooks,
    store::{CallRef, StoreError},
};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get("/api/v1/accounts/{sid}/calls/{call_sid}/legs", Role::Admin, |route| route.to(legs))
        .says("list_legs", "Who is in a call now, or was")
        .gives::<LegsShown>(200),
    post("/api/v1/accounts/{sid}/calls/{call_sid}/monitor", Role::Admin, |route| route.to(monitor))
        .noted()
        .says("monitor_call", "Rings somebody up who listens in, whispers or barges in")
        .body::<Monitoring>()
        .gives::<Given>(200)
        .or(&[202]),
    post("/api/v1/accounts/{sid}/calls/{call_sid}/hangup", Role::Admin, |route| route.to(hang_up))
        .noted()
        .says("hang_up", "Ends a call, or one leg of it")
        .body::<HangUp>()
        .gives::<Given>(200)
        .or(&[202]),
    post("/api/v1/accounts/{sid}/calls/{call_sid}/recording/start", Role::Admin, |route| route.to(record))
        .noted()
        .says("start_recording", "Records a call that goes on")
        .body::<Recording>()
        .gives::<Given>(200)
        .or(&[202]),
    post("/api/v1/accounts/{sid}/calls/{call_sid}/recording/stop", Role::Admin, |route| route.to(stop_recording))
        .noted()
        .says("stop_recording", "Records it no longer")
        .gives::<Given>(200)
        .or(&[202]),
];

pub(super) fn exotel(services: &Services, sid: &str) -> Result<ExotelClient, ApiError> {
    services.exotel(sid).ok_or_else(|| ApiError::NotFound("there is no such account".to_owned()))
}

pub(super) fn country(services: &Services, sid: &str) -> String {
    services.account(sid).map(|account| account.country.clone()).unwrap_or_default()
}

pub(super) fn written(party: &Party) -> String {
    match party {
        Party::Number(number) => number.e164.clone(),
        Party::Sip(text) | Party::Other(text) => text.clone(),
    }
}

/// A call that we know, and its state.
async fn known(services: &Services, path: Path<(String, String)>) -> Result<(CallRef, CallState), ApiError> {
    let (account, call_sid) = path.into_inner();
    let call = CallRef { account, call_sid };
    let file = services.store.call_file(&call).await?;
    let file = file.ok_or_else(|| ApiError::NotFound("there is no such call".to_owned()))?;
    Ok((call, file.state))
}

/// Somebody's part of a call.
#[derive(Serialize, JsonSchema)]
struct LegShown {
    sid: String,
    party: Option<String>,
    status: String,
    /// inbound, outbound, outbound-dial or monitor.
    origin: String,
    last_action: Option<String>,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    on_call_seconds: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
struct LegsShown {
    call_sid: String,
    going_on: bool,
    legs: Vec<LegShown>,
}

fn shown_leg(leg: &Leg) -> LegShown {
    LegShown {
        sid: leg.sid.clone(),
        party: leg.party.as_ref().map(written),
        status: leg.status.as_str().to_owned(),
        origin: leg.origin.as_str().to_owned(),
        last_action: leg.last_action.clone(),
        started_at: leg.started_at,
        ended_at: leg.ended_at,
        on_call_seconds: leg.on_call_seconds,
    }
}

/// The legs there are now, or, of a call that is over, those there were.
async fn legs(services: Data<Services>, path: Path<(String, String)>) -> Answer {
    let (call, _) = known(&services, path).await?;
    let client = exotel(&services, &call.account)?;
    let (going_on, legs) = match client.active_legs(&call.call_sid).await {
        Err(ExotelError::NotFound { .. }) => (false, client.legs(&call.call_sid).await),
        legs => (true, legs),
    };
    let legs = legs.map_err(|error| ApiError::Exotel(LEGS, error))?;
    let legs = legs.iter().map(shown_leg).collect();
    Ok(HttpResponse::Ok().json(LegsShown { call_sid: call.call_sid, going_on, legs }))
}

const LEGS: &str = "the call's legs cannot be asked for (Exotel enables that for an account: hello@exotel.com)";

async fn active(client: &ExotelClient, call: &CallRef) -> Result<Vec<Leg>, ApiError> {
    match client.active_legs(&call.call_sid).await {
        Ok(mut legs) => {
            legs.retain(|leg| !leg.status.is_final());
            Ok(legs)
        }
        Err(ExotelError::NotFound { .. }) => Err(over()),
        Err(error) => Err(ApiError::Exotel(LEGS, error)),
    }
}

fn over() -> ApiError {
    ApiError::Conflict(
        "Exotel says that this call does not go on; if it does, have the Legs API enabled for the account: hello@exotel.com"
            .to_owned(),
    )
}

#[derive(Clone, Copy, Deserialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Listen,
    Whisper,
    Barge,
}

impl Mode {
    fn ear(self) -> Ear {
        match self {
            Self::Listen => Ear::Listen,
            Self::Whisper => Ear::Whisper,
            Self::Barge => Ear::Barge,
        }
    }

    fn order(self) -> OrderKind {
        match self {
            Self::Listen => OrderKind::Listen,
            Self::Whisper => OrderKind::Whisper,
            Self::Barge => OrderKind::Barge,
        }
    }

    /// What was done to a leg last.
    fn of(leg: &Leg) -> Option<Self> {
        match leg.last_action.as_deref()?.to_ascii_lowercase().as_str() {
            "listen" => Some(Self::Listen),
            "whisper" => Some(Self::Whisper),
            "barge" => Some(Self::Barge),
            _ => None,
        }
    }
}

/// Whom somebody who whispers speaks to.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Target {
    #[default]
    Agent,
    Customer,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Monitoring {
    /// Who listens in: an agent of the user mapping, by id, number or e-mail address, …
    agent: Option<String>,
    /// … or any telephone.
    number: Option<String>,
    mode: Mode,
    #[serde(default)]
    target: Target,
}

/// The telephone that is rung for whoever listens in.
fn supervisor(services: &Services, sid: &str, asked: &Monitoring) -> Result<PhoneNumber, ApiError> {
    let country = country(services, sid);
    let number = match (&asked.agent, &asked.number) {
        (Some(named), None) => {
            let roster = services.agents.of(sid);
            let agent = roster.find(named).or_else(|| roster.named(named, &country));
            let agent = agent.ok_or_else(|| ApiError::BadRequest("agent: there is no such agent".to_owned()))?;
            agent.profile.number.clone().unwrap_or_default()
        }
        (None, Some(number)) => number.clone(),
        _ => return Err(ApiError::BadRequest("give agent or number: whose telephone is to ring".to_owned())),
    };
    phone::parse(&number, &country).ok_or_else(|| {
        let field = if asked.agent.is_some() { "agent: his" } else { "number:" };
        ApiError::BadRequest(format!("{field} is no telephone number; Exotel rings nothing else for this"))
    })
}

/// The leg of the call's agent, or of its customer.
fn target<'l>(legs: &'l [Leg], state: &CallState, target: Target) -> Option<&'l Leg> {
    let customers = |leg: &&Leg| match (&state.customer, &leg.party) {
        (Some(customer), Some(party)) => phone::same(customer, &written(party)),
        // Who dialled in is the customer; of a call that we had placed, whoever was dialled second.
        _ => {
            (leg.origin == LegOrigin::Inbound)
                || (state.direction == Direction::Outgoing && leg.origin == LegOrigin::OutboundDial)
        }
    };
    let mut own = legs.iter().filter(|leg| leg.origin != LegOrigin::Monitor);
    match target {
        Target::Customer => own.find(customers),
        Target::Agent => own.find(|leg| !customers(leg)),
    }
}

/// Orders that are on their way in this process: who presses a button twice is rung once.
static ON_THEIR_WAY: Mutex<BTreeSet<[String; 3]>> = Mutex::new(BTreeSet::new());

struct OnItsWay([String; 3]);

impl OnItsWay {
    fn take(call: &CallRef, what: &str) -> Result<Self, ApiError> {
        let key = [call.account.clone(), call.call_sid.clone(), what.to_owned()];
        let mut all = ON_THEIR_WAY.lock().unwrap_or_else(PoisonError::into_inner);
        if all.insert(key.clone()) {
            return Ok(Self(key));
        }
        Err(ApiError::Conflict("the same is being carried out for this call right now".to_owned()))
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        ON_THEIR_WAY.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

async fn monitor(services: Data<Services>, caller: Caller, path: Path<(String, String)>, bytes: Bytes) -> Answer {
    let (call, state) = known(&services, path).await?;
    let asked: Monitoring = api::body(&bytes)?;
    let client = exotel(&services, &call.account)?.clone();
    let supervisor = supervisor(&services, &call.account, &asked)?;
    let on_its_way = OnItsWay::take(&call, &supervisor.e164)?;
    let legs = active(&client, &call).await?;
    let his = |leg: &&Leg| leg.party == Some(Party::Number(supervisor.clone()));
    let (listening, in_it): (Vec<&Leg>, Vec<&Leg>) =
        legs.iter().filter(his).partition(|leg| leg.origin == LegOrigin::Monitor);
    if !in_it.is_empty() {
        return Err(ApiError::Conflict("this telephone is in the call itself".to_owned()));
    }
    let target_leg = match asked.mode {
        Mode::Whisper => {
            let found = target(&legs, &state, asked.target);
            Some(found.ok_or_else(|| ApiError::Conflict("target: has no leg in this call now".to_owned()))?.sid.clone())
        }
        Mode::Listen | Mode::Barge => None,
    };
    let rings = mask::number(&supervisor.e164);
    let told = json!({ "mode": asked.mode.ear().as_str(), "rings": rings });
    let call_sid = call.call_sid.clone();
    let mode = asked.mode;
    let listening = listening.first().map(|leg| (leg.sid.clone(), Mode::of(leg)));
    match &listening {
        Some((sid, Some(now))) if *now == mode => {
            let message = Some("this telephone does so already".to_owned());
            return Ok(HttpResponse::Ok().json(Given { leg: Some(sid.clone()), message, ..Given::done(None) }));
        }
        Some((_, Some(now))) if *now > mode => {
            return Err(ApiError::Conflict(
                "Exotel leads from listening to whispering to barging in, and not back: hang up this leg, and begin anew"
                    .to_owned(),
            ));
        }
        _ => {}
    }
    let token = hooks::status_token(&call.account, &services.key);
    let callback = StatusCallback { url: format!("{}/h/{token}/status", services.public_url()), answered: false };
    let go = async move {
        let _on_its_way = on_its_way;
        let leg = match listening {
            Some((sid, _)) => client.raise(&call_sid, &sid, mode.ear(), target_leg.as_deref()).await?,
            None => {
                let monitor =
                    Monitor { ear: mode.ear(), supervisor, target_leg, custom_field: None, callback: Some(callback) };
                client.monitor(&call_sid, &monitor).await?
            }
        };
        Ok(Given { leg: Some(leg.sid), ..Given::done(None) })
    };
    order(&services, &caller, call, mode.order(), Some(rings), told, go).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HangUp {
    /// Only this one: somebody who listens in. Without it, the whole call.
    leg: Option<String>,
}

async fn hang_up(services: Data<Services>, caller: Caller, path: Path<(String, String)>, bytes: Bytes) -> Answer {
    let (call, _) = known(&services, path).await?;
    let HangUp { leg } = api::body(&bytes)?;
    let client = exotel(&services, &call.account)?.clone();
    let on_its_way = OnItsWay::take(&call, "hang up")?;
    let legs = active(&client, &call).await?;
    if leg.as_ref().is_some_and(|sid| !legs.iter().any(|leg| leg.sid == *sid)) {
        return Err(ApiError::Conflict("leg: there is none of this id in the call now".to_owned()));
    }
    let told = json!({ "leg": leg });
    let call_sid = call.call_sid.clone();
    let go = async move {
        let _on_its_way = on_its_way;
        let legs = match leg {
            Some(sid) => client.hang_up_leg(&call_sid, &sid).await.map(|_| 1)?,
            None => client.hang_up(&call_sid).await?,
        };
        Ok(Given { legs: Some(legs), ..Given::done(None) })
    };
    order(&services, &caller, call, OrderKind::HangUp, None, told, go).await
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Recording {
    /// Both sides on channels of their own.
    #[serde(default)]
    dual: bool,
    /// Only whoever was first in the call.
    #[serde(default)]
    first_leg_only: bool,
}

async fn record(services: Data<Services>, caller: Caller, path: Path<(String, String)>, bytes: Bytes) -> Answer {
    let Recording { dual, first_leg_only } = api::body(&bytes)?;
    let channels = if dual { Channels::Dual } else { Channels::Single };
    tape(services, caller, path, OrderKind::Record, Tape::Start { channels, first_leg_only }).await
}

async fn stop_recording(services: Data<Services>, caller: Caller, path: Path<(String, String)>) -> Answer {
    tape(services, caller, path, OrderKind::StopRecording, Tape::Stop).await
}

async fn tape(
    services: Data<Services>,
    caller: Caller,
    path: Path<(String, String)>,
    kind: OrderKind,
    tape: Tape,
) -> Answer {
    let (call, _) = known(&services, path).await?;
    let client = exotel(&services, &call.account)?.clone();
    let on_its_way = OnItsWay::take(&call, kind.as_str())?;
    let call_sid = call.call_sid.clone();
    let go = async move {
        let _on_its_way = on_its_way;
        client.tape(&call_sid, &tape).await.map(|()| Given::done(None))
    };
    order(&services, &caller, call, kind, None, json!({}), go).await
}

/// What came of an order.
#[derive(Serialize, JsonSchema)]
struct Given {
    /// `null`: nothing had to be ordered.
    order: Option<Uuid>,
    state: CameOfIt,
    /// Of whoever listens in.
    #[serde(skip_serializing_if = "Option::is_none")]
    leg: Option<String>,
    /// So many legs were ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    legs: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl Given {
    fn done(order: Option<Uuid>) -> Self {
        Self { order, state: CameOfIt::Done, leg: None, legs: None, message: None }
    }
}

/// Writes the order down, gives it, and writes down what came of it; in a task of its own, so that whoever asked may hang up.
async fn order(
    services: &Data<Services>,
    caller: &Caller,
    call: CallRef,
    what: OrderKind,
    rings: Option<String>,
    mut told: Value,
    go: impl Future<Output = Result<Given, ExotelError>> + Send + 'static,
) -> Answer {
    let order = Order { id: Uuid::now_v7(), what, rings, came_of_it: None, told: None };
    let id = order.id;
    // Nothing goes out that is not written down.
    write(services, caller, &call, order.clone()).await?;
    let (services, caller) = (services.clone(), caller.clone());
    let given = tokio::spawn(async move {
        let given = go.await;
        let (came_of_it, told) = match &given {
            Ok(_) => (CameOfIt::Done, None),
            Err(error @ ExotelError::Unknown { .. }) => (CameOfIt::Unknown, Some(error.to_string())),
            Err(error) => (CameOfIt::Refused, Some(error.to_string())),
        };
        let ended = Order { came_of_it: Some(came_of_it), told, ..order };
        if let Err(error) = write(&services, &caller, &call, ended).await {
            tracing::error!(call = %call.call_sid, order = %id, %error, "what came of an order cannot be written down");
        }
        given
    });
    let given = given.await.unwrap_or_else(|_| Err(ExotelError::Unknown { reason: "Patchbay is stopping".to_owned() }));
    told["order"] = json!(id);
    let mut answer = match given {
        Ok(given) => {
            told["came_of_it"] = json!(CameOfIt::Done);
            HttpResponse::Ok().json(Given { order: Some(id), ..given })
        }
        Err(ExotelError::NotFound { .. }) => return Err(over()),
        Err(error @ ExotelError::Unknown { .. }) => {
            told["came_of_it"] = json!(CameOfIt::Unknown);
            let message = Some(format!("{error}; it is not given again by itself: see …/legs first"));
            HttpResponse::Accepted().json(Given { state: CameOfIt::Unknown, message, ..Given::done(Some(id)) })
        }
        Err(error) => return Err(ApiError::Exotel("Exotel did not do it", error)),
    };
    answer.extensions_mut().insert(Told(told));
    Ok(answer)
}

async fn write(services: &Services, caller: &Caller, call: &CallRef, order: Order) -> Result<(), StoreError> {
    let asked = Asked::Order { order };
    let request =
        PersonRequest { call_sid: call.call_sid.clone(), integration: String::new(), by: caller.who.clone(), asked };
    let receipt = request.receipt(Uuid::now_v7(), &call.account, Timestamp::now());
    let receipt = receipt.map_err(|error| StoreError::Unwritable(error.to_string()))?;
    services.store.append(receipt).await?;
    services.journal.notify_one();
    Ok(())
}
