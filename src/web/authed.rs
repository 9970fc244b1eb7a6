//! Recordings for HubSpot's own player: it asks in its app's name and gets a link that lasts minutes, so that what
//! stands in HubSpot for years opens nothing (crm-api §7.d).

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{StatusCode, header},
    web::{Data, Path, Query},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use sha2::Sha256;

use super::recording;
use crate::{app::Services, codes::Code, store::CallRef, telemetry::HookLabels};

/// Whose signature is understood.
const CONNECTOR: &str = "hubspot";
/// Where the key of that signature is: the app's own secret.
const SECRET: &str = "client_secret";
/// How old a signature may be, by HubSpot's rule; a clock that is ahead gets the same.
const FRESH: SignedDuration = SignedDuration::from_mins(5);
/// How long the link works: a call is listened to at once, with pauses and leaps.
const LINK: SignedDuration = SignedDuration::from_mins(15);
/// What is decoded in the URI before it is signed; all else stays as it came.
const DECODED: &[u8] = b":/?@!$'()*,;";

/// What HubSpot puts into the query.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asked {
    /// As the connector wrote it on the call: the Exotel account.
    #[serde(default)]
    external_account_id: String,
}

pub(super) async fn serve(
    request: HttpRequest,
    services: Data<Services>,
    path: Path<(String, String, String)>,
    asked: Option<Query<Asked>>,
) -> HttpResponse {
    let (sid, integration, call_sid) = path.into_inner();
    // A query that cannot be read names no account.
    let account = asked.map(|asked| asked.into_inner().external_account_id).unwrap_or_default();
    let answer = answer(&request, &services, &sid, &integration, call_sid, &account).await;
    let labels = HookLabels { hook: "authed_recording", status: answer.status().as_u16() };
    services.metrics.recordings.get_or_create(&labels).inc();
    answer
}

async fn answer(
    request: &HttpRequest,
    services: &Services,
    sid: &str,
    integration: &str,
    call_sid: String,
    account: &str,
) -> HttpResponse {
    let now = Timestamp::now();
    let account_of = services.account(sid);
    let integrations = account_of.as_deref().map(|account| account.integrations.as_slice()).unwrap_or_default();
    let named = integrations.iter().find(|one| one.name == integration && one.manifest.id == CONNECTOR);
    let secret = named.and_then(|one| one.secrets.get(SECRET));
    // Who is not there is compared all the same, and takes as long.
    let nobody = SecretString::from("nobody");
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // Behind a proxy this process sees another address than HubSpot called: that is the public one.
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let uri = format!("{}{path}", services.public_url());
    let signed = Signed {
        method: request.method().as_str(),
        uri: &uri,
        body: b"",
        timestamp: header("x-hubspot-request-timestamp"),
        signature: header("x-hubspot-signature-v3"),
    };
    if !(signed.by(secret.unwrap_or(&nobody), now) & secret.is_some()) {
        return refused(StatusCode::UNAUTHORIZED);
    }
    let call = CallRef { account: sid.to_owned(), call_sid };
    let file = match services.store.call_file(&call).await {
        Ok(file) => file.filter(|_| account == sid),
        Err(error) => {
            tracing::error!(
                code = %Code::StoreUnavailable, %error,
                "a recording cannot be looked up in the store; who asked was told to try again"
            );
            return refused(StatusCode::SERVICE_UNAVAILABLE);
        }
    };
    if file.is_none_or(|file| file.state.recording_url.is_none()) {
        return refused(StatusCode::NOT_FOUND);
    }
    let link = recording::link(services.public_url(), &services.key, sid, &call.call_sid, Some(now + LINK));
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(json!({ "authenticatedUrl": link }))
}

/// One body for every reason: who is not let in learns nothing of what there is.
fn refused(status: StatusCode) -> HttpResponse {
    HttpResponseBuilder::new(status)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(json!({ "error": "there is no recording for this request" }))
}

