//! What was said with a voicebot, put together from the parts in which it was told.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Trace;
use crate::call::bot::{HandOver, Line, TalkPart};

/// Of a talk that is longer its middle is left out: how it began and how it ended say most.
const LINES: usize = 2000;
const BYTES: usize = 256 * 1024;

/// What a session of a voicebot was about.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BotTalk {
    pub session: Uuid,
    pub bot: Option<String>,
    pub transcript: Vec<Line>,
    /// Lines that are missing in its middle.
    #[serde(default)]
    pub left_out: u32,
    /// What the bot found out, by name.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    #[serde(default)]
    pub notes: Vec<String>,
    /// How it ended, in the bot's own word.
    #[serde(default)]
    pub outcome: Option<String>,
    #[serde(default)]
    pub hand_over: Option<HandOver>,
}

/// What people say is in no log.
impl fmt::Debug for BotTalk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BotTalk({}, {} lines)", self.session, self.transcript.len())
    }
}

/// Those of a call, in the order of their sessions, whose ids are times.
pub(super) fn of(trace: &Trace<'_>) -> Vec<BotTalk> {
    let mut sessions: BTreeMap<Uuid, (Option<&String>, BTreeMap<u32, &TalkPart>)> = BTreeMap::new();
    for bot in trace.0.iter().filter_map(|event| event.facts.bot.as_ref()) {
        let Some(part) = &bot.part else { continue };
        let (id, parts) = sessions.entry(bot.session).or_default();
        *id = id.or(bot.bot.as_ref());
        parts.insert(part.number, part);
    }
    sessions.into_iter().map(|(session, (bot, parts))| talk(session, bot.cloned(), parts.into_values())).collect()
}

fn talk<'a>(session: Uuid, bot: Option<String>, parts: impl Iterator<Item = &'a TalkPart>) -> BotTalk {
    let mut talk = BotTalk { session, bot, ..BotTalk::default() };
    let mut lines: BTreeMap<u32, &Line> = BTreeMap::new();
    for part in parts {
        lines.extend(part.lines.iter().map(|line| (line.n, line)));
        talk.fields.extend(part.fields.clone());
        talk.notes.extend(part.notes.clone());
        talk.outcome = part.outcome.clone().or(talk.outcome);
        talk.hand_over = part.hand_over.clone().or(talk.hand_over);
    }
    // Who was interrupted before his first word was heard has said nothing.
    let said: Vec<&Line> = lines.into_values().filter(|line| !line.text.is_empty()).collect();
    let (head, tail) = ends(&said);
    talk.left_out = u32::try_from(said.len() - head - tail).unwrap_or(u32::MAX);
    talk.transcript = said[..head].iter().chain(&said[said.len() - tail..]).map(|line| Line::clone(line)).collect();
    talk
}

/// How many lines of the beginning and of the end are kept.
fn ends(lines: &[&Line]) -> (usize, usize) {
    let bytes = |lines: &[&Line]| lines.iter().map(|line| line.text.len()).sum::<usize>();
    if lines.len() <= LINES && bytes(lines) <= BYTES {
        return (lines.len(), 0);
    }
    let fits = |sizes: &mut dyn Iterator<Item = usize>| {
        let mut left = BYTES / 2;
        let fitting =
            sizes.take(LINES / 2).take_while(|size| left.checked_sub(*size).map(|rest| left = rest).is_some());
        fitting.count()
    };
    let head = fits(&mut lines.iter().map(|line| line.text.len()));
    let tail = fits(&mut lines[head..].iter().rev().map(|line| line.text.len()));
    (head, tail)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::call::{
        CallEvent, CallState, EventId, EventKind, Facts,
        bot::{BotSession, Speaker},
    };

    fn line(n: u32, text: &str) -> Line {
        Line { n, at_ms: u64::from(n) * 1000, speaker: Speaker::Caller, text: text.to_owned(), cut: false }
    }

    fn event(session: u128, part: TalkPart) -> CallEvent {
        let bot = BotSession {
            session: Uuid::from_u128(session),
            bot: Some("sales".to_owned()),
            backend: None,
            recording: None,
            end: None,
            part: Some(part.clone()),
        };
        CallEvent {
            id: EventId(Uuid::from_u128(session << 64 | u128::from(part.number))),
            call_sid: "c1".to_owned(),
            kind: EventKind::BotSaid,
            at: None,
            received_at: Timestamp::UNIX_EPOCH,
            facts: Facts { bot: Some(bot), ..Facts::default() },
        }
    }

    fn fold(events: &[CallEvent]) -> Vec<BotTalk> {
        CallState::fold(events).expect("a call").talks
    }

    #[test]
    fn parts_in_any_order_and_number_are_one_talk_and_the_later_telling_counts() {
        let field = |value: &str| BTreeMap::from([("city".to_owned(), value.to_owned())]);
        let first = TalkPart {
            number: 0,
            lines: vec![line(0, "Hello"), line(1, "long answer")],
            fields: field("Pune"),
            ..TalkPart::default()
        };
        let second = TalkPart {
            number: 1,
            lines: vec![Line { cut: true, ..line(1, "long") }, line(2, "Stop")],
            fields: field("Goa"),
            notes: vec!["angry".to_owned()],
            outcome: Some("sold".to_owned()),
            ..TalkPart::default()
        };
        let third =
            TalkPart { number: 2, lines: vec![line(2, "")], notes: vec!["calm".to_owned()], ..TalkPart::default() };
        let other = TalkPart { number: 0, lines: vec![line(0, "Again")], ..TalkPart::default() };
        let all = [event(1, first), event(1, second), event(1, third), event(2, other)];
        let talks = fold(&all);
        let said: Vec<&str> = talks[0].transcript.iter().map(|line| line.text.as_str()).collect();
        assert_eq!((said, talks[0].transcript[1].cut), (vec!["Hello", "long"], true));
        assert_eq!(
            (talks[0].fields.clone(), talks[0].notes.clone()),
            (field("Goa"), vec!["angry".to_owned(), "calm".to_owned()])
        );
        assert_eq!((talks[0].outcome.as_deref(), talks[1].transcript.len()), (Some("sold"), 1));
        let mut shuffled = all.to_vec();
        shuffled.reverse();
        shuffled.push(all[1].clone());
        assert_eq!(fold(&shuffled), talks);
        assert!(!format!("{:?}", CallState::fold(&all)).contains("Hello"));
    }

    #[test]
    fn of_an_endless_talk_the_middle_is_left_out() {
        let many = (0..5000).map(|n| line(n, "words")).collect();
        let talk = fold(&[event(1, TalkPart { lines: many, ..TalkPart::default() })]).remove(0);
        assert_eq!((talk.transcript.len(), talk.left_out), (LINES, 3000));
        assert_eq!((talk.transcript[0].n, talk.transcript[1999].n), (0, 4999));
        let long = (0..20).map(|n| line(n, &"x".repeat(30_000))).collect();
        let talk = fold(&[event(1, TalkPart { lines: long, ..TalkPart::default() })]).remove(0);
        assert_eq!((talk.transcript.len(), talk.left_out), (8, 12));
    }
}
