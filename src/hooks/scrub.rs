//! Takes credentials out of a request before it is kept: whoever may read a receipt must not be able to send one.

use serde_json::Value;
use url::form_urlencoded;

use crate::call::without_addresses;

/// What stands in the place of a credential.
const GONE: &str = "***";

/// Parameters that are credentials: Salesforce's, and what people put into a flow's URL as one. Without case and
/// punctuation, as parameters are read.
const NAMES: [&str; 14] = [
    "accountuid",
    "apikey",
    "apitoken",
    "accesstoken",
    "authtoken",
    "authorization",
    "hooktoken",
    "key",
    "token",
    "secret",
    "password",
    "signature",
    // Where a voicebot was reached: in userinfo and path a credential may stand (exotel-voicebot §4.1).
    "streamurl",
    "streamstreamurl",
];

/// What a voicebot applet says of its stream, in one string; and what went wrong with it, in which an address may stand.
const STREAM: &str = "stream";
const ERRORS: [&str; 2] = ["streamerror", "error"];

/// A query without them. One that has none stays as it is, byte for byte.
pub(super) fn query(query: &str) -> String {
    if !has_any(query.as_bytes()) {
        return query.to_owned();
    }
    let pairs = query.split('&').map(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        let Some((decoded, value)) = form_urlencoded::parse(pair.as_bytes()).next() else { return pair.to_owned() };
        match without(&decoded, &value) {
            Some(left) => format!("{name}={}", form_urlencoded::byte_serialize(left.as_bytes()).collect::<String>()),
            None => pair.to_owned(),
        }
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// A body without them, in whichever of the encodings it is.
pub(super) fn body(content_type: Option<&str>, body: Vec<u8>) -> Vec<u8> {
    if !has_any(&body) {
        return body;
    }
    if let Ok(mut json) = serde_json::from_slice::<Value>(&body) {
        // Rewritten only where it has to be: otherwise it stays as it came.
        return if clean(&mut json) { serde_json::to_vec(&json).unwrap_or_default() } else { body };
    }
    let kind = content_type.unwrap_or_default().trim_ascii_start().to_ascii_lowercase();
    if kind.starts_with("multipart/") || body.trim_ascii_start().starts_with(b"--") {
        return multipart(&body);
    }
    match String::from_utf8(body) {
        Ok(form) => query(&form).into_bytes(),
        // Not a form at all, then; no credential of ours is in bytes that are no text.
        Err(error) => error.into_bytes(),
    }
}

/// Whether any of the names may be in it: most requests carry none, and are not touched. Percent-encoded names are
/// looked at closely.
fn has_any(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let bare: String = text.chars().filter(|c| !matches!(c, '_' | '-' | '.' | ' ' | '+')).collect();
    NAMES.iter().any(|name| bare.contains(name)) || bare.contains(STREAM) || text.contains('%')
}

fn bare(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn is_secret(name: &str) -> bool {
    NAMES.contains(&bare(name).as_str())
}

/// What is left of a value under this name. `None`: all of it.
fn without(name: &str, value: &str) -> Option<String> {
    let name = bare(name);
    if NAMES.contains(&name.as_str()) {
        return Some(GONE.to_owned());
    }
    if ERRORS.contains(&name.as_str()) {
        return Some(without_addresses(value)).filter(|left| left != value);
    }
    if name != STREAM {
        return None;
    }
    match serde_json::from_str::<Value>(value) {
        Ok(mut json) => clean(&mut json).then(|| json.to_string()),
        // Broken off in the middle: what is in it nobody can say.
        Err(_) => bare(value).contains("streamurl").then(|| GONE.to_owned()),
    }
}

/// Returns whether there was any.
fn clean(json: &mut Value) -> bool {
    match json {
        Value::Object(members) => members.iter_mut().fold(false, |any, (name, value)| {
            let left = match value {
                Value::String(text) => without(name, text),
                _ => is_secret(name).then(|| GONE.to_owned()),
            };
            let gone = left.is_some();
            if let Some(left) = left {
                *value = left.into();
            }
            gone || clean(value) || any
        }),
        // All of them, not as far as the first.
        Value::Array(items) => items.iter_mut().map(clean).filter(|any| *any).count() > 0,
        _ => false,
    }
}

/// Parts are told apart by the boundary, which the body's first line is; of a secret one only the head is left.
fn multipart(body: &[u8]) -> Vec<u8> {
    let start = body.len() - body.trim_ascii_start().len();
    let end = body[start..].iter().position(|byte| matches!(byte, b'\r' | b'\n')).map_or(body.len(), |at| start + at);
    let boundary = body[start..end].trim_ascii_end();
    if boundary.is_empty() {
        return body.to_vec();
    }
    let mut out = body[..start].to_vec();
    let mut rest = &body[start..];
    while let Some(at) = find(&rest[boundary.len().min(rest.len())..], boundary) {
        let (part, next) = rest.split_at(boundary.len() + at);
        out.extend_from_slice(&without_value(part));
        rest = next;
    }
    out.extend_from_slice(rest);
    out
}

/// One part, boundary first; its value is replaced if its name is one of a credential.
fn without_value(part: &[u8]) -> Vec<u8> {
    let (blank, line): (&[u8], &[u8]) =
        if find(part, b"\r\n\r\n").is_some() { (b"\r\n\r\n", b"\r\n") } else { (b"\n\n", b"\n") };
    let Some(at) = find(part, blank) else { return part.to_vec() };
    let head = &part[..at + blank.len()];
    let text = String::from_utf8_lossy(head);
    let lower = text.to_ascii_lowercase();
    let name = lower.match_indices("name=").find(|(at, _)| !lower[..*at].ends_with("file")).map(|(at, _)| {
        let value = &lower[at + "name=".len()..];
        match value.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next().unwrap_or_default(),
            None => value.split([';', '\r', '\n']).next().unwrap_or_default(),
        }
    });
    let value = String::from_utf8_lossy(&part[head.len()..]);
    match name.and_then(|name| without(name, value.trim())) {
        Some(left) => [head, left.as_bytes(), line].concat(),
        None => part.to_vec(),
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_leave_the_query_and_nothing_else_does() {
        let plain = "CallSid=c1&From=%2B919876543210&digits=%2289%22&Legs[0][Number]=0987&flag&x=a=b";
        assert_eq!(query(plain), plain);
        for name in ["AccountUid", "AccountUId", "accountuid", "account_uid", "Account%55id", "api-key", "token"] {
            let read = query(&format!("AccountSid=acme1&{name}=5f3c&CallSid=c1"));
            assert_eq!(read, format!("AccountSid=acme1&{name}=***&CallSid=c1"));
        }
        assert_eq!(query("AccountUid=a&AccountUid=b&tokens=1"), "AccountUid=***&AccountUid=***&tokens=1");
    }

    #[test]
    fn where_a_voicebot_was_reached_leaves_every_form() {
        let told = r#"{"StreamSID":"s1","StreamUrl":"wss://k:hunter2@h/voicebot/hunter2","Status":"failed","Error":"Get \"wss://h/hunter2\": no"}"#;
        let nested = "CallSid=c1&Stream[StreamSID]=s1&Stream[StreamUrl]=wss://h/voicebot/hunter2&Stream%5BError%5D=3009+wss://h/hunter2+x";
        assert_eq!(
            query(nested),
            "CallSid=c1&Stream[StreamSID]=s1&Stream[StreamUrl]=***&Stream%5BError%5D=3009+wss%3A%2F%2Fh%2F***+x"
        );
        let form = form_urlencoded::Serializer::new(String::new()).append_pair("Stream", told).finish();
        let broken = form_urlencoded::Serializer::new(String::new()).append_pair("Stream", &told[..60]).finish();
        let json = serde_json::json!({ "CallSid": "c1", "Stream": told }).to_string();
        let object = format!("{{\"CallSid\":\"c1\",\"Stream\":{told}}}");
        let part = format!("--x\r\nContent-Disposition: form-data; name=\"Stream\"\r\n\r\n{told}\r\n--x--\r\n");
        for text in [nested, &form, &broken, &json, &object, &part] {
            let left = body(None, text.as_bytes().to_vec());
            let left = String::from_utf8(left).expect("text");
            assert!(!left.contains("hunter2") && left.contains("tream"), "{left}");
        }
        let (_, kept) = form_urlencoded::parse(query(&form).as_bytes())
            .next()
            .map(|(k, v)| (k.into_owned(), v.into_owned()))
            .expect("a pair");
        let kept: Value = serde_json::from_str(&kept).expect("JSON still");
        assert_eq!((&kept["StreamSID"], &kept["StreamUrl"]), (&"s1".into(), &GONE.into()));
        let plain = "Stream[Status]=completed&Error=3009";
        assert_eq!(query(plain), plain, "byte for byte");
    }

    #[test]
    fn credentials_leave_every_sort_of_body() {
        let form = body(None, b"CallSid=c1&AccountUid=5f3c".to_vec());
        assert_eq!(form, b"CallSid=c1&AccountUid=***");
        let json = body(Some("application/json"), br#"{"CallSid":"c1","account":{"AccountUid":"5f3c"}}"#.to_vec());
        assert_eq!(json, br#"{"CallSid":"c1","account":{"AccountUid":"***"}}"#);
        let untouched = br#"{ "CallSid": "c1", "monkey": 1.50 }"#.to_vec();
        assert_eq!(body(Some("application/json"), untouched.clone()), untouched);
        let part = |name: &str, value: &str| {
            format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let whole = |uid: &str| format!("{}{}{}--x--\r\n", part("a", "1"), part("AccountUId", uid), part("b", "2"));
        let read = body(Some("multipart/form-data; boundary=x"), whole("5f3c").into_bytes());
        assert_eq!(String::from_utf8(read).expect("text"), whole("***"));
        let bytes = b"key\xff".to_vec();
        assert_eq!(body(None, bytes.clone()), bytes);
    }
}
