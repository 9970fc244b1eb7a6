//! Whether every call became exactly the records it must become, and nothing else happened.

use std::collections::BTreeSet;

use patchbay_sandbox::freshdesk::{Conversation, Ticket};

use super::{
    Act, Scene,
    stage::{KNOWN, Stage},
};
use crate::{
    simulate::{flow::Instance, play},
    store::DeliveryState,
};

/// How much of a recording is asked for.
const PART: std::ops::Range<usize> = 20..120;

/// Every deviation, in words. None: the demo holds what it promises.
pub(super) async fn all(stage: &Stage, scene: &Scene) -> Vec<String> {
    let mut wrong = scene.unsettled.clone();
    for act in &scene.calls {
        let about = |what: String| format!("{}: {what}", act.played.name);
        wrong.extend(callbacks(act).into_iter().map(about));
        wrong.extend(records(act).into_iter().map(about));
        wrong.extend(deliveries(act).into_iter().map(about));
        wrong.extend(recording(stage, act).await.into_iter().map(about));
    }
    wrong.extend(strays(scene));
    wrong.extend(contacts(scene));
    wrong.extend(leaks(stage, scene));
    wrong
}

fn callbacks(act: &Act) -> Vec<String> {
    let refused = act.answers.iter().filter(|answer| !answer.good());
    refused.map(|answer| format!("the callback {:?} was answered {:?}, not 200", answer.label, answer.status)).collect()
}

fn deliveries(act: &Act) -> Vec<String> {
    let Some(file) = &act.file else { return vec!["Patchbay does not know the call".to_owned()] };
    let mut wrong = Vec::new();
    let outcome = file.state.outcome.map_or("unknown", |outcome| outcome.as_str());
    if outcome != act.played.expect.outcome {
        wrong.push(format!("its outcome is {outcome}, must be {}", act.played.expect.outcome));
    }
    for delivery in &file.deliveries {
        if matches!(delivery.state, DeliveryState::Held | DeliveryState::Dead) {
            let reason = delivery.reason.as_deref().unwrap_or("no reason given");
            wrong.push(format!("its {} is {}: {reason}", delivery.kind.as_str(), delivery.state.as_str()));
        }
    }
    wrong
}

fn records(act: &Act) -> Vec<String> {
    let [(ticket, notes)] = act.tickets.as_slice() else {
        let ids: Vec<u64> = act.tickets.iter().map(|(ticket, _)| ticket.id).collect();
        return vec![format!("it has {} tickets {ids:?}, must have exactly one", ids.len())];
    };
    let mut wrong = ticket_of(&act.played, ticket);
    let expected = &act.played.expect.note_has;
    match (notes.as_slice(), expected.is_empty()) {
        ([], true) => {}
        ([note], false) => wrong.extend(note_of(note, expected)),
        (notes, _) => {
            let must = usize::from(!expected.is_empty());
            wrong.push(format!("its ticket has {} notes, must have {must}", notes.len()));
        }
    }
    wrong
}

fn ticket_of(played: &Instance, ticket: &Ticket) -> Vec<String> {
    let expect = &played.expect;
    let mut wrong = Vec::new();
    if ticket.subject != expect.subject {
        wrong.push(format!("its ticket is called {:?}, must be called {:?}", ticket.subject, expect.subject));
    }
    for part in expect.body_has.iter().filter(|part| !ticket.description_text.contains(part.as_str())) {
        wrong.push(format!("its ticket does not say {part:?}"));
    }
    let agent = expect.agent.as_deref().and_then(Stage::agent_id);
    if expect.agent.is_some() && agent.is_none() {
        wrong.push(format!("it expects an agent the demo does not have: {:?}", expect.agent));
    }
    if ticket.responder_id != agent {
        wrong.push(format!("its ticket is assigned to {:?}, must be to {agent:?}", ticket.responder_id));
    }
    wrong
}

fn note_of(note: &Conversation, expected: &[String]) -> Vec<String> {
    let missing = expected.iter().filter(|part| !note.body_text.contains(part.as_str()));
    let mut wrong: Vec<String> = missing.map(|part| format!("its note does not say {part:?}")).collect();
    if !note.private {
        wrong.push("its note is public".to_owned());
    }
    wrong
}

/// Follows the link in the note, as an agent's browser would: in part.
async fn recording(stage: &Stage, act: &Act) -> Vec<String> {
    let Some(plan) = &act.played.call.recording else { return Vec::new() };
    let links: Vec<String> =
        act.tickets.iter().flat_map(|(_, notes)| notes).filter_map(|note| link(&note.body)).collect();
    let [link] = links.as_slice() else {
        return vec![format!("{} links lead to its recording, must be exactly one", links.len())];
    };
    if !link.starts_with(&format!("{}/r/", stage.url())) {
        return vec!["the link in its note does not lead to Patchbay".to_owned()];
    }
    let range = format!("bytes={}-{}", PART.start, PART.end - 1);
    let asked = async {
        let reply = play::client()?.get(link).header(reqwest::header::RANGE, range).send().await;
        let reply = reply.map_err(|error| error.without_url().to_string())?;
        let status = reply.status().as_u16();
        let body = reply.bytes().await.map_err(|error| error.without_url().to_string())?;
        Ok::<_, String>((status, body))
    };
    match asked.await {
        Ok((206, body)) if Some(&*body) == plan.bytes.get(PART) => Vec::new(),
        Ok((206, body)) => vec![format!("the link in its note gives {} bytes of something else", body.len())],
        Ok((status, _)) => vec![format!("the link in its note answers {status} to a Range request, must answer 206")],
        Err(error) => vec![format!("the link in its note cannot be followed: {error}")],
    }
}

