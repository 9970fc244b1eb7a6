//! Exotel's list of calls: all of a stretch of time page by page, or some by their ids.

use std::{collections::VecDeque, fmt};

use jiff::{SignedDuration, Timestamp};
use patchbay_kit::{PhoneNumber, Request};
use serde_json::Value;

use super::{
    calls::{Call, CallDirection, CallStatus},
    client::{ExotelClient, Host},
    error::ExotelError,
    limits::Class,
    read::Said,
};

/// Exotel lists at most a month at once (exotel-api §5.1); a month has 28 days at least.
const WINDOW: SignedDuration = SignedDuration::from_hours(28 * 24);
/// The most Exotel lists on one page.
const PAGE: usize = 100;
/// Recommended at once; the most is 100 (exotel-api §5.1).
const SIDS: usize = 20;

/// Which calls are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFilter {
    pub from: Vec<PhoneNumber>,
    pub to: Vec<PhoneNumber>,
    /// ExoPhones, five at most.
    pub exophones: Vec<PhoneNumber>,
    pub status: Option<CallStatus>,
    pub direction: Option<CallDirection>,
}

/// A listed call as Exotel wrote it, in JSON: for the journal.
#[derive(Clone, PartialEq)]
pub struct Verbatim(pub Value);

/// It holds numbers.
impl fmt::Debug for Verbatim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verbatim(***)")
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct CallPage {
    pub calls: Vec<Call>,
    /// The same, word for word, in the same order.
    pub verbatim: Vec<Verbatim>,
    /// How many there are in this window, over all pages.
    pub total: Option<u32>,
}

/// All calls of a stretch of time, page by page, oldest first.
#[derive(Debug)]
pub struct CallPages {
    client: ExotelClient,
    filter: CallFilter,
    windows: VecDeque<(Timestamp, Timestamp)>,
    cursor: Option<(&'static str, String)>,
    class: Class,
}

impl CallPages {
    /// The same, leaving most of the account's limit to everybody else: nobody waits for it.
    #[must_use]
    pub fn sparing(mut self) -> Self {
        self.class = Class::Sweep;
        self
    }

    /// The next page; `None` after the last. After an error, the same page is asked for again.
    pub async fn next(&mut self) -> Option<Result<CallPage, ExotelError>> {
        let (from, to) = *self.windows.front()?;
        let naive = self.client.naive();
        let numbers = |all: &[PhoneNumber]| {
            let all: Vec<&str> = all.iter().map(|number| number.e164.as_str()).collect();
            all.join(",")
        };
        let created = format!("gte:{};lte:{}", naive.written(from), naive.written(to));
        let CallFilter { from, to, exophones, status, direction } = &self.filter;
        let mut request = Request::get("exotel.calls", self.client.v1(["Calls.json"]))
            .query("DateCreated", created)
            .query("PageSize", PAGE)
            .query("SortBy", "DateCreated:asc");
        for (name, values) in [("From", from), ("To", to), ("PhoneNumber", exophones)] {
            if !values.is_empty() {
                request = request.query(name, numbers(values));
            }
        }
        if let Some(status) = status {
            request = request.query("Status", status.as_str());
        }
        if let Some(direction) = direction {
            request = request.query("Direction", direction.as_str());
        }
        if let Some((name, at)) = &self.cursor {
            request = request.query(name, at);
        }
        let read = |said: Said<'_>| {
            let calls = calls(&said)?;
            let verbatim = verbatim(&said);
            let meta = said.at("Metadata");
            let next = meta.and_then(|meta| meta.text("NextPageUri"));
            Some((CallPage { calls, verbatim, total: meta.and_then(|meta| meta.count("Total")) }, next))
        };
        let (page, next) = match self.client.ask(Host::Api, self.class, request, read).await {
            Ok(read) => read,
            Err(error) => return Some(Err(error)),
        };
        match next.as_deref().map(cursor) {
            None => {
                self.windows.pop_front();
                self.cursor = None;
            }
            Some(next) if next.is_some() && next != self.cursor => self.cursor = next,
            // Ending here would pass over calls in silence.
            Some(_) => {
                let reason = "the list goes on, and does not say where".to_owned();
                return Some(Err(ExotelError::Unreadable { reason }));
            }
        }
        Some(Ok(page))
    }
}

