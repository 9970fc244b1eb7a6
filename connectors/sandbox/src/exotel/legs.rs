//! Legs: of calls that are over and of calls that go on; listening in, hanging up, recording (§5.2, §5.3).

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Exotel, SimulatedCall,
    course::{Due, Pending, Says},
    params::{Params, is_number},
    render,
};
use crate::{Reply, Request};

/// A participant's part of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLeg {
    pub sid: String,
    pub number: String,
    /// `inbound`, `outbound`, `outbound-dial`, `monitor`.
    pub origin: String,
    /// `listen`, `whisper`, `barge`, `hangup`; empty where nothing was done to it.
    pub last_action: String,
    /// Whom somebody who whispers speaks to.
    pub target: Option<String>,
    pub custom_field: Option<String>,
    pub began_at: Timestamp,
    /// Before the call's own end.
    pub ended_at: Option<Timestamp>,
}

impl Exotel {
    /// The legs of a call, as they are held.
    pub fn held_legs(&self, call_sid: &str) -> &[HeldLeg] {
        self.legs.get(call_sid).map_or(&[], Vec::as_slice)
    }

    /// Whether a call is being recorded at somebody's demand.
    pub fn is_taped(&self, call_sid: &str) -> bool {
        self.taped.contains(call_sid)
    }

    pub(super) fn leg(&self, call_sid: &str, leg_sid: &str) -> Option<&HeldLeg> {
        self.held_legs(call_sid).iter().find(|leg| leg.sid == leg_sid)
    }

    /// The legs every call has: whoever is first, and whoever he was connected with.
    pub(super) fn first_legs(&mut self, call: &SimulatedCall) -> Vec<HeldLeg> {
        let first = if call.direction == "inbound" { "inbound" } else { "outbound" };
        [(first, &call.from), ("outbound-dial", call.answered_by.as_ref().unwrap_or(&call.to))]
            .map(|(origin, number)| HeldLeg {
                sid: format!("{:016x}{:016x}", self.tokens.next(), self.tokens.next()),
                number: number.clone(),
                origin: origin.to_owned(),
                last_action: String::new(),
                target: None,
                custom_field: None,
                began_at: call.started_at,
                ended_at: None,
            })
            .into()
    }

    fn going_on(&self, call_sid: &str, now: Timestamp) -> Option<&SimulatedCall> {
        self.calls.get(call_sid).filter(|call| call.ended(now).is_none())
    }

    fn shown_leg(
        &self,
        call: &SimulatedCall,
        leg: &HeldLeg,
        path: &str,
        now: Timestamp,
    ) -> serde_json::Map<String, Value> {
        let ended = leg.ended_at.or(call.ended(now));
        let status = if ended.is_some() { "completed" } else { "in-progress" };
        let mut shown = json!({
            "Sid": leg.sid,
            "CallSid": call.call_sid,
            "AccountSid": self.sid,
            "PhoneNumber": leg.number,
            "Status": status,
            "Origin": leg.origin,
            "LastAction": leg.last_action,
            "DateCreated": render::ist(leg.began_at),
            "DateUpdated": render::ist(ended.unwrap_or(leg.began_at)),
            "StartTime": render::ist(leg.began_at),
            "ExoPhone": call.exophone,
            "Uri": format!("/v1/Accounts/{}/Calls/{}/{path}", self.sid, call.call_sid),
        });
        if let Some(ended) = ended {
            let seconds = u64::try_from(ended.duration_since(leg.began_at).as_secs()).unwrap_or(0);
            shown["OnCallDuration"] = self.number(seconds);
            shown["EndTime"] = json!(render::ist(ended));
        }
        match shown {
            Value::Object(shown) => shown,
            _ => serde_json::Map::new(),
        }
    }

    pub(super) fn ended_legs(&self, request: &Request, call_sid: &str, now: Timestamp) -> Reply {
        let Some(call) = self.calls.get(call_sid).filter(|call| call.ended(now).is_some()) else {
            return render::exception_of(
                request,
                StatusCode::BAD_REQUEST,
                "Code",
                "Bad Request",
                Some("Please check the callSID passed"),
            );
        };
        let legs: Vec<Value> =
            self.held_legs(call_sid).iter().map(|leg| self.shown_leg(call, leg, "Legs", now).into()).collect();
        let count = self.number(legs.len() as u64);
        let meta = json!({"Total": count, "Count": count});
        render::document(request, StatusCode::OK, &[("MetaData", meta), ("legs", legs.into())])
    }

