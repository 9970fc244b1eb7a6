//! What LeadSquared itself calls: click-to-call of its web and mobile apps, whom an agent speaks with, the ExoPhones, and the
//! configuration of Exotel's own connector. The paths and fields are those of that connector; only the host is another.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{StatusCode, header},
    web::{self, Bytes, Data, Path, ServiceConfig},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use patchbay_kit::Rendering;
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::clicks;
use crate::{
    app::Services,
    call::{AttemptStatus, CallState, CallingTimes, normalise, phone},
    codes::Code,
    config::{Account, Integration},
    dialer::Wish,
    store::{CallFilter, CallRef, ClickState, StoreError},
};

/// LeadSquared gives no idempotency key. The same two within this time are the same click: a second press of the button,
/// or LeadSquared asking again.
const SAME_CLICK: Duration = Duration::from_secs(20);
/// Calls that began longer ago are not looked at when an agent's call is sought; Exotel ends them after four hours.
const LONGEST_CALL: SignedDuration = SignedDuration::from_hours(4);
/// So many of the last calls are looked at.
const LAST_CALLS: u32 = 200;

/// The setting of the connector, and what Exotel's own calls it.
const URLS: [(&str, &str); 3] =
    [("agent_popup_url", "agentPopupURL"), ("call_log_url", "callLogAPIURL"), ("call_route_url", "callRouteURL")];

pub(super) fn routes(config: &mut ServiceConfig) {
    let route = |path: &str| format!("/v1/{{brand:leadss?quared}}/{path}{{slash:/?}}");
    config
        .route(&route("outbound/call/connect"), web::get().to(connect))
        .route(&route("mobile/click2call"), web::post().to(connect))
        .route(&route("mobile/lead/info"), web::get().to(lead_info))
        .route(&route("mobile/didnumbers"), web::get().to(did_numbers))
        .route("/v1/coc-auth/{sid}/config", web::get().to(configuration))
        .route("/v1/coc-auth/{sid}/config", web::post().to(configure));
}

/// Why not, as LeadSquared's response mapping reads it.
fn error(status: StatusCode, message: impl Into<String>) -> HttpResponse {
    HttpResponseBuilder::new(status).json(json!({ "status": "error", "message": message.into() }))
}

/// What a request says, in its query or its form.
fn field(request: &HttpRequest, bytes: &[u8], names: &[&str]) -> Option<String> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    normalise::field(request.query_string(), kind, bytes, names)
}

fn text<'r>(request: &'r HttpRequest, name: &str) -> &'r str {
    request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::trim).unwrap_or_default()
}

/// The account and its LeadSquared, if the request's `Authorization` opens it. An account that is not there and a wrong
/// credential are refused alike.
fn admitted(
    request: &HttpRequest,
    services: &Services,
    bytes: &[u8],
) -> Result<(Arc<Account>, Integration), Box<HttpResponse>> {
    let named = Some(text(request, "AccSid").to_owned()).filter(|sid| !sid.is_empty());
    let sid = named.or_else(|| field(request, bytes, &["AccSid"])).unwrap_or_default();
    let authorization = request.headers().get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes);
    let open = services.doors.load().base64(&sid, authorization);
    let Some(account) = services.account(&sid).filter(|_| open) else {
        let message = "give AccSid, and as Authorization the Base64 of Exotel's key:token";
        return Err(Box::new(error(StatusCode::UNAUTHORIZED, message)));
    };
    match leadsquared(&account) {
        Some(integration) => Ok((account, integration)),
        None => Err(Box::new(error(StatusCode::NOT_FOUND, "this account has no integration with LeadSquared"))),
    }
}

fn leadsquared(account: &Account) -> Option<Integration> {
    account.integrations.iter().find(|integration| integration.manifest.id == "leadsquared").cloned()
}

