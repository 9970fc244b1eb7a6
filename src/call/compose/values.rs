//! What templates may show of a call, cleaned and cut before it is rendered.

use std::collections::BTreeMap;

use jiff::tz::Offset;
use serde_json::{Value, json};
use url::Url;

use patchbay_kit::{Direction, Outcome};

use crate::call::{
    bot::{Line, Speaker},
    phone,
    state::{BotTalk, CallState},
};

pub(crate) const UNKNOWN_CALLER: &str = "Unknown caller";

/// What a note shows beside the call.
#[derive(Clone, Debug, Default)]
pub(super) struct Extras {
    pub(super) recording_link: Option<String>,
    /// The note is a record of its own, and not part of the call's.
    pub(super) on_its_own: bool,
}

/// How much of the variable parts is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    value_chars: usize,
    entries: usize,
    /// Of what was said with a bot: it gives way first.
    lines: usize,
    line_chars: usize,
}

impl Caps {
    pub(super) const WIDEST: Self = Self { value_chars: 300, entries: 200, lines: 4000, line_chars: 8000 };
    pub(super) const NARROWING: [Self; 14] = [
        Self::WIDEST,
        Self { lines: 1000, line_chars: 1000, ..Self::WIDEST },
        Self { lines: 400, line_chars: 400, ..Self::WIDEST },
        Self { lines: 200, line_chars: 300, ..Self::WIDEST },
        Self { lines: 100, line_chars: 200, ..Self::WIDEST },
        Self { lines: 40, line_chars: 200, ..Self::WIDEST },
        Self { lines: 12, line_chars: 120, ..Self::WIDEST },
        Self { value_chars: 120, entries: 64, lines: 0, line_chars: 0 },
        Self { value_chars: 60, entries: 32, lines: 0, line_chars: 0 },
        Self { value_chars: 40, entries: 16, lines: 0, line_chars: 0 },
        Self { value_chars: 30, entries: 8, lines: 0, line_chars: 0 },
        Self { value_chars: 20, entries: 3, lines: 0, line_chars: 0 },
        Self { value_chars: 16, entries: 1, lines: 0, line_chars: 0 },
        Self { value_chars: 16, entries: 0, lines: 0, line_chars: 0 },
    ];
}

/// All variables of all templates: what a call does not have is there and empty, so that strict rendering finds only
/// real mistakes.
pub(super) fn of(state: &CallState, outcome: Outcome, offset: Offset, extras: &Extras, caps: Caps) -> Value {
    let short = |text: &str| cut(&clean(text), caps.value_chars);
    let number = short(&shown_number(state.customer.as_deref()));
    let exophone = short(state.exophone.as_deref().unwrap_or_default());
    let agent = state.agent();
    let (from, to) = match state.direction {
        Direction::Incoming => (number.clone(), exophone.clone()),
        Direction::Outgoing => (exophone.clone(), number.clone()),
    };
    let tried: Vec<String> = state.attempts.iter().take(caps.entries).map(|attempt| short(&attempt.agent)).collect();
    let mut digits: Vec<Value> = state
        .digits
        .iter()
        .take(caps.entries)
        .map(|step| json!({ "tag": short(&step.tag), "value": short(&step.value) }))
        .collect();
    if caps.entries > 0 && state.digits.len() > caps.entries {
        digits.push(json!({ "tag": "…", "value": format!("{} more", state.digits.len() - caps.entries) }));
    }
    let duration = state
        .talk_seconds
        .filter(|seconds| *seconds > 0 || outcome == Outcome::Answered)
        .map(|seconds| format!("{seconds}s"));
    // Of several sessions the last says how it ended.
    let last = |said: &dyn Fn(&BotTalk) -> Option<&str>| state.talks.iter().rev().find_map(said).map(short);
    let last = |said: &dyn Fn(&BotTalk) -> Option<&str>| last(said).unwrap_or_default();
    let fields: BTreeMap<&String, &String> = state.talks.iter().flat_map(|talk| &talk.fields).collect();
    let fields = fields.into_iter().take(caps.entries);
    let fields = fields.map(|(name, value)| json!({ "name": short(name), "value": short(value) }));
    let notes = state.talks.iter().flat_map(|talk| &talk.notes).take(caps.entries);
    let notes = notes.map(|text| json!({ "text": short(text) }));
    json!({
        "number": number,
        "exophone": exophone,
        "from": from,
        "to": to,
        "agent": agent.map(|agent| short(&agent.agent)).unwrap_or_default(),
        "agent_email": agent.and_then(|agent| agent.email.as_deref()).map(short).unwrap_or_default(),
        "answered_by": state.amd.as_ref().map(|amd| amd.answered_by.shown()).unwrap_or_default(),
        "bot": state.bot.as_ref().map(|bot| short(&bot.shown())).unwrap_or_default(),
        "tried": if agent.is_none() { tried.join(", ") } else { String::new() },
        "started": state.started_at.map(|at| shown_time(at, offset)).unwrap_or_default(),
        "call_sid": clean(&state.call_sid),
        "custom_field": short(state.custom_field.as_deref().unwrap_or_default()),
        "digits": digits,
        "bot_outcome": last(&|talk| talk.outcome.as_deref()),
        "bot_summary": last(&|talk| talk.hand_over.as_ref()?.summary.as_deref()),
        "handed_to": last(&|talk| talk.hand_over.as_ref()?.target.as_deref()),
        "handed_why": last(&|talk| talk.hand_over.as_ref()?.reason.as_deref()),
        "bot_fields": fields.collect::<Vec<_>>(),
        "bot_notes": notes.collect::<Vec<_>>(),
        "transcript": transcript(&state.talks, caps),
        "duration": duration.unwrap_or_default(),
        "recording_link": extras.recording_link.clone().unwrap_or_default(),
        "on_its_own": extras.on_its_own,
    })
}

