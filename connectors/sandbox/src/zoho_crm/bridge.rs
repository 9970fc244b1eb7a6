//! PhoneBridge (v3): it is told of calls, shows them to agents, and logs them under Calls by itself.

use http::{Method, StatusCode};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::{Map, Value, json};

use super::ZohoCrm;
use crate::{Reply, Request};

const MISSED: &[&str] = &["busy", "invalid", "blocked", "notavailable", "noanswer", "rejected"];

/// One notification that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notified {
    /// `received` or `dialed`.
    pub kind: String,
    pub state: String,
    /// The provider's id of the call.
    pub id: String,
    pub zohouser: Option<String>,
}

impl ZohoCrm {
    /// What PhoneBridge was told so far.
    pub fn notified(&self) -> &[Notified] {
        &self.notified
    }

    pub(super) fn bridge(&mut self, request: &Request, now: Timestamp) -> Reply {
        if self.authorised(request, now).is_err() {
            return self.bridge_refusal(StatusCode::UNAUTHORIZED, "INVALID_TOKEN");
        }
        if let Err(refusal) = self.allowed("phonebridge") {
            return self.bridge_refusal(refusal.status, refusal.code);
        }
        let outcome = match (&request.method, request.segments().as_slice()) {
            (&Method::POST, ["phonebridge", "v3", "integrate"]) => {
                self.settings.phonebridge = true;
                Ok(json!({"status": "success", "code": "SUCCESS"}))
            }
            (&Method::DELETE, ["phonebridge", "v3", "integrate"]) => {
                self.settings.phonebridge = false;
                Ok(json!({"status": "success", "code": "SUCCESS"}))
            }
            _ if !self.settings.phonebridge => Err((StatusCode::BAD_REQUEST, "PROVIDER_NOT_REGISTERED")),
            (&Method::GET, ["phonebridge", "v3", "users"]) => {
                let users = self
                    .users()
                    .filter(|user| user.active)
                    .map(|user| json!({"zohouser": user.zuid.to_string(), "email": user.email, "username": user.name}));
                Ok(json!({"users": users.collect::<Vec<_>>()}))
            }
            (&Method::POST, ["phonebridge", "v3", "callnotify"]) => self.notify(&request.form(), now),
            _ => Err((StatusCode::NOT_FOUND, "INVALID_URL_PATTERN")),
        };
        match outcome {
            Ok(body) => Reply::json(StatusCode::OK, &body),
            Err((status, code)) => self.bridge_refusal(status, code),
        }
    }

    pub(super) fn bridge_refusal(&self, status: StatusCode, code: &str) -> Reply {
        let general = match status.as_u16() {
            400 => "SC_BAD_REQUEST",
            401 => "SC_UNAUTHORIZED",
            403 => "SC_FORBIDDEN",
            _ => "SC_INTERNAL_SERVER_ERROR",
        };
        let body = if self.settings.bridge_error_in_message {
            json!({"status": "error", "code": general, "message": code})
        } else {
            json!({"status": "error", "code": code, "message": code.to_lowercase().replace('_', " ")})
        };
        Reply::json(status, &body)
    }

