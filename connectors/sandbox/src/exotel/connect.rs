//! `Calls/connect`: places a call (§2), also at a voicebot (exotel-voicebot §4.3).

use http::StatusCode;
use jiff::Timestamp;

use super::{
    Course, Exotel, SimulatedCall,
    course::{Due, Pending, Says},
    params::{Params, Wrong, is_number, zeroed},
    render,
};
use crate::{Reply, Request};

/// What else can become of a request to place a call than a call (§2, §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No operator takes it: 500 or 504, and nobody is rung.
    NoRoute(u16),
    /// The gateway answers 500 or 504, and the call goes out all the same.
    PlacedAllTheSame(u16),
}

/// A call that was asked for, and where it is to be told of.
type Wanted = (SimulatedCall, Course, Option<super::course::Listener>);

impl Exotel {
    pub(super) fn connect(&mut self, request: &Request, now: Timestamp) -> Reply {
        let Some(mut params) = Params::of(request) else {
            return render::exception(request, StatusCode::BAD_REQUEST, "Invalid Call Parameters");
        };
        let (call, course, listener) = match self.wanted(&mut params, now) {
            Ok(wanted) => wanted,
            Err(wrong) => return render::exception(request, StatusCode::BAD_REQUEST, &wrong),
        };
        self.surprised("Calls/connect", params.rest());
        let trouble = self.troubles.pop_front();
        let failed = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            render::exception(request, status, status.canonical_reason().unwrap_or("Error"))
        };
        if let Some(Trouble::NoRoute(status)) = trouble {
            return failed(status);
        }
        let call_sid = call.call_sid.clone();
        if let Some(listener) = listener {
            self.announce(&call, &course, &listener);
        }
        self.placed.push(call_sid.clone());
        self.add_call(call);
        match (trouble, self.calls.get(&call_sid)) {
            (Some(Trouble::PlacedAllTheSame(status)), _) => failed(status),
            // Nothing is known of its end yet, however short it will be.
            (_, Some(call)) => render::call(request, self, call, call.started_at),
            (_, None) => failed(500),
        }
    }

    fn wanted(&mut self, params: &mut Params, now: Timestamp) -> Result<Wanted, Wrong> {
        let party = |value: Option<String>, name: &str| match value {
            Some(value) if is_number(&value) || value.starts_with("sip:") => Ok(zeroed(&value)),
            Some(_) => Err(format!("Invalid Call Parameters: '{name}' is not a number")),
            None => Err(format!("Invalid Call Parameters: No '{name}' specified")),
        };
        let from = party(params.take("From"), "From")?;
        let caller_id = party(params.take("CallerId"), "CallerId")?;
        if !self.owns(&caller_id) {
            return Err("Invalid Call Parameters: 'CallerId' is not an ExoPhone of this account".to_owned());
        }
        let flow_url = params.take("Url");
        let stream_url = stream(params)?;
        let to = match (params.take("To"), &flow_url) {
            (to, url) if stream_url.is_some() => match (to, url) {
                (None, None) => caller_id.clone(),
                _ => return Err("Invalid Call Parameters: 'StreamUrl' excludes 'To' and 'Url'".to_owned()),
            },
            (Some(_), Some(_)) => return Err("Invalid Call Parameters: 'To' and 'Url' exclude each other".to_owned()),
            (None, Some(url)) if url.contains(&format!("/{}/exoml/start_voice/", self.sid)) => caller_id.clone(),
            (None, Some(_)) => return Err("Invalid Call Parameters: 'Url' is not a flow of this account".to_owned()),
            (to, None) => party(to, "To")?,
        };
        params.word("CallType", &["trans"])?;
        params.number("TimeLimit", 14_400)?;
        params.number("TimeOut", 60)?;
        params.number("MaxRetries", 3)?;
        params.take("WaitUrl");
        let record = params.word("Record", &["true", "false"])?.is_some_and(|record| record == "true");
        params.word("RecordingChannels", &["single", "dual"])?;
        params.word("RecordingFormat", &["mp3", "mp3-hq"])?;
        let custom_field = params.take("CustomField");
        if custom_field.as_ref().is_some_and(|mark| mark.chars().count() > 128) {
            return Err("Invalid Call Parameters: 'CustomField' has more than 128 characters".to_owned());
        }
        let listener = params.listener(&["terminal", "answered"])?;

        let course = self.settings.course.clone();
        let sid = format!("{:016x}{:016x}", self.tokens.next(), self.tokens.next());
        let mut call = SimulatedCall::new(sid, from, to, now);
        call.exophone = caller_id;
        call.direction = "outbound-api".to_owned();
        call.status.clone_from(&course.status);
        call.custom_field = custom_field;
        call.flow_url = flow_url;
        call.stream_url = stream_url;
        let answered = course.status == "completed";
        let lasts = if answered { course.first_rings + course.second_rings + course.talks } else { course.first_rings };
        call.ended_at = now.checked_add(lasts).ok();
        call.talk_seconds = if answered && call.stream_url.is_none() { course.talks.as_secs() } else { 0 };
        call.recording = self.settings.placed_recording.clone().filter(|_| record && answered);
        Ok((call, course, listener))
    }

    fn announce(&mut self, call: &SimulatedCall, course: &Course, listener: &super::course::Listener) {
        let call_sid = &call.call_sid;
        if listener.answered == Some(true) && course.status == "completed" {
            let first = call.started_at.checked_add(course.first_rings).unwrap_or(call.started_at);
            let second = first.checked_add(course.second_rings).unwrap_or(first);
            // Once for each leg, under the same name (§3).
            let answers = [(1, first), (2, second)];
            for (legs, at) in answers.into_iter().take(if call.stream_url.is_some() { 1 } else { 2 }) {
                let says = Says::Answered { call_sid: call_sid.clone(), legs };
                self.pending.push(Pending { due: Due::At(at), listener: listener.clone(), says });
            }
        }
        let says = Says::Ended { call_sid: call_sid.clone() };
        self.pending.push(Pending { due: Due::End, listener: listener.clone(), says });
    }
}

/// Where a call is streamed to, if it is.
fn stream(params: &mut Params) -> Result<Option<String>, Wrong> {
    let url = params.take("StreamUrl");
    let kind = params.word("StreamType", &["bidirectional", "unidirectional"])?;
    let name = params.take("StreamName");
    let fits = |url: &String| url.len() <= 600 && (url.starts_with("ws://") || url.starts_with("wss://"));
    match url {
        Some(url) if !fits(&url) => Err("Invalid Call Parameters: 'StreamUrl' is not a websocket".to_owned()),
        Some(_) if kind.is_none() => Err("Invalid Call Parameters: No 'StreamType' specified".to_owned()),
        Some(_) if name.is_some_and(|name| name.chars().count() > 32) => {
            Err("Invalid Call Parameters: 'StreamName' has more than 32 characters".to_owned())
        }
        url => Ok(url),
    }
}
