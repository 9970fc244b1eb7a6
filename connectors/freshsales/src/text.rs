//! The small pieces of HTML around the core's texts, and how a text is recognised when it is read back.

use patchbay_kit::words;

/// The subject stands in the first line of a call log's note, because a log has no title.
const SUBJECT_OPEN: &str = "<div><b>";
const SUBJECT_CLOSE: &str = "</b></div>";
/// The first line of a recording's note. It tells that note from the call log's own: both stand on the contact, and both
/// hold the CallSid.
const RECORDING: &str = "Recording and duration";

/// The note of a call log.
pub(crate) fn of_call(subject: &str, body: &str) -> String {
    format!("{SUBJECT_OPEN}{}{SUBJECT_CLOSE}{body}", words::escaped(subject))
}

/// The same with only one of its parts written anew. `None`: it has not this form any more.
pub(crate) fn with_part(stands: &str, subject: Option<&str>, body: Option<&str>) -> Option<String> {
    let (was_subject, was_body) = stands.strip_prefix(SUBJECT_OPEN)?.split_once(SUBJECT_CLOSE)?;
    let subject = subject.map_or_else(|| was_subject.to_owned(), words::escaped);
    Some(format!("{SUBJECT_OPEN}{subject}{SUBJECT_CLOSE}{}", body.unwrap_or(was_body)))
}

/// The note with recording and duration.
pub(crate) fn of_recording(body: &str) -> String {
    format!("{SUBJECT_OPEN}{RECORDING}{SUBJECT_CLOSE}{body}")
}

/// Whether a note is one with recording and duration, whatever Freshsales has made of its tags.
pub(crate) fn is_of_recording(text: &str) -> bool {
    let mut rest = text.trim_start();
    while let Some((_, behind)) = rest.strip_prefix('<').and_then(|tag| tag.split_once('>')) {
        rest = behind.trim_start();
    }
    rest.starts_with(RECORDING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_is_written_and_the_other_stays() {
        let note = of_call("Missed <Call>", "From: 1<br>CallSid : 1a2b");
        assert_eq!(note, "<div><b>Missed &lt;Call&gt;</b></div>From: 1<br>CallSid : 1a2b");
        let edited = note.replace("From: 1", "From: Asha");
        assert_eq!(
            with_part(&edited, Some("Voicemail"), None).as_deref(),
            Some("<div><b>Voicemail</b></div>From: Asha<br>CallSid : 1a2b")
        );
        assert_eq!(with_part(&edited, None, Some("x")).as_deref(), Some("<div><b>Missed &lt;Call&gt;</b></div>x"));
        assert_eq!(with_part("Missed", None, Some("x")), None);
    }

    #[test]
    fn a_recordings_note_is_known_by_its_first_line() {
        assert!(is_of_recording(&of_recording("CallSid : 1a2b")));
        assert!(is_of_recording("<p> <strong>Recording and duration</strong><br>x</p>"));
        assert!(is_of_recording("Recording and duration x"));
        for other in [of_call("Incoming Call", "Recording and duration"), String::new(), "<".to_owned()] {
            assert!(!is_of_recording(&other), "{other}");
        }
    }
}
