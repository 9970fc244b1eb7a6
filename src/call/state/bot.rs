//! The voicebots' part of a call: whether one of them had the caller, for how long, and what Exotel says of their streams.

use std::{collections::BTreeMap, fmt::Write as _};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Trace;
use crate::call::{
    bot::SessionEnd,
    event::{CallEvent, EventKind},
    mark,
    stream::{EndedBy, StreamTold},
};

/// Ends of sessions in which nobody was there to listen: of them only what was said counts.
const FAILED: [&str; 4] = ["backend_failed", "no_bot", "full", "never_started"];

/// What the bots of a call were to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BotPart {
    /// The last that had the caller, else the last that was to have him.
    pub bot: Option<String>,
    /// It had the caller: something was heard or said.
    pub spoke: bool,
    pub seconds: Option<u32>,
    pub ended_by: Option<EndedBy>,
    /// Why none had him, in one word or as Exotel says it.
    pub trouble: Option<String>,
}

impl BotPart {
    /// As a record says it: `sales, 28 s, ended by the bot`.
    pub fn shown(&self) -> String {
        let mut shown = self.bot.clone().unwrap_or_default();
        let mut add = |part: &dyn std::fmt::Display| {
            let comma = if shown.is_empty() { "" } else { ", " };
            // To a String that never fails.
            let _ = write!(shown, "{comma}{part}");
        };
        if let Some(trouble) = &self.trouble {
            add(&format_args!("not heard ({trouble})"));
            return shown;
        }
        if let Some(seconds) = self.seconds {
            add(&format_args!("{seconds} s"));
        }
        match self.ended_by {
            Some(EndedBy::Bot) => add(&"ended by the bot"),
            Some(EndedBy::Caller) => add(&"ended by the caller"),
            None => {}
        }
        shown
    }
}

/// How far the bots' sessions came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// None had the caller.
    None,
    /// One began, and nothing is known of its end.
    Open,
    Had,
}

/// One session: which bot, and its end.
type Session<'a> = (Option<&'a String>, Option<&'a SessionEnd>);

/// In the order in which they began.
fn sessions<'a>(trace: &Trace<'a>) -> Vec<Session<'a>> {
    let mut places: BTreeMap<Uuid, usize> = BTreeMap::new();
    let mut sessions: Vec<Session<'a>> = Vec::new();
    for told in trace.0.iter().filter_map(|event| event.facts.bot.as_ref()) {
        let place = *places.entry(told.session).or_insert_with(|| {
            sessions.push((None, None));
            sessions.len() - 1
        });
        let (bot, end) = &mut sessions[place];
        *bot = bot.or(told.bot.as_ref());
        *end = end.or(told.end.as_ref());
    }
    sessions
}

fn had(end: &SessionEnd) -> bool {
    end.said_ms > 0 || (end.heard_ms > 0 && !FAILED.contains(&end.reason.as_str()))
}

pub(super) fn standing(trace: &Trace<'_>) -> Standing {
    let of = |(_, end): &Session<'_>| match end {
        None => Standing::Open,
        Some(end) if had(end) => Standing::Had,
        Some(_) => Standing::None,
    };
    sessions(trace).iter().map(of).max().unwrap_or(Standing::None)
}

/// Whether we had it placed for a bot. Where Exotel's answer to that was lost, the mark that the call carries tells.
pub(super) fn placed_for_one(trace: &Trace<'_>) -> bool {
    let marked = |field: &str| mark::read(field).is_some() && mark::bot(field).is_some();
    trace
        .0
        .iter()
        .any(|event| event.facts.placed_for_bot.is_some() || event.facts.custom_field.as_deref().is_some_and(marked))
}

/// What Exotel says of the streams: each once, however often it is told of.
pub(super) fn streams(trace: &Trace<'_>) -> Vec<StreamTold> {
    let mut streams: Vec<StreamTold> = Vec::new();
    for told in trace.0.iter().filter_map(|event| StreamTold::of(&event.facts)) {
        match streams.iter_mut().find(|known| known.stream_sid == told.stream_sid) {
            Some(known) => *known = std::mem::take(known).with(told),
            None => streams.push(told),
        }
    }
    streams
}

/// The stream that this event tells of failed.
pub(super) fn stream_failed(event: &CallEvent) -> bool {
    StreamTold::of(&event.facts).is_some_and(|told| told.failed())
}

