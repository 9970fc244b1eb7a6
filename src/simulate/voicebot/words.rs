//! What Exotel says on a voicebot's socket, printed as it was captured, and in the other writings that are documented:
//! they contradict each other, and a bot that reads one of them alone fails with the next release.

use std::fmt::Write as _;

use patchbay_voice::Rate;
use serde_json::Value;

/// How `start` and the numbers in all frames are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shape {
    /// As on a real call (CAP).
    Captured,
    /// As on another one (IVR).
    NoBitRate,
    /// D1: with parameters, and other words for the same audio.
    Documented,
    /// S1, D3: numbers are numbers.
    Numbers,
    /// A rate with its unit (AS bridge.py).
    Hertz,
    /// Parameters whose key is an HTML-escaped document (#52587541174).
    Escaped,
}

impl Shape {
    /// Those that are tried beside the captured one.
    pub(super) const OTHERS: [Self; 5] = [Self::NoBitRate, Self::Documented, Self::Numbers, Self::Hertz, Self::Escaped];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Captured => "as captured",
            Self::NoBitRate => "without bit_rate",
            Self::Documented => "as documented, with parameters",
            Self::Numbers => "numbers as numbers",
            Self::Hertz => "sample_rate with Hz",
            Self::Escaped => "HTML-escaped parameters",
        }
    }
}

/// Who calls whom, as `start` says it.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) stream_sid: String,
    pub(super) call_sid: String,
    pub(super) account_sid: String,
    /// In national form, as they come.
    pub(super) from: String,
    pub(super) to: String,
    /// What stood in the query of the bot's URL.
    pub(super) parameters: Vec<(String, String)>,
}

/// Prints one stream's frames, numbered one after the other.
pub(super) struct Words {
    caller: Caller,
    shape: Shape,
    rate: Rate,
    sequence: u64,
    chunk: u64,
}

impl Words {
    pub(super) fn new(caller: Caller, shape: Shape, rate: Rate) -> Self {
        Self { caller, shape, rate, sequence: 0, chunk: 0 }
    }

    pub(super) fn stream_sid(&self) -> &str {
        &self.caller.stream_sid
    }

    pub(super) fn connected() -> String {
        r#"{"event":"connected"}"#.to_owned()
    }

