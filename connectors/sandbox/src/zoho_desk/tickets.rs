//! Tickets: created for a contact and a department, listed newest first without any lag (§6.2.d; `[S]` Ticket.json).

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    Ticket, Trash, ZohoDesk,
    fields::{Fields, Given},
    model::SEEDED_AT,
    query::{Page, invalid, only, sorting, time},
    refusal::{Answer, Refusal},
};
use crate::{Reply, Request};

/// The ticket's fields that can be written.
const WRITABLE: &[&str] = &[
    "subject",
    "departmentId",
    "contactId",
    "assigneeId",
    "description",
    "status",
    "channel",
    "phone",
    "cf",
    "email",
    "priority",
    "category",
    "subCategory",
    "classification",
    "language",
    "productId",
    "dueDate",
    "teamId",
    "resolution",
    "secondaryContacts",
];
/// Of these, those that are kept as they come.
const KEPT: &[&str] = &[
    "email",
    "priority",
    "category",
    "subCategory",
    "classification",
    "language",
    "productId",
    "dueDate",
    "teamId",
    "resolution",
    "secondaryContacts",
];
/// What a list shows of the kept ones.
const LISTED: &[&str] = &["email", "priority", "category", "subCategory", "language", "productId", "dueDate", "teamId"];
const SUBJECT_CHARS_MAX: usize = 1000;
const DESCRIPTION_CHARS_MAX: usize = 65_535;

/// A ticket's writable values as a body gives them.
struct Change {
    subject: Option<String>,
    department_id: Option<u64>,
    contact_id: Option<u64>,
    assignee_id: Given<u64>,
    description: Given<String>,
    status: Option<String>,
    channel: Given<String>,
    phone: Given<String>,
    more: Map<String, Value>,
    cf: Map<String, Value>,
}

impl Change {
    fn apply(self, ticket: &mut Ticket, now: Timestamp) {
        let Self { subject, department_id, contact_id, assignee_id, description, status, channel, phone, .. } = self;
        ticket.subject = subject.unwrap_or_else(|| std::mem::take(&mut ticket.subject));
        ticket.department_id = department_id.unwrap_or(ticket.department_id);
        ticket.contact_id = contact_id.unwrap_or(ticket.contact_id);
        ticket.assignee_id = assignee_id.unwrap_or(ticket.assignee_id);
        ticket.status = status.unwrap_or_else(|| std::mem::take(&mut ticket.status));
        for (field, given) in
            [(&mut ticket.description, description), (&mut ticket.channel, channel), (&mut ticket.phone, phone)]
        {
            if let Some(value) = given {
                *field = value;
            }
        }
        ticket.more.extend(self.more);
        ticket.cf.extend(self.cf);
        ticket.modified_at = now;
    }
}

impl ZohoDesk {
    /// Adds a ticket that has been there for long, made by hand. Nothing is checked.
    pub fn add_ticket_with(&mut self, contact: u64, fill: impl FnOnce(&mut Ticket)) -> u64 {
        let mut ticket = Ticket::new(contact, Self::DEPARTMENT_ID, SEEDED_AT);
        ticket.number = self.tickets.len() as u64 + 101;
        fill(&mut ticket);
        self.tickets.insert(ticket, Timestamp::MIN)
    }

    /// Alters a ticket as a person does in the browser.
    pub fn change_ticket(&mut self, id: u64, now: Timestamp, change: impl FnOnce(&mut Ticket)) {
        self.tickets.change(id, now, self.settings.contact_tickets_lag, |ticket| {
            change(ticket);
            ticket.modified_at = now;
        });
    }

    /// All tickets by id, which is the order of creation; those in the recycle bin too.
    pub fn tickets(&self) -> impl DoubleEndedIterator<Item = &Ticket> {
        self.tickets.iter()
    }

    /// One ticket, in the recycle bin or not.
    pub fn ticket(&self, id: u64) -> Option<&Ticket> {
        self.tickets.get(id)
    }

