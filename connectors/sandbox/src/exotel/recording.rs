//! Recordings: behind Basic credentials or behind a signed address, whole or in part (§7).

use bytes::Bytes;
use http::{Method, StatusCode, header};
use jiff::{SignedDuration, Timestamp};

use super::{Exotel, render};
use crate::{Reply, Request};

/// How long a signed address is good: Exotel's default is 5 minutes (§7).
const SIGNED_FOR: SignedDuration = SignedDuration::from_mins(5);

/// What a signed address stands for.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    call_sid: String,
    until: Timestamp,
}

impl Exotel {
    pub(super) fn recording(&mut self, request: &Request, file: &str, now: Timestamp) -> Reply {
        let call = file.strip_suffix(".mp3").and_then(|call_sid| self.calls.get(call_sid));
        let Some((call, bytes)) = call.and_then(|call| Some((call, call.recorded(now)?))) else {
            return render::exception(request, StatusCode::NOT_FOUND, "Not Found");
        };
        if !self.settings.signed_recordings {
            return part(request, bytes, &call.call_sid);
        }
        let token = format!("{:016x}{:016x}", self.tokens.next(), self.tokens.next());
        let address = format!("{}/signed/{token}", self.public_url);
        let until = now.checked_add(SIGNED_FOR).unwrap_or(Timestamp::MAX);
        let call_sid = call.call_sid.clone();
        self.signed.retain(|_, signed| signed.until >= now);
        self.signed.insert(token, Signed { call_sid, until });
        Reply::empty(StatusCode::FOUND).with(header::LOCATION, address)
    }

    /// The signed address refuses a request that brings credentials too, as S3 does.
    pub(super) fn signed_recording(&self, request: &Request, token: &str, now: Timestamp) -> Reply {
        if ![Method::GET, Method::HEAD].contains(&request.method) {
            return s3(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "The specified method is not allowed");
        }
        if request.headers.contains_key(header::AUTHORIZATION) {
            return s3(StatusCode::BAD_REQUEST, "InvalidArgument", "Only one auth mechanism allowed");
        }
        let signed = self.signed.get(token).filter(|signed| now < signed.until);
        match signed.and_then(|signed| self.calls.get(&signed.call_sid)?.recorded(now).map(|bytes| (signed, bytes))) {
            Some((signed, bytes)) => part(request, bytes, &signed.call_sid),
            None => s3(StatusCode::FORBIDDEN, "AccessDenied", "Request has expired"),
        }
    }
}

fn s3(status: StatusCode, code: &str, message: &str) -> Reply {
    let body = format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    Reply::of(status, "application/xml", body)
}

/// What a `Range` header comes to for a body of `len` bytes.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// From the first to the last byte, both included.
    Bytes(usize, usize),
    Unsatisfiable,
}

/// The bytes, or those of them that were asked for (RFC 9110 §14). HEAD is answered as GET would be, without the body.
fn part(request: &Request, bytes: &Bytes, call_sid: &str) -> Reply {
    let tag = format!("\"{call_sid}\"");
    // A range of something else than the client has begun with would be garbage to it.
    let current = request.header(header::IF_RANGE).is_none_or(|begun| begun == tag);
    // RFC 9110 §14.2: Range has a meaning with GET only.
    let asked = request.header(header::RANGE).filter(|_| current && request.method == Method::GET);
    let (status, body, range) = match asked.map_or(Part::Whole, |asked| range(asked, bytes.len())) {
        Part::Whole => (StatusCode::OK, bytes.clone(), None),
        Part::Bytes(first, last) => {
            let range = format!("bytes {first}-{last}/{}", bytes.len());
            (StatusCode::PARTIAL_CONTENT, bytes.slice(first..=last), Some(range))
        }
        Part::Unsatisfiable => {
            let range = format!("bytes */{}", bytes.len());
            (StatusCode::RANGE_NOT_SATISFIABLE, Bytes::new(), Some(range))
        }
    };
    let len = body.len().to_string();
    let body = if request.method == Method::HEAD { Bytes::new() } else { body };
    let reply = Reply::of(status, "audio/mpeg", body)
        .with(header::ACCEPT_RANGES, "bytes")
        .with(header::ETAG, tag)
        .with(header::CONTENT_LENGTH, len);
    match range {
        Some(range) => reply.with(header::CONTENT_RANGE, range),
        None => reply,
    }
}

/// One range of bytes; several ranges, and what is none, are answered with the whole, as RFC 9110 allows.
fn range(asked: &str, len: usize) -> Part {
    let Some((first, last)) = asked.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-')) else {
        return Part::Whole;
    };
    match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) if first > last => Part::Whole,
        (Ok(first), _) if first >= len && (last.is_empty() || last.parse::<usize>().is_ok()) => Part::Unsatisfiable,
        (Ok(first), Ok(last)) => Part::Bytes(first, last.min(len - 1)),
        (Ok(first), Err(_)) if last.is_empty() => Part::Bytes(first, len - 1),
        (Err(_), Ok(suffix)) if first.is_empty() => {
            if suffix == 0 || len == 0 {
                Part::Unsatisfiable
            } else {
                Part::Bytes(len.saturating_sub(suffix), len - 1)
            }
        }
        _ => Part::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_as_the_rfc_says() {
        for (asked, part) in [
            ("bytes=0-3", Part::Bytes(0, 3)),
            ("bytes=4-", Part::Bytes(4, 9)),
            ("bytes=-3", Part::Bytes(7, 9)),
            ("bytes=-30", Part::Bytes(0, 9)),
            ("bytes=8-99", Part::Bytes(8, 9)),
            ("bytes=10-", Part::Unsatisfiable),
            ("bytes=10-12", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=3-2", Part::Whole),
            ("bytes=0-1,4-5", Part::Whole),
            ("bytes=x-", Part::Whole),
            ("items=0-1", Part::Whole),
        ] {
            assert_eq!(range(asked, 10), part, "{asked}");
        }
        assert_eq!(range("bytes=0-", 0), Part::Unsatisfiable);
        assert_eq!(range("bytes=-1", 0), Part::Unsatisfiable);
    }
}
