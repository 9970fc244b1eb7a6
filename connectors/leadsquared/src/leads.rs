//! Callers: leads, found by their number without any index between, and unique by it.

use patchbay_kit::{
    Contact, Contacts, Exchange, Failure, NewContact, PhoneNumber, RecordRef, Rendering, Request, Response, Safety,
    Step,
};
use serde_json::{Value, json};

use crate::{LeadSquared, REFUSED, defaults, errors, v2};

/// Characters of a lead's text fields: 200 is what a new one has \[M\].
const FIELD_CHARS: usize = 200;
/// A standard field that Patchbay uses for what a caller without a number is known by.
const EXTERNAL_ID: &str = "SourceContent";
const COLUMNS: &str = "ProspectID,FirstName,LastName,Phone,Mobile,OwnerId,ModifiedOn,SourceContent";

/// A lead as it is shown: one object, or, from some APIs, a list of attributes ("Get Leads by ..." \[V\], \[C\]).
struct Shown(Value);

impl Shown {
    fn text(&self, field: &str) -> Option<&str> {
        let flat = self.0.get(field);
        let listed = || {
            let attributes = self.0.get("LeadPropertyList")?.as_array()?;
            let is = |one: &&Value| one.get("Attribute").and_then(Value::as_str) == Some(field);
            attributes.iter().find(is)?.get("Value")
        };
        flat.or_else(listed)?.as_str().filter(|text| !text.is_empty())
    }

    fn contact(&self) -> Option<Contact> {
        let name: Vec<&str> = ["FirstName", "LastName"].iter().filter_map(|field| self.text(field)).collect();
        Some(Contact {
            at: RecordRef::new("lead", self.text("ProspectID")?),
            name: name.join(" "),
            numbers: ["Phone", "Mobile"].iter().filter_map(|field| self.text(field)).map(str::to_owned).collect(),
            // A time in a form nobody expected is no reason to lose the lead: it only ranks several matches.
            updated_at: self.text("ModifiedOn").and_then(|at| format!("{}Z", at.replacen(' ', "T", 1)).parse().ok()),
            owner: self.text("OwnerId").map(|id| RecordRef::new("agent", id)),
        })
    }
}

/// The leads of a reply: a list, or a list inside an object.
fn read(reply: &Response) -> Result<Vec<Shown>, Failure> {
    errors::inside(reply)?;
    let leads: Vec<Value> = match reply.json()? {
        Value::Object(mut page) if page.contains_key("RecordCount") => {
            page.remove("Leads").map_or_else(|| Ok(Vec::new()), serde_json::from_value).unwrap_or_default()
        }
        _ => reply.json()?,
    };
    Ok(leads.into_iter().map(Shown).collect())
}

/// "Get a Lead by Phone Number" \[V\]: the fields Phone and Mobile; of several leads, the one with the latest activity.
fn by_number(writing: &str) -> Request {
    Request::get("lead.find", v2(["LeadManagement.svc", "RetrieveLeadByPhoneNumber"])).query("phone", writing)
}

fn found(reply: &Response) -> Result<Vec<Contact>, Failure> {
    Ok(read(reply)?.iter().filter_map(Shown::contact).collect())
}

/// The lead that keeps a new one out, by each writing in turn; nobody if it is not found by any.
fn there_already(number: PhoneNumber, mut writings: Vec<Rendering>, refusal: Failure) -> Exchange<Contact> {
    let writing = writings.pop().unwrap_or(Rendering::National);
    by_number(&number.render(writing)).then(move |reply| {
        let mut his = found(reply)?.into_iter().filter(|one| one.numbers.iter().any(|stored| number.matches(stored)));
        match his.next() {
            Some(lead) => Ok(Step::Done(lead)),
            None if writings.is_empty() => Err(refusal.clone()),
            None => Ok(Step::Then(there_already(number.clone(), writings.clone(), refusal.clone()))),
        }
    })
}

fn cut(text: &str) -> String {
    text.chars().take(FIELD_CHARS).collect()
}

impl Contacts for LeadSquared {
    /// None: the quick search goes by text through an index, and the search by number is exact and at once.
    fn search(&self, _number: &PhoneNumber) -> Option<Exchange<Vec<Contact>>> {
        None
    }

    fn find(&self, writings: &[String]) -> Exchange<Vec<Contact>> {
        by_number(writings.first().map_or("", String::as_str)).done(found)
    }

    /// "Create a Lead" \[V\] and not the upsert beside it: that would write the caller's number over the name of a lead
    /// which no search had found. `Phone` is unique unless an administrator has changed that.
    fn create(&self, contact: &NewContact) -> Exchange<Contact> {
        let (name, external_id) = (cut(&contact.name), cut(&contact.external_id));
        let number = contact.number.clone();
        let phone = number.as_ref().map(|number| number.render(Rendering::Hyphenated));
        let mut attributes = vec![("FirstName", name.as_str()), (EXTERNAL_ID, external_id.as_str())];
        attributes.extend(phone.as_deref().map(|phone| ("Phone", phone)));
        Request::post("lead.create", v2(["LeadManagement.svc", "Lead.Create"]))
            .json(defaults::lead(&self.defaults, &attributes))
            .then(move |reply| {
                if errors::is_duplicate(reply)
                    && let Some(number) = &number
                {
                    let writings = vec![Rendering::E164, Rendering::Hyphenated, Rendering::National];
                    return Ok(Step::Then(there_already(number.clone(), writings, errors::classify(reply))));
                }
                errors::inside(reply)?;
                Ok(Step::Done(Contact {
                    at: RecordRef::new("lead", made(reply)?),
                    name: name.clone(),
                    numbers: phone.clone().into_iter().collect(),
                    updated_at: None,
                    owner: None,
                }))
            })
            .accepting(REFUSED)
    }

    /// "Get Leads by search criteria" \[V\]. That it knows a lead at once is not documented; for callers with a number it is
    /// not relied on, as `Phone` keeps a second lead out.
    fn find_created(&self, external_id: &str) -> Option<Exchange<Option<Contact>>> {
        let external_id = cut(external_id);
        let request =
            Request::post("lead.lookup", v2(["LeadManagement.svc", "Leads.Get"])).safety(Safety::Read).json(json!({
                "Parameter": { "LookupName": EXTERNAL_ID, "LookupValue": external_id, "SqlOperator": "=" },
                "Columns": { "Include_CSV": COLUMNS },
                "Paging": { "PageIndex": 1, "PageSize": 10 },
            }));
        Some(request.done(move |reply| {
            let leads = read(reply)?;
            Ok(leads.iter().filter(|lead| lead.text(EXTERNAL_ID) == Some(&external_id)).find_map(Shown::contact))
        }))
    }
}

/// The id in `{"Status":"Success","Message":{"Id":"…"}}`.
pub(crate) fn made(reply: &Response) -> Result<String, Failure> {
    #[derive(serde::Deserialize)]
    struct Made {
        #[serde(rename = "Message")]
        message: Message,
    }
    #[derive(serde::Deserialize)]
    struct Message {
        #[serde(rename = "Id")]
        id: String,
    }
    Ok(reply.json::<Made>()?.message.id)
}