    /// A ticket that can be written and commented on.
    pub(super) fn live_ticket(&self, id: u64) -> Result<&Ticket, Refusal> {
        let ticket = self.tickets.get(id).ok_or_else(Refusal::not_found)?;
        match (ticket.trashed, self.settings.trash) {
            (false, _) => Ok(ticket),
            (true, Trash::Hidden) => Err(Refusal::not_found()),
            (true, Trash::Shown) => Err(Refusal::unprocessable("The ticket is in the recycle bin.")),
        }
    }

    fn listed_ticket(&self, ticket: &Ticket) -> Value {
        let comments = self.comments_of(ticket.id).count();
        let mut shown = json!({
            "id": ticket.id.to_string(),
            "ticketNumber": ticket.number.to_string(),
            "subject": ticket.subject,
            "status": ticket.status,
            "statusType": self.settings.statuses.get(&ticket.status).copied().unwrap_or("Open"),
            "departmentId": ticket.department_id.to_string(),
            "contactId": ticket.contact_id.to_string(),
            "assigneeId": ticket.assignee_id.map(|id| id.to_string()),
            "channel": ticket.channel,
            "phone": ticket.phone,
            "createdTime": time(&self.settings, ticket.created_at),
            "commentCount": comments.to_string(),
            "threadCount": "1",
            "isArchived": false,
            "isSpam": false,
            "closedTime": null,
            "lastThread": null,
            "webUrl": format!("https://desk.example.com/agent/acme/tickets/details/{}", ticket.id),
        });
        for field in LISTED {
            shown[*field] = ticket.more.get(*field).cloned().unwrap_or_default();
        }
        shown
    }

    fn whole_ticket(&self, ticket: &Ticket) -> Value {
        let mut shown = self.listed_ticket(ticket);
        for (field, value) in &ticket.more {
            shown[field] = value.clone();
        }
        shown["description"] = ticket.description.clone().into();
        shown["cf"] = Value::Object(ticket.cf.clone());
        shown["modifiedTime"] = time(&self.settings, ticket.modified_at);
        shown["isTrashed"] = ticket.trashed.into();
        shown["isDeleted"] = false.into();
        shown
    }

    pub(super) fn show_ticket(&self, request: &Request, id: u64) -> Answer {
        only(request, &["include"])?;
        let ticket = self.tickets.get(id).ok_or_else(Refusal::not_found)?;
        if ticket.trashed && self.settings.trash == Trash::Hidden {
            return Err(Refusal::not_found());
        }
        Ok(Reply::json(StatusCode::OK, &self.whole_ticket(ticket)))
    }

    pub(super) fn list_tickets_of(&self, contact: u64, request: &Request, now: Timestamp) -> Answer {
        self.live_contact(contact).ok_or_else(Refusal::not_found)?;
        let page = Page::of(request, &self.settings, 25, 100, &["include", "departmentId", "sortBy", "isSpam"])?;
        let (by, down) = sorting(request, &["createdTime", "modifiedTime"])?;
        let department = department(request)?;
        let indexed = self.tickets.as_indexed(now, self.settings.contact_tickets_lag);
        let mut listed: Vec<&Ticket> = indexed
            .filter(|ticket| {
                ticket.contact_id == contact
                    && !ticket.trashed
                    && department.is_none_or(|department| ticket.department_id == department)
            })
            .collect();
        listed.sort_by_key(|ticket| if by == "modifiedTime" { ticket.modified_at } else { ticket.created_at });
        if down {
            listed.reverse();
        }
        page.cut(&self.settings, listed.into_iter().map(|ticket| self.listed_ticket(ticket)))
    }

    pub(super) fn list_tickets(&self, request: &Request) -> Answer {
        let known =
            ["include", "departmentId", "departmentIds", "sortBy", "channel", "status", "assignee", "fields", "viewId"];
        let page = Page::of(request, &self.settings, 25, 100, &known)?;
        let (_, down) = sorting(request, &["createdTime", "dueDate", "recentThread"])?;
        let department = department(request)?;
        let one_of = |filter: &str, value: &str| {
            request.param(filter).is_none_or(|wanted| wanted.split(',').any(|wanted| wanted == value))
        };
        let mut listed: Vec<&Ticket> = self
            .tickets
            .iter()
            .filter(|ticket| {
                !ticket.trashed
                    && department.is_none_or(|department| ticket.department_id == department)
                    && one_of("status", &ticket.status)
                    && one_of("channel", ticket.channel.as_deref().unwrap_or_default())
            })
            .collect();
        listed.sort_by_key(|ticket| ticket.created_at);
        if down {
            listed.reverse();
        }
        page.cut(&self.settings, listed.into_iter().map(|ticket| self.listed_ticket(ticket)))
    }

