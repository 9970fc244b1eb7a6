//! Voicebots in the API. Their credentials go in and never come out; a token is shown once, when it is made.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Bytes, Data, Path},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    api::{Answer, ApiError, body, query},
    auth::{Endpoint, delete, get, patch, post, put},
    users::Removal,
};
use crate::{
    access::{Caller, Role},
    app::Services,
    directory::{Bot, BotPatch, Entry, Made, Source},
};

/// In the place of a token that is not shown.
const HIDDEN: &str = "***";

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get("/api/v1/accounts/{sid}/bots", Role::Admin, |route| route.to(list)),
    post("/api/v1/accounts/{sid}/bots", Role::SuperAdmin, |route| route.to(make)),
    get("/api/v1/accounts/{sid}/bots/{id}", Role::Admin, |route| route.to(show)),
    patch("/api/v1/accounts/{sid}/bots/{id}", Role::SuperAdmin, |route| route.to(edit)),
    put("/api/v1/accounts/{sid}/bots/{id}", Role::SuperAdmin, |route| route.to(replace)),
    delete("/api/v1/accounts/{sid}/bots/{id}", Role::SuperAdmin, |route| route.to(remove)),
    post("/api/v1/accounts/{sid}/bots/{id}/rotate", Role::SuperAdmin, |route| route.to(rotate)),
];

/// Where websockets are opened: the address of the service, in their scheme.
pub(super) fn websocket_base(services: &Services) -> String {
    let base = services.public_url();
    match base.split_once("://") {
        Some(("https", rest)) => format!("wss://{rest}"),
        Some((_, rest)) => format!("ws://{rest}"),
        None => base.to_owned(),
    }
}

/// A bot's address, as far as it may be shown: its last part is its credential.
pub(super) fn hidden_url(services: &Services) -> String {
    format!("{}/voicebot/{HIDDEN}", websocket_base(services))
}

fn shown(services: &Services, sid: &str, bot: &Entry<Bot>) -> Value {
    let Entry { id, source, version, profile, updated_at } = bot;
    let dids = services.bots.dids(sid);
    let of_it = dids.all().filter(|did| did.profile.bot_id.as_ref() == Some(id));
    let exophones: Vec<&str> = of_it.map(|did| did.profile.number.as_str()).collect();
    json!({
        "id": id,
        "label": profile.label,
        "backend": profile.backend,
        "url": profile.url_shown(),
        "api_key_configured": profile.api_key().is_some(),
        "headers": profile.headers().keys().collect::<Vec<_>>(),
        "instructions": profile.instructions,
        "sample_rate": profile.sample_rate,
        "secrets_lost": profile.secrets_lost,
        "exophones": exophones,
        "websocket_url": hidden_url(services),
        "old_token_until": profile.old_token_until(Timestamp::now()),
        "source": source,
        "editable": *source == Source::Store,
        "version": version,
        "updated_at": updated_at,
    })
}

/// With the token: the only time that it is shown.
fn made(services: &Services, sid: &str, made: &Made) -> HttpResponse {
    let mut shown = shown(services, sid, &made.bot);
    shown["token"] = made.token.as_str().into();
    shown["websocket_url"] = format!("{}/voicebot/{}", websocket_base(services), made.token).into();
    HttpResponse::Created().insert_header((header::CACHE_CONTROL, "no-store")).json(shown)
}

async fn list(services: Data<Services>, sid: Path<String>) -> Answer {
    let bots = services.bots.of(&sid);
    let items: Vec<Value> = bots.all().map(|bot| shown(&services, &sid, bot)).collect();
    Ok(HttpResponse::Ok().json(json!({ "bots": items })))
}

async fn show(services: Data<Services>, path: Path<(String, String)>) -> Answer {
    let (sid, id) = path.into_inner();
    let bots = services.bots.of(&sid);
    let bot = bots.get(&id).ok_or_else(|| ApiError::NotFound("there is no such bot".to_owned()))?;
    Ok(HttpResponse::Ok().json(shown(&services, &sid, bot)))
}

async fn make(services: Data<Services>, caller: Caller, sid: Path<String>, bytes: Bytes) -> Answer {
    let asked: BotPatch = body(&bytes)?;
    let bot = services.bots.make(&sid, &asked, &caller.who).await?;
    Ok(made(&services, &sid, &bot))
}

async fn edit(services: Data<Services>, caller: Caller, path: Path<(String, String)>, bytes: Bytes) -> Answer {
    change(&services, &caller, path, body(&bytes)?).await
}

async fn replace(services: Data<Services>, caller: Caller, path: Path<(String, String)>, bytes: Bytes) -> Answer {
    let asked: BotPatch = body(&bytes)?;
    change(&services, &caller, path, asked.whole()).await
}

async fn change(services: &Services, caller: &Caller, path: Path<(String, String)>, asked: BotPatch) -> Answer {
    let (sid, id) = path.into_inner();
    let bot = services.bots.edit(&sid, &id, &asked, &caller.who).await?;
    Ok(HttpResponse::Ok().json(shown(services, &sid, &bot)))
}

async fn remove(
    request: HttpRequest,
    services: Data<Services>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Answer {
    let (sid, id) = path.into_inner();
    let Removal { version } = query(&request)?;
    services.bots.remove(&sid, &id, version, &caller.who).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn rotate(services: Data<Services>, caller: Caller, path: Path<(String, String)>) -> Answer {
    let (sid, id) = path.into_inner();
    let bot = services.bots.rotate(&sid, &id, &caller.who).await?;
    Ok(made(&services, &sid, &bot))
}
