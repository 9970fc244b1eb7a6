//! Recordings by Patchbay's own signed link: streamed through from Exotel with Range and the account's credentials,
//! so that neither a credential nor an address of Exotel's ever stands in a CRM.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    body::SizedStream,
    http::{Method, StatusCode, header},
    web::{Bytes, Data, Path, Query},
};
use futures_util::StreamExt;
use jiff::Timestamp;
use serde::Deserialize;
use url::form_urlencoded::byte_serialize;

use crate::{app::Services, codes::Code, exotel::NoRecording, key::MasterKey, store::CallRef, telemetry::HookLabels};

const PURPOSE: &str = "recording-link";

/// The link to a call's recording. With `expires` it works until then; without, as long after the call as the
/// configuration says: a note in a CRM must say the same each time it is composed, so its link holds no clock. The path
/// ends as a file's does: HubSpot takes no other (crm-api §7.d).
pub fn link(base: &str, key: &MasterKey, sid: &str, call_sid: &str, expires: Option<Timestamp>) -> String {
    let until = expires.map(|at| at.as_second().to_string()).unwrap_or_default();
    let signature = key.sign(PURPOSE, &[sid, call_sid, &until]);
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let until = if until.is_empty() { String::new() } else { format!("e={until}&") };
    format!("{base}/r/{}/{}.mp3?{until}s={signature}", encode(sid), encode(call_sid))
}

#[derive(Debug, Deserialize)]
pub(super) struct Signature {
    #[serde(default)]
    e: String,
    #[serde(default)]
    s: String,
}

pub(super) async fn serve(
    request: HttpRequest,
    services: Data<Services>,
    path: Path<(String, String)>,
    signature: Query<Signature>,
) -> HttpResponse {
    let (sid, call_sid) = path.into_inner();
    let call_sid = call_sid.strip_suffix(".mp3").unwrap_or(&call_sid);
    let answer = answer(&request, &services, &sid, call_sid, &signature).await;
    let labels = HookLabels { hook: "recording", status: answer.status().as_u16() };
    services.metrics.recordings.get_or_create(&labels).inc();
    answer
}

async fn answer(
    request: &HttpRequest,
    services: &Services,
    sid: &str,
    call_sid: &str,
    signature: &Signature,
) -> HttpResponse {
    if !services.key.verify(PURPOSE, &[sid, call_sid, &signature.e], &signature.s) {
        return say(StatusCode::FORBIDDEN, "This link is not valid.");
    }
    let now = Timestamp::now();
    if !signature.e.is_empty() && signature.e.parse::<i64>().is_ok_and(|until| until < now.as_second()) {
        return say(StatusCode::GONE, "This link has expired; ask for a new one.");
    }
    let call = CallRef { account: sid.to_owned(), call_sid: call_sid.to_owned() };
    let (client, file) = match (services.exotel(sid), services.store.call_file(&call).await) {
        (Some(client), Ok(Some(file))) => (client, file),
        (_, Err(error)) => {
            tracing::error!(
                code = %Code::StoreUnavailable, %error,
                "a recording cannot be looked up in the store; who asked was told to try again"
            );
            return say(StatusCode::SERVICE_UNAVAILABLE, "The recording cannot be looked up now; try again.");
        }
        _ => return say(StatusCode::NOT_FOUND, "This call is not known any more."),
    };
    let config = &services.config.recording;
    if signature.e.is_empty() && now.duration_since(file.first_seen_at).unsigned_abs() > config.link_ttl {
        return say(StatusCode::GONE, "This link has expired; ask your Patchbay for a new one.");
    }
    let Some(url) = file.state.recording_url.as_deref().and_then(|url| url::Url::parse(url).ok()) else {
        return say(StatusCode::NOT_FOUND, "Exotel has not given out a recording of this call (yet).");
    };
    let range = request.headers().get(header::RANGE).and_then(|value| value.to_str().ok());
    match client.recording(&url, range, config.timeout).await {
        Ok(reply) => pass_on(request, reply, config.limit_bytes, config.timeout),
        Err(error) => {
            tracing::warn!(
                code = %Code::RecordingNotPassedOn, account = sid, call = call_sid, %error,
                "Exotel does not give a recording out; who asked was told"
            );
            match error {
                NoRecording::NotThere => {
                    say(StatusCode::NOT_FOUND, "Exotel does not have the recording yet; it takes some minutes.")
                }
                NoRecording::Foreign | NoRecording::Refused => {
                    say(StatusCode::BAD_GATEWAY, "Exotel does not give the recording out; tell your administrator.")
                }
                NoRecording::Unreachable(_) | NoRecording::Answered(_) => {
                    say(StatusCode::BAD_GATEWAY, "Exotel cannot be reached now; try again.")
                }
            }
        }
    }
}

/// Headers of Exotel's answer that mean something to a player.
const PASSED: [header::HeaderName; 3] = [header::CONTENT_RANGE, header::ETAG, header::LAST_MODIFIED];

fn pass_on(request: &HttpRequest, reply: reqwest::Response, limit: u64, patience: Duration) -> HttpResponse {
    let status = StatusCode::from_u16(reply.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    // Not `content_length()`, which is what is left of the body.
    let length = reply.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit) {
        return say(StatusCode::BAD_GATEWAY, "The recording is larger than recording.limit allows.");
    }
    let mut answer = HttpResponseBuilder::new(status);
    for name in PASSED {
        if let Some(value) = reply.headers().get(name.as_str()).and_then(|value| value.to_str().ok()) {
            answer.insert_header((name, value));
        }
    }
    // What comes back is played or saved, never shown as a page, whatever the far side calls it.
    let kind = reply.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = if kind.starts_with("audio/") { kind.to_owned() } else { "audio/mpeg".to_owned() };
    answer
        .insert_header((header::CONTENT_TYPE, kind))
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::CACHE_CONTROL, "private, no-store"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"));
    if *request.method() == Method::HEAD {
        // The length is told, the body is not sent.
        return match length {
            Some(length) => {
                answer.body(SizedStream::new(length, futures_util::stream::empty::<std::io::Result<Bytes>>()))
            }
            None => answer.finish(),
        };
    }
    let mut left = limit;
    let body = futures_util::stream::unfold(Some(reply.bytes_stream().boxed()), move |body| async move {
        let mut body = body?;
        match tokio::time::timeout(patience, body.next()).await {
            Ok(Some(Ok(chunk))) => Some((Ok::<Bytes, std::io::Error>(chunk), Some(body))),
            Ok(None) => None,
            // The player sees a broken transfer, not a short recording.
            Ok(Some(Err(_))) => Some((Err(std::io::Error::other("the recording broke off")), None)),
            Err(_) => Some((Err(std::io::Error::from(std::io::ErrorKind::TimedOut)), None)),
        }
    })
    .map(move |chunk| {
        let chunk = chunk?;
        let length = chunk.len() as u64;
        if length > left {
            return Err(std::io::Error::other("the recording is larger than is passed on"));
        }
        left -= length;
        Ok(chunk)
    });
    match length {
        Some(length) => answer.body(SizedStream::new(length, body.boxed_local())),
        None => answer.streaming(body.boxed_local()),
    }
}

fn say(status: StatusCode, text: &'static str) -> HttpResponse {
    HttpResponseBuilder::new(status)
        .content_type("text/plain; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(format!("{text}\n"))
}
