//! What a record says of each sort of call, and that no value, however long or hostile, breaks or outgrows its text.

use proptest::prelude::*;

use patchbay_kit::Digits;

use super::*;
use crate::call::{
    BotTalk, HandOver, Line, Speaker,
    receipt::Hook,
    tests::{MANIFEST, read, texts},
};

const SID: &str = "27ba29be09721e231a10dd5e9885158p";

fn state(query: &str) -> CallState {
    CallState::fold(&[read(Hook::CallEvents, &format!("CallSid={SID}&{query}"), None, "", 0)]).unwrap()
}

fn overridden(format: TextFormat, name: &str, text: &str) -> Result<Texts, Vec<TextError>> {
    let rules = TextRules { format, ..MANIFEST.text };
    Texts::new(rules, &BTreeMap::from([(name.to_owned(), text.to_owned())]))
}

fn rules(subject_chars: usize, body_chars: usize) -> TextRules {
    TextRules { format: TextFormat::Html, subject_chars, body_chars }
}

#[test]
fn subjects_are_those_of_the_screens() {
    let texts = texts(TextFormat::Html);
    let incoming = state("event=answered&CallFrom=08884643606&Direction=incoming");
    let outgoing = state("event=answered&CallFrom=08884643606&Direction=outbound-dial");
    let automated = state("event=automated_answered&CallFrom=08884643606");
    for (state, outcome, wanted) in [
        (&incoming, Outcome::Answered, "Incoming Call from 08884643606"),
        (&automated, Outcome::Answered, "Incoming Call from 08884643606 (Created automatically)"),
        (&incoming, Outcome::Missed, "Missed Call from 08884643606"),
        (&incoming, Outcome::Voicemail, "Voicemail from 08884643606"),
        (&incoming, Outcome::FlowEnded, "Incoming IVR/Gather call from 08884643606"),
        (&outgoing, Outcome::Answered, "Outgoing Call to 08884643606"),
        (&outgoing, Outcome::Missed, "Outgoing Call to 08884643606 (not answered)"),
        (&outgoing, Outcome::FlowEnded, "Outgoing IVR/Gather call to 08884643606"),
        (&state("event=missed"), Outcome::Missed, "Missed Call from Unknown caller"),
        (&state("event=missed&CallFrom=anonymous"), Outcome::Missed, "Missed Call from Unknown caller"),
        (&state("event=missed&CallFrom=sip:Alice"), Outcome::Missed, "Missed Call from sip:Alice"),
    ] {
        assert_eq!(texts.subject(state, outcome), wanted);
    }
}

#[test]
fn bodies_name_the_call_and_those_who_spoke() {
    let call = state(
        "event=answered&CallFrom=08884643606&CallTo=08046801234&DialWhomNumber=09711581199&DialCallStatus=completed&StartTime=2023-12-27+12:17:05",
    );
    let plain = texts(TextFormat::Plain).body(&call, Outcome::Answered);
    assert_eq!(
        plain,
        format!(
            "From: 08884643606\nTo: 08046801234\nAgent: 09711581199\nStarted: 2023-12-27 12:17:05 +05:30\nCallSid : {SID}"
        )
    );
    let html = texts(TextFormat::Html).body(&call, Outcome::Answered);
    assert!(html.starts_with("<div>From: 08884643606</div>\n<div>To: 08046801234</div>"), "{html}");
    let missed = state("event=missed&CallFrom=08884643606&Legs[0][Number]=0111111111&Legs[1][Number]=0222222222");
    assert!(texts(TextFormat::Plain).body(&missed, Outcome::Missed).contains("Agents tried: 0111111111, 0222222222"));
}

#[test]
fn notes_link_the_recording_and_say_how_long() {
    let call = state("event=answered&DialCallStatus=completed&DialCallDuration=34");
    let html = texts(TextFormat::Html);
    let link = "https://calls.example.com/r/1?exp=1&sig=a\"b";
    assert_eq!(
        html.note(&call, Outcome::Answered, Some(link)),
        format!(
            "<div><a href=\"https://calls.example.com/r/1?exp=1&amp;sig=a%22b\">Call Recording</a></div>\n<div>Call Duration: 34s</div>\n<div>CallSid : {SID}</div>"
        )
    );
    assert_eq!(
        texts(TextFormat::Plain).note(&call, Outcome::Answered, None),
        format!("No recording\nCall Duration: 34s\nCallSid : {SID}")
    );
    assert!(html.note(&call, Outcome::Answered, Some("javascript:alert(1)")).contains("No recording"));
    assert!(html.note(&call, Outcome::Voicemail, Some(link)).starts_with("<div>Voicemail: <a href="));
    let whole = html.body_with_note(&call, Outcome::Answered, Some(link));
    assert_eq!(whole.matches(SID).count(), 1, "{whole}");
    assert!(whole.contains("Call Duration: 34s"));
}