    pub(super) fn start(&mut self) -> String {
        let hz = self.rate.hz();
        let format = match self.shape {
            Shape::Captured | Shape::Escaped => {
                format!(r#"{{"encoding":"base64","sample_rate":"{hz}","bit_rate":"128kbps"}}"#)
            }
            Shape::NoBitRate => format!(r#"{{"encoding":"base64","sample_rate":"{hz}"}}"#),
            Shape::Documented => format!(r#"{{"encoding":"audio/x-raw","sample_rate":"{hz}","bit_rate":"16"}}"#),
            Shape::Numbers => format!(r#"{{"encoding":"raw","sample_rate":{hz},"bit_rate":128}}"#),
            Shape::Hertz => format!(r#"{{"encoding":"base64","sample_rate":"{hz}Hz","bit_rate":"128kbps"}}"#),
        };
        let head = self.head("start");
        let Caller { stream_sid, call_sid, account_sid, from, to, parameters } = &self.caller;
        let mut parameters = parameters.clone();
        let number = |national: &str| match self.shape {
            Shape::Documented => format!("+91{}", national.trim_start_matches('0')),
            _ => national.to_owned(),
        };
        match self.shape {
            Shape::Documented if parameters.is_empty() => parameters.push(("key1".to_owned(), "value1".to_owned())),
            Shape::Escaped => parameters.push(("{&quot;lead&quot;:&quot;42&quot;}".to_owned(), String::new())),
            _ => {}
        }
        let mut text = format!(
            r#"{head},"start":{{"stream_sid":{},"call_sid":{},"account_sid":{},"from":{},"to":{}"#,
            quoted(stream_sid),
            quoted(call_sid),
            quoted(account_sid),
            quoted(&number(from)),
            quoted(&number(to)),
        );
        if !parameters.is_empty() {
            let pairs: Vec<String> =
                parameters.iter().map(|(key, value)| format!("{}:{}", quoted(key), quoted(value))).collect();
            // Writing into a String does not fail.
            let _ = write!(text, r#","custom_parameters":{{{}}}"#, pairs.join(","));
        }
        let _ = write!(text, r#","media_format":{format}}}}}"#);
        text
    }

    /// `payload` is base64 already; `ms` is when in the stream it stands.
    pub(super) fn media(&mut self, payload: &str, ms: u64) -> String {
        self.chunk += 1;
        let head = self.head("media");
        let (chunk, timestamp) = (self.number(self.chunk), self.number(ms));
        format!(r#"{head},"media":{{"chunk":{chunk},"timestamp":{timestamp},"payload":"{payload}"}}}}"#)
    }

    pub(super) fn dtmf(&mut self, digit: char) -> String {
        let (head, duration) = (self.head("dtmf"), self.number(100));
        format!(r#"{head},"dtmf":{{"digit":"{digit}","duration":{duration}}}}}"#)
    }

    /// As one document has it, and no other (D4).
    pub(super) fn flat_dtmf(digit: char) -> String {
        format!(r#"{{"event":"dtmf","digit":"{digit}"}}"#)
    }

    pub(super) fn mark(&mut self, name: &str) -> String {
        format!(r#"{},"mark":{{"name":{}}}}}"#, self.head("mark"), quoted(name))
    }

    /// What nobody documents, or one page alone: to be passed by.
    pub(super) fn unheard_of(&mut self) -> Vec<String> {
        let sid = quoted(&self.caller.stream_sid);
        vec![
            format!(r#"{{"event":"silence","stream_sid":{sid},"silence":{{"duration":"3000"}}}}"#),
            format!(r#"{{"event":"clear","stream_sid":{sid}}}"#),
            r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#.to_owned(),
            format!(r#"{},"news":{{"of":["tomorrow",1,null]}}}}"#, self.head("something_new")),
        ]
    }

    pub(super) fn stop(&mut self, reason: &str) -> String {
        let head = self.head("stop");
        let Caller { call_sid, account_sid, .. } = &self.caller;
        format!(
            r#"{head},"stop":{{"call_sid":{},"account_sid":{},"reason":"{reason}"}}}}"#,
            quoted(call_sid),
            quoted(account_sid)
        )
    }

    fn head(&mut self, event: &str) -> String {
        self.sequence += 1;
        let (sequence, sid) = (self.number(self.sequence), quoted(&self.caller.stream_sid));
        format!(r#"{{"event":"{event}","sequence_number":{sequence},"stream_sid":{sid}"#)
    }

    fn number(&self, number: u64) -> String {
        match self.shape {
            Shape::Numbers => number.to_string(),
            _ => format!("\"{number}\""),
        }
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORPUS: &str = include_str!("../../../voice/tests/fixtures/frames.jsonl");

    fn corpus(name: &str) -> Value {
        let lines = CORPUS.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let found = lines.into_iter().find(|line| line["name"] == name).unwrap_or_else(|| panic!("no {name}"));
        serde_json::from_str(found["frame"].as_str().expect("text")).expect("a frame")
    }

    fn words(shape: Shape, rate: Rate) -> Words {
        let caller = Caller {
            stream_sid: "3357459ca698d8c765bac10b0ec418bl".to_owned(),
            call_sid: "b0c8aea60aceb0007fc5a1bb75c218bl".to_owned(),
            account_sid: "accountname".to_owned(),
            from: "09876543210".to_owned(),
            to: "08047491899".to_owned(),
            parameters: Vec::new(),
        };
        Words::new(caller, shape, rate)
    }

    /// The frame with who calls whom taken out: the corpus has masked numbers and the documents' placeholders.
    fn anonymous(mut frame: Value) -> Value {
        let start = frame["start"].as_object_mut().expect("start");
        for key in ["from", "to", "stream_sid", "call_sid", "account_sid"] {
            start.insert(key.to_owned(), Value::Null);
        }
        frame["stream_sid"] = Value::Null;
        frame
    }

    #[test]
    fn start_is_what_the_corpus_has() {
        for (shape, rate, name) in [
            (Shape::Captured, Rate::Hz8000, "start-captured"),
            (Shape::NoBitRate, Rate::Hz8000, "start-no_bit_rate"),
            (Shape::Documented, Rate::Hz8000, "start-documented"),
            (Shape::Numbers, Rate::Hz16000, "start-numbers"),
            (Shape::Hertz, Rate::Hz16000, "start-hz"),
            (Shape::Escaped, Rate::Hz8000, "start-escaped"),
        ] {
            let printed: Value = serde_json::from_str(&words(shape, rate).start()).expect("JSON");
            assert_eq!(anonymous(printed), anonymous(corpus(name)), "{name}");
        }
    }

    #[test]
    fn the_other_frames_are_what_the_corpus_has_and_as_long_as_they_were_measured() {
        let mut words = words(Shape::Captured, Rate::Hz8000);
        let is = |printed: String, name: &str| {
            assert_eq!(serde_json::from_str::<Value>(&printed).expect("JSON"), corpus(name), "{name}");
        };
        is(Words::connected(), "connected-plain");
        is(Words::flat_dtmf('5'), "dtmf-flat");
        words.sequence = 6;
        is(words.dtmf('5'), "dtmf-nested");
        words.sequence = 14;
        is(words.mark("my-label"), "mark-echo");
        words.sequence = 19;
        let stop: Value = serde_json::from_str(&words.stop("callended")).expect("JSON");
        assert_eq!(stop, corpus("stop-callended"));
        (words.sequence, words.chunk) = (100, 99);
        let frame = corpus("media-captured_size");
        let printed = words.media(frame["media"]["payload"].as_str().expect("a payload"), 2000);
        assert_eq!((serde_json::from_str::<Value>(&printed).expect("JSON"), printed.len()), (frame, 573));
    }
}