/// `None`: nothing says that there was one. `taken`: there is an open session, and the call is over.
pub(super) fn part(trace: &Trace<'_>, streams: &[StreamTold], over: bool) -> Option<BotPart> {
    let sessions = sessions(trace);
    let wished = trace.0.iter().find_map(|event| event.facts.placed_for_bot.as_ref());
    if sessions.is_empty() && streams.is_empty() && wished.is_none() {
        return None;
    }
    let spoke = |(_, end): &&Session<'_>| end.is_some_and(had);
    let last = sessions.iter().rfind(spoke).or(sessions.last());
    let spoken: Vec<&SessionEnd> = sessions.iter().filter(spoke).filter_map(|(_, end)| *end).collect();
    let open = sessions.iter().any(|(_, end)| end.is_none());
    let heard = !spoken.is_empty() || (open && over);
    let sound: Vec<&StreamTold> = streams.iter().filter(|told| !told.failed()).collect();
    // Exotel's own count of it is that of the bill.
    let told_seconds = sound.iter().filter_map(|told| told.seconds).reduce(u32::saturating_add);
    let own_ms = spoken.iter().map(|end| end.duration_ms).reduce(u64::saturating_add);
    let own_seconds = own_ms.and_then(|ms| u32::try_from(ms.saturating_add(500) / 1000).ok());
    let ended_by = sound.iter().rev().find_map(|told| told.ended_by).or_else(|| spoken.last().and_then(|end| by(end)));
    let trouble = || {
        let told = streams.iter().rfind(|told| told.failed());
        let told = told.and_then(|told| told.detailed_status.clone().or_else(|| told.error.clone()));
        let ended = last.and_then(|(_, end)| *end).map(|end| end.reason.clone());
        told.or(ended)
    };
    Some(BotPart {
        bot: last.and_then(|(bot, _)| *bot).cloned().or_else(|| wished.map(|wish| wish.bot.clone())),
        spoke: heard,
        seconds: told_seconds.or(own_seconds),
        ended_by,
        trouble: if heard || (sessions.is_empty() && !sound.is_empty()) || open { None } else { trouble() },
    })
}

fn by(end: &SessionEnd) -> Option<EndedBy> {
    match end.reason.as_str() {
        "bot_done" | "handed_over" => Some(EndedBy::Bot),
        "stopped" if end.told.as_deref() == Some("callended") => Some(EndedBy::Caller),
        _ => None,
    }
}

