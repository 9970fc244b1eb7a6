//! The list of calls, with filters and pages (§5.1).

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    Exotel, SimulatedCall,
    params::{Wrong, is_number, zeroed},
    render,
};
use crate::{Reply, Request};

const MONTH: SignedDuration = SignedDuration::from_hours(31 * 24);
const KNOWN: [&str; 14] = [
    "Sid",
    "DateCreated",
    "To",
    "From",
    "PhoneNumber",
    "Status",
    "Duration",
    "Price",
    "Direction",
    "PageSize",
    "SortBy",
    "Before",
    "After",
    "RecordingUrlValidity",
];

/// What a list was asked for.
struct Asked {
    from: Timestamp,
    to: Timestamp,
    sids: Vec<String>,
    size: usize,
    falling: bool,
    after: Option<String>,
}

impl Exotel {
    pub(super) fn list(&mut self, request: &Request, now: Timestamp) -> Reply {
        let asked = match asked(request, now) {
            Ok(asked) => asked,
            Err(wrong) => return render::exception(request, StatusCode::BAD_REQUEST, &wrong),
        };
        let unknown = request.query.iter().map(|(key, _)| key).filter(|key| !KNOWN.contains(&key.as_str()));
        self.surprised("Calls", unknown.cloned().collect());
        let lag = self.settings.list_lag;
        let mut found: Vec<&SimulatedCall> = self
            .calls
            .values()
            .filter(|call| call.started_at.checked_add(lag).is_ok_and(|listed| listed <= now))
            .filter(|call| {
                // Lists know of whole seconds.
                let second = Timestamp::from_second(call.started_at.as_second()).unwrap_or(call.started_at);
                asked.from <= second && second <= asked.to
            })
            .filter(|call| asked.sids.is_empty() || asked.sids.contains(&call.call_sid))
            .filter(|call| matches(request, call, now))
            .collect();
        found.sort_by(|one, other| (one.started_at, &one.call_sid).cmp(&(other.started_at, &other.call_sid)));
        if asked.falling {
            found.reverse();
        }
        let total = found.len();
        let start = match &asked.after {
            None => 0,
            Some(sid) => match found.iter().position(|call| call.call_sid == *sid) {
                Some(last) => last + 1,
                None => return render::exception(request, StatusCode::BAD_REQUEST, "Invalid Parameter: After"),
            },
        };
        let page: Vec<&SimulatedCall> = found.iter().skip(start).take(asked.size).copied().collect();
        let more = start + page.len() < total;
        let next = page.last().filter(|_| more).map(|last| self.next_uri(request, &last.call_sid));
        let calls: Vec<Value> = page.iter().map(|call| self.listed(request, call, now)).collect();
        let meta = json!({
            "Total": self.number(total as u64),
            "PageSize": self.number(asked.size as u64),
            "FirstPageUri": format!("/v1/Accounts/{}/Calls", self.sid),
            "PrevPageUri": Value::Null,
            "NextPageUri": next,
        });
        render::document(request, StatusCode::OK, &[("Metadata", meta), ("Calls", calls.into())])
    }

    fn listed(&self, request: &Request, call: &SimulatedCall, now: Timestamp) -> Value {
        let mut shown = render::call_fields(request, self, call, now);
        shown.retain(|(key, _)| *key != "PhoneNumberSid");
        shown.push(("PhoneNumber", json!(call.exophone)));
        if self.settings.custom_field_listed {
            shown.push(("CustomField", json!(call.custom_field)));
        }
        shown.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<serde_json::Map<_, _>>().into()
    }

    fn next_uri(&self, request: &Request, last: &str) -> String {
        let kept = request.query.iter().filter(|(key, _)| key != "After");
        let query =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).append_pair("After", last).finish();
        format!("/v1/Accounts/{}/Calls?{query}", self.sid)
    }
}

fn asked(request: &Request, now: Timestamp) -> Result<Asked, Wrong> {
    let bad = |name: &str| format!("Invalid Parameter: {name}");
    let (mut from, mut to) = (now.checked_sub(MONTH).unwrap_or(now), now);
    if let Some(range) = request.param("DateCreated") {
        (from, to) = (Timestamp::MIN, now);
        for part in range.split(';') {
            let (bound, at) = part.split_once(':').ok_or_else(|| bad("DateCreated"))?;
            let at = render::from_ist(at).ok_or_else(|| bad("DateCreated"))?;
            match bound {
                "gte" => from = at,
                "lte" => to = at,
                _ => return Err(bad("DateCreated")),
            }
        }
        if to.duration_since(from) > MONTH {
            return Err("Invalid Parameter: DateCreated must span at most a month".to_owned());
        }
    }
    let listed = |name: &str| -> Vec<String> {
        request.param(name).map(|all| all.split(',').map(str::to_owned).collect()).unwrap_or_default()
    };
    let sids = listed("Sid");
    if sids.len() > 100 {
        return Err(bad("Sid"));
    }
    for name in ["To", "From", "PhoneNumber"] {
        let numbers = listed(name);
        if numbers.len() > 5 || !numbers.iter().all(|number| is_number(number)) {
            return Err(bad(name));
        }
    }
    let size = match request.param("PageSize").map(str::parse) {
        None => 50,
        Some(Ok(size)) if (1..=100).contains(&size) => size,
        Some(_) => return Err(bad("PageSize")),
    };
    let falling = match request.param("SortBy") {
        None | Some("DateCreated:desc") => true,
        Some("DateCreated:asc") => false,
        Some(_) => return Err(bad("SortBy")),
    };
    Ok(Asked { from, to, sids, size, falling, after: request.param("After").map(str::to_owned) })
}

fn matches(request: &Request, call: &SimulatedCall, now: Timestamp) -> bool {
    let numbers = |name: &str, is: &str| {
        request.param(name).is_none_or(|all| all.split(',').any(|number| zeroed(number) == zeroed(is)))
    };
    let status = if call.ended(now).is_some() { call.status.as_str() } else { "in-progress" };
    let word = |name: &str, is: &str| request.param(name).is_none_or(|wanted| wanted == is);
    numbers("To", &call.to)
        && numbers("From", &call.from)
        && numbers("PhoneNumber", &call.exophone)
        && word("Status", status)
        && word("Direction", &call.direction)
}
