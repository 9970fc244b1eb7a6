//! Takes credentials out of a request before it is kept: whoever may read a receipt must not be able to send one.

use serde_json::Value;
use url::form_urlencoded;

/// What stands in the place of a credential.
const GONE: &str = "***";

/// Parameters that are credentials: Salesforce's, and what people put into a flow's URL as one. Without case and
/// punctuation, as parameters are read.
const NAMES: [&str; 12] = [
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
];

/// A query without them. One that has none stays as it is, byte for byte.
pub(super) fn query(query: &str) -> String {
    if !has_any(query.as_bytes()) {
        return query.to_owned();
    }
    let pairs = query.split('&').map(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        let decoded = form_urlencoded::parse(name.as_bytes()).next();
        let secret = decoded.is_some_and(|(decoded, _)| is_secret(&decoded));
        if secret { format!("{name}={GONE}") } else { pair.to_owned() }
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
    NAMES.iter().any(|name| bare.contains(name)) || text.contains('%')
}

fn is_secret(name: &str) -> bool {
    let bare: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    NAMES.contains(&bare.as_str())
}

/// Returns whether there was any.
fn clean(json: &mut Value) -> bool {
    match json {
        Value::Object(members) => members.iter_mut().fold(false, |any, (name, value)| {
            let secret = is_secret(name);
            if secret {
                *value = GONE.into();
            }
            secret || clean(value) || any
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
    if name.is_some_and(is_secret) { [head, GONE.as_bytes(), line].concat() } else { part.to_vec() }
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
