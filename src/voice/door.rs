//! Where Exotel connects: the addresses of bots, and who may use them.

use std::sync::Arc;

use actix_http::ws;
use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    http::{
        Method,
        header::{self, HeaderValue},
    },
    web::{self, Data, Path, ServiceConfig},
};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde_json::json;

use super::{
    call::For,
    hang_up,
    line::Line,
    session,
    story::{self, End},
    takeover::Takeover,
};
use crate::{
    app::Services,
    config::bot::SAMPLE_RATES,
    directory::{Bot, Bots, Entry, Ticket},
    store::Click,
    telemetry::HookLabels,
};

/// As what these are counted among the answers to Exotel.
pub(super) const HOOK: &str = "voicebot";

/// A slash at the end is let pass: a redirect away from it would lose the call.
pub fn routes(config: &mut ServiceConfig) {
    for path in ["/voicebot/{token}", "/voicebot/{token}/"] {
        config.route(path, web::to(by_token));
    }
    for path in ["/exotel/{bot}", "/exotel/{bot}/", "/ws/exotel", "/ws/exotel/"] {
        config.route(path, web::to(by_credential));
    }
    hang_up::routes(config);
}

/// Its token is the bot's credential: what stands in a query does not reach us (exotel-voicebot §0.2).
async fn by_token(request: HttpRequest, services: Data<Services>, token: Path<String>) -> HttpResponse {
    let now = Timestamp::now();
    let by_ticket = || {
        let (ticket, bot) = services.bots.with_ticket(&token, now)?;
        Some((ticket.account, bot, Some(ticket.click)))
    };
    let by_token = services.bots.with_token(&token, now).map(|(account, bot)| (account, bot, None));
    let Some((account, bot, click)) = by_token.or_else(by_ticket) else {
        let nothing = HttpResponse::NotFound().content_type("text/plain").body("There is nothing here.\n");
        return count(&services, nothing);
    };
    if upgrades(&request) {
        return open(&request, services, For::Bot { account, bot: Box::new(bot), click });
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD | Method::POST) {
        let answer = HttpResponse::MethodNotAllowed()
            .insert_header((header::ALLOW, "GET, HEAD, POST"))
            .content_type("text/plain")
            .body("Use GET, HEAD or POST.\n");
        return count(&services, answer);
    }
    // The applet was given an https address, and asks for the websocket of this call (§1.2).
    let url = address(&services.websocket_base(), &token, &bot);
    let answer = HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(json!({ "url": url }));
    count(&services, answer)
}

/// The accounts that a Basic credential opens.
fn opened(services: &Services, authorization: Option<&[u8]>) -> Vec<String> {
    let doors = services.doors.load();
    let roll = services.accounts.load();
    let opened = roll.iter().filter(|running| doors.basic(&running.account.sid, authorization));
    opened.map(|running| running.account.sid.clone()).collect()
}

/// The paths of other bridges, whose flows go on working here. They hold no secret, so the account's own credential is
/// asked for, which Exotel sends of `wss://key:token@…` (§1.4).
async fn by_credential(request: HttpRequest, services: Data<Services>) -> HttpResponse {
    let authorization = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let accounts = opened(&services, authorization);
    if accounts.is_empty() {
        let answer = HttpResponse::Unauthorized()
            .insert_header((header::WWW_AUTHENTICATE, "Basic realm=\"patchbay\""))
            .content_type("text/plain")
            .body("Authentication is required.\n");
        return count(&services, answer);
    }
    let whom = match request.match_info().get("bot") {
        Some(id) => {
            let of = |account: &String| Some((account.clone(), services.bots.of(account).get(id)?.clone()));
            let Some((account, bot)) = accounts.iter().find_map(of) else {
                let answer = HttpResponse::NotFound().content_type("text/plain").body("There is no such bot.\n");
                return count(&services, answer);
            };
            For::Bot { account, bot: Box::new(bot), click: None }
        }
        None => {
            let query = url::form_urlencoded::parse(request.query_string().as_bytes());
            let bot = query.into_owned().find(|(name, _)| name == "bot_id").map(|(_, id)| id);
            For::Account { accounts, bot }
        }
    };
    if !upgrades(&request) {
        let answer = HttpResponse::UpgradeRequired()
            .insert_header((header::UPGRADE, "websocket"))
            .content_type("text/plain")
            .body("This is a websocket.\n");
        return count(&services, answer);
    }
    open(&request, services, whom)
}

/// Where a bot is reached by one of its tokens, or a ticket.
fn address(base: &str, token: &str, bot: &Entry<Bot>) -> String {
    let rate = bot.profile.sample_rate;
    let query = if rate == SAMPLE_RATES[0] { String::new() } else { format!("?sample-rate={rate}") };
    format!("{base}/voicebot/{token}{query}")
}

/// Where Exotel reaches the bot of a call that is placed now, and of this call alone. `None`: the bot is not there any more.
pub fn stream_url(bots: &Bots, base: &str, click: &Click, now: Timestamp) -> Option<String> {
    let wish = click.bot.as_ref()?;
    let ticket = Ticket { account: click.account.clone(), bot: wish.bot.clone(), click: click.id };
    let (ticket, bot) = bots.ticket(&ticket, now)?;
    Some(address(base, &ticket, &bot))
}

fn upgrades(request: &HttpRequest) -> bool {
    let upgrade = request.headers().get(header::UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.to_ascii_lowercase().contains("websocket"))
}

/// The handshake is answered at once: Exotel waits for it, for ten seconds, and for nothing after it (§1.5).
fn open(request: &HttpRequest, services: Data<Services>, whom: For) -> HttpResponse {
    let stops = services.stopping.is_cancelled();
    let waiting = services.sessions.wait(&services.config.voicebot).filter(|_| !stops);
    let Some(waiting) = waiting else {
        story::count(&services, "none", if stops { End::Stopping } else { End::Full });
        let answer = HttpResponse::ServiceUnavailable()
            .content_type("text/plain")
            .body("There are too many connections, or the service stops.\n");
        return count(&services, answer);
    };
    let mut answer = match ws::handshake(request.head()) {
        Ok(answer) => answer,
        Err(error) => return count(&services, actix_http::Response::from(error).into()),
    };
    let Some(takeover) = request.extensions().get::<Takeover>().cloned() else {
        // It says that it is one, and not in the way that makes it one.
        return count(&services, HttpResponse::BadRequest().content_type("text/plain").body("This is no websocket.\n"));
    };
    let of = Data::clone(&services);
    takeover.by(|stream, early| session::run(of, whom, waiting, Line::new(stream, early)).boxed_local());
    count(&services, answer.finish().map_into_boxed_body().into())
}

pub(super) fn count(services: &Arc<Services>, answer: HttpResponse) -> HttpResponse {
    let labels = HookLabels { hook: HOOK, status: answer.status().as_u16() };
    services.metrics.hook_answers.get_or_create(&labels).inc();
    answer
}
