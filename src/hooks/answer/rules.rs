//! What is true of a caller, from what Patchbay has stored and remembers: no CRM is asked for it on the line, but for his
//! owner.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use patchbay_kit::{Outcome, PhoneNumber};

use super::{
    Question,
    owners::{self, in_time},
};
use crate::{
    call::{applet::Rule, phone, route::Owner},
    store::{CallFile, CallFilter, CallRef, CallSummary, StoreError, Written},
};

/// Calls of one caller that are looked through: what is not in the last ones is long ago.
const CALLS: u32 = 5;

impl Question<'_> {
    /// Which of these hold. What cannot be found out in time does not.
    pub(super) async fn holding(&self, rules: &BTreeSet<Rule>) -> BTreeSet<Rule> {
        let now = Timestamp::now();
        let mut holding = BTreeSet::new();
        for rule in rules {
            let holds = match rule {
                Rule::BusinessHours => self.routing().is_open(now),
                Rule::KnownCaller => self.known_caller().await,
                Rule::OpenTicket => self.open_ticket(now).await,
                Rule::HandOver => self.handed_over().await,
                Rule::OwnerAvailable => self.routing().is_open(now) && self.owner_available().await,
            };
            if holds {
                holding.insert(*rule);
            }
        }
        holding
    }

    pub(super) async fn owners(&self) -> Vec<Owner> {
        let Some(number) = &self.number else { return Vec::new() };
        owners::of(self.services, self.account, number, self.deadline, self.effect).await
    }

    async fn handed_over(&self) -> bool {
        let Some(call) = &self.call else { return false };
        let known = in_time(self.deadline, self.services.context.call(call)).await;
        known.is_some_and(|known| known.hand_over().is_some())
    }

    async fn owner_available(&self) -> bool {
        let call_sid = self.call.as_ref().map(|call| call.call_sid.as_str());
        let free = |number: &String| !self.services.answers.is_busy(&self.account.sid, number, call_sid);
        self.owners().await.iter().any(|owner| owner.numbers.iter().all(free))
    }

    async fn known_caller(&self) -> bool {
        let Some(number) = &self.number else { return false };
        if owners::any_known(self.services, self.account, number, self.deadline).await {
            return true;
        }
        let is_contact = |written: &Written| matches!(written, Written::Log(activity) if activity.contact.is_some());
        let files = in_time(self.deadline, self.files(number, None)).await.and_then(Result::ok).unwrap_or_default();
        files.iter().flat_map(|file| &file.links).any(|(_, _, link)| is_contact(&link.written))
    }

    /// Whether it is still open only the CRM knows: a ticket made of a call of the last days counts.
    async fn open_ticket(&self, now: Timestamp) -> bool {
        let Some(number) = &self.number else { return false };
        let since = back(now, self.routing().ticket_open);
        let files = in_time(self.deadline, self.files(number, since)).await.and_then(Result::ok).unwrap_or_default();
        files.iter().flat_map(|file| &file.links).any(|(_, _, link)| link.at.kind == "ticket")
    }

    /// The agent who spoke with this caller last.
    pub(super) async fn last_agent(&self, now: Timestamp) -> Option<String> {
        let number = self.number.as_ref()?;
        let since = back(now, self.routing().sticky);
        let calls = in_time(self.deadline, self.calls(number, since, Some(Outcome::Answered))).await?.ok()?;
        let agent = calls.into_iter().find_map(|call| call.agent)?;
        owners::dialable(&agent, &self.account.country)
    }

    /// His last calls.
    async fn calls(
        &self,
        number: &PhoneNumber,
        since: Option<Timestamp>,
        outcome: Option<Outcome>,
    ) -> Result<Vec<CallSummary>, StoreError> {
        let filter = CallFilter {
            outcome,
            // Exotel writes numbers with and without the country; that they are one is looked at below.
            number: Some(number.national.clone()),
            since,
            limit: CALLS,
            ..CallFilter::default()
        };
        let mut calls = self.services.store.list_calls(&self.account.sid, &filter).await?.items;
        let his = |written: &str| phone::parse(written, &self.account.country).as_ref() == Some(number);
        calls.retain(|call| call.customer.as_deref().is_some_and(his));
        Ok(calls)
    }

    async fn files(&self, number: &PhoneNumber, since: Option<Timestamp>) -> Result<Vec<CallFile>, StoreError> {
        let mut files = Vec::new();
        for call in self.calls(number, since, None).await? {
            let call = CallRef { account: self.account.sid.clone(), call_sid: call.call_sid };
            files.extend(self.services.store.call_file(&call).await?);
        }
        Ok(files)
    }
}

fn back(now: Timestamp, by: Duration) -> Option<Timestamp> {
    now.checked_sub(by).ok()
}
