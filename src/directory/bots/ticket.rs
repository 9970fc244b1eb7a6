//! What lets one call that we place in to its voicebot, where there is no flow that holds the bot's own address: of a bot's
//! token only the hash is kept, so a ticket stands in its place, signed with the master key and good for a short while.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::key::MasterKey;

const PURPOSE: &str = "voicebot ticket";
/// Exotel rings for a minute, and connects when somebody answers; twice, if the first handshake fails.
const GOOD_FOR: SignedDuration = SignedDuration::from_mins(15);
/// Between its parts, in none of which it can stand.
const EDGE: char = '\n';

/// Which call of which bot it lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub account: String,
    pub bot: String,
    pub click: Uuid,
}

impl Ticket {
    pub(super) fn write(&self, key: &MasterKey, now: Timestamp) -> String {
        let until = now.checked_add(GOOD_FOR).unwrap_or(now).as_second().to_string();
        let click = self.click.simple().to_string();
        let said = [self.account.as_str(), &self.bot, &click, &until];
        let signature = key.sign(PURPOSE, &said);
        format!("{}.{signature}", URL_SAFE_NO_PAD.encode(said.join(&EDGE.to_string())))
    }

    /// `None`: it is none of ours, or its time is over.
    pub(super) fn read(text: &str, key: &MasterKey, now: Timestamp) -> Option<Self> {
        let (said, signature) = text.rsplit_once('.')?;
        let said = String::from_utf8(URL_SAFE_NO_PAD.decode(said).ok()?).ok()?;
        let parts: Vec<&str> = said.split(EDGE).collect();
        let [account, bot, click, until] = parts.as_slice() else { return None };
        let until = Timestamp::from_second(until.parse().ok()?).ok()?;
        if !key.verify(PURPOSE, &parts, signature) || until <= now {
            return None;
        }
        Some(Self { account: (*account).to_owned(), bot: (*bot).to_owned(), click: Uuid::try_parse(click).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> MasterKey {
        let dir = tempfile::tempdir().expect("a directory");
        MasterKey::load_or_make(None, &dir.path().join("x.db")).expect("made")
    }

    #[test]
    fn a_ticket_is_good_for_its_call_and_its_time() {
        let (key, now) = (key(), Timestamp::from_second(1_790_000_000).expect("a time"));
        let ticket = Ticket { account: "acme1".to_owned(), bot: "sales".to_owned(), click: Uuid::from_u128(7) };
        let text = ticket.write(&key, now);
        assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)), "{text}");
        assert_eq!(Ticket::read(&text, &key, now).as_ref(), Some(&ticket));
        assert_eq!(Ticket::read(&text, &key, now + SignedDuration::from_mins(14)).as_ref(), Some(&ticket));
        assert_eq!(Ticket::read(&text, &key, now + GOOD_FOR), None);
        assert_eq!(Ticket::read(&text, &super::tests::key(), now), None, "another key");
        let other = Ticket { bot: "other".to_owned(), ..ticket }.write(&key, now);
        let (said, signature) = (other.split('.').next().expect("said"), text.rsplit('.').next().expect("signed"));
        for forged in
            [format!("{said}.{signature}"), said.to_owned(), format!("{said}."), String::new(), ".".to_owned()]
        {
            assert_eq!(Ticket::read(&forged, &key, now), None, "{forged}");
        }
    }
}
