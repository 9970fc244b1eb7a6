//! Agents' devices: which there are, which is on, and switching them. Exotel is asked each time; nothing of it is kept here.

use actix_web::{
    HttpResponse,
    web::{Bytes, Data, Path},
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    api::{self, Answer, ApiError},
    auth::{Endpoint, Told, get, patch, post},
    lines::{country, exotel, written},
};
use crate::{
    access::{Caller, Role},
    app::Services,
    directory::Agent,
    exotel::{Device, ExotelClient, ExotelError, Party, User, Who},
};

const DEVICE: &str = "/api/v1/accounts/{sid}/agents/{id}/device";
/// Who asks about himself.
const ME: &str = "me";

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get(DEVICE, Role::Agent, |route| route.to(device))
        .says("get_device", "An agent's devices, as Exotel has them now; `me` is whoever asks")
        .gives::<DevicesShown>(200),
    patch(DEVICE, Role::Agent, |route| route.to(switch))
        .noted()
        .says("switch_device", "Switches a device on, and the one that was on off; or off")
        .body::<Switch>()
        .gives::<DevicesShown>(200),
    post(DEVICE, Role::Agent, |route| route.to(switch))
        .noted()
        .says("switch_device_too", "The same as PATCH")
        .body::<Switch>()
        .gives::<DevicesShown>(200),
];

/// The agent of a path, if he is the caller's to see to: an agent's own is he who has his e-mail in the user mapping.
fn own_agent(services: &Services, caller: &Caller, sid: &str, id: &str) -> Result<Agent, ApiError> {
    let roster = services.agents.of(sid);
    if id == ME {
        let own = caller.email.as_deref().and_then(|email| roster.with_email(email).next());
        return own
            .cloned()
            .ok_or_else(|| ApiError::NotFound("no agent of the user mapping has your e-mail".to_owned()));
    }
    let agent = roster.find(id).ok_or_else(|| ApiError::NotFound("there is no such agent".to_owned()))?;
    if caller.role == Role::Agent && !caller.is_agent(agent) {
        let message = "this is another agent's: yours is he who has your e-mail in the user mapping, /agents/me";
        return Err(ApiError::Forbidden(message.to_owned()));
    }
    Ok(agent.clone())
}

/// The agent as Exotel knows him. Its list can be asked for an e-mail and for a number, and for nobody's id.
async fn user_of(client: &ExotelClient, agent: &Agent, country: &str) -> Result<User, ApiError> {
    let profile = &agent.profile;
    let by_email = |user: &User| match (&user.email, &profile.email) {
        (Some(theirs), Some(ours)) => theirs.eq_ignore_ascii_case(ours),
        _ => false,
    };
    let number = profile.number.as_deref().map(|number| Party::read(number, country));
    let by_number =
        |user: &User| user.devices.iter().any(|device| device.contact.is_some() && device.contact == number);
    let id = profile.exotel_user.as_deref();
    let asks = [
        profile.email.clone().map(Who::Email),
        number.clone().map(Who::Contact),
        // Neither e-mail nor number need be the same there.
        id.map(|_| Who::Everybody),
    ];
    for who in asks.into_iter().flatten() {
        let users = client.users(&who).await;
        let mut users = users.map_err(|error| ApiError::Exotel("Exotel's users cannot be asked for", error))?;
        users.retain(|user| id.map_or_else(|| by_email(user) || by_number(user), |id| user.id == id));
        match users.len() {
            0 => {}
            1 => return Ok(users.remove(0)),
            several => {
                return Err(ApiError::Conflict(format!(
                    "{several} of Exotel's users have this agent's e-mail or number: set his exotel_user, or have it set by \
                     POST …/users/sync {{\"from\":\"exotel\"}}"
                )));
            }
        }
    }
    Err(ApiError::NotFound(
        "Exotel has no user with this agent's exotel_user, e-mail or number: make him a co-worker in Exotel's dashboard, or \
         mend the user mapping"
            .to_owned(),
    ))
}

/// One of an agent's devices.
#[derive(Serialize, JsonSchema)]
struct DeviceShown {
    id: String,
    name: Option<String>,
    /// A number, or `sip:…`.
    contact: Option<String>,
    /// tel or sip.
    kind: Option<String>,
    /// It is on: calls go to it.
    available: bool,
    verified: bool,
    /// free or busy.
    status: Option<String>,
}

