//! One exchange with a CRM, described: a request, and the function that reads its reply.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde::de::DeserializeOwned;

use crate::{Allowance, Failure, Kind, Retry};

/// What a path segment may hold unencoded: RFC 3986's unreserved characters.
const SEGMENT: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a repeated request would do on the far side. It decides what may follow a lost reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    /// Changes nothing.
    Read,
    /// Sent twice, it leaves what sent once leaves.
    Idempotent,
    /// Sent twice, it may leave two records: after a lost reply the record is looked for before it is sent again.
    Creates,
}

/// The payload of a request.
#[derive(Clone, PartialEq)]
pub enum Body {
    Empty,
    Json(serde_json::Value),
    /// `application/x-www-form-urlencoded`
    Form(Vec<(String, String)>),
    /// `multipart/form-data` with text fields only (RFC 7578).
    Multipart(Vec<(String, String)>),
}

/// What a request's path continues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Base {
    /// The CRM's address; the request carries the integration's credentials.
    #[default]
    Origin,
    /// A capability URL: the value of this secret setting, whole. Who knows it may use it, so no credential goes with
    /// it. The request's path is added to its path, mostly nothing.
    Secret(&'static str),
}

/// A request without a host and without credentials; the driver adds both.
#[derive(Clone, PartialEq)]
pub struct Request {
    /// Stable name of the operation, for metrics, quotas, cassettes and logs: `ticket.create`.
    pub label: &'static str,
    pub method: Method,
    pub base: Base,
    /// Path segments, each percent-encoded by the driver, so that an id can never reach into another path.
    pub path: Vec<String>,
    /// Query parameters, percent-encoded by the driver (a `+` becomes `%2B`).
    pub query: Vec<(&'static str, String)>,
    /// Headers beyond credentials, content type and `accept`: `("orgId", …)`. None of them secret.
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
    pub safety: Safety,
}

/// Only the shape is shown: payloads carry customers' data.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Json(_) => "Json",
            Self::Form(_) => "Form",
            Self::Multipart(_) => "Multipart",
        })
    }
}

/// Neither `path`, `query` nor `body` are shown: they carry phone numbers and names.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {} {:?})", self.label, self.method, self.safety)
    }
}

impl Request {
    fn new<S: Into<String>>(
        label: &'static str,
        method: Method,
        safety: Safety,
        path: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            label,
            method,
            base: Base::Origin,
            path: path.into_iter().map(Into::into).collect(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Body::Empty,
            safety,
        }
    }

    /// A `GET` that changes nothing.
    pub fn get<S: Into<String>>(label: &'static str, path: impl IntoIterator<Item = S>) -> Self {
        Self::new(label, Method::GET, Safety::Read, path)
    }

    /// A `POST` that creates a record.
    pub fn post<S: Into<String>>(label: &'static str, path: impl IntoIterator<Item = S>) -> Self {
        Self::new(label, Method::POST, Safety::Creates, path)
    }

    /// A `PUT` that leaves the same state however often it is sent.
    pub fn put<S: Into<String>>(label: &'static str, path: impl IntoIterator<Item = S>) -> Self {
        Self::new(label, Method::PUT, Safety::Idempotent, path)
    }

    /// A `PATCH` that leaves the same state however often it is sent.
    pub fn patch<S: Into<String>>(label: &'static str, path: impl IntoIterator<Item = S>) -> Self {
        Self::new(label, Method::PATCH, Safety::Idempotent, path)
    }

    /// A `POST` to a capability URL.
    pub fn post_to(label: &'static str, setting: &'static str) -> Self {
        Self { base: Base::Secret(setting), ..Self::post(label, [""; 0]) }
    }

    /// A `GET` of a capability URL.
    pub fn get_from(label: &'static str, setting: &'static str) -> Self {
        Self { base: Base::Secret(setting), ..Self::get(label, [""; 0]) }
    }

    /// Overrides what a repetition would do, where the method does not say it (an upsert by `POST`, say).
    #[must_use]
    pub fn safety(mut self, safety: Safety) -> Self {
        self.safety = safety;
        self
    }

    #[must_use]
    pub fn query(mut self, key: &'static str, value: impl ToString) -> Self {
        self.query.push((key, value.to_string()));
        self
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    #[must_use]
    pub fn json(mut self, value: serde_json::Value) -> Self {
        self.body = Body::Json(value);
        self
    }

    #[must_use]
    pub fn form(mut self, pairs: Vec<(String, String)>) -> Self {
        self.body = Body::Form(pairs);
        self
    }

    #[must_use]
    pub fn multipart(mut self, fields: Vec<(String, String)>) -> Self {
        self.body = Body::Multipart(fields);
        self
    }

    /// Path and query as they go over the wire, everything percent-encoded: a space is `%20` in the path and `+` in
    /// the query, a `+` is `%2B` in both.
    pub fn target(&self) -> String {
        let mut target = String::new();
        for segment in &self.path {
            target.push('/');
            target.extend(percent_encoding::utf8_percent_encode(segment, SEGMENT));
        }
        if !self.query.is_empty() {
            target.push('?');
            target.push_str(&form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish());
        }
        target
    }

    /// The body as bytes with its content type; `None` for an empty one. `boundary` separates the parts of a multipart
    /// body and must not occur in them.
    pub fn payload(&self, boundary: &str) -> Option<(String, Bytes)> {
        match &self.body {
            Body::Empty => None,
            Body::Json(value) => Some(("application/json".to_owned(), value.to_string().into())),
            Body::Form(pairs) => {
                let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
                Some(("application/x-www-form-urlencoded".to_owned(), form.into()))
            }
            Body::Multipart(fields) => {
                let mut body = String::new();
                for (name, value) in fields {
                    // Names are the connector's own; what could end the header's quotes is escaped as browsers do.
                    let name = name.replace('"', "%22").replace(['\r', '\n'], "");
                    body.push_str(&format!(
                        "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
                    ));
                }
                body.push_str(&format!("--{boundary}--\r\n"));
                Some((format!("multipart/form-data; boundary={boundary}"), body.into()))
            }
        }
    }

    /// Reads the reply with `parse`, which may ask for one more exchange.
    pub fn then<T>(self, parse: impl Fn(&Response) -> Result<Step<T>, Failure> + Send + Sync + 'static) -> Exchange<T> {
        Exchange { request: self, accepts: &[], parse: Arc::new(parse) }
    }

    /// Reads the reply with `parse`, and is done.
    pub fn done<T>(self, parse: impl Fn(&Response) -> Result<T, Failure> + Send + Sync + 'static) -> Exchange<T> {
        self.then(move |reply| parse(reply).map(Step::Done))
    }
}

/// What came back, whole: the driver has bounded its size.
#[derive(Clone)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The body and the headers are not shown: they carry customers' data.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({}, {} bytes)", self.status, self.body.len())
    }
}

