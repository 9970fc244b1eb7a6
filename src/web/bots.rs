//! Voicebots in the API: made, changed, shown without their credentials, which go in and never come out. A token is
//! shown once, when it is made.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Bytes, Data, Path},
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    api::{Answer, ApiError, Removal, body, query},
    auth::{Endpoint, delete, get, patch, post, put},
};
use crate::{
    access::{Caller, Role},
    app::Services,
    config::Backend,
    directory::{Bot, BotPatch, Entry, Made, Source, ToolShown},
};

/// In the place of a token that is not shown.
const HIDDEN: &str = "***";

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get("/api/v1/accounts/{sid}/bots", Role::Admin, |route| route.to(list))
        .says("list_bots", "The account's voicebots, those of the file first")
        .gives::<BotsShown>(200),
    post("/api/v1/accounts/{sid}/bots", Role::SuperAdmin, |route| route.to(make))
        .says("make_bot", "Makes a voicebot; its token is shown this once")
        .body::<BotPatch>()
        .gives::<BotShown>(201),
    get("/api/v1/accounts/{sid}/bots/{id}", Role::Admin, |route| route.to(show))
        .says("get_bot", "A voicebot, without its credentials")
        .gives::<BotShown>(200),
    patch("/api/v1/accounts/{sid}/bots/{id}", Role::SuperAdmin, |route| route.to(edit))
        .says("edit_bot", "Changes what is named of a voicebot; null takes it away")
        .body::<BotPatch>()
        .gives::<BotShown>(200),
    put("/api/v1/accounts/{sid}/bots/{id}", Role::SuperAdmin, |route| route.to(replace))
        .says("replace_bot", "Takes away what is not named of a voicebot, but for what is never shown")
        .body::<BotPatch>()
        .gives::<BotShown>(200),
    delete("/api/v1/accounts/{sid}/bots/{id}", Role::SuperAdmin, |route| route.to(remove))
        .says("delete_bot", "Removes a voicebot that no DID leads to")
        .query::<Removal>()
        .gives_nothing(),
    post("/api/v1/accounts/{sid}/bots/{id}/rotate", Role::SuperAdmin, |route| route.to(rotate))
        .says("rotate_bot", "Gives a voicebot a new token, shown this once; the old one works for a while")
        .gives::<BotShown>(201),
];

/// A bot's address, as far as it may be shown: its last part is its credential.
pub(super) fn hidden_url(services: &Services) -> String {
    format!("{}/voicebot/{HIDDEN}", services.websocket_base())
}

/// A voicebot, without its credentials.
#[derive(Serialize, JsonSchema)]
struct BotShown {
    id: String,
    label: Option<String>,
    backend: Backend,
    /// Of its query, what may be a credential is hidden.
    url: Option<String>,
    api_key_configured: bool,
    /// Their names.
    headers: Vec<String>,
    instructions: Option<String>,
    greeting: Option<String>,
    /// What is called as credentials are is hidden.
    options: Map<String, Value>,
    transfer_to: Option<String>,
    tools: Vec<ToolShown>,
    record: bool,
    sample_rate: u32,
    /// They were sealed with another master key, and have to be given anew.
    secrets_lost: bool,
    /// Numbers of the DIDs that lead to it.
    exophones: Vec<String>,
    /// Its last part is the token, hidden but for when it is made.
    websocket_url: String,
    /// Only when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// When the token that was rotated away ends.
    old_token_until: Option<Timestamp>,
    source: Source,
    editable: bool,
    version: i64,
    updated_at: Option<Timestamp>,
}

#[derive(Serialize, JsonSchema)]
struct BotsShown {
    bots: Vec<BotShown>,
}

fn shown(services: &Services, sid: &str, bot: &Entry<Bot>) -> BotShown {
    let Entry { id, source, version, profile, updated_at } = bot;
    let dids = services.bots.dids(sid);
    let of_it = dids.all().filter(|did| did.profile.bot_id.as_ref() == Some(id));
    BotShown {
        id: id.clone(),
        label: profile.label.clone(),
        backend: profile.backend,
        url: profile.url_shown(),
        api_key_configured: profile.api_key().is_some(),
        headers: profile.headers().keys().cloned().collect(),
        instructions: profile.instructions.clone(),
        greeting: profile.greeting.clone(),
        options: profile.options_shown(),
        transfer_to: profile.transfer_to.clone(),
        tools: profile.tools_shown(),
        record: profile.record,
        sample_rate: profile.sample_rate,
        secrets_lost: profile.secrets_lost,
        exophones: of_it.map(|did| did.profile.number.clone()).collect(),
        websocket_url: hidden_url(services),
        token: None,
        old_token_until: profile.old_token_until(Timestamp::now()),
        source: *source,
        editable: *source == Source::Store,
        version: *version,
        updated_at: *updated_at,
    }
}

/// With the token: the only time that it is shown.
fn made(services: &Services, sid: &str, made: &Made) -> HttpResponse {
    let shown = BotShown {
        token: Some(made.token.clone()),
        websocket_url: format!("{}/voicebot/{}", services.websocket_base(), made.token),
        ..shown(services, sid, &made.bot)
    };
    HttpResponse::Created().insert_header((header::CACHE_CONTROL, "no-store")).json(shown)
}

async fn list(services: Data<Services>, sid: Path<String>) -> Answer {
    let all = services.bots.of(&sid);
    let bots = all.all().map(|bot| shown(&services, &sid, bot)).collect();
    Ok(HttpResponse::Ok().json(BotsShown { bots }))
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
