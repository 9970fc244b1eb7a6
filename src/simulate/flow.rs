//! Call flows as Exotel plays them: what happens to a call and which callbacks say so, in files that are compiled in, so
//! that demo, `simulate` and tests play the same calls.

use std::collections::BTreeSet;

use serde::Deserialize;

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        /// Every file of `tests/fixtures/flows`; a test compares this list with the directory.
        const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../tests/fixtures/flows/", $name, ".toml")))),*];
    };
}

files![
    "answered",
    "automated",
    "missed",
    "hung_up",
    "ivr",
    "voicemail",
    "second_agent",
    "disorder",
    "lost_passthru",
    "ivr_abandoned",
    "outgoing",
];

/// One call and everything Exotel says of it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    pub name: String,
    pub title: String,
    /// Where the callbacks are taken from.
    pub source: String,
    pub call: CallPlan,
    #[serde(rename = "callback")]
    pub callbacks: Vec<Callback>,
    pub expect: Expect,
}

/// What Exotel's call details say of the call.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallPlan {
    pub status: String,
    pub direction: String,
    /// From start to end.
    pub lasts_s: u32,
    /// 0: no conversation.
    pub talk_s: u32,
    /// After the end; absent: no recording.
    pub recording_after_s: Option<f64>,
}

/// One callback, with placeholders.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Callback {
    /// When it happened, in the call's own time.
    pub after_s: f64,
    pub hook: HookName,
    pub method: MethodName,
    #[serde(default)]
    pub query: String,
    pub content_type: Option<String>,
    #[serde(default)]
    pub body: String,
    /// How often it is delivered.
    #[serde(default = "once")]
    pub repeat: u32,
    /// Delivered that much later than it happened.
    #[serde(default)]
    pub late_s: f64,
}

fn once() -> u32 {
    1
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookName {
    CallEvents,
    Status,
}

impl HookName {
    /// The last part of the hook's path.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CallEvents => "call-events",
            Self::Status => "status",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum MethodName {
    Get,
    Post,
}

/// What the call must come to in the CRM, with placeholders.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    pub outcome: String,
    pub subject: String,
    #[serde(default)]
    pub body_has: Vec<String>,
    /// Empty: there must be no note.
    #[serde(default)]
    pub note_has: Vec<String>,
    /// Who answered.
    pub agent: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("flow {name}: {problem}")]
pub struct FlowError {
    pub name: String,
    pub problem: String,
}

/// The flows that are compiled in, in the order in which they are told.
///
/// # Errors
/// The first file that is wrong; a test sees to it that none is.
pub fn flows() -> Result<Vec<Flow>, FlowError> {
    FILES.iter().map(|(name, text)| parse(name, text)).collect()
}

/// Reads a flow; `name` is that of its file.
///
/// # Errors
/// What is wrong with it.
pub fn parse(name: &str, text: &str) -> Result<Flow, FlowError> {
    let wrong = |problem: String| FlowError { name: name.to_owned(), problem };
    let flow: Flow = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
    if flow.name != name {
        return Err(wrong(format!("its name is {:?}; it must be that of its file", flow.name)));
    }
    if flow.callbacks.is_empty() {
        return Err(wrong("it has no [[callback]]; without one nobody hears of the call".to_owned()));
    }
    let time = |seconds: f64| seconds.is_finite() && (0.0..=86_400.0).contains(&seconds);
    if !flow.call.recording_after_s.is_none_or(time) {
        return Err(wrong("call.recording_after_s must be from 0 to 86400".to_owned()));
    }
    for (at, callback) in flow.callbacks.iter().enumerate() {
        let wrong = |problem: &str| wrong(format!("callback {at}: {problem}"));
        if !time(callback.after_s) || !time(callback.late_s) {
            return Err(wrong("after_s and late_s must be from 0 to 86400"));
        }
        if !(1..=100).contains(&callback.repeat) {
            return Err(wrong("repeat must be from 1 to 100"));
        }
        if !callback.query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(wrong("its query must be encoded: no spaces, no #, ASCII only"));
        }
        if callback.method == MethodName::Get && !(callback.body.is_empty() && callback.content_type.is_none()) {
            return Err(wrong("a GET has no body and no content_type"));
        }
    }
    let unknown: BTreeSet<&str> = flow.texts().flat_map(placeholders).filter(|name| !KNOWN.contains(name)).collect();
    if !unknown.is_empty() {
        let unknown: Vec<String> = unknown.into_iter().map(|name| format!("{{{name}}}")).collect();
        return Err(wrong(format!("{} stands for nothing; there are: {}", unknown.join(", "), KNOWN.join(", "))));
    }
    Ok(flow)
}