/// What was said with bots: of what is too long, how it began and how it ended.
fn transcript(talks: &[BotTalk], caps: Caps) -> Vec<Value> {
    if caps.lines == 0 {
        return Vec::new();
    }
    let mut lines = Vec::new();
    for talk in talks {
        // What the fold left out is missing in the middle.
        let middle = talk.transcript.len() / 2;
        for (at, line) in talk.transcript.iter().enumerate() {
            if talk.left_out > 0 && at == middle {
                lines.push(left_out(talk.left_out as usize));
            }
            lines.push(spoken(line, caps));
        }
    }
    if lines.len() > caps.lines {
        let (head, tail) = (caps.lines.div_ceil(2), caps.lines / 2);
        let cut = lines.len() - head - tail;
        lines.splice(head..head + cut, [left_out(cut)]);
    }
    lines
}

fn left_out(lines: usize) -> Value {
    json!({ "at": "…", "speaker": "…", "text": format!("{lines} more") })
}

fn spoken(line: &Line, caps: Caps) -> Value {
    let seconds = line.at_ms / 1000;
    let speaker = match line.speaker {
        Speaker::Caller => "Caller",
        Speaker::Bot => "Bot",
    };
    let text = cut(&one_line(&line.text), caps.line_chars);
    let text = if line.cut { format!("{text} (interrupted)") } else { text };
    json!({ "at": format!("{}:{:02}", seconds / 60, seconds % 60), "speaker": speaker, "text": text })
}

/// The caller as Exotel wrote him.
pub(crate) fn shown_number(customer: Option<&str>) -> String {
    match customer.map(str::trim) {
        Some(customer) if !phone::withheld(customer) => customer.to_owned(),
        _ => UNKNOWN_CALLER.to_owned(),
    }
}

fn shown_time(at: jiff::Timestamp, offset: Offset) -> String {
    let local = offset.to_datetime(at);
    format!("{} {}", local.strftime("%Y-%m-%d %H:%M:%S"), offset_text(offset))
}

fn offset_text(offset: Offset) -> String {
    let minutes = offset.seconds() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

/// A link that leads to a web page or is none: nothing else becomes one in a CRM.
pub(super) fn link(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    matches!(url.scheme(), "http" | "https").then(|| url.into())
}

/// Without control characters and those that turn the direction of text: they end lines, hide text, or fake it.
pub(super) fn clean(text: &str) -> String {
    let hostile = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if hostile(c) { ' ' } else { c }).collect::<String>().trim().to_owned()
}

pub(super) fn one_line(text: &str) -> String {
    clean(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text, or its beginning with an ellipsis, in at most so many characters.
pub(super) fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(chars.saturating_sub(1)).collect();
    if chars > 0 {
        short.push('…');
    }
    short
}