    fn notify(&mut self, form: &[(String, String)], now: Timestamp) -> Result<Value, (StatusCode, &'static str)> {
        const MISSING: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "REQUIRED_PARAM_MISSING");
        const INVALID: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "INVALID_PARAM");
        let field = |name: &str| {
            form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
        };
        let needs = |name: &str| field(name).ok_or(MISSING);
        let (kind, state, id) = (needs("type")?, needs("state")?, needs("id")?);
        let (from, to) = (needs("from")?, needs("to")?);
        let unattended = match kind {
            "received" => state == "missed",
            "dialed" => MISSED.contains(&state),
            _ => return Err(INVALID),
        };
        if !unattended && !["ringing", "answered", "ended"].contains(&state) {
            return Err(INVALID);
        }
        if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(INVALID);
        }
        // E.164, a plus and digits; an unencoded plus comes as a space.
        let number = |text: &str| {
            text.strip_prefix('+')
                .is_some_and(|digits| digits.len() >= 7 && digits.bytes().all(|byte| byte.is_ascii_digit()))
        };
        if !number(from) || !number(to) {
            return Err(INVALID);
        }
        let zohouser = field("zohouser");
        let user = self.users.values().find(|user| zohouser == Some(user.zuid.to_string().as_str()) && user.active);
        if zohouser.is_some() && user.is_none() {
            return Err((StatusCode::BAD_REQUEST, "INVALID_ZOHOUSER"));
        }
        let owner = user.or(self.owner()).map(|user| json!({"id": user.id.to_string()}));
        let over = unattended || state == "ended";
        let started = match over.then(|| needs("start_time")).transpose()? {
            // GMT.
            Some(text) if text.len() == 19 => {
                let at = text.parse::<DateTime>().ok().and_then(|at| at.to_zoned(TimeZone::UTC).ok()).ok_or(INVALID)?;
                Some(at.timestamp().to_string())
            }
            Some(_) => return Err(INVALID),
            None => None,
        };
        let seconds: u32 = if state == "ended" { needs("duration")?.parse().map_err(|_| INVALID)? } else { 0 };
        let voice = field("voiceuri");
        if voice.is_some_and(|uri| !uri.starts_with("https://") && !uri.starts_with("http://")) {
            return Err(INVALID);
        }
        if self.failing > 0 {
            self.failing -= 1;
            return Ok(json!({"status": "error", "code": "INTERNAL_ERROR", "message": "internal error"}));
        }
        self.notified.push(Notified {
            kind: kind.to_owned(),
            state: state.to_owned(),
            id: id.to_owned(),
            zohouser: zohouser.map(str::to_owned),
        });
        if let Some(started) = started {
            let (customer, incoming) = if kind == "received" { (from, true) } else { (to, false) };
            let call_type = match (incoming, unattended) {
                (true, true) => "Missed",
                (true, false) => "Inbound",
                (false, _) => "Outbound",
            };
            let mut values = Map::from_iter([
                ("Subject".to_owned(), json!(format!("{call_type} call: {customer}"))),
                ("Call_Type".to_owned(), json!(call_type)),
                ("Call_Start_Time".to_owned(), json!(started)),
                ("Call_Duration".to_owned(), json!(format!("{:02}:{:02}", seconds / 60, seconds % 60))),
                ("CTI_Entry".to_owned(), json!(true)),
                // The provider's id; where, if anywhere, Zoho shows it is not documented.
                ("PhoneBridge_Id".to_owned(), json!(id)),
            ]);
            values.extend(owner.map(|owner| ("Owner".to_owned(), owner)));
            values.extend(voice.map(|voice| ("Voice_Recording__s".to_owned(), json!(voice))));
            values.extend(self.person_at(customer));
            self.log_call(id, values, now);
        }
        Ok(json!({"status": "success", "code": "SUCCESS"}))
    }

    /// One log per id: told again, it is changed.
    fn log_call(&mut self, id: &str, values: Map<String, Value>, now: Timestamp) {
        let new = self.new_id();
        let Some(calls) = self.modules.get_mut("Calls") else { return };
        let held = calls.living().find(|call| call.values.get("PhoneBridge_Id").is_some_and(|held| held == id));
        match held.map(|call| (call.id, call.created, call.values.clone())) {
            Some((held, created, mut was)) => {
                was.extend(values);
                calls.insert(held, was, created);
            }
            None => calls.insert(new, values, now),
        }
    }

    /// Whom PhoneBridge takes the customer for: it knows a number by its last ten digits.
    fn person_at(&self, number: &str) -> Vec<(String, Value)> {
        let digits = |text: &str| {
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            digits[digits.len().saturating_sub(10)..].to_owned()
        };
        let wanted = digits(number);
        let at = |module: &str| {
            let held = |value: Option<&Value>| value.and_then(Value::as_str).is_some_and(|held| digits(held) == wanted);
            let mut people = self.modules[module].living();
            people.find(|one| ["Phone", "Mobile"].iter().any(|field| held(one.values.get(*field)))).map(|one| one.id)
        };
        let link = |id: u64| json!({"id": id.to_string()});
        if let Some(id) = at("Contacts") {
            return vec![("Who_Id".to_owned(), link(id))];
        }
        at("Leads").map_or_else(Vec::new, |id| {
            vec![("What_Id".to_owned(), link(id)), ("$se_module".to_owned(), json!("Leads"))]
        })
    }
}
