//! What goes on now, for those who look at it: event streams of agents and consoles, and the agents with where they stand.
//! A stream is a picture that is kept up to date, not a log: who was away begins with what is going on.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Bytes, Data, Path},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::Instant};
use uuid::Uuid;

use super::{
    api::{Answer, ApiError, query},
    auth::{Credential, Endpoint, get},
};
use crate::{
    access::{Caller, Role},
    app::Services,
    call::phone,
    context::{Audience, EventId, Listener, LiveEvent, Next, Session, Subscription},
    directory::{Agent, Roster},
    live::Picture,
};

/// Frames that may wait for one connection to take them; what comes beyond waits in the subscription.
const FRAMES: usize = 16;
/// What a stream is sent as.
const STREAM: &str = "text/event-stream";
/// How long a browser waits before it comes again.
const RETRY_MS: u32 = 2000;
/// Whoever is signed in, by his e-mail.
const ME: &str = "me";

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get("/api/v1/accounts/{sid}/events", Role::Admin, |route| route.to(all_events))
        .says("hear_account", "All agents' calls while they go on: server-sent events")
        .query::<StreamQuery>()
        .gives_media(STREAM),
    get("/api/v1/accounts/{sid}/agents", Role::Admin, |route| route.to(list))
        .says("list_live_agents", "Who is there, and on which call")
        .gives::<AgentsNow>(200),
    get("/api/v1/accounts/{sid}/agents/{id}", Role::Agent, |route| route.to(show))
        .says("get_live_agent", "Whether an agent is there, and his calls: by id, e-mail, number, or `me`")
        .gives::<AgentsNow>(200),
    get("/api/v1/accounts/{sid}/agents/{id}/events", Role::Agent, |route| route.to(events))
        .says("hear_agent", "An agent's calls while they go on: server-sent events")
        .query::<StreamQuery>()
        .gives_media(STREAM),
];

/// Streams that are open on this node, by whose they are.
#[derive(Debug, Default)]
pub struct Streams(Mutex<HashMap<String, usize>>);