/// An agent as Exotel has him.
#[derive(Serialize, JsonSchema)]
struct DevicesShown {
    agent: String,
    exotel_user: String,
    name: String,
    email: Option<String>,
    active_call: Option<String>,
    last_login: Option<Timestamp>,
    devices: Vec<DeviceShown>,
    asked_at: Timestamp,
}

fn shown_device(device: &Device) -> DeviceShown {
    DeviceShown {
        id: device.id.clone(),
        name: device.name.clone(),
        contact: device.contact.as_ref().map(written),
        kind: device.kind.as_ref().map(|kind| kind.as_str().to_owned()),
        available: device.available,
        verified: device.verified,
        status: device.status.as_ref().map(|status| status.as_str().to_owned()),
    }
}

fn shown_user(agent: &Agent, user: &User) -> DevicesShown {
    let names = [user.first_name.as_deref(), user.last_name.as_deref()];
    DevicesShown {
        agent: agent.id.clone(),
        exotel_user: user.id.clone(),
        name: names.into_iter().flatten().collect::<Vec<_>>().join(" "),
        email: user.email.clone(),
        active_call: user.active_call.clone(),
        last_login: user.last_login,
        devices: user.devices.iter().map(shown_device).collect(),
        asked_at: Timestamp::now(),
    }
}

/// As Exotel says it now: nothing of it is kept here, so to ask again is to refresh it.
async fn device(services: Data<Services>, caller: Caller, path: Path<(String, String)>) -> Answer {
    let (sid, id) = path.into_inner();
    let agent = own_agent(&services, &caller, &sid, &id)?;
    let user = user_of(&exotel(&services, &sid)?, &agent, &country(&services, &sid)).await?;
    Ok(HttpResponse::Ok().json(shown_user(&agent, &user)))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Switch {
    /// Its id; not needed where he has one only.
    device: Option<String>,
    on: bool,
}

/// Of a user's devices one is on at most, so to switch one on is to switch another off.
async fn switch(services: Data<Services>, caller: Caller, path: Path<(String, String)>, bytes: Bytes) -> Answer {
    let (sid, id) = path.into_inner();
    let agent = own_agent(&services, &caller, &sid, &id)?;
    let Switch { device, on } = api::body(&bytes)?;
    let client = exotel(&services, &sid)?;
    let country = country(&services, &sid);
    let user = user_of(&client, &agent, &country).await?;
    let there = || user.devices.iter().map(|device| device.id.as_str()).collect::<Vec<_>>().join(", ");
    let wanted = match (&device, user.devices.as_slice()) {
        (Some(id), devices) => devices.iter().find(|device| device.id == *id),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    let wanted =
        wanted.ok_or_else(|| ApiError::BadRequest(format!("device: give the id of one of his: {}", there())))?;
    if on && !wanted.verified {
        let message = "this device is not verified: verify it in Exotel's dashboard; nothing was switched";
        return Err(ApiError::Conflict(message.to_owned()));
    }
    let failed = |error| ApiError::Exotel("the device cannot be switched", error);
    let other = user.devices.iter().find(|other| on && other.available && other.id != wanted.id);
    if let Some(other) = other {
        client.switch_device(&user.id, &other.id, false).await.map_err(failed)?;
    }
    if wanted.available != on
        && let Err(error) = client.switch_device(&user.id, &wanted.id, on).await
    {
        // Better rung where he was than nowhere; how it stands is asked for anew by whoever is told.
        if let (Some(other), false) = (other, matches!(error, ExotelError::Unknown { .. })) {
            let back = client.switch_device(&user.id, &other.id, true).await;
            if let Err(error) = back {
                tracing::warn!(account = %sid, agent = %agent.id, %error, "no device of this agent is on now");
            }
        }
        return Err(failed(error));
    }
    let user = user_of(&client, &agent, &country).await?;
    let mut answer = HttpResponse::Ok().json(shown_user(&agent, &user));
    answer.extensions_mut().insert(Told(json!({ "device": wanted_id(&user, device.as_deref()), "on": on })));
    Ok(answer)
}

fn wanted_id(user: &User, given: Option<&str>) -> Option<String> {
    given.or_else(|| user.devices.first().map(|device| device.id.as_str())).map(str::to_owned)
}
