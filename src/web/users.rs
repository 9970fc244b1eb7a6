//! The user mapping in the API: the account's agents, one by one, as a table, and as CRMs and Exotel know them.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Bytes, Data, Path, Payload},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    api::{Answer, ApiError, Removal, body, limit, query},
    auth::{Endpoint, delete, get, patch, post},
};
use crate::{
    access::{Caller, Role},
    app::Services,
    call::phone,
    delivery::Driver,
    directory::{Agent, Job, Listed, Patch, Source, Synced, sync::From},
    exotel::{Party, Who},
    store::LaneRef,
};

/// Bytes of a table that is sent in.
const TABLE: usize = 4 << 20;
/// Pages of a CRM's users; a list that never ends is none.
const PAGES: usize = 200;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get("/api/v1/accounts/{sid}/users", Role::Admin, |route| route.to(list))
        .says("list_agents", "The user mapping: the account's agents and who they are in each CRM")
        .query::<ListQuery>()
        .gives::<AgentsShown>(200),
    post("/api/v1/accounts/{sid}/users", Role::Admin, |route| route.to(make))
        .says("make_agent", "Adds an agent")
        .body::<Patch>()
        .gives::<AgentShown>(201),
    get("/api/v1/accounts/{sid}/users/export.csv", Role::Admin, |route| route.to(export))
        .says("export_agents", "The user mapping as a table")
        .gives_media("text/csv"),
    post("/api/v1/accounts/{sid}/users/sync", Role::Admin, |route| route.to(sync))
        .says("sync_agents", "Brings the mapping up to what a CRM, or Exotel, says of its users")
        .body::<SyncAsked>()
        .gives::<Synced>(200),
    get("/api/v1/accounts/{sid}/users/import", Role::Admin, |route| route.to(imports))
        .says("list_imports", "The tables that were sent in")
        .gives::<ImportsShown>(200),
    post("/api/v1/accounts/{sid}/users/import", Role::Admin, |route| route.to(import))
        .says("import_agents", "Takes in a table of agents; bad rows stop no others")
        .body_of("text/csv")
        .gives::<Job>(202),
    get("/api/v1/accounts/{sid}/users/import/{job}", Role::Admin, |route| route.to(job))
        .says("get_import", "How far an import is")
        .gives::<Job>(200),
    get("/api/v1/accounts/{sid}/users/import/{job}/result.csv", Role::Admin, |route| route.to(result))
        .says("export_import_result", "What became of each row")
        .gives_media("text/csv"),
    get("/api/v1/accounts/{sid}/users/{id}", Role::Admin, |route| route.to(show))
        .says("get_agent", "An agent of the user mapping")
        .gives::<AgentShown>(200),
    patch("/api/v1/accounts/{sid}/users/{id}", Role::Admin, |route| route.to(edit))
        .says("edit_agent", "Changes what is named of an agent; null takes it away")
        .body::<Patch>()
        .gives::<AgentShown>(200),
    delete("/api/v1/accounts/{sid}/users/{id}", Role::Admin, |route| route.to(remove))
        .says("delete_agent", "Removes an agent")
        .query::<Removal>()
        .gives_nothing(),
];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Part of a name, an e-mail, a number in any writing, or a CRM user's id.
    search: Option<String>,
    source: Option<String>,
    /// Only those with a user there.
    integration: Option<String>,
    click_to_call: Option<bool>,
    before: Option<String>,
    limit: Option<u32>,
}

/// Where a page ended: in the order of the list.
#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Mark(String, String);

impl Mark {
    fn of(agent: &Agent) -> Self {
        Self(agent.profile.label().to_lowercase(), agent.id.clone())
    }

    fn cursor(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn read(cursor: &str) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
    }
}

async fn list(request: HttpRequest, services: Data<Services>, sid: Path<String>) -> Answer {
    let asked: ListQuery = query(&request)?;
    let after = asked.before.as_deref().map(Mark::read);
    if matches!(after, Some(None)) {
        return Err(ApiError::BadRequest("before: give the `next` of the page before, as it was answered".to_owned()));
    }
    let after = after.flatten();
    if asked
        .source
        .as_deref()
        .is_some_and(|source| ![Source::File, Source::Store].map(Source::as_str).contains(&source))
    {
        return Err(ApiError::BadRequest("source: file or store".to_owned()));
    }
    let roster = services.agents.of(&sid);
    let fits = |agent: &&Agent| {
        let Agent { source, profile, .. } = agent;
        asked.source.as_deref().is_none_or(|wanted| wanted == source.as_str())
            && asked.integration.as_ref().is_none_or(|name| profile.crm_user.contains_key(name))
            && asked.click_to_call.is_none_or(|wanted| wanted == profile.click_to_call)
            && asked.search.as_deref().is_none_or(|text| found(agent, text))
    };
    let mut fitting: Vec<(Mark, &Agent)> = roster.agents().filter(fits).map(|agent| (Mark::of(agent), agent)).collect();
    let total = fitting.len();
    fitting.sort_by(|(one, _), (other, _)| one.cmp(other));
    fitting.retain(|(mark, _)| after.as_ref().is_none_or(|after| mark > after));
    let limit = limit(asked.limit) as usize;
    let more = fitting.len() > limit;
    fitting.truncate(limit);
    let next = fitting.last().filter(|_| more).map(|(mark, _)| mark.cursor());
    let users = fitting.iter().map(|(_, agent)| shown(agent)).collect();
    Ok(HttpResponse::Ok().json(AgentsShown { users, next, total }))
}