/// A request as HubSpot signs it, version 3 ("Validating requests", v3).
struct Signed<'a> {
    method: &'a str,
    /// Whole, with scheme, host and query, as it was called.
    uri: &'a str,
    body: &'a [u8],
    /// Milliseconds of unix time.
    timestamp: &'a str,
    /// Base64.
    signature: &'a str,
}

impl Signed<'_> {
    /// Whether the app with this secret signed it a moment ago; compared in constant time.
    fn by(&self, secret: &SecretString, now: Timestamp) -> bool {
        let sent = self.timestamp.parse().ok().and_then(|at| Timestamp::from_millisecond(at).ok());
        let fresh = sent.is_some_and(|sent| now.duration_since(sent).abs() <= FRESH);
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("HMAC takes keys of any length");
        mac.update(self.method.as_bytes());
        mac.update(&decoded(self.uri));
        mac.update(self.body);
        mac.update(self.timestamp.as_bytes());
        let right = mac.verify_slice(&STANDARD.decode(self.signature).unwrap_or_default()).is_ok();
        right & fresh
    }
}

/// The URI with the characters decoded that HubSpot decodes, and no others.
fn decoded(uri: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(uri.len());
    let mut rest = uri.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let code = (*first == b'%').then(|| behind.split_at_checked(2)).flatten().and_then(|(code, behind)| {
            let code = u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok()?;
            DECODED.contains(&code).then_some((code, behind))
        });
        let (byte, behind) = code.unwrap_or((*first, behind));
        out.push(byte);
        rest = behind;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: Signed<'_> = Signed {
        method: "POST",
        uri: "https://www.example.com/webhook_uri",
        body: b"{'example_field':'example_value'}",
        timestamp: "1693657560000",
        signature: "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y=",
    };

    fn key() -> SecretString {
        "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy".into()
    }

    fn at(millisecond: i64) -> Timestamp {
        Timestamp::from_millisecond(millisecond).expect("a time")
    }

    /// The values are those of the tests of HubSpot's own client for Python.
    #[test]
    fn hubspots_own_example_is_recognised() {
        assert!(SIGNED.by(&key(), at(1_693_657_560_000)));
        assert!(SIGNED.by(&key(), at(1_693_657_860_000)), "five minutes old");
        assert!(!SIGNED.by(&key(), at(1_693_657_860_001)), "older");
        assert!(!SIGNED.by(&key(), at(1_693_657_259_999)), "of the future");
    }

    #[test]
    fn anything_else_is_not() {
        let now = at(1_693_657_560_000);
        let wrong = [
            Signed { method: "GET", ..SIGNED },
            Signed { uri: "http://www.example.com/webhook_uri", ..SIGNED },
            Signed { uri: "https://www.example.com/webhook_uri?", ..SIGNED },
            Signed { body: b"", ..SIGNED },
            Signed { timestamp: "1693657560001", ..SIGNED },
            Signed { timestamp: "1693657560", ..SIGNED },
            Signed { timestamp: "", ..SIGNED },
            Signed { timestamp: "soon", ..SIGNED },
            Signed { signature: "", ..SIGNED },
            Signed { signature: "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Z=", ..SIGNED },
            Signed { signature: "K36dawei4A+QBNolUOqo7g==", ..SIGNED },
            Signed { signature: "not base64", ..SIGNED },
        ];
        for (at, one) in wrong.iter().enumerate() {
            assert!(!one.by(&key(), now), "{at}");
        }
        assert!(!SIGNED.by(&"another".into(), now));
        assert!(!SIGNED.by(&"".into(), now));
    }

    #[test]
    fn only_the_characters_of_the_rule_are_decoded() {
        let text = |uri: &str| String::from_utf8(decoded(uri)).expect("text");
        assert_eq!(text("https://a/b%2Fc%3f%3A%40?x=%28a%29%2C%3B%21%24%27%2A"), "https://a/b/c?:@?x=(a),;!$'*");
        assert_eq!(text("/a%20b%26c%3Dd%25%2B%ff%zz%2"), "/a%20b%26c%3Dd%25%2B%ff%zz%2");
        assert_eq!(text("/a%252Fb%+2F%2"), "/a%252Fb%+2F%2");
    }
}