/// Whether anybody human was tried: then what became of that is what became of the call.
pub(super) fn humans_sought(trace: &Trace<'_>) -> bool {
    let routed = || trace.0.iter().filter_map(|event| event.facts.routed.as_ref());
    let named = routed().any(|routed| !routed.numbers.is_empty());
    // That nobody was to be dialled is as good as not having been asked.
    let asked = trace.0.iter().any(|event| event.kind == EventKind::DialWhom);
    let answered = routed().any(|routed| matches!(routed.applet.as_str(), "dialwhom" | "connect" | "dial-up"));
    named || (asked && !answered)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use patchbay_kit::{Direction, Outcome};

    use super::*;
    use crate::call::{
        BotSession, BotTold, BotWish, CallState, Hook, PlacedCall, normalise,
        tests::{locale, permutations, read},
    };

    const SID: &str = "6f048d2e897a0d2d4029560f3f541947";
    const OVER: &str = r#""Status":"completed","EndTime":"2023-12-27 12:17:32","Duration":"27""#;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_703_659_600 + second).unwrap()
    }

    /// A session's part: its start, or its end with what was heard and said.
    fn bot(session: u128, second: i64, end: Option<(&str, u64, u64)>) -> CallEvent {
        let end = end.map(|(reason, heard_ms, said_ms)| SessionEnd {
            reason: reason.to_owned(),
            told: (reason == "stopped").then(|| "callended".to_owned()),
            duration_ms: 27_600,
            heard_ms,
            said_ms,
            ..SessionEnd::default()
        });
        let told = BotTold {
            call_sid: "c1".to_owned(),
            customer: Some("09052161119".to_owned()),
            exophone: Some("08047494574".to_owned()),
            direction: Some(Direction::Incoming),
            bot: BotSession {
                session: Uuid::from_u128(session),
                bot: Some("sales".to_owned()),
                backend: None,
                recording: None,
                end,
                part: None,
            },
        };
        normalise(&told.receipt(Uuid::nil(), "acme", at(second)).unwrap(), &locale()).unwrap()
    }

    fn began() -> CallEvent {
        bot(1, 5, None)
    }

    fn ended(reason: &str, heard_ms: u64, said_ms: u64) -> CallEvent {
        bot(1, 30, Some((reason, heard_ms, said_ms)))
    }

    fn passthru(query: &str) -> CallEvent {
        read(Hook::CallEvents, &format!("CallSid=c1&{query}"), None, "", 0)
    }

    fn stream(rest: &str) -> CallEvent {
        passthru(&format!("Stream[StreamSID]={SID}&{rest}"))
    }

    fn asked(hook: Hook, json: &str) -> CallEvent {
        read(
            hook,
            "",
            Some("application/json"),
            &format!(r#"{{"Call":{{"Sid":"c1","Direction":"inbound",{json}}}}}"#),
            0,
        )
    }

    fn details(json: &str) -> CallEvent {
        asked(Hook::Details, json)
    }

    fn listed(json: &str) -> CallEvent {
        asked(Hook::Listed, json)
    }

    fn routed(applet: &str, numbers: &[&str]) -> CallEvent {
        let body = serde_json::json!({ "call_sid": "c1", "applet": applet, "rule": "hand_over", "numbers": numbers,
            "source": "call", "integration": null, "outside_hours": false, "took_ms": 1 });
        read(Hook::Routed, "", Some("application/json"), &body.to_string(), 40)
    }

    fn dial_whom() -> CallEvent {
        CallEvent { kind: EventKind::DialWhom, ..passthru("CallFrom=09052161119&CallTo=08047494574") }
    }

    /// The call, which is the same in any order of its events and however often each is told.
    fn fold(events: &[CallEvent]) -> CallState {
        let state = CallState::fold(events).unwrap();
        let mut items: Vec<CallEvent> = events.to_vec();
        let left = items.len();
        permutations(&mut items, left, &mut |order| {
            assert_eq!(CallState::fold(order).unwrap(), CallState::fold(events).unwrap());
        });
        items.extend(events.to_vec());
        assert_eq!(CallState::fold(&items).unwrap(), state);
        state
    }

    fn outcome(events: &[CallEvent]) -> Option<Outcome> {
        fold(events).outcome
    }

    fn shown(events: &[CallEvent]) -> String {
        fold(events).bot.expect("a bot").shown()
    }

    #[test]
    fn a_call_that_a_bot_had_is_answered_whatever_else_is_said_of_it() {
        let completed = stream("Stream[Status]=cancelled&Stream[Duration]=28&Stream[DisconnectedBy]=user");
        let no_leg = details(&format!(r#"{OVER},"Details":{{"ConversationDuration":0}}"#));
        for more in [
            vec![],
            vec![completed.clone()],
            vec![listed(r#""Status":"completed""#)],
            vec![listed(r#""Status":"canceled""#)],
            vec![no_leg.clone(), listed(r#""Status":"completed""#)],
            vec![passthru("event=end&digits=1"), no_leg],
            vec![passthru("event=missed&CallType=client-hangup"), completed],
            // It named nobody, so the Connect applet behind it dialled nobody.
            vec![dial_whom(), routed("dialwhom", &[]), passthru("event=missed")],
        ] {
            let mut events = vec![began(), ended("stopped", 27_000, 9000)];
            events.extend(more);
            let state = fold(&events);
            assert_eq!(state.outcome, Some(Outcome::Answered), "{events:#?}");
            assert_eq!(state.answered_by(), None);
            assert!(state.bot.as_ref().is_some_and(|bot| bot.spoke && bot.trouble.is_none()));
            assert_eq!(state.talk_seconds, Some(28));
        }
        assert_eq!(shown(&[began(), ended("bot_done", 1, 1)]), "sales, 28 s, ended by the bot");
        assert_eq!(shown(&[began(), ended("stopped", 1, 1)]), "sales, 28 s, ended by the caller");
        assert_eq!(shown(&[began(), ended("closed", 0, 20)]), "sales, 28 s");
    }

    #[test]
    fn what_became_of_the_humans_counts_once_they_were_sought() {
        let had = [began(), ended("bot_done", 27_000, 9000)];
        let with = |more: &[CallEvent]| outcome(&[&had[..], more].concat());
        let tried = "DialWhomNumber=09711581199&CurrentTime=2023-12-27+12:17:20";
        let dial = passthru(&format!("event=pop&EventType=Dial&{tried}"));
        for missed in ["no-answer", "busy", "canceled"] {
            let after = passthru(&format!("event=missed&DialCallStatus={missed}&{tried}"));
            assert_eq!(with(&[dial.clone(), after.clone()]), Some(Outcome::Missed));
            assert_eq!(with(&[after]), Some(Outcome::Missed));
        }
        assert_eq!(
            with(&[passthru(&format!("event=answered&DialCallStatus=completed&{tried}"))]),
            Some(Outcome::Answered)
        );
        assert_eq!(with(&[passthru("event=voicemail")]), Some(Outcome::Voicemail));
        // He hung up while it was looked for somebody.
        let sought = [dial_whom(), routed("dialwhom", &["+919711581199"])];
        assert_eq!(with(&sought), None);
        assert_eq!(with(&[&sought[..], &[details(OVER)]].concat()), Some(Outcome::Missed));
        let rung = details(&format!(r#"{OVER},"Details":{{"ConversationDuration":0,"Leg2Status":"no-answer"}}"#));
        assert_eq!(with(&[rung]), Some(Outcome::Missed));
    }

    #[test]
    fn a_session_in_which_nothing_was_said_answers_nobody() {
        for reason in ["backend_failed", "no_bot", "full"] {
            let failed = ended(reason, 4000, 0);
            assert_eq!(outcome(&[began(), failed.clone()]), None);
            assert_eq!(outcome(&[began(), failed.clone(), passthru("event=end")]), Some(Outcome::FlowEnded));
            let gone = passthru("event=missed&CallType=client-hangup");
            assert_eq!(outcome(&[began(), failed.clone(), gone]), Some(Outcome::Missed));
            assert_eq!(shown(&[began(), failed.clone()]), format!("sales, not heard ({reason})"));
            // What was said before it failed was heard; so was the second connection's bot.
            assert_eq!(outcome(&[began(), ended("backend_failed", 4000, 20)]), Some(Outcome::Answered));
            let again = [bot(2, 31, None), bot(2, 60, Some(("closed", 9000, 20)))];
            assert_eq!(outcome(&[&[began(), failed][..], &again].concat()), Some(Outcome::Answered));
        }
        assert_eq!(outcome(&[began(), ended("closed", 0, 0)]), None);
    }

    #[test]
    fn as_long_as_a_session_goes_on_nothing_is_concluded_that_its_end_would_take_back() {
        let end = [passthru("event=end"), passthru("event=missed&CallType=client-hangup")];
        for more in end {
            assert_eq!(outcome(&[began(), more.clone()]), None, "{more:?}");
            assert_eq!(outcome(&[began(), more.clone(), listed(r#""Status":"completed""#)]), None);
            assert_eq!(outcome(&[began(), ended("closed", 9000, 0), more]), Some(Outcome::Answered));
        }
        // The process that had it has died; Exotel knows that the call is over.
        let lost = fold(&[began(), details(OVER)]);
        assert_eq!((lost.outcome, lost.bot.map(|bot| bot.spoke)), (Some(Outcome::Answered), Some(true)));
    }

    #[test]
    fn a_stream_is_told_once_however_often_it_is_told_of() {
        let told = |second: u32, more: &str| {
            stream(&format!("Stream[Status]=completed&Stream[Duration]=28&CurrentTime=2023-12-27+12:17:{second}{more}"))
        };
        let later = "&Stream[DisconnectedBy]=bot&Stream[RecordingUrl]=https://recordings.exotel.com/s.mp3";
        let state = fold(&[told(20, ""), told(21, later), told(22, ""), began(), ended("closed", 20, 20)]);
        assert_eq!(state.streams.len(), 1);
        assert_eq!((state.streams[0].seconds, state.streams[0].ended_by), (Some(28), Some(EndedBy::Bot)));
        assert_eq!(state.recording_url.as_deref(), Some("https://recordings.exotel.com/s.mp3"));
        assert_eq!(state.bot.as_ref().map(BotPart::shown).as_deref(), Some("sales, 28 s, ended by the bot"));
        // The call's own recording is the better one: it has all of the call.
        let own = passthru("event=end&RecordingUrl=https://recordings.exotel.com/call.mp3");
        let state = fold(&[told(20, later), own, ended("closed", 20, 20)]);
        assert_eq!(state.recording_url.as_deref(), Some("https://recordings.exotel.com/call.mp3"));
        let other = stream("Stream[StreamSID]=x&Stream[Status]=completed&Stream[Duration]=2");
        assert_eq!(fold(&[told(20, ""), other]).streams.len(), 1, "the first SID of a request counts");
        let other = passthru("Stream[StreamSID]=other&Stream[Status]=completed&Stream[Duration]=2");
        assert_eq!(fold(&[told(20, ""), other]).bot.expect("a part").seconds, Some(30));
    }

    #[test]
    fn a_failed_stream_is_told_and_answers_nobody() {
        let throttled =
            stream("Stream[Status]=failed&Stream[DisconnectedBy]=NA&Stream[DetailedStatus]=Streaming_call_throttled");
        let refused = stream("Stream[Status]=failed&Stream[Error]=3009 failed to establish ws conn&CallType=completed");
        assert_eq!(shown(std::slice::from_ref(&throttled)), "not heard (Streaming_call_throttled)");
        assert_eq!(shown(std::slice::from_ref(&refused)), "not heard (3009 failed to establish ws conn)");
        for failed in [throttled, refused] {
            assert_eq!(outcome(std::slice::from_ref(&failed)), None);
            assert_eq!(outcome(&[failed.clone(), details(OVER)]), Some(Outcome::FlowEnded));
            // Also where the flow's author says that it was answered.
            let said = CallEvent { kind: EventKind::Completed, ..failed };
            assert_ne!(outcome(&[said]), Some(Outcome::Answered));
        }
    }

    /// As it is placed for a bot, and what Exotel says at its end.
    fn placed() -> CallEvent {
        let placed = PlacedCall {
            call_sid: "c1".to_owned(),
            click: Uuid::from_u128(7),
            agent: None,
            agent_email: None,
            bot: Some(BotWish { bot: "sales".to_owned(), ..BotWish::default() }),
            customer: "09052161119".to_owned(),
            exophone: "08047494574".to_owned(),
            custom_field: mark::write(Uuid::from_u128(7), Some(&mark::for_bot("sales"))),
            dialled_at: at(0),
        };
        normalise(&placed.receipt(Uuid::nil(), "acme", at(0)).unwrap(), &locale()).unwrap()
    }

    fn status(rest: &str) -> CallEvent {
        let field = mark::write(Uuid::from_u128(7), Some(&mark::for_bot("sales"))).replace(' ', "+");
        let parties = "Direction=outbound-api&From=09052161119&PhoneNumberSid=08047494574";
        let form = format!("CallSid=c1&EventType=terminal&{parties}&CustomField={field}&{rest}");
        read(Hook::Status, "", Some("application/x-www-form-urlencoded"), &form, 0)
    }

    #[test]
    fn a_call_for_a_bot_is_outgoing_and_the_bot_has_answered_it() {
        let completed = "Status=completed&ConversationDuration=20";
        for to in ["", "&To=08047494574", "&To=09052161119"] {
            let status = status(&format!("{completed}{to}"));
            let state = fold(&[placed(), began(), ended("bot_done", 20, 20), status.clone()]);
            assert_eq!((state.outcome, state.direction), (Some(Outcome::Answered), Direction::Outgoing));
            assert_eq!(state.customer.as_deref(), Some("09052161119"), "{to}");
            assert_eq!((state.attempts.len(), state.placed_for.as_ref()), (0, None), "nobody human was tried: {to}");
            assert_eq!((state.outcome, state.talk_seconds), (Some(Outcome::Answered), Some(20)));
            // Somebody was there, and heard nothing.
            let failed = fold(&[placed(), began(), ended("backend_failed", 900, 0), status.clone()]);
            assert_eq!(failed.outcome, Some(Outcome::FlowEnded), "{to}");
            assert_eq!(fold(&[placed(), status]).outcome, Some(Outcome::FlowEnded), "{to}");
        }
        for nobody in ["no-answer", "busy", "failed", "canceled"] {
            assert_eq!(outcome(&[placed(), status(&format!("Status={nobody}"))]), Some(Outcome::Missed), "{nobody}");
        }
        assert_eq!(outcome(&[placed(), listed(r#""Status":"completed""#)]), None);
        assert_eq!(shown(&[placed()]), "sales");
        // Exotel's answer to placing it was lost: what the call carries tells.
        let state = fold(&[began(), ended("full", 0, 0), status(completed)]);
        assert_eq!((state.outcome, state.direction), (Some(Outcome::FlowEnded), Direction::Outgoing));
        // It was handed over, and somebody took it.
        let connected = passthru("event=answered&DialCallStatus=completed&DialWhomNumber=09711581199");
        let state = fold(&[placed(), began(), ended("bot_done", 20, 20), connected, status(completed)]);
        assert_eq!(state.answered_by().map(|it| it.agent.as_str()), Some("09711581199"));
    }

    #[test]
    fn a_record_says_what_the_bot_was() {
        use crate::call::{plan, tests as given};
        use patchbay_kit::TextFormat;
        let state = fold(&[began(), ended("bot_done", 20, 20), stream("Stream[Status]=completed&Stream[Duration]=28")]);
        for format in [TextFormat::Html, TextFormat::Plain] {
            let rules = given::rules(vec![given::integration("a", format, true)]);
            let planned = plan(&state, &rules, &given::mapping(), 0);
            let text = serde_json::to_string(&planned[0].content).unwrap();
            assert!(text.contains("Incoming Call from 09052161119") && text.contains("Bot: sales, 28 s"), "{text}");
        }
    }
}
