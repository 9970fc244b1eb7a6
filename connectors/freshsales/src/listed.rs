//! A contact's notes, read page by page: the only place where a call log can be found again.

use std::sync::Arc;

use patchbay_kit::{Exchange, Failure, RecordRef, Request, Safety, StatusCode, Step};
use serde_json::Value;

use crate::{Freshsales, Person, id_in, unreadable};

/// Notes on one page, the most other lists of Freshsales give \[M\].
const PER_PAGE: usize = 100;
/// Notes on one page where nothing is asked for \[C\]: a list of fewer has no second page.
const PER_PAGE_LEAST: usize = 25;
/// Pages that are looked through. The notes of this call are among the newest.
const PAGES: usize = 10;
const GONE: &[StatusCode] = &[StatusCode::NOT_FOUND];

/// What was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    Found(Stands),
    Nowhere,
    /// There is nobody whose notes could be read.
    NoPerson,
}

/// A note as it stands.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Stands {
    pub(crate) id: String,
    pub(crate) text: String,
}

/// The text is the customer's.
impl std::fmt::Debug for Stands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stands({})", self.id)
    }
}

/// What is made of it.
type Then<T> = Arc<dyn Fn(Looked) -> Result<Step<T>, Failure> + Send + Sync>;

struct Search<T> {
    label: &'static str,
    safety: Safety,
    path: Vec<String>,
    wanted: Box<dyn Fn(&Stands) -> bool + Send + Sync>,
    then: Then<T>,
}

impl Freshsales {
    /// Looks through the notes of a person for one. `GET /contacts/{id}/notes` is in no documentation; programs read it
    /// so \[C\].
    pub(crate) fn look<T: 'static>(
        &self,
        label: &'static str,
        person: &RecordRef,
        wanted: impl Fn(&Stands) -> bool + Send + Sync + 'static,
        then: impl Fn(Looked) -> Result<Step<T>, Failure> + Send + Sync + 'static,
    ) -> Exchange<T> {
        let path = self.notes_of(person);
        let search = Search { label, safety: Safety::Read, path, wanted: Box::new(wanted), then: Arc::new(then) };
        Arc::new(search).page(1, None)
    }

    /// The same behind a request that has created something. Reading creates nothing; but where this reading fails, the
    /// whole is in doubt, and what was created must be looked for before it is sent again.
    pub(crate) fn confirm<T: 'static>(
        &self,
        person: &RecordRef,
        wanted: impl Fn(&Stands) -> bool + Send + Sync + 'static,
        then: impl Fn(Looked) -> Result<Step<T>, Failure> + Send + Sync + 'static,
    ) -> Exchange<T> {
        let path = self.notes_of(person);
        let (wanted, then) = (Box::new(wanted), Arc::new(then));
        Arc::new(Search { label: "call.confirm", safety: Safety::Creates, path, wanted, then }).page(1, None)
    }

    fn notes_of(&self, person: &RecordRef) -> Vec<String> {
        self.path([Person::of(person).plural, &person.id, "notes"])
    }
}

impl<T: 'static> Search<T> {
    fn page(self: Arc<Self>, number: usize, first_before: Option<String>) -> Exchange<T> {
        Request::get(self.label, self.path.iter().map(String::as_str))
            .safety(self.safety)
            .query("per_page", PER_PAGE)
            .query("page", number)
            .then(move |reply| {
                if GONE.contains(&reply.status) {
                    return (self.then)(Looked::NoPerson);
                }
                let body: Value = reply.json()?;
                let listed = body.get("notes").and_then(Value::as_array).ok_or_else(|| unreadable("list of notes"))?;
                let notes: Vec<Stands> = listed.iter().filter_map(read).collect();
                if let Some(found) = notes.iter().find(|note| (self.wanted)(note)) {
                    return (self.then)(Looked::Found(found.clone()));
                }
                let first = notes.first().map(|note| note.id.clone());
                let pages = body.pointer("/meta/total_pages").and_then(Value::as_u64);
                let last = match pages {
                    Some(pages) => number as u64 >= pages,
                    // Nothing says how many pages there are: the list ends with one that is empty or small, or where
                    // the same comes again because pages are not heeded.
                    None => listed.len() < PER_PAGE_LEAST || listed.len() > PER_PAGE || first == first_before,
                };
                if last || number >= PAGES {
                    return (self.then)(Looked::Nowhere);
                }
                Ok(Step::Then(Arc::clone(&self).page(number + 1, first)))
            })
            .accepting(GONE)
    }
}

fn read(note: &Value) -> Option<Stands> {
    let text = note.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(Stands { id: id_in(note.get("id"))?, text })
}