fn talk(lines: u32) -> BotTalk {
    let line = |n: u32| Line {
        n,
        at_ms: 65_000 + u64::from(n),
        speaker: if n.is_multiple_of(2) { Speaker::Bot } else { Speaker::Caller },
        text: format!("<b>words {n}</b>\n{}", "x".repeat(40)),
        cut: n == 0,
    };
    let hand_over = HandOver { target: Some("support".to_owned()), reason: None, summary: Some("wants it".to_owned()) };
    BotTalk {
        transcript: (0..lines).map(line).collect(),
        fields: BTreeMap::from([("city".to_owned(), "Pune".to_owned())]),
        notes: vec!["angry".to_owned()],
        outcome: Some("sold".to_owned()),
        hand_over: Some(hand_over),
        ..BotTalk::default()
    }
}

#[test]
fn what_was_said_with_a_bot_stands_in_the_record() {
    let mut call = state("event=end");
    call.talks = vec![talk(2)];
    let html = texts(TextFormat::Html).body(&call, Outcome::FlowEnded);
    for part in [
        "<div>Outcome: sold</div>",
        "<div>Handed over to: support</div>\n<div>Summary: wants it</div>\n<div>city: Pune</div>\n<div>Note: angry</div>",
        "<div>Transcript</div>\n<div>1:05 Bot: &lt;b&gt;words 0&lt;/b&gt; xxx",
        "x (interrupted)</div>\n<div>1:05 Caller: &lt;b&gt;words 1",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    let plain = texts(TextFormat::Plain).body(&call, Outcome::Answered);
    assert!(plain.contains("\nOutcome: sold\n") && plain.contains("\nTranscript\n1:05 Bot: <b>words 0"), "{plain}");
    let nothing = texts(TextFormat::Plain).body(&state("event=end"), Outcome::Answered);
    assert!(!nothing.contains("Transcript") && !nothing.contains("Outcome"), "{nothing}");
}

#[test]
fn what_was_said_gives_way_before_what_was_found_out() {
    let mut call = state("event=end");
    call.talks = vec![talk(2000)];
    for (limit, wanted) in [(60_000, "words 1999"), (4000, "words 1999"), (600, "city: Pune")] {
        let body = Texts::new(rules(255, limit), &BTreeMap::new()).unwrap().body(&call, Outcome::FlowEnded);
        assert!(body.chars().count() <= limit && body.contains(wanted) && body.contains(SID), "{limit}: {body}");
        assert_eq!(body.matches("<div>").count(), body.matches("</div>").count());
        assert_eq!(body.contains(" more</div>"), limit > 600, "{limit}");
    }
}

#[test]
fn what_callers_control_is_escaped() {
    let hostile = url::form_urlencoded::byte_serialize(b"<img src=x onerror='alert(1)'>&\"").collect::<String>();
    let call = state(&format!("event=gather&CallFrom={hostile}&gather_tag_1={hostile}&digits={hostile}"));
    for outcome in [Outcome::FlowEnded, Outcome::Answered] {
        let body = texts(TextFormat::Html).body(&call, outcome);
        assert!(!body.contains("<img") && body.contains("&lt;img src=x onerror=&#39;alert(1)&#39;&gt;&amp;"), "{body}");
    }
    assert!(texts(TextFormat::Plain).body(&call, Outcome::FlowEnded).contains("<img src=x"));
    let triple = overridden(TextFormat::Html, "missed.body", "{{{number}}} {{call_sid}}").unwrap();
    assert!(!triple.body(&call, Outcome::Missed).contains("<img"));
}

#[test]
fn a_subject_is_one_line_and_cut_at_a_character() {
    let rules = rules(20, 1000);
    let texts = Texts::new(rules, &BTreeMap::new()).unwrap();
    let mut call = state("event=missed");
    call.customer = Some("1\r\nBcc: 😀😀😀😀\u{202e}x".to_owned());
    assert_eq!(texts.subject(&call, Outcome::Missed), "Missed Call from 1 …");
    let exact = Texts::new(TextRules { subject_chars: 28, ..rules }, &BTreeMap::new()).unwrap();
    assert_eq!(
        exact.subject(&state("event=missed&CallFrom=08884643606"), Outcome::Missed),
        "Missed Call from 08884643606"
    );
}

#[test]
fn a_body_that_is_cut_stays_whole_and_keeps_the_call_sid() {
    let mut call = state("event=end");
    call.digits = (0..500).map(|at| Digits { tag: format!("<{at}>"), value: "&".repeat(255) }).collect();
    for limit in [5000, 1000, 300, 120, 60, 10] {
        let texts = Texts::new(rules(255, limit), &BTreeMap::new()).unwrap();
        let body = texts.body(&call, Outcome::FlowEnded);
        assert!(body.contains(SID), "{limit}");
        assert!(body.chars().count() <= limit.max(10 + SID.len()), "{limit}: {}", body.chars().count());
        assert_eq!(body.matches("<div>").count(), body.matches("</div>").count(), "{limit}: {body}");
        let with_note = texts.body_with_note(&call, Outcome::FlowEnded, Some("https://x.example/1"));
        assert!(with_note.contains(SID) && with_note.chars().count() <= limit.max(10 + SID.len()), "{limit}");
    }
}

#[test]
fn mistakes_in_overrides_are_found_at_start() {
    let problem = |name: &str, text: &str| overridden(TextFormat::Html, name, text).unwrap_err()[0].to_string();
    assert!(problem("ansered.subject", "x").contains("answered.subject"));
    assert!(problem("missed.subject", "Missed {{numbr}}").contains("there is no \"numbr\""));
    assert!(problem("missed.subject", "{{#if numbr}}x{{/if}}y").contains("numbr"));
    assert!(problem("missed.subject", "{{#if exophone}}ok{{else}}{{custom}}{{/if}}").contains("custom"));
    assert!(problem("missed.subject", "{{number").starts_with("missed.subject: "));
    assert!(problem("missed.subject", "{{exophone}}").contains("empty"));
    assert!(problem("missed.body", "{{number}}").contains("call_sid"));
    assert!(problem("note.body", "{{recording_link}}").contains("call_sid"));
    assert!(problem("missed.body", "{{> note.body}}{{call_sid}}").contains("include"));
    assert!(problem("missed.body", "{{#*inline \"a\"}}{{/inline}}{{call_sid}}").contains("include"));
    for steered in [
        "<a href=\"{{custom_field}}\">x</a>{{call_sid}}",
        "<a href=\"https://crm.example/{{call_sid}}\">x</a>{{call_sid}}",
    ] {
        assert!(problem("missed.body", steered).contains("inside of a tag"), "{steered}");
    }
    let all = BTreeMap::from([("a".to_owned(), String::new()), ("b".to_owned(), String::new())]);
    assert_eq!(Texts::new(MANIFEST.text, &all).unwrap_err().len(), 2);
}

#[test]
fn an_override_replaces_its_text_alone() {
    let texts = overridden(TextFormat::Html, "missed.subject", "{{number}} rang in vain").unwrap();
    let call = state("event=missed&CallFrom=08884643606");
    assert_eq!(texts.subject(&call, Outcome::Missed), "08884643606 rang in vain");
    assert_eq!(texts.subject(&call, Outcome::Voicemail), "Voicemail from 08884643606");
    let linked = "<a href='{{recording_link}}'>Hear {{#each digits}}{{tag}}{{/each}}</a> {{call_sid}}";
    assert!(overridden(TextFormat::Html, "note.body", linked).is_ok());
    assert_eq!(Texts::names().len(), 18);
}

proptest! {
    // Each case compiles all templates anew.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_values_leave_the_markup_whole(
        number in ".{0,60}", tag in ".{0,400}", value in ".{0,400}", field in ".{0,400}", limit in 0..3000_usize,
    ) {
        let mut call = state("event=end&DialWhomNumber=09711581199&DialCallStatus=completed");
        call.customer = Some(number);
        call.custom_field = Some(field);
        call.digits = vec![Digits { tag, value }];
        let texts = Texts::new(rules(limit.min(255), limit), &BTreeMap::new()).unwrap();
        for outcome in [Outcome::Answered, Outcome::Missed, Outcome::Voicemail, Outcome::FlowEnded] {
            let subject = texts.subject(&call, outcome);
            prop_assert!(subject.chars().count() <= limit && !subject.contains('\n'));
            for body in [texts.body(&call, outcome), texts.note(&call, outcome, Some("https://x.example/1"))] {
                prop_assert!(body.contains(SID));
                prop_assert!(body.chars().count() <= limit.max(10 + SID.len()));
                prop_assert_eq!(body.matches("<div>").count(), body.matches("</div>").count());
                let tags = body.matches("div>").count() + body.matches("<a ").count() + body.matches("</a>").count();
                prop_assert_eq!(body.matches('<').count(), tags);
            }
        }
    }
}
