//! Cases about contacts and agents.

use std::{collections::BTreeSet, time::Duration};

use patchbay_kit::{About, Contact, Kind, Phase, RecordRef, Rendering};

use super::{Bench, Subject, What};
use crate::sample;

/// Pages before a list of agents is taken for endless.
const PAGES_MAX: usize = 50;
/// By then every index knows of it, and no access token has expired.
const LATER: Duration = Duration::from_secs(20 * 60);

pub(super) fn agents_paged<S: Subject>(bench: &mut Bench<'_, S>) {
    let connector = bench.connector();
    let Some(agents) = connector.agents() else { return };
    let how_many = 2 * bench.subject.more_than_a_page();
    let added = bench.subject.add_agents(&mut bench.line.sandbox, how_many);
    assert_eq!(added.len(), how_many);
    let (mut seen, mut from, mut pages) = (BTreeSet::new(), None, 0);
    loop {
        let page = bench.ok(agents.list(from.as_ref()));
        for agent in page.items {
            assert!(seen.insert(agent.at.id.clone()), "{} is listed twice", agent.at);
            assert!(!agent.name.is_empty() && agent.active, "{}", agent.at);
        }
        pages += 1;
        assert!(pages < PAGES_MAX, "no end to the agents");
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    let whole = bench.subject.agents_in_one_answer();
    assert!(whole || pages > 1, "{how_many} agents do not fill a page; `more_than_a_page` is too small");
    for agent in added {
        assert!(seen.contains(&agent.id), "{agent} is not listed");
    }
}

pub(super) fn deactivated_agent<S: Subject>(bench: &mut Bench<'_, S>) {
    let connector = bench.connector();
    let Some(agents) = connector.agents() else { return };
    let agent = bench.subject.add_agents(&mut bench.line.sandbox, 1).pop().expect("an agent");
    let now = bench.line.now;
    if bench.subject.remove(&mut bench.line.sandbox, &agent, now) {
        let page = bench.ok(agents.list(None));
        assert!(page.items.iter().all(|one| one.at != agent || !one.active), "{agent} is listed as active");
    }
}

/// The clock moves only as far as this CRM's best way to look is behind.
pub(super) fn found_after_created<S: Subject>(bench: &mut Bench<'_, S>) {
    let connector = bench.connector();
    let Some(contacts) = connector.contacts() else { return };
    let made = bench.ok(contacts.create(&sample::caller()));
    bench.line.now += bench.subject.contact_lag();
    assert!(made.numbers.iter().any(|stored| sample::number().matches(stored)), "the number was not stored");
    assert_eq!(search(bench).iter().map(|one| &one.at).collect::<Vec<_>>(), [&made.at]);
    if let Some(find) = contacts.find_created(&sample::caller().external_id) {
        assert_eq!(bench.ok(find).map(|one| one.at), Some(made.at));
    }
}

/// What the core does with a number: every rendering in turn, and of what comes back only what is that number.
fn search<S: Subject>(bench: &mut Bench<'_, S>) -> Vec<Contact> {
    let connector = bench.connector();
    let (number, mut found) = (sample::number(), Vec::<Contact>::new());
    let Some(contacts) = connector.contacts() else { return found };
    for rendering in connector.manifest().phone {
        for one in bench.ok(contacts.find(&[number.render(*rendering)])) {
            let his = one.numbers.iter().any(|stored| number.matches(stored));
            if his && found.iter().all(|other| other.at != one.at) {
                found.push(one);
            }
        }
    }
    found
}

/// A contact that a human stored, in whichever field and of the manifest's writings, is found.
pub(super) fn every_rendering<S: Subject>(bench: &mut Bench<'_, S>) {
    if bench.connector().contacts().is_none() {
        return;
    }
    for field in bench.subject.number_fields() {
        for rendering in bench.connector().manifest().phone {
            let mut bench = Bench::new(bench.subject);
            let stored = sample::number().render(*rendering);
            let at = bench.subject.add_contact(&mut bench.line.sandbox, field, &stored);
            bench.line.now += bench.subject.contact_lag();
            let found = search(&mut bench);
            assert_eq!(found.iter().map(|one| &one.at).collect::<Vec<_>>(), [&at], "{rendering:?} in {field}");
            assert_eq!(bench.count(What::Contact), 1);
            bench.assert_discreet();
        }
    }
}

/// Where the CRM can be searched for all writings at once: what has been there for long is found, and only read.
pub(super) fn searched<S: Subject>(bench: &mut Bench<'_, S>) {
    let connector = bench.connector();
    let number = sample::number();
    let Some(exchange) = connector.contacts().and_then(|contacts| contacts.search(&number)) else { return };
    assert_eq!(exchange.request.safety, patchbay_kit::Safety::Read);
    let field = *bench.subject.number_fields().first().expect("a field for numbers");
    for rendering in [Rendering::E164, Rendering::National, Rendering::Hyphenated, Rendering::Spaced] {
        let mut bench = Bench::new(bench.subject);
        let at = bench.subject.add_contact(&mut bench.line.sandbox, field, &number.render(rendering));
        let found = bench.ok(connector.contacts().and_then(|contacts| contacts.search(&number)).expect("a search"));
        assert!(found.iter().any(|one| one.at == at), "{rendering:?} is not found");
        assert_eq!(bench.count(What::Contact), 1);
        bench.assert_discreet();
    }
}

/// Found under its other writing, a contact is not made again.
pub(super) fn one_contact<S: Subject>(bench: &mut Bench<'_, S>) {
    let connector = bench.connector();
    let Some(contacts) = connector.contacts() else { return };
    let made = bench.ok(contacts.create(&sample::caller()));
    bench.line.now += bench.subject.contact_lag();
    let [first, .., last] = connector.manifest().phone else { return };
    for rendering in [first, last] {
        let field = bench.subject.number_fields().first().expect("a field for numbers");
        // Somebody else with nearly the same number.
        let mut near = sample::number().render(*rendering);
        near.push('0');
        bench.subject.add_contact(&mut bench.line.sandbox, field, &near);
    }
    assert_eq!(search(bench).iter().map(|one| &one.at).collect::<Vec<_>>(), [&made.at]);
}

pub(super) fn created_twice<S: Subject>(bench: &mut Bench<'_, S>) {
    let connector = bench.connector();
    let Some(contacts) = connector.contacts() else { return };
    let caller = sample::caller();
    // The first time the reply is lost, as it is when the second creation comes about.
    bench.line.loses_creations = true;
    let first = bench.run(contacts.create(&caller));
    bench.line.loses_creations = false;
    assert_eq!(bench.count(What::Contact), 1, "creating the contact is not one request that creates");
    if !bench.subject.contacts_are_unique() {
        // Nothing keeps a second one out but looking first.
        bench.line.now += bench.subject.contact_lag();
        assert_eq!(search(bench).len(), 1, "the contact whose reply was lost is not found");
        return;
    }
    if let Ok(upserted) = first {
        assert_eq!(bench.ok(contacts.create(&caller)).at, upserted.at);
        return;
    }
    match bench.run(contacts.create(&caller)) {
        Ok(again) => assert_eq!(search(bench).first().map(|one| one.at.clone()), Some(again.at)),
        Err(failure) => assert_eq!(failure.kind, Kind::Conflict, "{failure}"),
    }
    assert_eq!(bench.count(What::Contact), 1, "one external id, two contacts");
}

pub(super) fn withheld<S: Subject>(bench: &mut Bench<'_, S>) {
    let connector = bench.connector();
    let Some(contacts) = connector.contacts() else { return };
    let made = bench.ok(contacts.create(&sample::withheld()));
    assert!(made.numbers.is_empty(), "a number was made up");
    let at = bench.ok(connector.activities().create(&sample::call(sample::CALL_SID, Some(made.at))));
    bench.stored(&at);
}

pub(super) fn gone_contact<S: Subject>(bench: &mut Bench<'_, S>) {
    let Some(contact) = bench.caller() else { return };
    let now = bench.line.now;
    if !bench.subject.remove(&mut bench.line.sandbox, &contact, now) {
        return;
    }
    let call = sample::call(sample::CALL_SID, Some(contact));
    let failure = bench.refused(bench.connector().activities().create(&call));
    assert_eq!(failure.about, Some(About::Contact), "{failure}");
    assert!(search(bench).is_empty(), "a contact that is gone is found");
}

pub(super) fn popup<S: Subject>(bench: &mut Bench<'_, S>) {
    let connector = bench.connector();
    let Some(popups) = connector.popups() else { return };
    let agent = bench.subject.add_agents(&mut bench.line.sandbox, 1).pop().expect("an agent");
    let before = bench.count(What::Activity);
    let mut shown = 0;
    for phase in [Phase::Ringing, Phase::Answered, Phase::Ended] {
        if let Some(show) = popups.show(&sample::popup(sample::CALL_SID, phase, Some(agent.clone()))) {
            bench.ok(show);
            shown += 1;
        }
    }
    assert!(shown > 0, "no phase is shown");
    assert_eq!(bench.count(What::Activity), before, "a popup made a record");
}

pub(super) fn owner<S: Subject>(bench: &mut Bench<'_, S>) {
    let connector = bench.connector();
    let Some(owners) = connector.owners() else { return };
    let exchange = owners.of(&sample::number());
    assert_eq!(exchange.request.safety, patchbay_kit::Safety::Read);
    assert_eq!(bench.ok(exchange), None, "somebody owns a caller nobody knows");
}

/// The newest first, however old; neither what is settled nor what is somebody else's.
pub(super) fn open_tickets<S: Subject>(bench: &mut Bench<'_, S>) {
    let connector = bench.connector();
    let Some(tickets) = connector.open_tickets() else { return };
    let field = bench.subject.ticket_field();
    let mut contact = |number: &str| bench.subject.add_contact(&mut bench.line.sandbox, field, number);
    let (his, other) = (contact("1800123455"), contact("1800123456"));
    let of = |contact: &RecordRef, most| tickets.of(contact, most).expect("a contact has tickets");
    assert_eq!(of(&his, 5).request.safety, patchbay_kit::Safety::Read);
    assert_eq!(bench.ok(of(&his, 5)), [], "of nobody's");

    let now = bench.line.now;
    let mut add = |contact: &RecordRef, subject: &str, is_open: bool, seconds_ago: u64| {
        let then = now - Duration::from_secs(seconds_ago);
        bench.subject.add_ticket(&mut bench.line.sandbox, contact, subject, is_open, then)
    };
    let old = add(&his, "The old one +&'\"😀", true, 90 * 24 * 3600);
    let newer = add(&his, "The newer one", true, 180);
    add(&his, "Settled", false, 120);
    add(&other, "Somebody else's", true, 60);
    // It may come from an index that is behind.
    bench.line.now += LATER;
    let found = bench.ok(of(&his, 5));
    assert_eq!(found.iter().map(|one| &one.at).collect::<Vec<_>>(), [&newer, &old]);
    assert_eq!(found[1].subject, "The old one +&'\"😀");
    assert!(found.iter().all(|one| !one.status.is_empty() && one.number.as_deref() != Some("")));
    assert_eq!(bench.ok(of(&his, 1)).iter().map(|one| &one.at).collect::<Vec<_>>(), [&newer]);
    let hostile = RecordRef::new(&his.kind, format!("{}&x=' OR '1'='1", his.id));
    assert!(bench.run(of(&hostile, 5)).map_or(true, |found| found.is_empty()), "found by an id that is not his");
}

/// Each kind once, findable, and apart from the call's own record.
pub(super) fn follow_up<S: Subject>(bench: &mut Bench<'_, S>) {
    let connector = bench.connector();
    let Some(follow_ups) = connector.follow_ups() else { return };
    assert!(!follow_ups.kinds().is_empty());
    for kind in follow_ups.kinds() {
        let mut bench = Bench::new(bench.subject);
        let (call, at) = bench.record();
        let it = sample::follow_up(sample::CALL_SID, *kind);
        if let Some(find) = follow_ups.find(&at, &call, &it) {
            assert_eq!(bench.ok(find), None, "{kind:?}: found before it was made");
        }
        let made = bench.ok(follow_ups.create(&at, &call, &it));
        assert_ne!(made, at);
        if let Some(find) = follow_ups.find(&at, &call, &it) {
            assert_eq!(bench.ok(find), Some(made), "{kind:?}");
        }
        bench.assert_discreet();
    }
}