    pub(super) fn active_legs(&self, request: &Request, call_sid: &str, now: Timestamp) -> Reply {
        let Some(call) = self.going_on(call_sid, now) else {
            return not_found(request, "Given callSID is not in-progress");
        };
        let legs = self.held_legs(call_sid).iter().filter(|leg| leg.ended_at.is_none()).map(|leg| {
            let mut shown = self.shown_leg(call, leg, "ActiveLegs", now);
            if leg.origin == "monitor" {
                let number = shown.remove("PhoneNumber").unwrap_or_default();
                shown.insert("EndUserNumber".to_owned(), number);
            }
            Value::Object(shown)
        });
        render::document(request, StatusCode::OK, &[("Legs", legs.collect())])
    }

    pub(super) fn monitor(&mut self, request: &Request, call_sid: &str, now: Timestamp) -> Reply {
        let bad = |message: &str| render::exception(request, StatusCode::BAD_REQUEST, message);
        if self.going_on(call_sid, now).is_none() {
            return not_found(request, "Given callSID is not in-progress");
        }
        let Some(mut params) = Params::of(request) else { return bad("Invalid Parameter") };
        let action = match params.word("Action", &["listen", "whisper", "barge"]) {
            Ok(Some(action)) => action,
            _ => return bad("Invalid Parameter: Action is missing or invalid"),
        };
        let number = params.take("PhoneNumber").filter(|number| is_number(number) && !number.starts_with('+'));
        let Some(number) = number.filter(|number| number.starts_with('0')) else {
            return bad("Invalid Parameter: PhoneNumber is missing or invalid");
        };
        let target = params.take("TargetLegSid");
        if let Some(reply) = self.refuse_target(request, call_sid, &action, target.as_deref()) {
            return reply;
        }
        let listener = match params.listener(&["terminal"]) {
            Ok(listener) => listener,
            Err(wrong) => return bad(&wrong),
        };
        let custom_field = params.take("CustomField");
        self.surprised("Legs", params.rest());
        let sid = format!("{:016x}{:016x}", self.tokens.next(), self.tokens.next());
        let leg = HeldLeg {
            sid: sid.clone(),
            number,
            origin: "monitor".to_owned(),
            last_action: action,
            target,
            custom_field,
            began_at: now,
            ended_at: None,
        };
        self.legs.entry(call_sid.to_owned()).or_default().push(leg);
        if let Some(listener) = listener {
            let says = Says::LegEnded { call_sid: call_sid.to_owned(), leg_sid: sid.clone() };
            self.pending.push(Pending { due: Due::End, listener, says });
        }
        self.one_leg(request, "Leg", call_sid, &sid, now)
    }

    /// Says no to whispering at nobody.
    fn refuse_target(&self, request: &Request, call_sid: &str, action: &str, target: Option<&str>) -> Option<Reply> {
        match target {
            None if action == "whisper" => {
                let message = "Invalid Parameter: TargetLegSid is missing or invalid";
                Some(render::exception(request, StatusCode::BAD_REQUEST, message))
            }
            Some(target) if self.leg(call_sid, target).is_none_or(|leg| leg.ended_at.is_some()) => {
                Some(no_leg(request))
            }
            _ => None,
        }
    }

    pub(super) fn change_leg(&mut self, request: &Request, call_sid: &str, leg_sid: &str, now: Timestamp) -> Reply {
        let bad = |message: &str| render::exception(request, StatusCode::BAD_REQUEST, message);
        let Some(mut params) = Params::of(request) else { return bad("Invalid Parameter") };
        if self.going_on(call_sid, now).is_none() {
            return not_found(request, "Not Found");
        }
        let Some(leg) = self.leg(call_sid, leg_sid).filter(|leg| leg.ended_at.is_none()).cloned() else {
            return no_leg(request);
        };
        let Some(action) = params.take("Action") else {
            return bad("Invalid Parameter: Action is missing or invalid");
        };
        if action == "hangup" {
            self.surprised("Legs/{sid}", params.rest());
            self.end_leg(call_sid, &leg, now);
            return self.one_leg(request, "legs", call_sid, leg_sid, now);
        }
        let allowed = [("listen", "whisper"), ("whisper", "barge"), ("listen", "barge")];
        if leg.origin != "monitor" || !allowed.contains(&(leg.last_action.as_str(), action.as_str())) {
            return bad("Invalid Parameter: Action is missing or invalid");
        }
        let target = params.take("TargetLegSid");
        if let Some(reply) = self.refuse_target(request, call_sid, &action, target.as_deref()) {
            return reply;
        }
        self.surprised("Legs/{sid}", params.rest());
        self.change(call_sid, leg_sid, |leg| {
            leg.last_action = action;
            leg.target = target;
        });
        self.one_leg(request, "Leg", call_sid, leg_sid, now)
    }