const KNOWN: [&str; 12] = [
    "CallSid",
    "From",
    "To",
    "Agent1",
    "Agent1Email",
    "Agent2",
    "Agent2Email",
    "Created",
    "StartTime",
    "Now",
    "NowPlus5",
    "RecordingUrl",
];

/// Names in braces. A brace of JSON is followed by something else than a name.
pub(super) fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| {
        let (name, _) = rest.split_once('}')?;
        let named = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric());
        named.then_some(name)
    })
}

impl Flow {
    fn texts(&self) -> impl Iterator<Item = &str> {
        let sent = self.callbacks.iter().flat_map(|callback| [callback.query.as_str(), callback.body.as_str()]);
        let Expect { subject, body_has, note_has, agent, .. } = &self.expect;
        let expected = body_has.iter().chain(note_has).chain(agent).map(String::as_str);
        sent.chain([subject.as_str()]).chain(expected)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::simulate) const TEXT: &str = r#"
        name = "sample"
        title = "A sample"
        source = "exotel-api §4.2, §4.3"
        [call]
        status = "completed"
        direction = "inbound"
        lasts_s = 27
        talk_s = 8
        recording_after_s = 20
        [[callback]]
        after_s = 27
        hook = "call-events"
        method = "POST"
        query = "event=answered"
        content_type = "application/json"
        body = '{"CallSid":"{CallSid}","CurrentTime":"{Now}","Legs":[{"Number":"{Agent1}"}]}'
        [[callback]]
        after_s = 2.5
        late_s = 10
        repeat = 2
        hook = "call-events"
        method = "GET"
        query = "event=pop&CallSid={CallSid}&CallFrom={From}&Created={Created}&AgentEmail={Agent1Email}&EventType=+Dial"
        [expect]
        outcome = "answered"
        subject = "Incoming Call from {From}"
        note_has = []
        agent = "{Agent1}"
    "#;

    #[test]
    fn every_compiled_in_flow_is_read() {
        let flows = flows().expect("all flows");
        let names: BTreeSet<&str> = flows.iter().map(|flow| flow.name.as_str()).collect();
        assert_eq!(names.len(), flows.len(), "two flows have one name");
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/flows");
        let files: Vec<String> = std::fs::read_dir(dir)
            .expect("the directory of flows")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().trim_end_matches(".toml").to_owned())
            .collect();
        assert_eq!(names, files.iter().map(String::as_str).collect(), "the list and the directory differ");
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let wrong = |from: &str, to: &str| {
            let text = TEXT.replacen(from, to, 1);
            assert_ne!(text, TEXT);
            parse("sample", &text).expect_err("refused").to_string()
        };
        assert!(wrong("talk_s", "talks").contains("unknown field `talks`"));
        assert!(wrong("\"sample\"", "\"simple\"").contains("must be that of its file"));
        assert!(wrong("{From}", "{Form}").contains("{Form} stands for nothing"));
        assert!(wrong("repeat = 2", "repeat = 0").contains("callback 1: repeat"));
        assert!(wrong("EventType=+Dial", "EventType= Dial").contains("callback 1: its query must be encoded"));
        assert!(wrong("call-events", "calls").contains("unknown variant `calls`"));
        assert!(wrong("late_s = 10", "late_s = -1").contains("callback 1: after_s and late_s"));
        assert!(wrong("\"POST\"", "\"GET\"").contains("callback 0: a GET has no body"));
    }
}