#[derive(Serialize, JsonSchema)]
struct AgentsShown {
    users: Vec<AgentShown>,
    next: Option<String>,
    /// How many there are on all pages.
    total: usize,
}

#[derive(Serialize, JsonSchema)]
struct AgentShown {
    #[serde(flatten)]
    agent: Agent,
    /// Those of the configuration file are changed there.
    editable: bool,
}

/// Whether a text is part of what is known of an agent.
fn found(agent: &Agent, text: &str) -> bool {
    let text = text.trim().to_lowercase();
    let profile = &agent.profile;
    let texts =
        [&profile.name, &profile.email, &profile.exotel_user].into_iter().flatten().chain(profile.crm_user.values());
    if text.is_empty() || texts.into_iter().any(|known| known.to_lowercase().contains(&text)) {
        return true;
    }
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let wanted = digits(&text);
    // People write 0 and the national number, where the country code stands here.
    let wanted = wanted.trim_start_matches('0');
    let spoken = text.chars().all(|c| c.is_ascii_digit() || " +-().".contains(c));
    let numbers = [&profile.number, &profile.caller_id].into_iter().flatten();
    numbers.into_iter().any(|number| {
        number.to_lowercase().contains(&text) || (spoken && !wanted.is_empty() && digits(number).contains(wanted))
    })
}

fn shown(agent: &Agent) -> AgentShown {
    AgentShown { editable: agent.source == Source::Store, agent: agent.clone() }
}

async fn show(services: Data<Services>, path: Path<(String, String)>) -> Answer {
    let (sid, id) = path.into_inner();
    let roster = services.agents.of(&sid);
    let agent = roster.find(&id).ok_or_else(|| ApiError::NotFound("there is no such agent: see …/users".to_owned()))?;
    Ok(HttpResponse::Ok().json(shown(agent)))
}

async fn make(services: Data<Services>, caller: Caller, sid: Path<String>, bytes: Bytes) -> Answer {
    let asked: Patch = body(&bytes)?;
    let made = services.agents.make(&sid, &asked, &caller.who).await?;
    Ok(HttpResponse::Created().json(shown(&made)))
}

async fn edit(services: Data<Services>, caller: Caller, path: Path<(String, String)>, bytes: Bytes) -> Answer {
    let (sid, id) = path.into_inner();
    let asked: Patch = body(&bytes)?;
    let edited = services.agents.edit(&sid, &id, &asked, &caller.who).await?;
    Ok(HttpResponse::Ok().json(shown(&edited)))
}

