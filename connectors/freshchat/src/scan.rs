//! Reading through the messages of a conversation for one of ours, whichever way they run and however they are paged.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use patchbay_kit::{Exchange, Failure, Request, Step, words};
use serde::Deserialize;

use crate::{
    NOT_FOUND, PER_PAGE,
    errors::{classify, speaks},
    path, same,
};

/// How far Exotel's clock and Freshchat's may disagree, time zones in the settings included.
const CLOCKS: SignedDuration = SignedDuration::from_hours(24);

/// "Freshchat API, Conversations: Retrieve messages" \[V\].
#[derive(Deserialize)]
struct Page {
    messages: Vec<Shown>,
    link: Option<Link>,
}

#[derive(Deserialize)]
struct Link {
    href: Option<String>,
}

#[derive(Deserialize)]
struct Shown {
    id: Option<String>,
    message_type: Option<String>,
    #[serde(default)]
    message_parts: Vec<Part>,
    created_time: Option<String>,
}

#[derive(Deserialize)]
struct Part {
    text: Option<Text>,
}

#[derive(Deserialize)]
struct Text {
    content: Option<String>,
}

impl Shown {
    fn text(&self) -> String {
        let texts = self.message_parts.iter().filter_map(|part| part.text.as_ref()?.content.as_deref());
        texts.collect::<Vec<_>>().join("\n")
    }

    fn at(&self) -> Option<Timestamp> {
        self.created_time.as_ref()?.parse().ok()
    }
}

/// What is looked for. A public message is never it: whoever quotes a CallSid to the customer is a human.
#[derive(Clone, Debug)]
pub(crate) enum Want {
    /// The first message about this call.
    First { key: String },
    /// A message that says just this.
    Text(String),
}

/// How the reading ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With the id of the message.
    Found(String),
    /// All was read that it can stand among.
    NotThere,
    /// The conversation is not there.
    Gone,
    /// More would have been to read.
    TooLong,
}

/// What is read for what.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) conversation: String,
    pub(crate) want: Want,
    /// When the call began: older messages are not about it.
    pub(crate) since: Option<Timestamp>,
}

/// What follows: how it ended, and how many requests are left.
type Then<T> = Arc<dyn Fn(Ended, usize) -> Result<Step<T>, Failure> + Send + Sync>;

/// Where the reading stands.
#[derive(Clone)]
struct At {
    page: usize,
    from_time: Option<String>,
    found: Option<(Option<Timestamp>, String)>,
    left: usize,
}

impl Scan {
    /// Reads at most `left` pages, and goes on.
    pub(crate) fn read<T: 'static>(
        self,
        left: usize,
        then: impl Fn(Ended, usize) -> Result<Step<T>, Failure> + Send + Sync + 'static,
    ) -> Exchange<T> {
        page(Arc::new(self), At { page: 1, from_time: None, found: None, left }, Arc::new(then))
    }

    /// Whether a message is one that is looked for.
    fn is(&self, message: &Shown) -> bool {
        message.message_type.as_deref() == Some("private")
            && match &self.want {
                Want::First { key } => words::mentions(&message.text(), key),
                Want::Text(text) => same(&message.text(), text),
            }
    }
}

fn page<T: 'static>(scan: Arc<Scan>, at: At, then: Then<T>) -> Exchange<T> {
    let mut request = Request::get("message.list", path(["conversations", &scan.conversation, "messages"]))
        .query("page", at.page)
        .query("items_per_page", PER_PAGE);
    if let Some(from) = &at.from_time {
        request = request.query("from_time", from);
    }
    request
        .then(move |reply| {
            let left = at.left.saturating_sub(1);
            if NOT_FOUND.contains(&reply.status) {
                return if speaks(reply) { then(Ended::Gone, left) } else { Err(classify(reply)) };
            }
            let Page { messages, link } = reply.json()?;
            let mut found = at.found.clone();
            for message in messages.iter().filter(|message| scan.is(message)) {
                let Some(id) = &message.id else { continue };
                let older = match (&found, message.at()) {
                    (Some((Some(known), _)), Some(time)) => time < *known,
                    // Without times they are taken to run from the newest, as the pages' links do.
                    _ => true,
                };
                if older {
                    found = Some((message.at(), id.clone()));
                }
            }
            let ended = |otherwise| found.clone().map_or(otherwise, |(_, id)| Ended::Found(id));
            let linked = link.and_then(|link| link.href).map(|href| next(&href));
            let more = match (&linked, &at.from_time) {
                (Some(_), _) => !messages.is_empty(),
                // Where the last page was linked, this one would have been, too.
                (None, Some(_)) => false,
                (None, None) => messages.len() >= PER_PAGE,
            };
            let enough = matches!(scan.want, Want::Text(_)) && found.is_some();
            if !more || enough || scan.is_before(&messages) {
                return then(ended(Ended::NotThere), left);
            }
            if left == 0 {
                return then(ended(Ended::TooLong), left);
            }
            let (number, from_time) = linked.unwrap_or((at.page + 1, None));
            Ok(Step::Then(page(Arc::clone(&scan), At { page: number, from_time, found, left }, Arc::clone(&then))))
        })
        .accepting(NOT_FOUND)
}

impl Scan {
    /// Whether what would follow is older than the call: the page runs from new to old, and has come to before it.
    fn is_before(&self, messages: &[Shown]) -> bool {
        let (Some(since), [first, .., last]) = (self.since, messages) else { return false };
        let (Some(first), Some(last)) = (first.at(), last.at()) else { return false };
        first > last && since.checked_sub(CLOCKS).is_ok_and(|since| last < since)
    }
}

/// What a page's link leads to: `…/messages?page=1&items_per_page=50&from_time=2026-01-15T09:58:20.001Z` \[C\].
fn next(href: &str) -> (usize, Option<String>) {
    let query = href.split_once('?').map_or("", |(_, query)| query);
    let value = |name: &str| {
        query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
    };
    // Of all that can be encoded, a time has only colons and the sign of its offset.
    let time = |text: &str| text.replace("%3A", ":").replace("%3a", ":").replace("%2B", "+").replace("%2b", "+");
    (value("page").and_then(|page| page.parse().ok()).unwrap_or(1), value("from_time").map(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_the_next_page_by_time_or_by_number() {
        let time = Some("2026-01-15T09:58:20.001Z".to_owned());
        assert_eq!(next("/v2/c/1/messages?page=1&items_per_page=50&from_time=2026-01-15T09%3A58:20.001Z"), (1, time));
        assert_eq!(next("/v2/c/1/messages?page=3&items_per_page=50"), (3, None));
        assert_eq!(next("/v2/c/1/messages"), (1, None));
    }
}
