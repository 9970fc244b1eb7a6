//! Those who answer: LeadSquared's users, and the one whose lead a caller is.

use patchbay_kit::{
    Agent, Agents, Cursor, Exchange, Failure, Kind, Owner, Owners, Page, PhoneNumber, RecordRef, Rendering, Request,
    Response, Retry, StatusCode, Step,
};
use serde::Deserialize;
use serde_json::Value;

use crate::{LeadSquared, errors, settings::CALL_ROUTE_URL, v2};

/// Digits of the shortest number that can be dialled; a `TelephonyAgentId` may be a number or a name.
const NUMBER_DIGITS: usize = 7;
/// Fields in which a user's numbers are, likeliest first ("Get a User by Id" \[V\]).
const NUMBERS: &[&str] = &["AssociatedPhoneNumbers", "PhoneMain", "PhoneMobile", "AgentPhone", "Phone", "PhoneNumber"];

/// "Get Users" \[V\]
#[derive(Deserialize)]
struct Shown {
    #[serde(rename = "ID", alias = "UserId", alias = "Id")]
    id: String,
    #[serde(rename = "FirstName")]
    first_name: Option<String>,
    #[serde(rename = "LastName")]
    last_name: Option<String>,
    #[serde(rename = "EmailAddress")]
    email: Option<String>,
    /// 0 is active.
    #[serde(rename = "StatusCode")]
    status: Option<i64>,
}

impl From<Shown> for Agent {
    fn from(shown: Shown) -> Self {
        let name = [shown.first_name, shown.last_name].into_iter().flatten().filter(|part| !part.is_empty());
        Self {
            at: RecordRef::new("agent", shown.id),
            name: name.collect::<Vec<_>>().join(" "),
            email: shown.email.filter(|email| !email.is_empty()),
            // The list has none, and asking for each user would use up the budget of everything else.
            numbers: Vec::new(),
            active: shown.status.unwrap_or_default() == 0,
        }
    }
}

impl Agents for LeadSquared {
    /// "Get Users" \[V\]: all of them in one answer.
    fn list(&self, _from: Option<&Cursor>) -> Exchange<Page<Agent>> {
        Request::get("user.list", v2(["UserManagement.svc", "Users.Get"])).done(|reply| {
            errors::inside(reply)?;
            let users: Vec<Shown> = reply.json()?;
            Ok(Page { items: users.into_iter().map(Agent::from).collect(), next: None })
        })
    }
}

/// Statuses under which a call route may say that it knows nobody \[M\].
pub(crate) const NO_MATCH: &[StatusCode] =
    &[StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND, StatusCode::INTERNAL_SERVER_ERROR];

impl Owners for LeadSquared {
    /// Lead Route V2 ("Universal Telephony Connector", Call Route API \[V\]): the owner of the caller's lead. Its example
    /// has a number without country code. For a number of another country that would be somebody else's number at home,
    /// so those are asked for with it; numbers of India with it only where nobody was found without.
    fn of(&self, number: &PhoneNumber) -> Exchange<Option<Owner>> {
        let with_code = number.render(Rendering::E164NoPlus);
        if number.country != "91" {
            return route(&with_code).done(owner).accepting(NO_MATCH);
        }
        route(&number.render(Rendering::National))
            .then(move |reply| match owner(reply)? {
                Some(owner) => Ok(Step::Done(Some(owner))),
                None => Ok(Step::Then(route(&with_code).done(owner).accepting(NO_MATCH))),
            })
            .accepting(NO_MATCH)
    }
}

fn route(caller: &str) -> Request {
    Request::get_from("route.owner", CALL_ROUTE_URL).query("caller_id", caller).query("agentInfo", true)
}

/// Reads a call route's answer. The section of the documentation that shows it was not to be had: an object with the
/// user's fields \[C\], the same inside the usual envelope, a list of one, and a number alone are all understood.
pub(crate) fn owner(reply: &Response) -> Result<Option<Owner>, Failure> {
    if errors::Said::of(reply).knows_nobody() {
        return Ok(None);
    }
    errors::inside(reply)?;
    let text = String::from_utf8_lossy(&reply.body);
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    // The deprecated route answers the number as plain text [M]; as JSON it would be a number without its plus.
    if let Some(number) = number_in(text) {
        return Ok(Some(Owner { at: None, numbers: vec![number] }));
    }
    let Ok(body) = serde_json::from_str::<Value>(text) else {
        return Err(Failure::new(Kind::Malformed, Retry::Backoff).because("LeadSquared's call route is unreadable"));
    };
    Ok(owner_in(&body))
}

fn owner_in(body: &Value) -> Option<Owner> {
    match body {
        Value::Array(items) => items.iter().find_map(owner_in),
        Value::String(text) => number_in(text).map(|number| Owner { at: None, numbers: vec![number] }),
        Value::Object(fields) => {
            let text = |field: &str| fields.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
            let mut numbers: Vec<String> = Vec::new();
            for field in NUMBERS.iter().chain(&["TelephonyAgentId"]) {
                for number in text(field).unwrap_or_default().split([',', ';']).filter_map(number_in) {
                    if !numbers.contains(&number) {
                        numbers.push(number);
                    }
                }
            }
            let at = ["UserId", "ID", "AgentId"].iter().find_map(|field| text(field));
            let at = at.map(|id| RecordRef::new("agent", id));
            if at.is_some() || !numbers.is_empty() {
                return Some(Owner { at, numbers });
            }
            ["Message", "Data", "AgentInfo"].iter().filter_map(|field| fields.get(*field)).find_map(owner_in)
        }
        _ => None,
    }
}

/// A text that is a number and nothing else.
fn number_in(text: &str) -> Option<String> {
    let text = text.trim();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let number = digits >= NUMBER_DIGITS && text.chars().all(|c| c.is_ascii_digit() || "+- ()".contains(c));
    number.then(|| text.to_owned())
}