    fn change(&mut self, call_sid: &str, leg_sid: &str, change: impl FnOnce(&mut HeldLeg)) {
        let legs = self.legs.get_mut(call_sid);
        if let Some(leg) = legs.and_then(|legs| legs.iter_mut().find(|leg| leg.sid == leg_sid)) {
            change(leg);
        }
    }

    /// A call lives as long as both of its own legs do.
    fn end_leg(&mut self, call_sid: &str, leg: &HeldLeg, now: Timestamp) {
        self.change(call_sid, &leg.sid, |leg| {
            leg.last_action = "hangup".to_owned();
            leg.ended_at = Some(now);
        });
        if leg.origin != "monitor"
            && let Some(call) = self.calls.get_mut(call_sid)
        {
            call.ended_at = Some(now);
        }
    }

    fn one_leg(&self, request: &Request, name: &'static str, call_sid: &str, leg_sid: &str, now: Timestamp) -> Reply {
        let (Some(call), Some(leg)) = (self.calls.get(call_sid), self.leg(call_sid, leg_sid)) else {
            return no_leg(request);
        };
        let mut shown = self.shown_leg(call, leg, &format!("Legs/{leg_sid}"), now);
        // The answer to a hang-up still says `in-progress` (S:16740).
        shown.insert("Status".to_owned(), json!("in-progress"));
        shown.remove("EndTime");
        shown.remove("OnCallDuration");
        render::document(request, StatusCode::OK, &[(name, shown.into())])
    }

    pub(super) fn leg_fields(&self, call: &SimulatedCall, leg: &HeldLeg, at: Timestamp) -> Vec<(&'static str, Value)> {
        let seconds = at.duration_since(leg.began_at).as_secs().max(0);
        let mut fields = vec![
            ("LegSid", json!(leg.sid)),
            ("CallSid", json!(call.call_sid)),
            ("AccountSid", json!(self.sid)),
            ("DateCreated", json!(render::ist(leg.began_at))),
            ("DateUpdated", json!(render::ist(at))),
            ("StartTime", json!(render::ist(leg.began_at))),
            ("EndTime", json!(render::ist(at))),
            ("PhoneNumber", json!(leg.number)),
            ("Status", json!("completed")),
            ("OnCallDuration", json!(seconds.to_string())),
            ("Origin", json!(leg.origin)),
            ("LastAction", json!(leg.last_action)),
            ("EventType", json!("terminal")),
        ];
        fields.extend(leg.custom_field.as_ref().map(|mark| ("CustomField", json!(mark))));
        fields
    }

    /// What the answer holds is not documented.
    pub(super) fn tape(&mut self, request: &Request, call_sid: &str, now: Timestamp) -> Reply {
        if self.going_on(call_sid, now).is_none() {
            return not_found(request, "Given callSID is not in-progress");
        }
        let bad = |message: &str| render::exception(request, StatusCode::BAD_REQUEST, message);
        let Some(mut params) = Params::of(request) else { return bad("Invalid Parameter") };
        let read = |params: &mut Params| -> Result<String, String> {
            let action = params.word("Action", &["START", "STOP"])?.ok_or("Invalid Parameter: Action")?;
            params.word("RecordingChannels", &["single", "dual"])?;
            params.word("RecordingFormat", &["mp3", "mp3-hq"])?;
            params.word("Leg1Recording", &["True", "False"])?;
            params.take("StatusCallback");
            Ok(action)
        };
        let action = match read(&mut params) {
            Ok(action) => action,
            Err(wrong) => return bad(&wrong),
        };
        self.surprised("recording", params.rest());
        if action == "START" {
            self.taped.insert(call_sid.to_owned());
        } else {
            self.taped.remove(call_sid);
        }
        render::document(request, StatusCode::OK, &[("Recording", json!({"CallSid": call_sid, "Action": action}))])
    }
}

/// Legs say `Code` where calls say `Status` (§1.5).
fn not_found(request: &Request, message: &str) -> Reply {
    render::exception_of(request, StatusCode::NOT_FOUND, "Code", message, None)
}

fn no_leg(request: &Request) -> Reply {
    not_found(request, "Given legSID does not exist. Please check the legSID passed")
}
