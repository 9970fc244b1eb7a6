//! Callers: contacts, and leads in the classic product, found by the exact string of a number and made by upsert.

use patchbay_kit::{
    Contact, Contacts, Exchange, Failure, NewContact, Owner, Owners, PhoneNumber, RecordRef, Rendering, Request,
    Response, Safety, Step,
};
use serde_json::{Map, Value, json};

use crate::{Freshsales, Person, agents, id_in, unreadable};

/// The fields that hold numbers, likeliest first.
const FIELDS: [&str; 2] = ["mobile_number", "work_number"];

impl Freshsales {
    /// "Freshsales API, Search: Lookup" \[V\]: one field, one exact string.
    fn lookup(&self, label: &'static str, field: &str, value: &str) -> Request {
        let entities = if self.config.classic { "contact,lead" } else { "contact" };
        Request::get(label, self.path(["lookup"])).query("q", value).query("f", field).query("entities", entities)
    }
}

/// The people in a lookup's reply: `{"contacts":{"contacts":[…]}}` \[C\].
fn people(reply: &Response) -> Result<Vec<Contact>, Failure> {
    let body: Value = reply.json()?;
    let mut found = Vec::new();
    let mut told = false;
    for person in [Person::CONTACT, Person::LEAD] {
        let Some(of) = body.get(person.plural) else { continue };
        let list = of.get(person.plural).unwrap_or(of).as_array();
        told |= list.is_some();
        found.extend(list.into_iter().flatten().filter_map(|one| read(person, one)));
    }
    if told { Ok(found) } else { Err(unreadable("list of contacts")) }
}

fn read(person: Person, one: &Value) -> Option<Contact> {
    let text = |key: &str| one.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    if one.get("is_deleted").and_then(Value::as_bool) == Some(true) {
        return None;
    }
    let named = || [text("first_name"), text("last_name")].into_iter().flatten().collect::<Vec<_>>().join(" ");
    Some(Contact {
        at: RecordRef::new(person.lower, id_in(one.get("id"))?),
        name: text("display_name").map_or_else(named, str::to_owned),
        numbers: FIELDS.into_iter().filter_map(text).map(str::to_owned).collect(),
        // A time in a form nobody expected is no reason to lose the contact: it only ranks several matches.
        updated_at: text("updated_at").and_then(|at| at.parse().ok()),
        owner: id_in(one.get("owner_id")).map(|id| RecordRef::new("agent", id)),
    })
}

impl Contacts for Freshsales {
    /// None: the search over all texts (`/search`) shows no numbers in its results \[C\], so a hit proves nothing.
    fn search(&self, _: &PhoneNumber) -> Option<Exchange<Vec<Contact>>> {
        None
    }

    /// Two questions, there is no "or".
    fn find(&self, writings: &[String]) -> Exchange<Vec<Contact>> {
        let number = writings.first().cloned().unwrap_or_default();
        let by_work = self.lookup("contact.find", FIELDS[1], &number);
        self.lookup("contact.find", FIELDS[0], &number).then(move |reply| {
            let by_mobile = people(reply)?;
            Ok(Step::Then(by_work.clone().done(move |reply| {
                let mut found = by_mobile.clone();
                for one in people(reply)? {
                    if found.iter().all(|other| other.at != one.at) {
                        found.push(one);
                    }
                }
                Ok(found)
            })))
        })
    }

    /// "Freshsales API, Contacts: Upsert a contact" \[V\]: whoever has the identifier is changed, so a repetition leaves what
    /// the first left. A caller without a number goes by an id of his own.
    fn create(&self, contact: &NewContact) -> Exchange<Contact> {
        let mut caller = Map::from_iter([("last_name".to_owned(), Value::from(contact.name.as_str()))]);
        let identifier = match &contact.number {
            Some(number) => {
                let written = self.config.written(number);
                caller.insert("mobile_number".to_owned(), Value::from(written.as_str()));
                json!({"mobile_number": written})
            }
            None => {
                caller.insert("external_id".to_owned(), Value::from(contact.external_id.as_str()));
                json!({"external_id": contact.external_id})
            }
        };
        let fields = self.config.contact(contact.number.as_ref(), caller);
        Request::post("contact.upsert", self.path(["contacts", "upsert"]))
            .safety(Safety::Idempotent)
            .json(json!({"unique_identifier": identifier, "contact": fields}))
            .done(|reply| {
                let body: Value = reply.json()?;
                let shown = body.get("contact").unwrap_or(&body);
                read(Person::CONTACT, shown).ok_or_else(|| unreadable("contact"))
            })
    }

    /// None: an upsert needs no looking back.
    fn find_created(&self, _: &str) -> Option<Exchange<Option<Contact>>> {
        None
    }
}

impl Owners for Freshsales {
    /// The owner of the contact with this mobile number, who comes along with the lookup (`include=owner` \[C\]). In the
    /// writing Exotel asks for; the caller waits, so only one other is tried.
    fn of(&self, number: &PhoneNumber) -> Exchange<Option<Owner>> {
        let ask = |writing| self.lookup("owner.find", FIELDS[0], &number.render(writing)).query("include", "owner");
        let second = ask(Rendering::E164);
        let of = number.clone();
        ask(Rendering::National).then(move |reply| {
            let owner = owner(reply, &of)?;
            if owner.is_some() {
                return Ok(Step::Done(owner));
            }
            let of = of.clone();
            Ok(Step::Then(second.clone().done(move |reply| self::owner(reply, &of))))
        })
    }
}

fn owner(reply: &Response, number: &PhoneNumber) -> Result<Option<Owner>, Failure> {
    let found = people(reply)?;
    let his = found.iter().filter(|one| one.numbers.iter().any(|stored| number.matches(stored)));
    let Some(at) = his.filter_map(|one| one.owner.clone()).next() else { return Ok(None) };
    let body: Value = reply.json()?;
    let users = [body.get("users"), body.pointer("/contacts/users")].into_iter().flatten().find_map(Value::as_array);
    let user = users.into_iter().flatten().find(|user| id_in(user.get("id")).as_ref() == Some(&at.id));
    // Who is out of service answers no calls.
    if user.is_some_and(|user| user.get("is_active").and_then(Value::as_bool) == Some(false)) {
        return Ok(None);
    }
    Ok(Some(Owner { at: Some(at), numbers: user.map(agents::numbers).unwrap_or_default() }))
}
