//! Requests and replies as values, so that a sandbox can be driven with or without a socket.

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::Serialize;

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    /// Decoded path segments: `["api", "v2", "tickets", "42"]`.
    pub path: Vec<String>,
    /// Decoded query parameters, in order.
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Request {
    /// Reads a request target (`/api/v2/contacts?mobile=%2B91…`) the way a server does: segments are percent-decoded,
    /// parameters are form-decoded, so an unencoded `+` arrives as a space.
    pub fn parse(method: Method, target: &str, headers: HeaderMap, body: Bytes) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method,
            path: segments(path),
            query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            headers,
            body,
        }
    }

    /// The path segments, borrowed, so that a route is a slice pattern.
    pub fn segments(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// The first value of a query parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A header's value, where it is text.
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// User and password of HTTP Basic authentication (RFC 7617).
    pub fn basic(&self) -> Option<(String, String)> {
        let (scheme, encoded) = self.header(header::AUTHORIZATION)?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
    }

    /// The fields of a form body (`application/x-www-form-urlencoded`), decoded, in order; none where it is no form.
    pub fn form(&self) -> Vec<(String, String)> {
        let kind = self.header(header::CONTENT_TYPE).unwrap_or_default();
        if !kind.starts_with("application/x-www-form-urlencoded") {
            return Vec::new();
        }
        form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// The text fields of a `multipart/form-data` body (RFC 7578), in order; none where it is not one, or not well formed.
    pub fn multipart(&self) -> Option<Vec<(String, String)>> {
        let kind = self.header(header::CONTENT_TYPE)?.strip_prefix("multipart/form-data;")?;
        let boundary = kind.split_once("boundary=")?.1.trim().trim_matches('"');
        let text = std::str::from_utf8(&self.body).ok()?;
        let (body, _) = text.rsplit_once(&format!("\r\n--{boundary}--"))?;
        let body = body.strip_prefix(&format!("--{boundary}\r\n"))?;
        body.split(&format!("\r\n--{boundary}\r\n"))
            .map(|part| {
                let (head, value) = part.split_once("\r\n\r\n")?;
                let name = head.split_once("name=\"")?.1.split_once('"')?.0;
                Some((name.to_owned(), value.to_owned()))
            })
            .collect()
    }

    /// The token of an `Authorization` header with this scheme: `bearer("Bearer")`, `bearer("Zoho-oauthtoken")`.
    pub fn bearer(&self, scheme: &str) -> Option<&str> {
        let (given, token) = self.header(header::AUTHORIZATION)?.split_once(' ')?;
        given.eq_ignore_ascii_case(scheme).then(|| token.trim())
    }

    /// Where the client believes the service is, for links back to it.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.header(header::HOST).unwrap_or("localhost"))
    }
}

/// The decoded segments of a path. Empty ones are kept: `/tickets//notes` is no route.
pub(crate) fn segments(path: &str) -> Vec<String> {
    path.strip_prefix('/')
        .unwrap_or(path)
        .split('/')
        .map(|segment| percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect()
}

/// The answer to one request.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    /// An answer without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// An answer with a body of a given type.
    pub fn of(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut reply = Self { body: body.into(), ..Self::empty(status) };
        reply.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        reply
    }

    /// An answer in JSON.
    pub fn json(status: StatusCode, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::of(status, "application/json; charset=utf-8", body),
            Err(error) => Self::of(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", error.to_string()),
        }
    }

    /// Adds a header; a value that cannot stand in one is left out.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.insert(name, value);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str) -> Request {
        Request::parse(Method::GET, target, HeaderMap::new(), Bytes::new())
    }

    #[test]
    fn a_plus_is_a_space_unless_it_is_encoded() {
        assert_eq!(request("/c?mobile=+91").param("mobile"), Some(" 91"));
        assert_eq!(request("/c?mobile=%2B91").param("mobile"), Some("+91"));
    }

    #[test]
    fn an_encoded_slash_stays_inside_its_segment() {
        assert_eq!(request("/a/b%2Fc/d").path, ["a", "b/c", "d"]);
    }

    #[test]
    fn only_well_formed_basic_credentials_are_read() {
        let with = |value: &str| {
            let mut request = request("/");
            request.headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            request.basic()
        };
        assert_eq!(with("Basic a2V5Olg="), Some(("key".into(), "X".into())));
        for bad in ["Bearer a2V5Olg=", "Basic ???", "Basic a2V5", "Basic"] {
            assert_eq!(with(bad), None, "{bad}");
        }
    }
}
