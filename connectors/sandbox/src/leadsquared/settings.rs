//! What one LeadSquared organisation differs in from another, and what the public material leaves open.

use std::{collections::BTreeSet, time::Duration};

use http::StatusCode;
use jiff::tz::Offset;

/// How a lead is found by a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhoneSearch {
    /// As documented: by digits, with or without the default country code, whatever the stored writing's punctuation;
    /// a query with spaces or hyphens finds nothing.
    Digits,
    /// Only the stored string itself, as the field's code that tries several writings suggests.
    Exact,
}

/// What a call log is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogReply {
    /// The id of the activity.
    Activity,
    /// The id of something else: which id it is, the documentation does not say.
    Other,
    /// Success, and nothing more.
    Bare,
    /// The asynchronous host's answer: a request id.
    Queued,
}

/// The form of LeadRouteV2's answer; the documentation's section on it was not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteReply {
    /// The user, as in the user API.
    User,
    /// The user inside the usual envelope.
    Enveloped,
    /// Only the number, as a JSON string.
    Number,
    /// Only the number, as text.
    Text,
}

/// How LeadRouteV2 says that it knows nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoute {
    EmptyObject,
    Null,
    Empty,
    Enveloped,
    Error,
}

/// What one LeadSquared organisation differs in from another.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Status under which validation errors come: 500 as documented, 400 and 200 have been seen.
    pub error_status: StatusCode,
    /// Calls of the v2 API within five seconds (§4.b); none by default.
    pub limit: Option<u32>,
    /// The limit is told under 200 instead of 429, as has been seen.
    pub limit_inside: bool,
    /// The keys belong to this host of another region; everything but the authentication is 401 here.
    pub other_region: Option<String>,
    pub phone_search: PhoneSearch,
    pub country_code: String,
    /// Phone is unique, as it is unless the administrator changes it.
    pub unique_phone: bool,
    pub log_reply: LogReply,
    /// The zone in which times of a call log are read; they are kept in UTC.
    pub call_times: Offset,
    /// The statuses that a call log may carry. These two have been seen stored.
    pub statuses: BTreeSet<String>,
    /// A log without a lead makes one for a number nobody has.
    pub makes_leads: bool,
    /// A second log with the same `CallSessionId` is the first; not documented.
    pub unique_sessions: bool,
    /// A note is cut to so many characters; not documented.
    pub note_chars: usize,
    /// A lead's activities come oldest first; their order is not documented.
    pub oldest_first: bool,
    /// How far `Leads.Get` and `RetrieveByActivityEvent` are behind writes; no lag is documented.
    pub list_lag: Duration,
    pub route_reply: RouteReply,
    pub no_route: NoRoute,
    /// Status under which a capability URL that is nobody's is refused; not documented.
    pub unknown_connector: StatusCode,
    /// Capability URLs carry an `ORG…` segment.
    pub org_segment: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            error_status: StatusCode::INTERNAL_SERVER_ERROR,
            limit: None,
            limit_inside: false,
            other_region: None,
            phone_search: PhoneSearch::Digits,
            country_code: "91".to_owned(),
            unique_phone: true,
            log_reply: LogReply::Activity,
            call_times: Offset::UTC,
            statuses: ["Answered", "NotAnswered"].map(String::from).into(),
            makes_leads: true,
            unique_sessions: false,
            note_chars: usize::MAX,
            oldest_first: false,
            list_lag: Duration::ZERO,
            route_reply: RouteReply::User,
            no_route: NoRoute::EmptyObject,
            unknown_connector: StatusCode::UNAUTHORIZED,
            org_segment: false,
        }
    }
}
