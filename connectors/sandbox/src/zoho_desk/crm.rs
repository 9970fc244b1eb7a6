//! Zoho Desk in the terms all CRM sandboxes share: which tickets and which comments are calls.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use super::{Comment, Ticket, ZohoDesk};
use crate::{Crm, HeldContact, HeldRecord};

/// The CallSids a text names: the words that follow "CallSid", tags between them apart.
fn call_sids(html: &str) -> BTreeSet<String> {
    let mut in_tag = false;
    let plain: String = html
        .chars()
        .map(|c| {
            let tag = in_tag || c == '<';
            in_tag = tag && c != '>';
            if tag { ' ' } else { c }
        })
        .collect();
    plain
        .match_indices("CallSid")
        .filter_map(|(at, label)| {
            let behind = plain[at + label.len()..].trim_start_matches(|c: char| !c.is_alphanumeric());
            let word = behind.split(|c: char| !c.is_alphanumeric()).next()?;
            (!word.is_empty()).then(|| word.to_owned())
        })
        .collect()
}

impl ZohoDesk {
    fn text_of(&self, ticket: &Ticket) -> String {
        let cf = ticket.cf.iter().map(|(name, value)| format!("{name}: {value}"));
        let lines = [ticket.subject.clone(), ticket.description.clone().unwrap_or_default()];
        lines.into_iter().chain(ticket.phone.clone()).chain(cf).collect::<Vec<_>>().join("\n")
    }

    /// Comments by the API about calls that are not the ticket's own, in groups by call: of each, the first is the
    /// record and the others are notes on it. Those about the ticket's own call are notes on the ticket.
    fn sort_comments<'a>(&'a self, ticket: &Ticket) -> (Vec<&'a Comment>, Vec<Vec<&'a Comment>>) {
        let text = self.text_of(ticket);
        let own = if ticket.by_api { call_sids(&text) } else { BTreeSet::new() };
        let (mut notes, mut calls) = (Vec::new(), Vec::<(BTreeSet<String>, Vec<&Comment>)>::new());
        for comment in self.comments_of(ticket.id).filter(|comment| comment.own) {
            let named = call_sids(&comment.content);
            if named.is_empty() || !named.is_disjoint(&own) {
                notes.push(comment);
                continue;
            }
            // What speaks of a recording is a note on its call's record; a second record of the same call does not.
            let remark = comment.content.to_lowercase().contains("recording") || comment.content.contains("<a href=");
            let note_of = calls.iter_mut().find(|(key, _)| remark && *key == named);
            match note_of {
                Some((_, group)) => group.push(comment),
                None => calls.push((named, vec![comment])),
            }
        }
        (notes, calls.into_iter().map(|(_, group)| group).collect())
    }
}

impl Crm for ZohoDesk {
    fn records(&self) -> Vec<HeldRecord> {
        let mut records = Vec::new();
        for ticket in self.tickets.iter().filter(|ticket| !ticket.trashed) {
            let (notes, calls) = self.sort_comments(ticket);
            let contact = Some(ticket.contact_id.to_string());
            let joined = |first: String, all: &[&Comment]| {
                all.iter().fold(first, |text, comment| format!("{text}\n{}", comment.content)).trim().to_owned()
            };
            let public = |all: &[&Comment]| all.iter().any(|comment| comment.public);
            if ticket.by_api {
                let record = HeldRecord {
                    id: ticket.id.to_string(),
                    text: joined(self.text_of(ticket), &notes),
                    contact: contact.clone(),
                    agent: ticket.assignee_id.map(|id| id.to_string()),
                    talk_seconds: None,
                    recording: None,
                    public: public(&notes),
                };
                records.push((ticket.created_at, ticket.id, record));
            }
            for group in calls {
                let Some(first) = group.first() else { continue };
                let record = HeldRecord {
                    id: first.id.to_string(),
                    text: joined(String::new(), &group),
                    contact: contact.clone(),
                    agent: None,
                    talk_seconds: None,
                    recording: None,
                    public: public(&group),
                };
                records.push((first.commented_at, first.id, record));
            }
        }
        records.sort_by_key(|(at, id, _)| (*at, *id));
        records.into_iter().map(|(_, _, record)| record).collect()
    }

    fn contacts(&self) -> Vec<HeldContact> {
        let live = self.contacts.iter().filter(|contact| !contact.trashed);
        live.map(|contact| HeldContact {
            id: contact.id.to_string(),
            name: contact.full_name(),
            numbers: [&contact.phone, &contact.mobile].into_iter().flatten().cloned().collect(),
        })
        .collect()
    }

    fn add_contact(&mut self, name: &str, number: &str, _: Timestamp) -> String {
        let id = self.add_contact_with(|contact| {
            name.clone_into(&mut contact.last_name);
            contact.phone = Some(number.to_owned());
        });
        id.to_string()
    }

    fn add_agent(&mut self, name: &str, email: &str) -> String {
        self.add_agent_with(name, email, |_| ()).to_string()
    }

    fn lag(&mut self, by: Duration) {
        self.settings.index_lag = by;
    }

    fn expire_tokens(&mut self) -> bool {
        self.grants.expire();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::call_sids;

    #[test]
    fn a_text_names_its_calls() {
        let named = call_sids("From: 098<br>CallSid: 1a2b<br>CallSid: <b>3c</b>");
        assert_eq!(named.into_iter().collect::<Vec<_>>(), ["1a2b", "3c"]);
        assert!(call_sids("nothing, CallSid").is_empty());
    }
}