/// When calls may be placed from LeadSquared. `None`: nothing is set, or what is set says always.
fn times(integration: &Integration) -> Option<CallingTimes> {
    let text = |key: &str, otherwise: &str| integration.settings.text(key).unwrap_or(otherwise).to_owned();
    let (from, until) = (text("call_start_timer", "00:00:00"), text("call_end_timer", "23:59:59"));
    // The connector has looked at them when the configuration was read.
    CallingTimes::read(&from, &until, integration.settings.list("call_allowed_days")).ok()
}

/// Click-to-call: `AgentNumber`, `CustomerNumber`, `VirtualNumber` of the web app, `From`, `To`, `VirtualNumber` of the
/// mobile one; with softphones also `AgentId`, the address of the agent's.
async fn connect(request: HttpRequest, services: Data<Services>, bytes: Bytes) -> HttpResponse {
    let (account, integration) = match admitted(&request, &services, &bytes) {
        Ok(admitted) => admitted,
        Err(answer) => return *answer,
    };
    let said = |names: &[&str]| field(&request, &bytes, names);
    // It stands beside the number of whoever has a softphone, which is what is to ring. LeadSquared fills it from a field of
    // the user that may be empty, or hold the id of another telephony.
    let roster = services.agents.of(&account.sid);
    let softphone = said(&["AgentId"]).filter(|id| phone::is_sip(id) && roster.with_number(id).is_some());
    let agent = softphone.or_else(|| said(&["AgentNumber", "From"]));
    let (Some(agent), Some(to)) = (agent, said(&["CustomerNumber", "To"])) else {
        let message = "AgentNumber and CustomerNumber (From and To for the mobile app) are needed";
        return error(StatusCode::BAD_REQUEST, message);
    };
    let one = |raw: &str| phone::parse(raw, &account.country).map_or_else(|| raw.to_owned(), |number| number.e164);
    let key = clicks::hash(&["leadsquared", &one(&agent), &one(&to)]);
    let wish = Wish {
        key,
        fingerprint: key,
        renew_after: Some(SAME_CLICK),
        agent,
        to,
        caller_id: said(&["VirtualNumber"]),
        custom_field: None,
        record: None,
        times: times(&integration),
    };
    let Some(dialer) = services.dialer(&account.sid) else {
        return error(StatusCode::NOT_FOUND, "there is no such account");
    };
    match dialer.click(&wish).await {
        Ok(click) => {
            // What is under way is no error: the agent's telephone will ring, or it is told when it is asked for.
            let failed = matches!(click.state, ClickState::Refused { .. } | ClickState::NotPlaced { .. });
            let mut said = json!({
                "status": if failed { "error" } else { "success" },
                "message": clicks::advice(&click.state).unwrap_or_else(|| "the call is placed".to_owned()),
                "id": click.id,
                "state": click.state.as_str(),
            });
            if let ClickState::Placed { call_sid, .. } = &click.state {
                said["call_sid"] = call_sid.as_str().into();
            }
            let status = if failed { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
            HttpResponseBuilder::new(status).json(said)
        }
        Err(declined) => {
            let (status, _) = clicks::parts(&declined);
            let mut answer = error(status, clicks::told(&declined));
            if let Some(seconds) = clicks::retry_after(&declined) {
                answer.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from(seconds));
            }
            answer
        }
    }
}

/// Whom an agent is connected with now.
async fn lead_info(request: HttpRequest, services: Data<Services>) -> HttpResponse {
    let (account, _) = match admitted(&request, &services, b"") {
        Ok(admitted) => admitted,
        Err(answer) => return *answer,
    };
    let Some(agent) = field(&request, b"", &["AgentNumber"]) else {
        return error(StatusCode::BAD_REQUEST, "AgentNumber is needed");
    };
    match current_call(&services, &account, &agent).await {
        Ok(Some(state)) => {
            let customer = phone::party(state.customer.as_deref(), &account.country);
            let written = customer.render(Rendering::Hyphenated);
            HttpResponse::Ok().json(json!({ "status": "success", "customerNumber": written }))
        }
        Ok(None) => error(StatusCode::NOT_FOUND, "this agent is in no call"),
        Err(failed) => {
            tracing::error!(
                code = %Code::StoreUnavailable, error = %failed,
                "an agent's call cannot be looked up in the store; LeadSquared was told 503"
            );
            error(StatusCode::SERVICE_UNAVAILABLE, "the store does not answer now; try again in a minute")
        }
    }
}

