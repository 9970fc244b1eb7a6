//! What the demo prints: each call as a small story, its timeline first, then the ticket it became.

use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};
use patchbay_sandbox::freshdesk::{Conversation, Ticket};

use super::{
    Act, Scene,
    paint::Paint,
    stage::{self, Stage},
    verify,
};
use crate::{
    call::EventKind,
    store::{AttemptOutcome, ExchangeLog},
    web::timeline::{self, What},
};

/// No line is wider, except for a link that would be broken by it.
const WIDTH: usize = 100;
/// Where a timeline's text begins.
const INDENT: usize = 22;
/// Exotel's clock is India's.
const IST_AHEAD: SignedDuration = SignedDuration::from_mins(5 * 60 + 30);

/// What is going to happen.
pub(super) fn before(stage: &Stage, calls: usize, paint: Paint) -> String {
    let mut out = format!("{}\n", paint.bold(&format!("{calls} calls at once; a minute of a call passes in a second")));
    for (name, url) in [
        ("Exotel, simulated", stage.exotel.url()),
        ("Patchbay", stage.url().to_owned()),
        ("Freshdesk, a sandbox", stage.freshdesk.url()),
    ] {
        let _ = writeln!(out, "  {name:<20}  {url}");
    }
    out
}

/// Every call.
pub(super) fn scene(scene: &Scene, paint: Paint) -> String {
    let mut out = String::new();
    for (at, act) in scene.calls.iter().enumerate() {
        call(&mut out, at + 1, scene, act, paint);
    }
    out.push('\n');
    out
}

fn call(out: &mut String, number: usize, scene: &Scene, act: &Act, paint: Paint) {
    out.push('\n');
    line(out, "", &paint.bold(&format!("{number}. {}", act.played.title)));
    line(out, "", &paint.dim(&who(scene, act)));
    for row in rows(scene, act) {
        let at = format!("{:>+8.3} s", row.at_s);
        let actor = match row.actor {
            "Exotel" => paint.exotel("Exotel   "),
            "Patchbay" => paint.patchbay("Patchbay "),
            _ => paint.freshdesk("Freshdesk"),
        };
        let mut texts = wrap(&row.text, WIDTH - INDENT).into_iter();
        line(out, "", &format!("{} {actor}  {}", paint.dim(&at), texts.next().unwrap_or_default()));
        for more in texts {
            line(out, &" ".repeat(INDENT), &more);
        }
    }
    if act.tickets.is_empty() {
        line(out, "", &paint.bad("There is no ticket."));
    }
    for (ticket, notes) in &act.tickets {
        block(out, scene, ticket, notes, paint);
    }
}

/// Who called whom, and whether the helpdesk knows him.
fn who(scene: &Scene, act: &Act) -> String {
    let cast = &act.played.cast;
    let (known_name, known_number, known_caller) = stage::KNOWN;
    let others = scene.calls.iter().enumerate().filter(|(_, other)| {
        other.played.cast.customer == cast.customer && other.played.cast.call_sid != cast.call_sid
    });
    let others: Vec<String> = others.map(|(at, _)| (at + 1).to_string()).collect();
    let who = if cast.customer == known_caller {
        format!("whom Freshdesk knows as {known_name}, {known_number}")
    } else if others.is_empty() {
        "unknown to Freshdesk".to_owned()
    } else {
        format!("unknown to Freshdesk; the same as in call {}", others.join(", "))
    };
    format!("{}, {who}", cast.customer)
}

struct Row {
    /// Since the playing began.
    at_s: f64,
    actor: &'static str,
    text: String,
}

fn rows(scene: &Scene, act: &Act) -> Vec<Row> {
    let Some(file) = &act.file else { return Vec::new() };
    let outcome = file.state.outcome.map_or("unknown", |outcome| outcome.as_str()).replace('_', " ");
    let entries = timeline::of(file).into_iter();
    let rows = entries.map(|entry| {
        let (actor, text) = match &entry.what {
            What::Event { kind, exotel_at, times, agent, status, digits, .. } => {
                let clock = exotel_at.map(|at| format!("{}  ", clock(at))).unwrap_or_default();
                let keys: Vec<String> = digits
                    .iter()
                    .map(|one| match (one.tag.as_str(), one.value.as_str()) {
                        ("", keys) => keys.to_owned(),
                        (tag, keys) => format!("{keys}, tagged {tag}"),
                    })
                    .collect();
                let said = said(kind, agent.as_deref(), status.as_deref(), &keys.join(", "));
                let again = if *times > 1 { format!(" (×{times})") } else { String::new() };
                ("Exotel", format!("{clock}{said}{again}"))
            }
            What::Planned { kind: "log", .. } => {
                ("Patchbay", format!("the outcome is known ({outcome}): its ticket is due"))
            }
            What::Planned { kind: "recording", .. } => {
                ("Patchbay", "recording and duration are known: the private note is due".to_owned())
            }
            What::Planned { kind, .. } => ("Patchbay", format!("{kind} is due")),
            What::Attempt { outcome, detail, duration_ms, exchanges, revision, .. } => {
                ("Freshdesk", attempt(*outcome, detail, *duration_ms, exchanges, *revision))
            }
        };
        Row { at_s: entry.at.duration_since(scene.began).as_secs_f64(), actor, text }
    });
    rows.collect()
}

