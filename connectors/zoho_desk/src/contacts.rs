//! Callers: contacts, found through a search that lags, and among the newest, whose list does not.

use std::sync::Arc;

use jiff::Timestamp;
use patchbay_kit::{
    Contact, Contacts, Exchange, Failure, Kind, NewContact, PhoneNumber, RecordRef, Request, Retry, StatusCode, Step,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    Api, PER_PAGE, ZohoDesk,
    errors::{self, On},
    path,
    wire::{self, Id},
};

/// Contacts that one search yields; so many under one number are as good as more.
const FOUND: usize = 50;
/// Contacts found that are looked at again, whether they are still there.
const LOOKED_AT: usize = 5;
/// Characters of a contact's last name (\[S\] Contact.json).
const NAME_CHARS: usize = 200;
/// What a search answers that does not know a criterion.
const UNKNOWN: &[StatusCode] = &[StatusCode::BAD_REQUEST, StatusCode::UNPROCESSABLE_ENTITY];
/// What a contact in the recycle bin answers, if it is not shown with `isTrashed` \[M\].
const GONE: &[StatusCode] = &[StatusCode::NOT_FOUND, StatusCode::UNPROCESSABLE_ENTITY];
/// A name for who withheld his number and has none.
const NOBODY: &str = "Unknown caller";

/// A contact, listed, found or opened; a list shows fewer of its fields.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    id: Id,
    first_name: Option<String>,
    last_name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    mobile: Option<String>,
    #[serde(default, deserialize_with = "wire::maybe_id")]
    owner_id: Option<Id>,
    #[serde(default, deserialize_with = "wire::maybe_time")]
    created_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "wire::maybe_time")]
    modified_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "wire::maybe_true")]
    is_trashed: Option<bool>,
    #[serde(default, deserialize_with = "wire::maybe_true")]
    is_deleted: Option<bool>,
}

impl Shown {
    fn is_gone(&self) -> bool {
        self.is_trashed == Some(true) || self.is_deleted == Some(true)
    }

    fn numbers(&self) -> impl Iterator<Item = &String> {
        [&self.phone, &self.mobile].into_iter().flatten().filter(|number| !number.is_empty())
    }
}

impl From<Shown> for Contact {
    fn from(shown: Shown) -> Self {
        let numbers = shown.numbers().cloned().collect();
        let name = [shown.first_name, shown.last_name].into_iter().flatten().filter(|part| !part.is_empty());
        Self {
            at: RecordRef::new("contact", shown.id.0),
            name: name.collect::<Vec<_>>().join(" "),
            numbers,
            updated_at: shown.modified_time.or(shown.created_time),
            owner: shown.owner_id.map(|id| RecordRef::new("agent", id.0)),
        }
    }
}

/// What to do with the contacts that were found.
type Then<T> = Arc<dyn Fn(Vec<Shown>) -> Result<Step<T>, Failure> + Send + Sync>;

/// Searches still to be made: criterion and value.
type Queries = Vec<(&'static str, String)>;

/// Makes one search after the other and hands on what all of them found. "Contacts: Search contacts" \[V\]; `phone` and
/// `mobile` are missing in \[S\], so where they are refused `_all` is asked, which looks into every field.
fn searched<T: 'static>(api: Api, mut queries: Queries, found: Vec<Shown>, then: Then<T>) -> Option<Exchange<T>> {
    if queries.is_empty() {
        return None;
    }
    let (criterion, value) = queries.remove(0);
    let request =
        Request::get("contact.search", path(["contacts", "search"])).query(criterion, &value).query("limit", FOUND);
    let exchange = api.to(request).then(move |reply| {
        let (mut found, mut queries) = (found.clone(), queries.clone());
        if UNKNOWN.contains(&reply.status) {
            if criterion == "_all" {
                return Err(errors::classify(reply, On::Contact));
            }
            queries.insert(0, (criterion, value.clone()));
            queries.iter_mut().for_each(|query| query.0 = "_all");
            queries.dedup();
        } else {
            add(&mut found, wire::items(reply)?);
        }
        match searched(api.clone(), queries, found.clone(), Arc::clone(&then)) {
            Some(next) => Ok(Step::Then(next)),
            None => then(found),
        }
    });
    Some(exchange.accepting(UNKNOWN))
}

fn add(found: &mut Vec<Shown>, more: Vec<Shown>) {
    for one in more {
        if found.iter().all(|other| other.id != one.id) {
            found.push(one);
        }
    }
}