    pub(super) fn create_ticket(&mut self, request: &Request, now: Timestamp) -> Answer {
        only(request, &[])?;
        let change = self.read_ticket(request, None)?;
        let mut ticket = Ticket::new(0, Self::DEPARTMENT_ID, now);
        change.apply(&mut ticket, now);
        ticket.number = self.tickets.len() as u64 + 101;
        ticket.by_api = true;
        let id = self.tickets.insert(ticket, now);
        let ticket = self.tickets.get(id).ok_or_else(Refusal::not_found)?;
        Ok(Reply::json(StatusCode::OK, &self.whole_ticket(ticket)))
    }

    pub(super) fn update_ticket(&mut self, id: u64, request: &Request, now: Timestamp) -> Answer {
        only(request, &["disableClosureNotification"])?;
        let mut changed = self.live_ticket(id)?.clone();
        self.read_ticket(request, Some(&changed))?.apply(&mut changed, now);
        self.tickets.change(id, now, self.settings.contact_tickets_lag, |ticket| *ticket = changed.clone());
        Ok(Reply::json(StatusCode::OK, &self.whole_ticket(&changed)))
    }

    fn read_ticket(&self, request: &Request, was: Option<&Ticket>) -> Result<Change, Refusal> {
        let mut fields = Fields::of(request, WRITABLE)?;
        let mut change = Change {
            subject: fields.mandatory("subject", was.is_none(), SUBJECT_CHARS_MAX),
            department_id: fields.id("departmentId").flatten(),
            contact_id: fields.id("contactId").flatten(),
            assignee_id: fields.id("assigneeId"),
            description: fields.text("description", DESCRIPTION_CHARS_MAX),
            status: fields.text("status", 120).flatten(),
            channel: fields.text("channel", 120),
            phone: fields.number("phone", 120),
            more: fields.rest(KEPT),
            cf: fields.custom(|name| self.ticket_fields.contains_key(name)),
        };
        if was.is_none() {
            for (name, given) in [("departmentId", change.department_id), ("contactId", change.contact_id)] {
                if given.is_none() {
                    fields.wrong(name, "missing");
                }
            }
            for name in self.ticket_fields.iter().filter(|(_, mandatory)| **mandatory).map(|(name, _)| name) {
                if change.cf.get(name).is_none_or(Value::is_null) {
                    fields.wrong(&format!("cf/{name}"), "missing");
                }
            }
        }
        if change.department_id.is_some_and(|id| !self.departments.contains_key(&id)) {
            fields.wrong("departmentId", "invalid");
        }
        if change.contact_id.is_some_and(|id| self.live_contact(id).is_none()) {
            fields.wrong("contactId", "invalid");
        }
        let department = change.department_id.or(was.map(|was| was.department_id)).unwrap_or_default();
        if change.assignee_id.flatten().is_some_and(|id| !self.can_be_assigned(id, department)) {
            fields.wrong("assigneeId", "invalid");
        }
        if change.status.as_ref().is_some_and(|status| !self.settings.statuses.contains_key(status)) {
            fields.wrong("status", "invalid");
        }
        if change.channel.iter().flatten().any(|channel| !self.settings.channels.contains(channel)) {
            fields.wrong("channel", "invalid");
        }
        fields.finish()?;
        // A blank description is none.
        if let Some(Some(text)) = &change.description
            && text.is_empty()
        {
            change.description = Some(None);
        }
        Ok(change)
    }
}

fn department(request: &Request) -> Result<Option<u64>, Refusal> {
    match request.param("departmentId") {
        None | Some("allDepartment") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| invalid("departmentId")),
    }
}