fn clock(at: Timestamp) -> String {
    at.checked_add(IST_AHEAD).unwrap_or(at).strftime("%H:%M:%S").to_string()
}

fn said(kind: &EventKind, agent: Option<&str>, status: Option<&str>, keys: &str) -> String {
    let agent = agent.unwrap_or("an agent");
    let status = status.map(|status| format!(" ({status})")).unwrap_or_default();
    match kind {
        EventKind::Dialing => format!("{agent} is dialled"),
        EventKind::Ringing => format!("it rings at {agent}"),
        EventKind::Answered => format!("{agent} takes the call"),
        EventKind::AttemptEnded => format!("the attempt at {agent} is over"),
        EventKind::Completed => format!("the conversation is over{status}"),
        EventKind::Missed => format!("nobody answered{status}"),
        EventKind::Gathered => format!("the caller keys in {keys}"),
        EventKind::FlowEnded => format!("the flow is over; keyed in last: {keys}"),
        EventKind::Voicemail => "the caller has left a voicemail".to_owned(),
        EventKind::Placed => format!("the call is placed; {agent} is rung first"),
        EventKind::StatusChanged => format!("status callback{status}"),
        EventKind::Detailed => format!("asked for the call's details{status}"),
        EventKind::Listed => format!("stands in Exotel's list{status}"),
        EventKind::DialWhom => "Exotel asks whom to dial".to_owned(),
        EventKind::Routed => "an applet was told what to do".to_owned(),
        EventKind::BotStarted => "a voicebot takes the call".to_owned(),
        EventKind::BotSaid => "what was said with the voicebot".to_owned(),
        EventKind::BotEnded => "the voicebot is done".to_owned(),
        EventKind::Associated => "somebody chose the record it belongs to".to_owned(),
        EventKind::FollowUpAsked => "somebody wants a follow-up".to_owned(),
        EventKind::Ordered => "somebody has Exotel do something with the call".to_owned(),
        EventKind::Other(other) => format!("says {other}{status}"),
    }
}

fn attempt(outcome: AttemptOutcome, detail: &str, ms: u64, exchanges: &[ExchangeLog], revision: i64) -> String {
    let mut asked: Vec<(String, usize)> = Vec::new();
    for one in exchanges {
        let one = match one.status {
            Some(status) => format!("{} {status}", one.label),
            None => format!("{} no reply", one.label),
        };
        match asked.last_mut() {
            Some((last, times)) if *last == one => *times += 1,
            _ => asked.push((one, 1)),
        }
    }
    let times = |times| if times > 1 { format!(" ×{times}") } else { String::new() };
    let asked: Vec<String> = asked.into_iter().map(|(one, count)| one + &times(count)).collect();
    let mut text = asked.join(" · ");
    if !text.is_empty() {
        text.push_str(" → ");
    }
    if outcome == AttemptOutcome::Unchanged {
        text.push_str("says so already");
    } else {
        let _ = write!(text, "{}, {ms} ms", outcome.as_str());
    }
    if revision > 1 {
        let _ = write!(text, " (revision {revision})");
    }
    let well = matches!(outcome, AttemptOutcome::Delivered | AttemptOutcome::Unchanged);
    if !well && !detail.is_empty() {
        let _ = write!(text, ": {detail}");
    }
    text
}

fn block(out: &mut String, scene: &Scene, ticket: &Ticket, notes: &[Conversation], paint: Paint) {
    let requester = scene.contacts.iter().find(|contact| contact.id == ticket.requester_id);
    let requester = requester.map_or_else(
        || format!("contact {}", ticket.requester_id),
        |contact| {
            let number = contact.mobile.as_deref().or(contact.phone.as_deref()).unwrap_or("no number");
            format!("{}, {number}", contact.name)
        },
    );
    let agent = ticket.responder_id.and_then(|id| scene.agents.iter().find(|agent| agent.id == id));
    let agent = agent.map_or("nobody", |agent| agent.name.as_str());
    rule(out, "┌", &format!("Ticket {}", ticket.id), paint);
    boxed(out, &[ticket.subject.as_str()], |text| paint.bold(text));
    boxed(out, &[&format!("requester: {requester}   assigned to: {agent}")], |text| paint.dim(text));
    boxed(out, &lines(&ticket.description_text), str::to_owned);
    for note in notes {
        rule(out, "├", if note.private { "Private note" } else { "Public note" }, paint);
        boxed(out, &lines(&note.body_text), str::to_owned);
        if let Some(link) = verify::link(&note.body) {
            // Unbroken, so that it can be clicked.
            line(out, "│ ", &link);
        }
    }
    rule(out, "└", "", paint);
}

/// Each paragraph of the HTML leaves an empty line in its text; a terminal does not need them.
fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.trim().is_empty()).collect()
}