/// The first address in a piece of HTML.
pub(super) fn link(html: &str) -> Option<String> {
    let (_, rest) = html.split_once("href=\"")?;
    let (href, _) = rest.split_once('"')?;
    Some(unescape(href))
}

/// The entities that the texts are escaped with.
fn unescape(text: &str) -> String {
    let entities = [("&#x3D;", "="), ("&#61;", "="), ("&#x2F;", "/"), ("&quot;", "\""), ("&lt;", "<"), ("&gt;", ">")];
    entities.iter().fold(text.to_owned(), |text, (entity, is)| text.replace(entity, is)).replace("&amp;", "&")
}

fn strays(scene: &Scene) -> Vec<String> {
    let known: BTreeSet<u64> = scene.calls.iter().flat_map(|act| &act.tickets).map(|(ticket, _)| ticket.id).collect();
    let stray = scene.tickets.iter().filter(|ticket| !known.contains(&ticket.id));
    let mut wrong: Vec<String> =
        stray.map(|ticket| format!("ticket {} ({:?}) belongs to no call", ticket.id, ticket.subject)).collect();
    if scene.set_aside > 0 {
        wrong.push(format!("{} callbacks were set aside as unreadable", scene.set_aside));
    }
    wrong
}

/// One contact for each number, however often it called; each ticket is its caller's.
fn contacts(scene: &Scene) -> Vec<String> {
    let mut wrong = Vec::new();
    let numbers: BTreeSet<&str> = scene.calls.iter().map(|act| act.played.cast.customer.as_str()).collect();
    for number in &numbers {
        let national = number.trim_start_matches('0');
        let has = |field: &Option<String>| field.as_deref().is_some_and(|field| field.ends_with(national));
        let owners: Vec<_> =
            scene.contacts.iter().filter(|contact| has(&contact.mobile) || has(&contact.phone)).collect();
        let [owner] = owners.as_slice() else {
            wrong.push(format!("{number} has {} contacts, must have exactly one", owners.len()));
            continue;
        };
        let tickets = scene.calls.iter().filter(|act| act.played.cast.customer == **number);
        for (ticket, _) in tickets.flat_map(|act| &act.tickets) {
            if ticket.requester_id != owner.id {
                wrong.push(format!("ticket {} is not of {number}'s contact {}", ticket.id, owner.id));
            }
        }
    }
    let must = numbers.len() + usize::from(!numbers.contains(KNOWN.2));
    if scene.contacts.len() != must {
        wrong.push(format!("there are {} contacts, must be {must}", scene.contacts.len()));
    }
    wrong
}

/// Nothing in the helpdesk says where Exotel keeps its recordings, or how to get in anywhere.
fn leaks(stage: &Stage, scene: &Scene) -> Vec<String> {
    let exotel = stage.exotel.url();
    let secrets = &stage.secrets;
    let forbidden = [
        ("Exotel's address", exotel.as_str()),
        ("an address of Exotel's recordings", "exotelrecordings"),
        ("an address of Exotel's", "exotel.com"),
        ("Exotel's API key", &secrets.exotel_key),
        ("Exotel's API token", &secrets.exotel_token),
        ("Freshdesk's API key", &secrets.freshdesk_key),
        ("the admin token", &secrets.admin_token),
    ];
    let notes = scene.calls.iter().flat_map(|act| &act.tickets).flat_map(|(_, notes)| notes);
    let texts = scene
        .tickets
        .iter()
        .map(|ticket| (format!("ticket {}", ticket.id), format!("{}\n{}", ticket.subject, ticket.description)))
        .chain(notes.map(|note| (format!("a note on ticket {}", note.ticket_id), note.body.clone())))
        .chain(scene.contacts.iter().map(|contact| (format!("contact {}", contact.id), format!("{contact:?}"))));
    let mut wrong = Vec::new();
    for (place, text) in texts {
        let found = forbidden.iter().filter(|(_, part)| text.contains(part));
        wrong.extend(found.map(|(what, _)| format!("{place} holds {what}")));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_found_in_a_note_whatever_escaped_it() {
        let html = "<p><a href=\"http://x/r/a/b?e&#x3D;1&amp;s=2\">Call Recording</a></p>";
        assert_eq!(link(html).as_deref(), Some("http://x/r/a/b?e=1&s=2"));
        assert_eq!(link("<p>no link</p>"), None);
    }
}
