//! Notes on tickets (`crm-api.md` §1.d): where Patchbay writes recording and duration.

use http::StatusCode;
use jiff::Timestamp;

use super::{
    Freshdesk,
    contacts::plausible_email,
    fields::Fields,
    model::Conversation,
    page::Page,
    refusal::{Answer, Refusal},
    text,
};
use crate::{Reply, Request};

const NOTE: u64 = 2;

impl Freshdesk {
    /// Adds a note that an agent wrote in the browser: the API key's owner cannot edit it.
    pub fn add_note(&mut self, ticket: u64, agent: u64, html: &str, now: Timestamp) -> u64 {
        self.insert_note(Conversation {
            id: 0,
            ticket_id: ticket,
            body: html.to_owned(),
            body_text: text::of_html(html),
            private: true,
            incoming: false,
            user_id: agent,
            source: NOTE,
            notify_emails: Vec::new(),
            own: false,
            created_at: now,
            updated_at: now,
        })
    }

    fn insert_note(&mut self, note: Conversation) -> u64 {
        let id = self.next_conversation;
        self.next_conversation += 1;
        let ticket = note.ticket_id;
        let (own, now) = (note.own, note.created_at);
        self.ticket_of_conversation.insert(id, ticket);
        self.conversations.entry(ticket).or_default().push(Conversation { id, ..note });
        // [M] A note touches its ticket, so that `updated_since` lists it.
        if own {
            self.change_ticket(ticket, now, |ticket| ticket.updated_at = now);
        }
        id
    }

    fn note(&self, id: u64) -> Result<&Conversation, Refusal> {
        let ticket = self.ticket_of_conversation.get(&id).ok_or(Refusal::NotFound)?;
        self.live_ticket(*ticket)?;
        self.conversations(*ticket).iter().find(|note| note.id == id).ok_or(Refusal::NotFound)
    }

    pub(super) fn create_note(&mut self, ticket: u64, request: &Request, now: Timestamp) -> Answer {
        self.live_ticket(ticket)?;
        let mut fields = Fields::of(request, &["body", "private", "incoming", "user_id", "notify_emails"])?;
        let body = fields.mandatory("body", true, usize::MAX);
        let private = fields.boolean("private").flatten();
        let incoming = fields.boolean("incoming").flatten();
        let user = fields.id("user_id").flatten();
        let notify_emails = fields.strings("notify_emails").unwrap_or_default();
        if notify_emails.iter().any(|email| !plausible_email(email)) {
            let message = "It should contain elements that are in the 'valid email address' format";
            fields.wrong("notify_emails", "invalid_value", message);
        }
        if user.is_some_and(|id| !self.is_active_agent(id) && self.live_contact(id).is_none()) {
            fields.wrong("user_id", "invalid_value", "There is no user matching the given user_id");
        }
        fields.finish()?;
        let body = body.unwrap_or_default();
        let id = self.insert_note(Conversation {
            id: 0,
            ticket_id: ticket,
            body_text: text::of_html(&body),
            body,
            private: private.unwrap_or(true),
            incoming: incoming.unwrap_or(false),
            user_id: user.unwrap_or(self.owner),
            source: NOTE,
            notify_emails,
            own: true,
            created_at: now,
            updated_at: now,
        });
        Ok(Reply::json(StatusCode::CREATED, self.note(id)?))
    }

    pub(super) fn list_conversations(&self, ticket: u64, request: &Request) -> Answer {
        self.live_ticket(ticket)?;
        Ok(Page::of(request, &[])?.cut(request, self.conversations(ticket).iter()))
    }

    pub(super) fn update_conversation(&mut self, id: u64, request: &Request, now: Timestamp) -> Answer {
        let note = self.note(id)?;
        if !note.own {
            return Err(Refusal::of_status(StatusCode::FORBIDDEN));
        }
        let ticket = note.ticket_id;
        let mut fields = Fields::of(request, &["body"])?;
        let body = fields.mandatory("body", true, usize::MAX);
        fields.finish()?;
        if let Some(note) = self.conversations.entry(ticket).or_default().iter_mut().find(|note| note.id == id) {
            note.body = body.unwrap_or_default();
            note.body_text = text::of_html(&note.body);
            note.updated_at = now;
        }
        Ok(Reply::json(StatusCode::OK, self.note(id)?))
    }
}
