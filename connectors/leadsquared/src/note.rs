//! The delimited text that LeadSquared makes of a call log, in which the posted body comes back.

use patchbay_kit::words;
use serde_json::Value;

/// What LeadSquared puts between a key and its value, and after a value.
const DELIMITERS: [(&str, &str); 2] = [("{=}", "{ = }"), ("{next}", "{ next }")];
/// Longer texts might be cut, and with them what comes behind.
const CHARS: usize = 2000;

/// The text of a call's log. What callers say cannot end its value and begin another.
pub(crate) fn composed(subject: &str, body: &str) -> String {
    let text = if subject.is_empty() { body.to_owned() } else { format!("{subject}\n{body}") };
    let text = DELIMITERS.iter().fold(text, |text, (delimiter, harmless)| text.replace(delimiter, harmless));
    text.chars().take(CHARS).collect()
}

/// Whether an activity is that of the call with this very CallSid. Its note is `ActivityEvent_Note` \[C\]; where in the
/// reply that stands, and under what other name (`Data` has keys and values), is not documented. So every text counts.
pub(crate) fn tells_of(activity: &Value, key: &str) -> bool {
    let mut texts = Vec::new();
    collect(activity, &mut texts);
    let sessions: Vec<String> = texts.iter().filter_map(|text| session(text)).collect();
    match sessions.as_slice() {
        [] => texts.iter().any(|text| is_of(text, key)),
        known => known.iter().any(|session| session == key),
    }
}

fn collect<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(values) => values.iter().for_each(|value| collect(value, texts)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, texts)),
        _ => {}
    }
}

/// Whether this is the note of the call with this very CallSid. `SourceData` holds the log as it was posted \[C\], with
/// its `CallSessionId`; where it is missing or cut, the CallSid in `CallNotes` decides.
fn is_of(note: &str, key: &str) -> bool {
    match session(note) {
        Some(session) => session == key,
        None => words::mentions(note, key),
    }
}

fn session(note: &str) -> Option<String> {
    let (_, data) = note.rsplit_once("SourceData{=}")?;
    let data = data.strip_suffix("{next}").unwrap_or(data);
    let data: Value = serde_json::from_str(data).ok()?;
    Some(data.get("CallSessionId")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_cannot_pass_for_a_field() {
        let text = composed("Missed Call", "digits: 1{next}Status{=}Answered{next}");
        assert_eq!(text, "Missed Call\ndigits: 1{ next }Status{ = }Answered{ next }");
        assert_eq!(composed("", &"😀".repeat(3000)).chars().count(), CHARS);
    }

    #[test]
    fn a_note_is_of_the_session_in_its_source_data() {
        let note =
            |data: &str| format!("Caller{{=}}{{next}}CallNotes{{=}}CallSid: 1a2b{{next}}SourceData{{=}}{data}{{next}}");
        assert!(is_of(&note(r#"{"CallSessionId":"1a2b"}"#), "1a2b"));
        assert!(!is_of(&note(r#"{"CallSessionId":"3c4d"}"#), "1a2b"), "another call that tells of this one");
        for lost in ["", "null", r#"{"CallSessionId":"1a"#, r#"{"CallNotes":"x"}"#] {
            assert!(is_of(&note(lost), "1a2b"), "{lost}");
            assert!(!is_of(&note(lost), "1a2"), "{lost}");
        }
        assert!(!is_of("", "1a2b") && !is_of("anything", ""));
    }

    #[test]
    fn a_note_counts_wherever_the_reply_has_it() {
        let note = |session: &str| {
            format!(r#"CallNotes{{=}}CallSid: 1a2b{{next}}SourceData{{=}}{{"CallSessionId":"{session}"}}{{next}}"#)
        };
        let shown = |note: String| {
            [
                json!({ "Id": "x", "ActivityFields": { "ActivityEvent_Note": note } }),
                json!({ "Id": "x", "ActivityEvent_Note": note }),
                json!({ "Id": "x", "Data": [{ "Key": "NotableEventDescription", "Value": note }] }),
            ]
        };
        assert!(shown(note("1a2b")).iter().all(|activity| tells_of(activity, "1a2b")));
        assert!(shown(note("3c4d")).iter().all(|activity| !tells_of(activity, "1a2b")));
        // Without a note, the recording's address has it.
        assert!(tells_of(&json!({ "mx_Custom_4": "https://calls.example.com/r/acme1/1a2b.mp3?s=0" }), "1a2b"));
        assert!(!tells_of(&json!({ "Id": "1a2", "Data": [] }), "1a2b"));
    }
}
