//! The conversations of a customer: which of them a call belongs into.

use std::{collections::VecDeque, sync::Arc};

use patchbay_kit::{About, Exchange, Failure, Request, Response, Step};
use serde::Deserialize;

use crate::{
    NOT_FOUND, PER_PAGE,
    agents::Paging,
    errors::{classify, speaks},
    path,
};

/// One of a customer's conversations as the list shows it: the id, and in some accounts more \[C\].
#[derive(Clone, Deserialize)]
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) status: Option<String>,
    pub(crate) channel_id: Option<String>,
    pub(crate) created_time: Option<String>,
}

impl Listed {
    /// Whether it can be one of this channel, as far as is shown.
    pub(crate) fn is_in(&self, channel: &str) -> bool {
        self.channel_id.as_deref().is_none_or(|shown| shown == channel)
    }

    /// Whether it can be open, as far as is shown.
    pub(crate) fn may_be_open(&self) -> bool {
        is_open(self.status.as_deref())
    }
}

/// "Freshchat API, Conversations: Retrieve a conversation" \[V\].
#[derive(Deserialize)]
pub(crate) struct Shown {
    status: Option<String>,
    channel_id: Option<String>,
    assigned_agent_id: Option<String>,
}

/// Everything is open but what is resolved: accounts differ in the states between ("reopened", "waiting on customer") \[C\].
fn is_open(status: Option<&str>) -> bool {
    status.is_none_or(|status| !status.eq_ignore_ascii_case("resolved"))
}

impl Shown {
    pub(crate) fn is_open(&self) -> bool {
        is_open(self.status.as_deref())
    }

    /// Whom it is assigned to.
    pub(crate) fn agent(&self) -> Option<&str> {
        self.assigned_agent_id.as_deref().filter(|id| !id.is_empty())
    }

    /// Whether a call of this agent's (or nobody's) belongs here.
    pub(crate) fn takes(&self, channel: &str, agent: Option<&str>) -> bool {
        self.is_open() && self.channel_id.as_deref() == Some(channel) && self.agent() == agent
    }
}

/// A request for one conversation.
pub(crate) fn show(id: &str) -> Request {
    Request::get("conversation.show", path(["conversations", id]))
}

#[derive(Deserialize)]
struct Page {
    conversations: Vec<Listed>,
    #[serde(flatten)]
    paging: Paging,
}

/// "Freshchat API, Users: Retrieve all conversations of a user" \[V\].
fn page(user: &str, number: usize) -> Request {
    Request::get("conversation.list", path(["users", user, "conversations"]))
        .query("page", number)
        .query("items_per_page", PER_PAGE)
}

fn read(reply: &Response) -> Result<Page, Failure> {
    if NOT_FOUND.contains(&reply.status) {
        let failure = classify(reply);
        // The path names nothing but the customer.
        return Err(if speaks(reply) { failure.about(About::Contact) } else { failure });
    }
    reply.json()
}

/// Goes on with a customer's conversations: the first page of them and the last, for which way they run is not known.
pub(crate) fn of<T: 'static>(
    user: &str,
    then: impl Fn(VecDeque<Listed>) -> Result<Step<T>, Failure> + Send + Sync + 'static,
) -> Exchange<T> {
    let (user, then) = (user.to_owned(), Arc::new(then));
    page(&user, 1)
        .then(move |reply| {
            let Page { conversations: first, paging } = read(reply)?;
            let last = paging.last().filter(|last| *last > 1 && !first.is_empty());
            let Some(last) = last.or_else(|| paging.goes_on(1, first.len()).then_some(2)) else {
                return then(newest_first(first));
            };
            let then = Arc::clone(&then);
            let more = page(&user, last).then(move |reply| {
                let mut all = first.clone();
                all.extend(read(reply)?.conversations);
                then(newest_first(all))
            });
            Ok(Step::Then(more.accepting(NOT_FOUND)))
        })
        .accepting(NOT_FOUND)
}

/// Those that are open first, and of these the newest. Where no times are shown, from both ends by turns: at one of them
/// are the newest.
fn newest_first(mut all: Vec<Listed>) -> VecDeque<Listed> {
    if all.iter().all(|one| one.created_time.is_some()) {
        all.sort_by(|one, other| other.created_time.cmp(&one.created_time));
    } else {
        let (mut ends, mut turned) = (VecDeque::from(all), Vec::new());
        while let Some(one) = ends.pop_front() {
            turned.push(one);
            turned.extend(ends.pop_back());
        }
        all = turned;
    }
    all.sort_by_key(|one| !one.may_be_open());
    all.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(id: &str, status: Option<&str>, created_time: Option<&str>) -> Listed {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Listed { id: id.to_owned(), status: owned(status), channel_id: None, created_time: owned(created_time) }
    }

    fn order(all: Vec<Listed>) -> String {
        newest_first(all).into_iter().map(|one| one.id).collect()
    }

    #[test]
    fn the_newest_come_first_whatever_is_shown_of_them() {
        let known = |id, status, day| listed(id, Some(status), Some(day));
        assert_eq!(order(vec![known("a", "new", "2026-01-01"), known("b", "resolved", "2026-01-03")]), "ab");
        assert_eq!(order(vec![known("a", "new", "2026-01-01"), known("b", "new", "2026-01-03")]), "ba");
        assert_eq!(order(["a", "b", "c", "d"].map(|id| listed(id, None, None)).into()), "adbc");
    }

    #[test]
    fn a_call_belongs_into_the_open_conversation_of_its_agent() {
        let shown = |status: &str, agent: Option<&str>| Shown {
            status: Some(status.to_owned()),
            channel_id: Some("phone".to_owned()),
            assigned_agent_id: agent.map(str::to_owned),
        };
        assert!(shown("assigned", Some("a")).takes("phone", Some("a")));
        assert!(shown("waiting on customer", Some("a")).takes("phone", Some("a")));
        assert!(shown("new", None).takes("phone", None) && shown("new", Some("")).takes("phone", None));
        assert!(!shown("Resolved", Some("a")).takes("phone", Some("a")));
        assert!(!shown("assigned", Some("b")).takes("phone", Some("a")));
        assert!(!shown("assigned", Some("a")).takes("phone", None));
        assert!(!shown("assigned", Some("a")).takes("whatsapp", Some("a")));
    }
}