impl Response {
    /// Reads the body as JSON.
    ///
    /// # Errors
    /// [`Kind::Malformed`] when it is not what `T` wants. Malformed replies are tried again with backoff: more often
    /// than not they come from a proxy in trouble, not from a change of the CRM's API.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let page = self.body.trim_ascii_start().starts_with(b"<");
            Failure::new(Kind::Malformed, Retry::Backoff).because(if page {
                "a web page came back, not the API's answer: a wrong address, or something between is in trouble".into()
            } else {
                format!("unreadable reply: {error}")
            })
        })
    }

    /// A header as text, when it is there and readable.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A header as an amount ([`Allowance::amount`]).
    pub fn number(&self, name: &str) -> Option<f64> {
        Allowance::amount(self.header(name)?)
    }

    /// How long the reply asks to wait: `Retry-After` in seconds (RFC 9110 §10.2.3). Its other form, a date, would need
    /// a clock.
    pub fn retry_after(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.number("retry-after")?).ok()
    }
}

/// Outcome of reading one reply: finished, or one more exchange is needed.
pub enum Step<T> {
    Done(T),
    Then(Exchange<T>),
}

impl<T> fmt::Debug for Step<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(_) => f.write_str("Done"),
            Self::Then(next) => write!(f, "Then({:?})", next.request),
        }
    }
}

type Parse<T> = Arc<dyn Fn(&Response) -> Result<Step<T>, Failure> + Send + Sync>;

/// A request, the failing statuses its parser understands, and the parser.
#[derive(Clone)]
pub struct Exchange<T> {
    pub request: Request,
    /// Statuses outside 2xx that [`Exchange::parse`] reads itself (a 404 that means "none"); all other failures go to
    /// [`crate::Connector::classify`].
    pub accepts: &'static [StatusCode],
    parse: Parse<T>,
}

impl<T> fmt::Debug for Exchange<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exchange({:?})", self.request)
    }
}

impl<T> Exchange<T> {
    /// Reads a reply.
    ///
    /// # Errors
    /// What the connector found wrong with it.
    pub fn parse(&self, reply: &Response) -> Result<Step<T>, Failure> {
        (self.parse)(reply)
    }

    #[must_use]
    pub fn accepting(mut self, statuses: &'static [StatusCode]) -> Self {
        self.accepts = statuses;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_parameter_can_steer_the_url() {
        let request = Request::get("x", ["api", "tickets", "1/../2?a=b#c"]).query("mobile", "+91 98&x='\"#😀");
        assert_eq!(request.target(), "/api/tickets/1%2F..%2F2%3Fa%3Db%23c?mobile=%2B91+98%26x%3D%27%22%23%F0%9F%98%80");
    }

    #[test]
    fn a_web_page_is_told_from_a_broken_answer() {
        let said = |body: &'static str| {
            let reply = Response { status: StatusCode::OK, headers: HeaderMap::new(), body: body.as_bytes().into() };
            reply.json::<Vec<u8>>().unwrap_err().detail
        };
        assert!(said("\n <!doctype html><title>Sign in</title>").contains("web page"));
        assert!(said("[1").contains("unreadable reply"));
    }

    #[test]
    fn a_header_that_is_no_amount_says_nothing() {
        let told = |value: &'static str| {
            let headers = HeaderMap::from_iter([(http::header::RETRY_AFTER, http::HeaderValue::from_static(value))]);
            let reply = Response { status: StatusCode::TOO_MANY_REQUESTS, headers, body: Bytes::new() };
            (reply.number("Retry-After"), reply.retry_after())
        };
        assert_eq!(told(" 1.5 "), (Some(1.5), Some(Duration::from_millis(1500))));
        assert_eq!(told("0"), (Some(0.0), Some(Duration::ZERO)));
        assert_eq!(told("1e300"), (Some(1e300), None));
        for value in ["", "-1", "NaN", "inf", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(told(value), (None, None), "{value}");
        }
    }

    #[test]
    fn multipart_fields_stand_between_boundaries() {
        let request = Request::post("x", ["a"]).multipart(vec![("note[text]".into(), "a\r\n--b".into())]);
        let (kind, body) = request.payload("XX").expect("a body");
        assert_eq!(kind, "multipart/form-data; boundary=XX");
        assert_eq!(
            body,
            "--XX\r\nContent-Disposition: form-data; name=\"note[text]\"\r\n\r\na\r\n--b\r\n--XX--\r\n".as_bytes()
        );
    }
}