/// Where a list goes on. Only the place is taken from the address: host, path and filter stay ours.
fn cursor(uri: &str) -> Option<(&'static str, String)> {
    let (_, query) = uri.split_once('?')?;
    ["After", "Before", "Page", "Offset"].into_iter().find_map(|name| {
        let (_, value) = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name)?;
        (!value.is_empty()).then(|| (name, value.into_owned()))
    })
}

/// A call that cannot be read would be one that a sweep passes over: then the page is not read at all.
fn calls(said: &Said<'_>) -> Option<Vec<Call>> {
    match said.at("Calls") {
        Some(list) => list.each("Call").into_iter().map(Call::read).collect(),
        // In XML an empty list says nothing; that it is one, its metadata say.
        None => said.at("Metadata").map(|_| Vec::new()),
    }
}

fn verbatim(said: &Said<'_>) -> Vec<Verbatim> {
    let listed = said.at("Calls").map(|list| list.each("Call")).unwrap_or_default();
    listed.iter().map(|call| Verbatim(call.value().clone())).collect()
}

impl ExotelClient {
    /// All calls created from `from` to `to`, both included, to the second. A call may appear in the list some time
    /// after it was placed. Exotel keeps six months.
    pub fn calls_between(&self, from: Timestamp, to: Timestamp, filter: CallFilter) -> CallPages {
        CallPages { client: self.clone(), filter, windows: windows(from, to), cursor: None, class: Class::Details }
    }

    /// These calls; what Exotel does not know is missing.
    ///
    /// # Errors
    /// [`ExotelError`].
    pub async fn calls_by_sid(&self, call_sids: &[&str]) -> Result<Vec<Call>, ExotelError> {
        let mut found = Vec::new();
        for some in call_sids.chunks(SIDS) {
            let request = Request::get("exotel.calls", self.v1(["Calls.json"]))
                .query("Sid", some.join(","))
                .query("PageSize", PAGE);
            found.extend(self.ask(Host::Api, Class::Details, request, |said| calls(&said)).await?);
        }
        Ok(found)
    }
}

/// Whole seconds, for that is what Exotel counts in; each window begins a second after the one before ended.
fn windows(from: Timestamp, to: Timestamp) -> VecDeque<(Timestamp, Timestamp)> {
    let second = SignedDuration::from_secs(1);
    let mut windows = VecDeque::new();
    let mut begin = Timestamp::from_second(from.as_second()).unwrap_or(from);
    while begin <= to {
        let end = begin.checked_add(WINDOW).map_or(to, |end| end.min(to));
        windows.push_back((begin, end));
        let Ok(next) = Timestamp::from_second(end.as_second()).and_then(|end| end.checked_add(second)) else { break };
        begin = next;
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_long_stretch_is_asked_for_in_windows_without_gap_and_without_overlap() {
        let month = 28 * 24 * 3600;
        assert_eq!(Vec::from(windows(at(10), at(20))), [(at(10), at(20))]);
        let cut = Vec::from(windows(at(0), at(month * 2)));
        assert_eq!(cut, [(at(0), at(month)), (at(month + 1), at(month * 2))]);
        assert!(windows(at(20), at(10)).is_empty());
    }

    #[test]
    fn only_the_place_is_taken_from_a_next_page() {
        let uri = "https://evil.example/v1/Accounts/other/Calls?PageSize=100&SortBy=x&After=a%2Bb%3D&Before=";
        assert_eq!(cursor(uri), Some(("After", "a+b=".to_owned())));
        assert_eq!(cursor("/v1/Accounts/acme/Calls?PageSize=2"), None);
        assert_eq!(cursor("/v1/Accounts/acme/Calls"), None);
    }
}