/// The agent's newest call that goes on.
async fn current_call(services: &Services, account: &Account, agent: &str) -> Result<Option<CallState>, StoreError> {
    let since = Timestamp::now().checked_sub(LONGEST_CALL).unwrap_or(Timestamp::MIN);
    let filter = CallFilter { since: Some(since), limit: LAST_CALLS, ..CallFilter::default() };
    let page = services.store.list_calls(&account.sid, &filter).await?;
    for summary in page.items.into_iter().filter(|summary| summary.outcome.is_none()) {
        let call = CallRef { account: account.sid.clone(), call_sid: summary.call_sid };
        let Some(file) = services.store.call_file(&call).await? else { continue };
        let his = file
            .state
            .attempts
            .iter()
            .any(|attempt| attempt.status != AttemptStatus::NotAnswered && phone::same(&attempt.agent, agent));
        if his && !file.state.over && file.state.ended_at.is_none() {
            return Ok(Some(file.state));
        }
    }
    Ok(None)
}

async fn did_numbers(request: HttpRequest, services: Data<Services>) -> HttpResponse {
    let (account, _) = match admitted(&request, &services, b"") {
        Ok(admitted) => admitted,
        Err(answer) => return *answer,
    };
    let Some(client) = services.exotel(&account.sid) else {
        return error(StatusCode::NOT_FOUND, "there is no such account");
    };
    match client.exophones().await {
        Ok(phones) => {
            let numbers = phones.iter().map(|phone| phone.number.render(Rendering::Hyphenated));
            HttpResponse::Ok().json(json!({ "status": "success", "did_list": numbers.collect::<Vec<_>>() }))
        }
        Err(failed) => {
            tracing::warn!(
                code = %failed.code(), account = %account.sid, error = %failed,
                "Exotel does not say the account's ExoPhones; LeadSquared was told so"
            );
            error(StatusCode::BAD_GATEWAY, format!("Exotel does not say the ExoPhones: {failed}"))
        }
    }
}

fn coc_error(status: StatusCode, message: impl Into<String>) -> HttpResponse {
    HttpResponseBuilder::new(status).json(json!({ "Status": "Error", "Message": message.into() }))
}

/// The account's LeadSquared for `coc-auth`, and the token that its other URLs want as `Authorization`.
fn opened(request: &HttpRequest, services: &Services, sid: &str) -> Result<(Integration, String), Box<HttpResponse>> {
    let (key, token) = (text(request, "api-key"), text(request, "api-token"));
    let open = services.doors.load().pair(sid, key, token);
    let Some(account) = services.account(sid).filter(|_| open) else {
        let message = "give Exotel's API key and token as api-key and api-token";
        return Err(Box::new(coc_error(StatusCode::UNAUTHORIZED, message)));
    };
    if field(request, b"", &["app"]).is_none_or(|app| !app.eq_ignore_ascii_case("leadsquared")) {
        return Err(Box::new(coc_error(StatusCode::BAD_REQUEST, "app: must be leadsquared")));
    }
    match leadsquared(&account) {
        Some(integration) => Ok((integration, STANDARD.encode(format!("{key}:{token}")))),
        None => Err(Box::new(coc_error(StatusCode::BAD_REQUEST, "this account has no integration with LeadSquared"))),
    }
}