fn rule(out: &mut String, corner: &str, title: &str, paint: Paint) {
    let title = if title.is_empty() { String::new() } else { format!(" {title} ") };
    let rest = "─".repeat(60_usize.saturating_sub(title.chars().count()));
    line(out, "", &format!("{corner}─{}{}", paint.bold(&title), rest));
}

fn boxed(out: &mut String, texts: &[&str], shown: impl Fn(&str) -> String) {
    for text in texts {
        for part in wrap(text, WIDTH - 2) {
            line(out, "│ ", &shown(&part));
        }
    }
}

fn line(out: &mut String, before: &str, text: &str) {
    out.push_str(before);
    out.push_str(text);
    out.push('\n');
}

/// Breaks at spaces. A word that is too long stays whole.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut now = String::new();
    let mut used = 0;
    for word in text.split(' ') {
        let len = word.chars().count();
        if used > 0 && used + 1 + len > width {
            lines.push(std::mem::take(&mut now));
            used = 0;
        } else if used > 0 {
            now.push(' ');
            used += 1;
        }
        now.push_str(word);
        used += len;
    }
    lines.push(now);
    lines
}

/// The last line, or what is wrong.
pub(super) fn verdict(scene: &Scene, deviations: &[String], paint: Paint) -> String {
    let answers = || scene.calls.iter().flat_map(|act| &act.answers);
    let callbacks = answers().count();
    let doubled = answers().filter(|answer| answer.copy).count();
    let late = answers().filter(|answer| answer.late && !answer.copy).count();
    let notes: usize = scene.calls.iter().flat_map(|act| &act.tickets).map(|(_, notes)| notes.len()).sum();
    let counts = format!(
        "{} calls, {callbacks} callbacks ({doubled} doubled, {late} late), {} tickets, {notes} notes, {} contacts",
        scene.calls.len(),
        scene.tickets.len(),
        scene.contacts.len(),
    );
    if deviations.is_empty() {
        return format!("{}\n", paint.good(&format!("{counts}; nothing lost, nothing twice")));
    }
    let mut out = format!("{}\n", paint.bad(&format!("{counts}; not as it should be:")));
    for deviation in deviations {
        let _ = writeln!(out, "  - {deviation}");
    }
    out
}

/// What can be tried while the demo stays up.
pub(super) fn afterwards(stage: &Stage, scene: &Scene, paint: Paint) -> String {
    let (base, secrets) = (stage.url(), &stage.secrets);
    let call_sid = scene.calls.first().map_or("", |act| act.played.cast.call_sid.as_str());
    let api = format!("{base}/api/v1/accounts/{}", stage::SID);
    let bearer = format!("curl -s -H 'Authorization: Bearer {}'", secrets.admin_token);
    let (key, token) = (&secrets.exotel_key, &secrets.exotel_token);
    let new = crate::simulate::new_call_sid();
    let hook = format!("{base}/v2/accounts/{}/call-events", stage::SID);
    let fields = "CallFrom=09876599999&CallTo=08047494574&Direction=incoming&CallType=incomplete\
                  &DialCallStatus=no-answer&DialWhomNumber=09711581199";
    let mut out = String::from("\n");
    for (what, command) in [
        ("All calls", format!("{bearer} '{api}/calls'")),
        ("The first call's timeline", format!("{bearer} '{api}/calls/{call_sid}'")),
        (
            "A callback by hand: a missed call",
            format!("curl -u {key}:{token} '{hook}?event=missed&CallSid={new}&{fields}'"),
        ),
        (
            "The tickets in the sandbox of Freshdesk",
            format!("curl -s -u {}:X '{}/api/v2/tickets'", secrets.freshdesk_key, stage.freshdesk.url()),
        ),
    ] {
        let _ = writeln!(out, "{}\n  {command}", paint.bold(what));
    }
    let _ = writeln!(
        out,
        "\nPatchbay stays up at {base}, admin token {}. Ctrl-C ends it.",
        paint.bold(&secrets.admin_token)
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_at_spaces_and_words_never() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("unbreakable word", 4), ["unbreakable", "word"]);
        assert_eq!(wrap("two  spaces", 20), ["two  spaces"]);
        assert_eq!(wrap("", 10), [""]);
    }

    #[test]
    fn nothing_is_painted_without_a_terminal() {
        let mut out = String::new();
        rule(&mut out, "┌", "Ticket 1", Paint::none());
        boxed(&mut out, &["text"], |text| Paint::none().bold(text));
        assert!(!out.contains('\x1b') && out.contains("│ text\n"), "{out}");
    }

    #[test]
    fn an_attempt_tells_each_request_and_what_came_of_it() {
        let exchange = |label: &str, status| ExchangeLog { label: label.into(), status, ms: 1, error: String::new() };
        let find = || exchange("contact.find", Some(200));
        let exchanges = [find(), find(), exchange("ticket.create", Some(201)), exchange("note.create", None)];
        let text = attempt(AttemptOutcome::Ambiguous, "the reply was lost", 12, &exchanges, 2);
        assert_eq!(
            text,
            "contact.find 200 ×2 · ticket.create 201 · note.create no reply → ambiguous, 12 ms (revision 2): the reply was lost"
        );
    }
}
