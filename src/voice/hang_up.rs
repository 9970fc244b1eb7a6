//! Twilio's way to hang up, for agents that know no other: they change the call to `completed`, and the session ends as if
//! the bot had closed it, so that the flow goes on (exotel-voicebot §6.5).

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
    web::{self, Bytes, Data, Path, ServiceConfig},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::json;

use super::door::count;
use crate::{app::Services, store::CallRef};

/// The longest form there is a use for.
const MOST_BYTES: usize = 16 * 1024;

pub(super) fn routes(config: &mut ServiceConfig) {
    config.route("/2010-04-01/Accounts/{sid}/Calls/{call_sid}.json", web::post().to(change));
}

async fn change(
    request: HttpRequest,
    services: Data<Services>,
    path: Path<(String, String)>,
    form: Bytes,
) -> HttpResponse {
    let (account, call_sid) = path.into_inner();
    let answer = changed(&request, &services, account, call_sid, &form);
    count(&services, answer)
}

fn changed(
    request: &HttpRequest,
    services: &Arc<Services>,
    account: String,
    call_sid: String,
    form: &[u8],
) -> HttpResponse {
    let authorization = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let Some(bot) = of_whom(services, &account, authorization) else {
        return wrong(StatusCode::UNAUTHORIZED, 20003, "Authenticate");
    };
    let form = form.get(..MOST_BYTES.min(form.len())).unwrap_or_default();
    let status = url::form_urlencoded::parse(form).find(|(name, _)| name == "Status").map(|(_, value)| value);
    // Twilio has both words: `canceled` is for calls that ring yet, and one with a stream does not.
    if !matches!(status.as_deref(), Some("completed" | "canceled")) {
        return wrong(
            StatusCode::BAD_REQUEST,
            20001,
            "Status: must be completed; nothing else of a call is changed here",
        );
    }
    let call = CallRef { account, call_sid };
    if !services.sessions.end(&call, bot.as_deref()) {
        return wrong(StatusCode::NOT_FOUND, 20404, "There is no session of this call here");
    }
    HttpResponse::Ok().json(json!({ "sid": call.call_sid, "account_sid": call.account, "status": "completed" }))
}

/// Whose sessions the credential is for: those of one bot, by its token, or with `Some(None)` all of the account, by its own
/// key and token. `None`: it is for none.
fn of_whom(services: &Services, account: &str, authorization: Option<&[u8]>) -> Option<Option<String>> {
    if services.doors.load().basic(account, authorization) {
        return Some(None);
    }
    let (scheme, pair) = authorization?.split_at_checked(6)?;
    let pair = scheme.eq_ignore_ascii_case(b"basic ").then(|| STANDARD.decode(pair.trim_ascii()).ok())??;
    let (user, token) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    let (of, bot) = services.bots.with_token(token, Timestamp::now())?;
    (user == account && of == account).then_some(Some(bot.id))
}

/// As Twilio says it.
fn wrong(status: StatusCode, code: u32, message: &str) -> HttpResponse {
    let mut answer = HttpResponse::build(status);
    if status == StatusCode::UNAUTHORIZED {
        answer.insert_header((header::WWW_AUTHENTICATE, "Basic realm=\"patchbay\""));
    }
    answer.json(json!({ "code": code, "message": message, "status": status.as_u16() }))
}
