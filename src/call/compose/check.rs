//! Templates that other people wrote: compiled, rendered strictly, and tried with samples before they are used.

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, JsonTruthy, Output, RenderContext, RenderErrorReason,
    Renderable,
};
use serde_json::{Value, json};

use patchbay_kit::{TextFormat, words};

use super::TextError;

/// Stands in every value of the sample that comes from outside: where it is found inside of a tag, a caller could steer a
/// URL or add an attribute.
const PROBE: &str = "pbprobe";
const SAMPLE_SID: &str = "27ba29be09721e231a10dd5e9pbprobe";
const SAMPLE_LINK: &str = "https://calls.example.com/r/27ba29be09721e231a10dd5e9885158p?sig=sample";

pub(super) fn registry() -> Handlebars<'static> {
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry.register_escape_fn(handlebars::no_escape);
    registry.register_helper("if", Box::new(StrictIf { wanted: true }));
    registry.register_helper("unless", Box::new(StrictIf { wanted: false }));
    registry
}

/// Handlebars' own `if` takes a misspelt variable for an empty one, even in strict mode.
struct StrictIf {
    wanted: bool,
}

impl HelperDef for StrictIf {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let name = if self.wanted { "if" } else { "unless" };
        let value = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex(name, 0))?;
        if value.is_value_missing() {
            return Err(RenderErrorReason::MissingVariable(value.relative_path().cloned()).into());
        }
        let branch = if value.value().is_truthy(false) == self.wanted { helper.template() } else { helper.inverse() };
        branch.map_or(Ok(()), |branch| branch.render(registry, context, render, out))
    }
}

/// Renders a template. Subjects are plain text in either format.
pub(super) fn render(
    registry: &Handlebars<'static>,
    format: TextFormat,
    name: &str,
    context: &Value,
) -> Result<String, handlebars::RenderError> {
    let html = format == TextFormat::Html && name.ends_with(".body");
    let text = if html { registry.render(name, &escaped(context))? } else { registry.render(name, context)? };
    Ok(text.trim().to_owned())
}

/// The values are escaped before the template sees them, so that `{{{raw}}}` is as safe as `{{value}}`.
fn escaped(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(words::escaped(text)),
        Value::Array(items) => items.iter().map(escaped).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), escaped(value))).collect(),
        value => value.clone(),
    }
}

/// Compiles a template and tries it; what is wrong is added to `errors`.
pub(super) fn register(
    registry: &mut Handlebars<'static>,
    format: TextFormat,
    name: &str,
    text: &str,
    errors: &mut Vec<TextError>,
) {
    let mut broken = |problem: String| errors.push(TextError::Broken { name: name.to_owned(), problem });
    // Partials could include each other without end.
    let calls_others = text
        .match_indices("{{")
        .any(|(at, _)| text[at..].trim_start_matches(['{', '~', '#', ' ', '\t', '\r', '\n']).starts_with(['>', '*']));
    if calls_others {
        return broken("a text cannot include another one ({{> …}})".to_owned());
    }
    if let Err(error) = registry.register_template_string(name, text) {
        let at = error.pos().map(|(line, column)| format!(" (line {line}, column {column})")).unwrap_or_default();
        return broken(format!("{}{at}", error.reason()));
    }
    for sample in [full_sample(), empty_sample()] {
        match render(registry, format, name, &sample) {
            Err(error) => return broken(problem(&error)),
            Ok(text) => {
                if let Some(problem) = unfit(format, name, &text) {
                    return broken(problem);
                }
            }
        }
    }
}

fn problem(error: &handlebars::RenderError) -> String {
    match error.reason() {
        RenderErrorReason::MissingVariable(Some(name)) => {
            let known = full_sample().as_object().map(|known| known.keys().cloned().collect::<Vec<_>>().join(", "));
            format!("there is no {name:?}; there are: {}", known.unwrap_or_default())
        }
        reason => reason.to_string(),
    }
}

/// What is wrong with a rendered sample.
fn unfit(format: TextFormat, name: &str, text: &str) -> Option<String> {
    if name.ends_with(".subject") {
        return text.is_empty().then(|| "the subject is empty for some calls".to_owned());
    }
    if !text.contains(SAMPLE_SID) {
        return Some("{{call_sid}} must stand in it always: the record is found by it".to_owned());
    }
    if format != TextFormat::Html {
        return None;
    }
    let in_tag = text.split('<').skip(1).any(|rest| rest.split('>').next().unwrap_or(rest).contains(PROBE));
    in_tag.then(|| "only {{recording_link}} may stand inside of a tag: a caller could steer it elsewhere".to_owned())
}

fn full_sample() -> Value {
    let hostile = |name: &str| format!("{PROBE} {name} <q>");
    json!({
        "number": hostile("number"),
        "exophone": hostile("exophone"),
        "from": hostile("from"),
        "to": hostile("to"),
        "agent": hostile("agent"),
        "agent_email": hostile("agent_email"),
        "tried": hostile("tried"),
        "bot": hostile("bot"),
        "started": hostile("started"),
        "call_sid": SAMPLE_SID,
        "custom_field": hostile("custom_field"),
        "digits": [{ "tag": hostile("tag"), "value": hostile("value") }],
        "answered_by": "an answering machine",
        "bot_outcome": hostile("bot_outcome"),
        "bot_summary": hostile("bot_summary"),
        "handed_to": hostile("handed_to"),
        "handed_why": hostile("handed_why"),
        "bot_fields": [{ "name": hostile("name"), "value": hostile("value") }],
        "bot_notes": [{ "text": hostile("text") }],
        "transcript": [{ "at": "0:05", "speaker": "Caller", "text": hostile("text") }],
        "duration": "34s",
        "recording_link": SAMPLE_LINK,
        "on_its_own": true,
    })
}

/// A call of which nothing is known; it takes the other branch of every condition.
fn empty_sample() -> Value {
    let mut sample = full_sample();
    if let Some(members) = sample.as_object_mut() {
        for (name, value) in members {
            match name.as_str() {
                // Never empty.
                "number" | "call_sid" | "on_its_own" => {}
                "digits" | "bot_fields" | "bot_notes" | "transcript" => *value = json!([]),
                _ => *value = json!(""),
            }
        }
    }
    sample
}
