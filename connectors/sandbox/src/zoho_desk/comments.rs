//! Comments on tickets: private ones are where Patchbay writes recordings (§6.2.d; `[S]` TicketComment.json).

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Comment, ZohoDesk,
    fields::Fields,
    query::{Page, only, sorting, time},
    refusal::{Answer, Refusal},
};
use crate::{Reply, Request};

const CONTENT_CHARS_MAX: usize = 32_000;

impl ZohoDesk {
    /// Adds a comment that an agent wrote in the browser: the API cannot edit it.
    pub fn add_comment(&mut self, ticket: u64, html: &str, public: bool, now: Timestamp) -> u64 {
        self.insert_comment(Comment {
            id: 0,
            ticket_id: ticket,
            content: html.to_owned(),
            content_type: "html".to_owned(),
            public,
            own: false,
            commented_at: now,
            modified_at: None,
        })
    }

    fn insert_comment(&mut self, comment: Comment) -> u64 {
        let id = self.next_comment;
        self.next_comment += 1;
        self.comments.insert(id, Comment { id, ..comment });
        id
    }

    /// The comments of a ticket, oldest first.
    pub fn comments_of(&self, ticket: u64) -> impl DoubleEndedIterator<Item = &Comment> {
        self.comments.values().filter(move |comment| comment.ticket_id == ticket)
    }

    /// One comment.
    pub fn comment(&self, id: u64) -> Option<&Comment> {
        self.comments.get(&id)
    }

    fn shown_comment(&self, comment: &Comment) -> Value {
        json!({
            "id": comment.id.to_string(),
            "content": comment.content,
            "encodedContent": null,
            "contentType": comment.content_type,
            "isPublic": comment.public,
            "commentedTime": time(&self.settings, comment.commented_at),
            "modifiedTime": comment.modified_at.map(|at| time(&self.settings, at)),
            "attachments": [],
            "impersonatedUser": null,
            "commenterId": self.agents.keys().next().map(u64::to_string),
            "commenter": {"name": "Patchbay", "type": "AGENT", "roleName": "Support Administrator"},
        })
    }

    fn live_comment(&self, ticket: u64, id: u64) -> Result<&Comment, Refusal> {
        self.live_ticket(ticket)?;
        self.comments.get(&id).filter(|comment| comment.ticket_id == ticket).ok_or_else(Refusal::not_found)
    }

    pub(super) fn list_comments(&self, ticket: u64, request: &Request) -> Answer {
        self.live_ticket(ticket)?;
        let page = Page::of(request, &self.settings, 50, 100, &["sortBy", "include"])?;
        let (_, down) = sorting(request, &["commentedTime"])?;
        let mut listed: Vec<&Comment> = self.comments_of(ticket).collect();
        listed.sort_by_key(|comment| comment.commented_at);
        if down {
            listed.reverse();
        }
        page.cut(&self.settings, listed.into_iter().map(|comment| self.shown_comment(comment)))
    }

    pub(super) fn show_comment(&self, request: &Request, ticket: u64, id: u64) -> Answer {
        only(request, &["include"])?;
        Ok(Reply::json(StatusCode::OK, &self.shown_comment(self.live_comment(ticket, id)?)))
    }

    pub(super) fn create_comment(&mut self, ticket: u64, request: &Request, now: Timestamp) -> Answer {
        only(request, &[])?;
        self.live_ticket(ticket)?;
        let mut fields = Fields::of(request, &["content", "contentType", "isPublic", "attachmentIds"])?;
        let content = fields.mandatory("content", true, CONTENT_CHARS_MAX).unwrap_or_default();
        let public = fields.boolean("isPublic").flatten();
        let kind = content_type(&mut fields);
        fields.finish()?;
        let id = self.insert_comment(Comment {
            id: 0,
            ticket_id: ticket,
            content,
            content_type: kind.unwrap_or_else(|| "html".to_owned()),
            // Said or not, an unnamed comment is taken to be seen by the customer: the strict reading [M].
            public: public.unwrap_or(true),
            own: true,
            commented_at: now,
            modified_at: None,
        });
        self.tickets.change(ticket, now, self.settings.contact_tickets_lag, |ticket| ticket.modified_at = now);
        Ok(Reply::json(StatusCode::OK, &self.shown_comment(self.live_comment(ticket, id)?)))
    }

    pub(super) fn update_comment(&mut self, ticket: u64, id: u64, request: &Request, now: Timestamp) -> Answer {
        only(request, &[])?;
        if !self.live_comment(ticket, id)?.own {
            return Err(Refusal::of_status(StatusCode::FORBIDDEN));
        }
        let mut fields = Fields::of(request, &["content", "contentType", "isPublic", "attachmentIds"])?;
        let content = fields.mandatory("content", true, CONTENT_CHARS_MAX);
        let public = fields.boolean("isPublic").flatten();
        let kind = content_type(&mut fields);
        fields.finish()?;
        if let Some(comment) = self.comments.get_mut(&id) {
            comment.content = content.unwrap_or_default();
            comment.public = public.unwrap_or(comment.public);
            comment.content_type = kind.unwrap_or_else(|| std::mem::take(&mut comment.content_type));
            comment.modified_at = Some(now);
        }
        Ok(Reply::json(StatusCode::OK, &self.shown_comment(self.live_comment(ticket, id)?)))
    }
}

fn content_type(fields: &mut Fields) -> Option<String> {
    let kind = fields.text("contentType", 20).flatten()?;
    if !["html", "plainText"].contains(&kind.as_str()) {
        fields.wrong("contentType", "invalid");
    }
    Some(kind)
}