impl Streams {
    fn open(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them; given back when it is dropped.
struct Place {
    services: Data<Services>,
    of: Vec<String>,
}

impl Place {
    /// A stream counts once for each of those it is for.
    fn take(services: &Data<Services>, of: Vec<String>) -> Result<Self, ApiError> {
        let limits = &services.config.live;
        let mut open = services.streams.open();
        if of.iter().any(|one| open.get(one).is_some_and(|count| *count >= limits.streams_per_agent)) {
            let message = format!("{} streams are open for him already; close one", limits.streams_per_agent);
            return Err(ApiError::Crowded(message));
        }
        if services.metrics.streams.get() >= i64::try_from(limits.streams).unwrap_or(i64::MAX) {
            return Err(ApiError::Full(
                "this node has as many streams open as it may; try again, or another".to_owned(),
            ));
        }
        for one in &of {
            *open.entry(one.clone()).or_default() += 1;
        }
        services.metrics.streams.inc();
        Ok(Self { services: services.clone(), of })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.services.streams.open();
        for one in &self.of {
            if let Some(count) = open.get_mut(one) {
                *count -= 1;
                if *count == 0 {
                    open.remove(one);
                }
            }
        }
        self.services.metrics.streams.dec();
    }
}

/// Whom a stream is for.
#[derive(Clone, Debug)]
enum Whose {
    Account,
    /// As he is named in the path.
    Agent(String),
}

/// The agent who is named: by his id, his e-mail, his number or `me`. One person may stand in the mapping more than once,
/// with a phone and a SIP address, and by his e-mail he is all of these. Somebody else's is not there for an agent.
fn named<'a>(
    services: &Services,
    roster: &'a Roster,
    caller: &Caller,
    sid: &str,
    name: &str,
) -> Result<Vec<&'a Agent>, ApiError> {
    let by_email = |email: &str| -> Vec<&'a Agent> { roster.with_email(email).collect() };
    let by_number = || {
        let country = services.account(sid).map(|account| account.country.clone()).unwrap_or_default();
        let number = phone::parse(name, &country).map_or_else(|| name.to_owned(), |number| number.e164);
        roster.with_number(&number)
    };
    let mut found = match (name, roster.find(name)) {
        (ME, _) => caller.email.as_deref().map(by_email).unwrap_or_default(),
        (_, Some(agent)) => vec![agent],
        _ if name.contains('@') && !phone::is_sip(name) => by_email(name),
        _ => by_number().into_iter().collect(),
    };
    let own = |agent: &&Agent| {
        let emails = (agent.profile.email.as_deref(), caller.email.as_deref());
        matches!(emails, (Some(his), Some(own)) if his.to_lowercase() == own.to_lowercase())
    };
    found.retain(|agent| caller.role >= Role::Admin || own(agent));
    if found.is_empty() {
        return Err(ApiError::NotFound("there is no such agent: see …/users".to_owned()));
    }
    Ok(found)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StreamQuery {
    /// As the header, for whoever cannot send one.
    last_event_id: Option<String>,
}

async fn all_events(request: HttpRequest, services: Data<Services>, caller: Caller, sid: Path<String>) -> Answer {
    open(&request, services, &caller, sid.into_inner(), Whose::Account)
}

async fn events(
    request: HttpRequest,
    services: Data<Services>,
    caller: Caller,
    path: Path<(String, String)>,
) -> Answer {
    let (sid, name) = path.into_inner();
    open(&request, services, &caller, sid, Whose::Agent(name))
}

fn open(request: &HttpRequest, services: Data<Services>, caller: &Caller, sid: String, whose: Whose) -> Answer {
    let asked: StreamQuery = query(request)?;
    let credential = Credential::of(request).ok_or(ApiError::Unauthorized)?;
    let after = request.headers().get("last-event-id").and_then(|value| value.to_str().ok().map(str::to_owned));
    let after: Option<EventId> = after.or(asked.last_event_id).and_then(|id| id.trim().parse().ok());
    let agents = heard(&services, caller, &sid, &whose)?;
    let of = match &agents {
        Some(ids) => ids.iter().map(|id| format!("{sid}/{id}")).collect(),
        None => vec![format!("{sid}//{}", caller.user.as_ref().unwrap_or(&caller.who))],
    };
    let place = Place::take(&services, of)?;
    let subscription = services.context.subscribe(Listener { account: sid.clone(), agents: agents.clone() }, after);
    let session = |agent: String| Session { account: sid.clone(), agent, id: Uuid::new_v4() };
    let sessions = agents.iter().flatten().cloned().map(session).collect();
    let (out, frames) = mpsc::channel(FRAMES);
    let stream = Stream { place, credential, sid, whose, agents, sessions, out };
    tokio::spawn(stream.run(subscription));
    let frames = futures_util::stream::unfold(frames, |mut frames| async {
        Some((Ok::<Bytes, Infallible>(frames.recv().await?), frames))
    });
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, STREAM))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Proxies are to pass on what comes as it comes.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(frames))
}

/// The ids whose news this stream carries; `None`: everybody's.
fn heard(services: &Services, caller: &Caller, sid: &str, whose: &Whose) -> Result<Option<Vec<String>>, ApiError> {
    match whose {
        Whose::Account => Ok(None),
        Whose::Agent(name) => {
            let roster = services.agents.of(sid);
            let agents = named(services, &roster, caller, sid, name)?;
            Ok(Some(agents.into_iter().map(|agent| agent.id.clone()).collect()))
        }
    }
}

/// An open stream.
struct Stream {
    place: Place,
    credential: Credential,
    sid: String,
    whose: Whose,
    agents: Option<Vec<String>>,
    sessions: Vec<Session>,
    out: mpsc::Sender<Bytes>,
}

impl Stream {
    async fn run(self, mut subscription: Subscription) {
        let context = Arc::clone(&self.place.services.context);
        let begin = json!({ "resumed": subscription.resumed });
        if self.send(format!("retry: {RETRY_MS}\nevent: begin\ndata: {begin}\n\n")).await {
            for session in &self.sessions {
                context.appear(session).await;
            }
            self.go_on(&mut subscription).await;
        }
        drop(subscription);
        for session in &self.sessions {
            context.leave(session).await;
        }
    }