async fn remove(
    request: HttpRequest,
    services: Data<Services>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Answer {
    let (sid, id) = path.into_inner();
    let Removal { version } = query(&request)?;
    services.agents.remove(&sid, &id, version, &caller.who).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SyncAsked {
    /// `exotel`, or an integration's name.
    from: String,
}

async fn sync(services: Data<Services>, caller: Caller, sid: Path<String>, bytes: Bytes) -> Answer {
    let SyncAsked { from } = body(&bytes)?;
    let lane = LaneRef { account: sid.clone(), integration: from.clone() };
    let (from, listed) = match services.lane(&lane) {
        Some(lane) => (From::Integration(from), crm_users(lane.driver()).await?),
        None if from == "exotel" => (From::Exotel, exotel_users(&services, &sid).await?),
        None => {
            let account = services.account(&sid);
            let there: Vec<&str> =
                account.iter().flat_map(|one| &one.integrations).map(|one| one.name.as_str()).collect();
            let message = format!("from: exotel, or the name of an integration; there are: {}", there.join(", "));
            return Err(ApiError::BadRequest(message));
        }
    };
    let synced = services.agents.sync(&sid, &from, &listed, &caller.who).await?;
    Ok(HttpResponse::Ok().json(synced))
}

/// A CRM's users, all pages.
async fn crm_users(driver: &Driver) -> Result<Vec<Listed>, ApiError> {
    let agents = driver.connector.agents();
    let agents =
        agents.ok_or_else(|| ApiError::BadRequest("from: this CRM does not say who its users are".to_owned()))?;
    let (mut listed, mut from) = (Vec::new(), None);
    for _ in 0..PAGES {
        let page = driver.run(agents.list(from.as_ref()), &mut Vec::new()).await;
        let page = page.map_err(|stop| ApiError::Upstream(format!("the CRM cannot be asked: {}", stop.told())))?;
        listed.extend(page.items.into_iter().map(|agent| Listed {
            id: agent.at.id,
            name: agent.name,
            email: agent.email,
            numbers: agent.numbers,
            active: agent.active,
        }));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    Ok(listed)
}

/// Exotel's users, with the devices they are rung on: the one that is on before those that are off.
async fn exotel_users(services: &Services, sid: &str) -> Result<Vec<Listed>, ApiError> {
    let client = services.exotel(sid).ok_or_else(|| ApiError::NotFound("there is no such account".to_owned()))?;
    let users = client.users(&Who::Everybody).await;
    let users = users.map_err(|error| ApiError::Exotel("Exotel's users cannot be asked for", error))?;
    let listed = users.into_iter().map(|user| {
        let mut devices = user.devices;
        devices.sort_by_key(|device| !device.available);
        let names = [user.first_name, user.last_name].into_iter().flatten();
        Listed {
            id: user.id,
            name: names.collect::<Vec<_>>().join(" ").trim().to_owned(),
            email: user.email,
            numbers: devices.into_iter().filter_map(|device| device.contact).map(dialled).collect(),
            active: true,
        }
    });
    Ok(listed.collect())
}

fn dialled(contact: Party) -> String {
    match contact {
        Party::Number(number) => number.e164,
        Party::Sip(user) if phone::is_sip(&user) => user,
        Party::Sip(user) => format!("sip:{user}"),
        Party::Other(text) => text,
    }
}

async fn export(services: Data<Services>, sid: Path<String>) -> Answer {
    Ok(table("users.csv", services.agents.export(&sid)))
}

fn table(name: &str, bytes: Vec<u8>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present"))
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(bytes)
}

async fn import(
    request: HttpRequest,
    services: Data<Services>,
    caller: Caller,
    sid: Path<String>,
    payload: Payload,
) -> Answer {
    let bytes = match payload.to_bytes_limited(TABLE).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            return Err(ApiError::BadRequest("the body broke off, and nothing was taken: send it again".to_owned()));
        }
        Err(_) => return Err(ApiError::TooLarge(TABLE)),
    };
    let file = file(&request, bytes).await?;
    let taken = services.agents.import(&sid, &file, &caller.who, &services.stopping).await?;
    let job = taken.map_err(|error| ApiError::BadRequest(error.to_string()))?;
    let at = format!("/api/v1/accounts/{sid}/users/import/{}", job.id);
    Ok(HttpResponse::Accepted().insert_header((header::LOCATION, at)).json(job))
}

/// The table itself, or the first file of a form.
async fn file(request: &HttpRequest, bytes: Bytes) -> Result<Bytes, ApiError> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Ok(boundary) = multer::parse_boundary(kind) else { return Ok(bytes) };
    let stream = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(bytes)]);
    let mut form = multer::Multipart::new(stream, boundary);
    let wrong =
        |_| ApiError::BadRequest("the form cannot be read: send the table as the file of a multipart form".to_owned());
    while let Some(field) = form.next_field().await.map_err(wrong)? {
        if field.file_name().is_some() || field.name() == Some("file") {
            return field.bytes().await.map_err(wrong);
        }
    }
    Err(ApiError::BadRequest("there is no file in the form".to_owned()))
}

#[derive(Serialize, JsonSchema)]
struct ImportsShown {
    imports: Vec<Job>,
}

async fn imports(services: Data<Services>, sid: Path<String>) -> Answer {
    Ok(HttpResponse::Ok().json(ImportsShown { imports: services.agents.imports(&sid).await? }))
}

async fn job(services: Data<Services>, path: Path<(String, String)>) -> Answer {
    let (sid, id) = path.into_inner();
    let job = services.agents.job(&sid, &id).await?;
    let job = job.ok_or_else(|| ApiError::NotFound("there is no such import: see …/users/import".to_owned()))?;
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(job))
}

async fn result(services: Data<Services>, path: Path<(String, String)>) -> Answer {
    let (sid, id) = path.into_inner();
    let found = services.agents.result(&sid, &id).await?;
    let found = found.ok_or_else(|| ApiError::NotFound("there is no such import, or it is not done yet".to_owned()))?;
    Ok(table("result.csv", found))
}