/// "Contacts: List contacts" \[V\]: the newest, of which this list knows at once.
fn newest<T>(api: &Api, then: impl Fn(Vec<Shown>) -> Result<Step<T>, Failure> + Send + Sync + 'static) -> Exchange<T> {
    api.to(Request::get("contact.list", path(["contacts"])))
        .query("sortBy", "-createdTime")
        .query("limit", PER_PAGE)
        .then(move |reply| then(wire::items(reply)?))
}

/// Looks whether contacts that a search found are still there: it goes on finding those in the recycle bin. "Contacts:
/// Get contact" \[V\].
fn checked<T: 'static>(api: Api, mut unsure: Vec<Shown>, sure: Vec<Shown>, then: Then<T>) -> Result<Step<T>, Failure> {
    if unsure.is_empty() {
        return then(sure);
    }
    let id = unsure.remove(0).id.0;
    let exchange = api.to(Request::get("contact.show", path(["contacts", &id]))).then(move |reply| {
        let mut sure = sure.clone();
        if !GONE.contains(&reply.status) {
            let shown: Shown = reply.json()?;
            if !shown.is_gone() {
                sure.push(shown);
            }
        }
        checked(api.clone(), unsure.clone(), sure, Arc::clone(&then))
    });
    Ok(Step::Then(exchange.accepting(GONE)))
}

fn contacts(shown: Vec<Shown>) -> Vec<Contact> {
    shown.into_iter().filter(|one| !one.is_gone()).map(Contact::from).collect()
}

/// The fewest questions that find all writings: one that others end with finds those too.
fn queries(writings: &[String]) -> Queries {
    let shortest = writings.iter().filter(|one| {
        !one.is_empty()
            && !writings.iter().any(|other| other != *one && !other.is_empty() && one.ends_with(other.as_str()))
    });
    let mut queries: Queries = Vec::new();
    for one in shortest {
        let longer = writings.iter().any(|other| other != one && other.ends_with(one.as_str()));
        let value = if longer { format!("*{one}") } else { one.clone() };
        for criterion in ["phone", "mobile"] {
            if !queries.contains(&(criterion, value.clone())) {
                queries.push((criterion, value.clone()));
            }
        }
    }
    queries
}

impl ZohoDesk {
    /// Contacts under one of the writings: the newest, and of those the search finds, who is still there.
    fn under<T: 'static>(&self, writings: &[String], then: Then<T>) -> Exchange<T> {
        let (api, writings) = (self.api.clone(), writings.to_vec());
        let wanted = queries(&writings);
        newest(&self.api, move |listed| {
            let writings = writings.clone();
            let his = move |one: &Shown| one.numbers().any(|number| writings.contains(number));
            let sure: Vec<Shown> = listed.into_iter().filter(&his).collect();
            let (inner, known, then) = (api.clone(), sure.clone(), Arc::clone(&then));
            let end = Arc::clone(&then);
            let look: Then<T> = Arc::new(move |found| {
                let new = |one: &Shown| his(one) && known.iter().all(|other| other.id != one.id);
                let unsure = found.into_iter().filter(new).take(LOOKED_AT).collect();
                checked(inner.clone(), unsure, known.clone(), Arc::clone(&then))
            });
            match searched(api.clone(), wanted.clone(), Vec::new(), look) {
                Some(search) => Ok(Step::Then(search)),
                None => end(sure),
            }
        })
    }

    /// "Contacts: Create contact" \[V\]: only the last name is mandatory.
    fn new_contact(&self, contact: &NewContact) -> Exchange<Contact> {
        let mut fields = Map::from_iter([("lastName".to_owned(), Value::from(last_name(contact)))]);
        if let Some(number) = &contact.number {
            fields.insert("phone".to_owned(), Value::from(number.e164.as_str()));
        }
        let taken = contact.number.as_ref().map(|number| {
            let there_already: Then<Contact> = Arc::new(|found: Vec<Shown>| {
                let conflict = || {
                    Failure::new(Kind::Conflict, Retry::Never).code("INVALID_DATA").because(
                        "another contact has the caller's number, perhaps one in the recycle bin; restore that one, \
                         or delete it forever",
                    )
                };
                Ok(Step::Done(contacts(found).into_iter().next().ok_or_else(conflict)?))
            });
            self.under(&crate::MANIFEST.phone.iter().map(|as_| number.render(*as_)).collect::<Vec<_>>(), there_already)
        });
        self.api
            .to(Request::post("contact.create", path(["contacts"])).json(self.defaults.under("contact", fields).into()))
            .then(move |reply| {
                if !UNKNOWN.contains(&reply.status) {
                    return Ok(Step::Done(reply.json::<Shown>()?.into()));
                }
                // Where numbers are unique, the caller's own contact may be the one in the way.
                let number = |error: &errors::FieldError| {
                    error.kind == "duplicate" && ["phone", "mobile"].contains(&error.field.as_str())
                };
                match &taken {
                    Some(taken) if errors::field_errors(reply).iter().any(number) => Ok(Step::Then(taken.clone())),
                    _ => Err(errors::classify(reply, On::Contact)),
                }
            })
            .accepting(UNKNOWN)
    }
}