/// The configuration, under the names of Exotel's own connector. Of the capability URLs only the host is shown: who has
/// them can write call logs.
async fn configuration(request: HttpRequest, services: Data<Services>, sid: Path<String>) -> HttpResponse {
    let (integration, token) = match opened(&request, &services, &sid) {
        Ok(opened) => opened,
        Err(answer) => return *answer,
    };
    let mut shown = Map::new();
    for (setting, name) in URLS {
        let url = integration.secrets.get(setting).map(|url| host_of(url.expose_secret()));
        shown.insert(name.to_owned(), url.unwrap_or_default().into());
    }
    for (name, value) in settings_of(&integration) {
        shown.insert(name.to_owned(), value);
    }
    shown.insert("isActive".to_owned(), "true".into());
    let data = json!({ "isActive": "true", "leadsquared": shown, "token": token });
    HttpResponse::Ok().json(json!({ "Data": data, "Status": "Success" }))
}

fn host_of(url: &str) -> String {
    url::Url::parse(url).map(|url| format!("{}/…", url.origin().ascii_serialization())).unwrap_or_default()
}

/// What is not secret.
fn settings_of(integration: &Integration) -> [(&'static str, Value); 4] {
    let times = times(integration);
    let [from, until] = times.as_ref().map(CallingTimes::bounds).unwrap_or_default();
    let days = times.as_ref().map(CallingTimes::day_names).unwrap_or_default();
    let popups = integration.settings.flag("enable_outbound_popup");
    [
        ("callStartTimer", from.into()),
        ("callEndTimer", until.into()),
        ("callAllowedDays", days.into()),
        ("enableOutboundPopup", popups.to_string().into()),
    ]
}

/// Exotel's dashboard enables the connector here. Patchbay is configured in its own file: what is the same is accepted,
/// and what is not is told.
async fn configure(request: HttpRequest, services: Data<Services>, sid: Path<String>, bytes: Bytes) -> HttpResponse {
    let (integration, token) = match opened(&request, &services, &sid) {
        Ok(opened) => opened,
        Err(answer) => return *answer,
    };
    let Ok(body) = serde_json::from_slice::<Value>(&bytes) else {
        return coc_error(StatusCode::BAD_REQUEST, "the body is no JSON");
    };
    let said = |name: &str| body.get("leadsquared").and_then(|inner| inner.get(name)).or_else(|| body.get(name));
    let missing: Vec<&str> =
        URLS.iter().map(|(_, name)| *name).filter(|name| said(name).and_then(Value::as_str).is_none()).collect();
    if !missing.is_empty() {
        return coc_error(StatusCode::BAD_REQUEST, format!("missing: {}", missing.join(", ")));
    }
    let same_url = |setting: &str, name: &str| {
        let ours = integration.secrets.get(setting).map(|url| url.expose_secret().trim().to_owned());
        said(name).and_then(Value::as_str).map(str::trim) == ours.as_deref()
    };
    let mut other: Vec<&str> =
        URLS.iter().filter(|(setting, name)| !same_url(setting, name)).map(|(_, name)| *name).collect();
    let differs = |name: &str, ours: &Value| said(name).is_some_and(|theirs| !alike(theirs, ours));
    let settings = settings_of(&integration);
    other.extend(settings.iter().filter(|(name, ours)| differs(name, ours)).map(|(name, _)| *name));
    if said("isActive").is_some_and(|active| !alike(active, &"true".into())) {
        other.push("isActive");
    }
    if !other.is_empty() {
        let message = format!(
            "Patchbay is configured in its own file, and there these are set otherwise: {}. Change them in the \
             [[account.integration]] of LeadSquared",
            other.join(", ")
        );
        return coc_error(StatusCode::BAD_REQUEST, message);
    }
    HttpResponse::Ok().json(json!({ "Data": { "isActive": "true", "token": token }, "Status": "Success" }))
}

/// `true` and `"true"`, days in any order.
fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().all(|item| other.iter().any(|known| alike(item, known)))
        }
        (Value::Bool(one), other) => alike(&one.to_string().into(), other),
        (one, Value::Bool(other)) => alike(one, &other.to_string().into()),
        (Value::String(one), Value::String(other)) => one.trim().eq_ignore_ascii_case(other.trim()),
        (one, other) => one == other,
    }
}