    async fn go_on(&self, subscription: &mut Subscription) {
        let services = &self.place.services;
        let every = services.config.live.heartbeat;
        let mut heartbeat = tokio::time::interval_at(Instant::now() + every, every);
        loop {
            let goes_on = tokio::select! {
                // The service stops, and waits for nobody who only listens.
                () = services.stopping.cancelled() => false,
                () = self.out.closed() => false,
                _ = heartbeat.tick() => self.may_go_on().await && self.send(":\n\n".to_owned()).await,
                next = subscription.next() => match next {
                    Some(Next::Event(event)) => self.send(frame(&event)).await,
                    // He comes back, and says up to where he heard.
                    Some(Next::TooSlow) | None => false,
                },
            };
            if !goes_on {
                return;
            }
        }
    }

    /// `false`: nobody takes it.
    async fn send(&self, frame: String) -> bool {
        let patience = self.place.services.config.live.heartbeat;
        tokio::select! {
            sent = tokio::time::timeout(patience, self.out.send(Bytes::from(frame))) => matches!(sent, Ok(Ok(()))),
            () = self.place.services.stopping.cancelled() => false,
        }
    }

    /// Whether he may still hear this; and says that he is there. A store that cannot be asked ends nothing.
    async fn may_go_on(&self) -> bool {
        let services = &self.place.services;
        let caller = match self.credential.holder(services).await {
            Ok(Some(caller)) => caller,
            Ok(None) => return false,
            Err(_) => return true,
        };
        let role = match self.whose {
            Whose::Account => Role::Admin,
            Whose::Agent(_) => Role::Agent,
        };
        let lets = caller.role >= role && caller.may_see(&self.sid) && services.account(&self.sid).is_some();
        // Who has another number now, or one more, is another listener.
        let same = || heard(services, &caller, &self.sid, &self.whose).is_ok_and(|agents| agents == self.agents);
        if !lets || !same() {
            return false;
        }
        for session in &self.sessions {
            services.context.appear(session).await;
        }
        true
    }
}

fn frame(event: &LiveEvent) -> String {
    format!("id: {}\nevent: {}\ndata: {}\n\n", event.id, event.told.news.kind, event.told.news.data)
}

async fn list(services: Data<Services>, sid: Path<String>) -> Answer {
    let roster = services.agents.of(&sid);
    let mut agents: Vec<&Agent> = roster.agents().collect();
    agents.sort_by_cached_key(|agent| (agent.profile.label().to_lowercase(), agent.id.clone()));
    Ok(HttpResponse::Ok().json(standing(&services, &sid, &agents).await))
}

/// Of one who is named by his e-mail and has several numbers, each is told of.
async fn show(services: Data<Services>, caller: Caller, path: Path<(String, String)>) -> Answer {
    let (sid, name) = path.into_inner();
    let roster = services.agents.of(&sid);
    let agents = named(&services, &roster, &caller, &sid, &name)?;
    Ok(HttpResponse::Ok().json(standing(&services, &sid, &agents).await))
}

#[derive(Serialize, JsonSchema)]
struct AgentsNow {
    agents: Vec<AgentNow>,
}

#[derive(Serialize, JsonSchema)]
struct AgentNow {
    id: String,
    name: Option<String>,
    email: Option<String>,
    number: Option<String>,
    /// He has an event stream open, on any node.
    present: bool,
    /// How many.
    streams: usize,
    /// Those that go on, as his streams tell of them.
    #[schemars(with = "Vec<Picture>")]
    calls: Vec<Value>,
}

/// Agents with whether they are there, and their calls.
async fn standing(services: &Services, sid: &str, agents: &[&Agent]) -> AgentsNow {
    let mut streams: HashMap<String, usize> = HashMap::new();
    for session in services.context.present(sid).await {
        *streams.entry(session.agent).or_default() += 1;
    }
    let mut calls: HashMap<String, Vec<Value>> = HashMap::new();
    for event in services.context.going_on(sid) {
        if let Audience::Agent(id) = &event.told.news.to {
            calls.entry(id.clone()).or_default().push(event.told.news.data.clone());
        }
    }
    let shown = |agent: &&Agent| {
        let streams = streams.get(&agent.id).copied().unwrap_or_default();
        AgentNow {
            id: agent.id.clone(),
            name: agent.profile.name.clone(),
            email: agent.profile.email.clone(),
            number: agent.profile.number.clone(),
            present: streams > 0,
            streams,
            calls: calls.remove(&agent.id).unwrap_or_default(),
        }
    };
    AgentsNow { agents: agents.iter().map(shown).collect() }
}