fn last_name(contact: &NewContact) -> String {
    let name: String = contact.name.chars().take(NAME_CHARS).collect();
    if name.trim().is_empty() { NOBODY.to_owned() } else { name }
}

impl Contacts for ZohoDesk {
    /// Wildcards find a number in the middle of what somebody wrote; written in two halves it is asked for apart, when
    /// the first questions found nobody.
    fn search(&self, number: &PhoneNumber) -> Option<Exchange<Vec<Contact>>> {
        let national = format!("*{}*", number.national);
        let halves = (number.national.len() == 10 && number.national.is_ascii())
            .then(|| format!("*{} {}*", &number.national[..5], &number.national[5..]));
        let (api, number) = (self.api.clone(), number.clone());
        let then: Then<Vec<Contact>> = Arc::new(move |found| {
            let his = |one: &Shown| one.numbers().any(|stored| number.matches(stored));
            if found.iter().any(his) {
                return Ok(Step::Done(contacts(found)));
            }
            let last: Then<Vec<Contact>> = Arc::new(|found| Ok(Step::Done(contacts(found))));
            let halves: Queries = halves.iter().map(|halves| ("_all", halves.clone())).collect();
            Ok(searched(api.clone(), halves, Vec::new(), last).map_or(Step::Done(Vec::new()), Step::Then))
        });
        searched(self.api.clone(), vec![("phone", national.clone()), ("mobile", national)], Vec::new(), then)
    }

    fn find(&self, writings: &[String]) -> Exchange<Vec<Contact>> {
        self.under(writings, Arc::new(|found| Ok(Step::Done(contacts(found)))))
    }

    /// Who withheld his number is one contact by his name, for he has nothing else: he is looked for before. A number
    /// has been looked for by the core, and Zoho Desk keeps no second contact out unless an administrator says so.
    fn create(&self, contact: &NewContact) -> Exchange<Contact> {
        let new = self.new_contact(contact);
        if contact.number.is_some() {
            return new;
        }
        let name = last_name(contact);
        let query = name.clone();
        let his = move |one: &Shown| {
            one.last_name.as_deref() == Some(name.as_str())
                && one.numbers().next().is_none()
                && [&one.first_name, &one.email].into_iter().flatten().all(String::is_empty)
        };
        let api = self.api.clone();
        newest(&self.api, move |listed| {
            if let Some(there) = listed.into_iter().find(&his) {
                return Ok(Step::Done(there.into()));
            }
            let (inner, his, end) = (api.clone(), his.clone(), new.clone());
            let look: Then<Contact> = Arc::new(move |found| {
                let unsure = found.into_iter().filter(&his).take(LOOKED_AT).collect();
                let new = end.clone();
                let take: Then<Contact> = Arc::new(move |sure| match contacts(sure).into_iter().next() {
                    Some(there) => Ok(Step::Done(there)),
                    None => Ok(Step::Then(new.clone())),
                });
                checked(inner.clone(), unsure, Vec::new(), take)
            });
            Ok(Step::Then(
                searched(api.clone(), vec![("lastName", query.clone())], Vec::new(), look)
                    .unwrap_or_else(|| new.clone()),
            ))
        })
    }

    /// None: contacts have no field for it.
    fn find_created(&self, _: &str) -> Option<Exchange<Option<Contact>>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_question_covers_all_writings_that_end_alike() {
        let asked = |writings: &[&str]| {
            let writings: Vec<String> = writings.iter().map(|&one| one.to_owned()).collect();
            queries(&writings).into_iter().map(|(by, value)| format!("{by}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(asked(&["+919876543210", "9876543210", "09876543210"]), ["phone=*9876543210", "mobile=*9876543210"]);
        assert_eq!(asked(&["1", "2", "2", ""]), ["phone=1", "mobile=1", "phone=2", "mobile=2"]);
        assert_eq!(asked(&[""]), [""; 0]);
    }
}
