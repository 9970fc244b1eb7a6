//! Freshdesk with one fault at a time, and the cases that must see it.

mod subject;

use patchbay_kit::{
    Agent, Agents, Body, Changed, Connector, Contact, Contacts, Cursor, Exchange, Failure, Kind, NewContact, Page,
    RecordRef, Request, Response, Retry, Step,
};
use patchbay_testkit::{broken, sample};

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Stops after the first page of agents.
    StopsAfterPageOne,
    /// Says that no lost record exists.
    NeverFinds,
    /// Looks only at the first page of tickets and notes.
    FindsOnPageOne,
    /// Writes notes the caller can read.
    PublicNotes,
    /// Writes everything at every update.
    WritesEverything,
    /// Lets a plus become a space.
    LosesPlus,
    /// Makes contacts while it looks for them.
    CreatesWhileFinding,
    /// Makes contacts without their external id.
    LosesExternalId,
    /// Takes every failure for an outage.
    BlamesTheNetwork,
    /// Names tickets whoever's they are.
    AnybodysTickets,
    /// Shows a number in its Debug output.
    Prints,
    /// Wants more than it was granted time for.
    NeverEnds,
}

fn forever(request: Request) -> Exchange<Option<RecordRef>> {
    let next = request.clone();
    request.then(move |_| Ok(Step::Then(forever(next.clone()))))
}

impl broken::Fault for Fault {
    fn everywhere(self) -> bool {
        matches!(self, Self::Prints)
    }

    fn prints(self) -> &'static str {
        if matches!(self, Self::Prints) { "Broken for 09876543210" } else { "Broken" }
    }

    fn request(self, request: &mut Request) {
        match (self, &mut request.body) {
            (Self::LosesPlus, _) => {
                for (_, value) in &mut request.query {
                    *value = value.replace('+', " ");
                }
            }
            (Self::AnybodysTickets, _) if request.label == "ticket.open" => {
                request.query.retain(|(name, _)| *name != "requester_id");
            }
            (Self::PublicNotes, Body::Json(body)) => {
                if let Some(private) = body.get_mut("private") {
                    *private = false.into();
                }
            }
            (Self::LosesExternalId, Body::Json(body)) => {
                body.as_object_mut().map(|fields| fields.remove("unique_external_id"));
            }
            _ => {}
        }
    }

    fn classify(self, honest: &dyn Connector, reply: &Response) -> Failure {
        match self {
            Self::BlamesTheNetwork => Failure::new(Kind::Unavailable, Retry::Backoff),
            _ => honest.classify(reply),
        }
    }

    fn found(self, honest: Exchange<Option<RecordRef>>) -> Exchange<Option<RecordRef>> {
        match self {
            Self::NeverFinds => broken::finds_nothing(honest),
            Self::FindsOnPageOne => broken::gives_up_after(1, honest),
            Self::NeverEnds => forever(honest.request),
            _ => honest,
        }
    }

    fn changed(self, changed: Changed) -> Changed {
        if matches!(self, Self::WritesEverything) { broken::EVERYTHING } else { changed }
    }

    fn find_contacts(self, honest: &dyn Contacts, writings: &[String]) -> Exchange<Vec<Contact>> {
        let found = honest.find(writings);
        if !matches!(self, Self::CreatesWhileFinding) {
            return found;
        }
        let rendered = writings.concat();
        let caller = NewContact { name: rendered.clone(), external_id: rendered, ..sample::withheld() };
        let created = honest.create(&caller);
        created.request.then(move |_| Ok(Step::Then(found.clone()))).accepting(created.accepts)
    }

    fn list_agents(self, honest: &dyn Agents, from: Option<&Cursor>) -> Exchange<Page<Agent>> {
        let listed = honest.list(from);
        if !matches!(self, Self::StopsAfterPageOne) {
            return listed;
        }
        listed.request.clone().then(move |reply| match listed.parse(reply)? {
            Step::Done(page) => Ok(Step::Done(Page { next: None, ..page })),
            then => Ok(then),
        })
    }
}

#[test]
fn every_fault_is_seen() {
    broken::assert_seen(
        &subject::Freshdesk { conflict_names_holder: true },
        &[
            (Fault::StopsAfterPageOne, &["agents are listed page by page"]),
            (
                Fault::NeverFinds,
                &["a record is found at once after it was made", "a record is found after its reply was lost"],
            ),
            (Fault::FindsOnPageOne, &["a record is found beyond page one"]),
            (Fault::PublicNotes, &["notes are private"]),
            (Fault::WritesEverything, &["an update changes what it says and no more"]),
            (Fault::LosesPlus, &["awkward texts arrive unchanged", "a contact is found at once after it was made"]),
            (Fault::CreatesWhileFinding, &["finding creates nothing"]),
            (Fault::LosesExternalId, &["one external id is one contact"]),
            (Fault::BlamesTheNetwork, &["wrong credentials are recognised", "the error table holds"]),
            (Fault::AnybodysTickets, &["what is open of a contact's is named"]),
            (Fault::Prints, &["the manifest is sane", "a popup is shown"]),
            (Fault::NeverEnds, &["a record is found at once after it was made"]),
        ],
    );
}

#[test]
#[should_panic(expected = "NeverFinds is not seen by \"notes are private\"")]
fn a_case_that_does_not_see_a_fault_is_told() {
    let honest = subject::Freshdesk { conflict_names_holder: true };
    broken::assert_seen(&honest, &[(Fault::NeverFinds, &["notes are private"])]);
}
