//! Freshsales with one fault at a time, and the cases that must see it.

mod subject;

use patchbay_kit::{
    CallActivity, Changed, Connector, Contact, Contacts, Exchange, Note, RecordRef, Request, Safety, Step,
};
use patchbay_testkit::broken;

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Says that no lost record exists.
    NeverFinds,
    /// Takes a call log's note for that of its recording, and the other way round.
    MistakesNotes,
    /// Writes everything at every update.
    WritesEverything,
    /// Lets a plus become a space.
    LosesPlus,
    /// Looks only at mobile numbers.
    OneField,
    /// Says of a creation that it can be repeated.
    ClaimsSafety,
}

impl broken::Fault for Fault {
    fn request(self, request: &mut Request) {
        if let (Self::ClaimsSafety, "call.create") = (self, request.label) {
            request.safety = Safety::Idempotent;
        }
    }

    fn found(self, honest: Exchange<Option<RecordRef>>) -> Exchange<Option<RecordRef>> {
        if matches!(self, Self::NeverFinds) { broken::finds_nothing(honest) } else { honest }
    }

    fn find_note(
        self,
        honest: &dyn Connector,
        on: &RecordRef,
        of: &CallActivity,
        note: &Note,
    ) -> Option<Exchange<Option<RecordRef>>> {
        match self {
            Self::MistakesNotes => honest.activities().find(&CallActivity { key: note.key.clone(), ..of.clone() }),
            _ => honest.notes()?.find(on, of, note),
        }
    }

    fn changed(self, changed: Changed) -> Changed {
        if matches!(self, Self::WritesEverything) { Changed { subject: true, body: true, ..changed } } else { changed }
    }

    fn find_contacts(self, honest: &dyn Contacts, writings: &[String]) -> Exchange<Vec<Contact>> {
        match self {
            Self::LosesPlus => honest.find(&writings.iter().map(|text| text.replace('+', " ")).collect::<Vec<_>>()),
            // The reply to the first question, read as that to the second.
            Self::OneField => {
                let find = honest.find(writings);
                let request = find.request.clone();
                request.done(move |reply| match find.parse(reply)? {
                    Step::Done(found) => Ok(found),
                    Step::Then(second) => match second.parse(reply)? {
                        Step::Done(found) => Ok(found),
                        Step::Then(_) => panic!("two questions"),
                    },
                })
            }
            _ => honest.find(writings),
        }
    }
}

#[test]
fn every_fault_is_seen() {
    broken::assert_seen(
        &subject::Freshsales::usual(),
        &[
            (
                Fault::NeverFinds,
                &["a record is found at once after it was made", "a record is found after its reply was lost"],
            ),
            (Fault::MistakesNotes, &["a record is found at once after it was made"]),
            (Fault::WritesEverything, &["an update changes what it says and no more"]),
            (Fault::LosesPlus, &["awkward texts arrive unchanged", "every writing of a number finds its contact"]),
            (Fault::OneField, &["every writing of a number finds its contact"]),
            (Fault::ClaimsSafety, &["a record is found after its reply was lost"]),
        ],
    );
}
