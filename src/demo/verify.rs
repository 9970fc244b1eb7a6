//! Whether every call became exactly the records it must become, and nothing else happened.

use std::collections::BTreeSet;

use patchbay_sandbox::freshdesk::{Conversation, Ticket};

use super::{
    Act, Scene,
    stage::{KNOWN, Stage},
};
use crate::{
    simulate::{cast::Instance, play},
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
    wrong.extend(leaks(&secrets(stage), scene));
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

/// What must stand nowhere in the helpdesk: where Exotel keeps its recordings, and how to get in anywhere.
fn secrets(stage: &Stage) -> [(&'static str, String); 7] {
    let secrets = &stage.secrets;
    [
        ("Exotel's address", stage.exotel.url()),
        ("an address of Exotel's recordings", "exotelrecordings".to_owned()),
        ("an address of Exotel's", "exotel.com".to_owned()),
        ("Exotel's API key", secrets.exotel_key.clone()),
        ("Exotel's API token", secrets.exotel_token.clone()),
        ("Freshdesk's API key", secrets.freshdesk_key.clone()),
        ("the admin token", secrets.admin_token.clone()),
    ]
}

fn leaks(forbidden: &[(&str, String)], scene: &Scene) -> Vec<String> {
    let notes = scene.calls.iter().flat_map(|act| &act.tickets).flat_map(|(_, notes)| notes);
    let texts = scene
        .tickets
        .iter()
        .map(|ticket| (format!("ticket {}", ticket.id), format!("{}\n{}", ticket.subject, ticket.description)))
        .chain(notes.map(|note| (format!("a note on ticket {}", note.ticket_id), note.body.clone())))
        .chain(scene.contacts.iter().map(|contact| (format!("contact {}", contact.id), format!("{contact:?}"))));
    let mut wrong = Vec::new();
    for (place, text) in texts {
        let found = forbidden.iter().filter(|(_, part)| text.contains(part.as_str()));
        wrong.extend(found.map(|(what, _)| format!("{place} holds {what}")));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use patchbay_sandbox::freshdesk::Freshdesk;

    use super::*;
    use crate::simulate::{
        self,
        cast::{Cast, Pace},
        flow,
        play::Answer,
    };

    /// The missed call as it should come out, and the helpdesk it came out in.
    fn scene(change: impl FnOnce(&mut Freshdesk, &Instance, u64)) -> Scene {
        let flow = flow::flows().expect("the flows").into_iter().find(|flow| flow.name == "missed").expect("the flow");
        let cast = Cast {
            call_sid: simulate::new_call_sid(),
            customer: "09876500001".into(),
            exophone: "08047494574".into(),
            agents: simulate::agents(),
            recording_url: String::new(),
        };
        let began = Timestamp::now();
        let played = flow.instantiate(cast, Pace { begins: began, speed: 60.0 });
        let mut desk = Freshdesk::new("key");
        desk.add_contact(KNOWN.0, Some(KNOWN.1), None);
        let requester = desk.add_contact("09876500001", Some("+919876500001"), None);
        let ticket = desk.add_ticket_with(requester, |ticket| {
            ticket.subject.clone_from(&played.expect.subject);
            ticket.describe(played.expect.body_has.join("<br>"));
        });
        change(&mut desk, &played, ticket);
        let tickets: Vec<Ticket> = desk.tickets().cloned().collect();
        let of_call = tickets.iter().filter(|ticket| ticket.description.contains(&played.cast.call_sid));
        let of_call = of_call.map(|ticket| (ticket.clone(), desk.conversations(ticket.id).to_vec())).collect();
        Scene {
            began,
            calls: vec![Act { played, answers: Vec::new(), file: None, tickets: of_call }],
            contacts: desk.contacts().cloned().collect(),
            agents: desk.agents().cloned().collect(),
            tickets,
            set_aside: 0,
            unsettled: Vec::new(),
        }
    }

    fn wrong(scene: &Scene) -> Vec<String> {
        [records(&scene.calls[0]), strays(scene), contacts(scene), leaks(&[("a secret", "s3cret".into())], scene)]
            .concat()
    }

    fn only(scene: &Scene, what: &str) {
        let wrong = wrong(scene);
        assert!(wrong.len() == 1 && wrong[0].contains(what), "{what}: {wrong:?}");
    }

    #[test]
    fn a_call_with_exactly_its_record_is_right() {
        assert_eq!(wrong(&scene(|_, _, _| {})), Vec::<String>::new());
    }

    #[test]
    fn what_is_lost_doubled_strayed_or_leaked_is_found() {
        let mut lost = scene(|_, _, _| {});
        lost.tickets.clear();
        lost.calls[0].tickets.clear();
        only(&lost, "has 0 tickets");

        let doubled = scene(|desk, played, ticket| {
            let requester = desk.ticket(ticket).expect("the ticket").requester_id;
            desk.add_ticket_with(requester, |ticket| ticket.describe(&*played.cast.call_sid));
        });
        only(&doubled, "has 2 tickets");

        let stray = scene(|desk, _, ticket| {
            let requester = desk.ticket(ticket).expect("the ticket").requester_id;
            desk.add_ticket_with(requester, |ticket| ticket.describe("of no call"));
        });
        only(&stray, "belongs to no call");

        let leaking = scene(|desk, played, ticket| {
            let requester = desk.ticket(ticket).expect("the ticket").requester_id;
            desk.add_ticket_with(requester, |ticket| ticket.describe(format!("{} s3cret", played.cast.call_sid)));
        });
        assert!(wrong(&leaking).iter().any(|wrong| wrong.ends_with("holds a secret")));

        let twice = scene(|desk, _, _| {
            desk.add_contact("Another", None, Some("9876500001"));
        });
        assert!(wrong(&twice).iter().any(|wrong| wrong.contains("has 2 contacts")));
    }

    #[test]
    fn a_record_that_says_something_else_is_found() {
        for (change, what) in [
            ((|ticket| ticket.subject = "Voicemail".into()) as fn(&mut Ticket), "must be called \"Missed Call"),
            (|ticket| ticket.responder_id = Some(1), "is assigned to"),
            (|ticket| ticket.requester_id = 1, "is not of 09876500001's contact"),
        ] {
            let mut scene = scene(|_, _, _| {});
            change(&mut scene.calls[0].tickets[0].0);
            only(&scene, what);
        }
    }

    #[test]
    fn a_callback_that_was_not_acknowledged_is_found() {
        let mut scene = scene(|_, _, _| {});
        let answer = |status| Answer {
            at: Duration::ZERO,
            label: "missed".into(),
            late: false,
            copy: false,
            status,
            latency: Duration::ZERO,
        };
        scene.calls[0].answers = vec![answer(Ok(200)), answer(Ok(503)), answer(Err("reset".into()))];
        assert_eq!(callbacks(&scene.calls[0]).len(), 2);
    }

    #[test]
    fn a_link_is_found_in_a_note_whatever_escaped_it() {
        let html = "<p><a href=\"http://x/r/a/b?e&#x3D;1&amp;s=2\">Call Recording</a></p>";
        assert_eq!(link(html).as_deref(), Some("http://x/r/a/b?e=1&s=2"));
        assert_eq!(link("<p>no link</p>"), None);
    }
}
