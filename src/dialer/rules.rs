//! What must hold before anything is dialled: who may, when, from and to which numbers.

use std::fmt;

use jiff::Timestamp;
use patchbay_kit::{Rendering, mask};

use crate::{
    call::{BotWish, CallingTimes, mark, phone},
    codes::Code,
    config::{Account, Did},
    exotel::{Channels, Connect, Party, Reach, StreamUrl},
    store::Click,
};

/// What somebody asks for. Of the key and the request only hashes go further.
#[derive(Clone)]
pub struct Wish {
    pub key: [u8; 32],
    pub fingerprint: [u8; 32],
    /// The key is one that was made up for him, and good for so long only.
    pub renew_after: Option<std::time::Duration>,
    /// His number, `sip:…` or e-mail address.
    pub agent: String,
    pub to: String,
    /// `None`: the agent's own.
    pub caller_id: Option<String>,
    pub custom_field: Option<String>,
    /// `None`: as the account says.
    pub record: Option<bool>,
    /// Beside the account's own.
    pub times: Option<CallingTimes>,
}

impl fmt::Debug for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wish({} → {})", mask::number(&self.agent), mask::number(&self.to))
    }
}

/// A test call that somebody asks for: a customer is rung, and put into the flow of a DID.
#[derive(Clone)]
pub struct TestWish {
    pub key: [u8; 32],
    pub fingerprint: [u8; 32],
    /// As of [`Wish`].
    pub renew_after: Option<std::time::Duration>,
    pub customer: String,
    /// What he sees: the DID's number.
    pub did: String,
    /// The DID's, if it has one.
    pub flow_url: Option<String>,
    /// Cut, where it leaves no room for the mark.
    pub custom_field: String,
}

impl fmt::Debug for TestWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestWish({} → {})", mask::number(&self.customer), mask::number(&self.did))
    }
}

/// A call that somebody wants a voicebot to make.
#[derive(Clone)]
pub struct BotCall {
    pub key: [u8; 32],
    pub fingerprint: [u8; 32],
    pub customer: String,
    /// What he sees, and whose flow he is put into, if it has one. `Err`: why there is none for it.
    pub did: Result<Did, Breach>,
    pub bot: BotWish,
    /// `None`: as the account says; what a flow records is the flow's.
    pub record: Option<bool>,
}

impl fmt::Debug for BotCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BotCall({} → {})", self.bot.bot, mask::number(&self.customer))
    }
}

/// Why nothing is dialled: which part of the request, what is wrong with it, what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {message}")]
pub struct Breach {
    pub at: &'static str,
    pub code: Code,
    pub message: String,
}

fn breach(at: &'static str, code: Code, message: impl Into<String>) -> Breach {
    Breach { at, code, message: message.into() }
}

/// What was asked for, checked: as it is dialled.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) agent: String,
    pub(super) to: String,
    pub(super) caller_id: String,
    pub(super) flow_url: Option<String>,
    pub(super) bot: Option<BotWish>,
    pub(super) custom_field: Option<String>,
    pub(super) record: bool,
}

/// What the user mapping says of an agent whom a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// E.164, or `sip:…`.
    pub number: String,
    pub email: Option<String>,
    pub caller_id: Option<String>,
    pub click_to_call: bool,
}

/// Finds an agent by number, `sip:…` or e-mail address. The only thing here that knows where agents come from.
pub type Lookup = std::sync::Arc<dyn Fn(&str) -> Option<Agent> + Send + Sync>;

/// E.164 or `sip:…`.
fn address(raw: &str, country: &str) -> Option<String> {
    if phone::is_sip(raw) {
        return Some(raw.trim().to_owned());
    }
    phone::parse(raw, country).map(|number| number.e164)
}

pub(super) fn check(account: &Account, find: &Lookup, wish: &Wish, now: Timestamp) -> Result<Checked, Breach> {
    let Some(agent) = find(wish.agent.trim()) else {
        let message = "there is no such agent; give the number, `sip:…` or e-mail address of an [[account.agent]] of \
                       this account";
        return Err(breach("agent", Code::UnknownAgent, message));
    };
    if !agent.click_to_call {
        let message = "click-to-call is off for this agent; set click_to_call = true in his [[account.agent]]";
        return Err(breach("agent", Code::ClickToCallOff, message));
    }
    let Some(to) = address(&wish.to, &account.country) else {
        let message = "is neither a telephone number nor `sip:…`; write it with + and its country code";
        return Err(breach("to", Code::NotANumber, message));
    };
    if phone::same(&to, &agent.number) {
        return Err(breach(
            "to",
            Code::TheAgentHimself,
            "is the agent's own number; nobody can be connected with himself",
        ));
    }
    let Some(caller_id) =
        wish.caller_id.as_deref().map(str::trim).filter(|id| !id.is_empty()).or(agent.caller_id.as_deref())
    else {
        let message = "is missing, and this agent has none of his own; give an ExoPhone of the account, or set caller_id \
                       in his [[account.agent]]";
        return Err(breach("caller_id", Code::NoCallerId, message));
    };
    let Some(caller_id) = phone::parse(caller_id, &account.country) else {
        let message = "is not a telephone number; write an ExoPhone of the account as +918047494574";
        return Err(breach("caller_id", Code::NotANumber, message));
    };
    let custom_field = wish.custom_field.as_deref().map(str::trim).filter(|own| !own.is_empty()).map(str::to_owned);
    if custom_field.as_ref().is_some_and(|own| own.chars().count() > mark::OWN_CHARS) {
        let message = format!(
            "has more than {} characters; Exotel takes 128, and the rest is the mark by which the call is found again",
            mark::OWN_CHARS
        );
        return Err(breach("custom_field", Code::TooLong, message));
    }
    open(account, wish.times.as_ref(), now)?;
    Ok(Checked {
        agent: agent.number.clone(),
        to,
        caller_id: caller_id.e164,
        flow_url: None,
        bot: None,
        custom_field,
        record: wish.record.unwrap_or(account.record_calls),
    })
}

/// Whether calls are placed at this time, by the account's hours and those of the way it comes.
fn open(account: &Account, times: Option<&CallingTimes>, now: Timestamp) -> Result<(), Breach> {
    for times in account.calling_times.iter().chain(times) {
        if !times.open(now, account.utc_offset) {
            let message = format!(
                "no calls are placed at this time; they are {}, by the account's clock (UTC{})",
                times.told(),
                account.utc_offset
            );
            return Err(breach("time", Code::OutsideCallingHours, message));
        }
    }
    Ok(())
}

/// A telephone that is to ring, and the ExoPhone that it sees.
fn customer_and_did(account: &Account, customer: &str, did: &str) -> Result<(String, String), Breach> {
    let Some(customer) = phone::parse(customer, &account.country) else {
        return Err(breach("to", Code::NotANumber, "is no telephone number; write it as +919876543210"));
    };
    let Some(did) = phone::parse(did, &account.country) else {
        return Err(breach("number", Code::NotANumber, "of this DID is no telephone number any more"));
    };
    if customer.e164 == did.e164 {
        return Err(breach("to", Code::TheDidItself, "is the DID's own number; give the telephone that is to ring"));
    }
    Ok((customer.e164, did.e164))
}

/// What a voicebot may be told with a call: so many parameters, in names that Exotel's own may have.
const PARAMETERS: usize = 20;
const NAME_CHARS: usize = 64;
const VALUE_CHARS: usize = 500;
/// The longest call that Exotel takes (exotel-voicebot §4.3).
const LIMIT_SECONDS: u32 = 14_400;

pub(super) fn check_bot_call(account: &Account, wish: &BotCall, now: Timestamp) -> Result<Checked, Breach> {
    let Did { number, flow_url, .. } = wish.did.clone()?;
    let (customer, did) = customer_and_did(account, &wish.customer, &number)?;
    let BotWish { bot, parameters, limit_seconds } = &wish.bot;
    let plain = |name: &str| {
        (1..=NAME_CHARS).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    let fits = |(name, value): (&String, &String)| plain(name) && value.chars().count() <= VALUE_CHARS;
    if parameters.len() > PARAMETERS || !parameters.iter().all(fits) {
        let message = format!(
            "must be at most {PARAMETERS}, with names of 1 to {NAME_CHARS} letters, digits, - and _, and values of at \
             most {VALUE_CHARS} characters"
        );
        return Err(breach("parameters", Code::TooMuch, message));
    }
    if limit_seconds.is_some_and(|limit| !(1..=LIMIT_SECONDS).contains(&limit)) {
        let message = format!("must be 1 to {LIMIT_SECONDS} seconds");
        return Err(breach("time_limit", Code::OutOfRange, message));
    }
    open(account, None, now)?;
    Ok(Checked {
        agent: customer,
        to: did.clone(),
        caller_id: did,
        custom_field: Some(mark::for_bot(bot)),
        bot: Some(wish.bot.clone()),
        record: wish.record.unwrap_or(account.record_calls && flow_url.is_none()),
        flow_url,
    })
}

/// A customer's telephone is not rung at night for a test either.
pub(super) fn check_test(account: &Account, wish: &TestWish, now: Timestamp) -> Result<Checked, Breach> {
    let (customer, did) = customer_and_did(account, &wish.customer, &wish.did)?;
    let Some(flow_url) = wish.flow_url.clone() else {
        let message = "is not set for this DID; give it the address of the flow, as App Bazaar shows it";
        return Err(breach("flow_url", Code::NoFlowUrl, message));
    };
    open(account, None, now)?;
    Ok(Checked {
        agent: customer,
        to: did.clone(),
        caller_id: did,
        flow_url: Some(flow_url),
        bot: None,
        custom_field: Some(wish.custom_field.chars().take(mark::OWN_CHARS).collect()),
        // Whether the flow records is the flow's.
        record: false,
    })
}

/// The click's call, as Exotel is asked to place it and as it is looked for. `None`: a number that was one when it was
/// asked for is none any more; it cannot have been dialled by us then.
pub(super) fn connect(account: &Account, click: &Click) -> Option<Connect> {
    Some(Connect {
        from: Party::read(&click.agent, &account.country),
        to: match (&click.flow_url, &click.bot) {
            (Some(flow_url), _) => Reach::Flow(flow_url.clone()),
            // Its ticket is made when it is dialled.
            (None, Some(_)) => Reach::Stream(StreamUrl(String::new())),
            (None, None) => Reach::Party(Party::read(&click.to, &account.country)),
        },
        caller_id: phone::parse(&click.caller_id, &account.country)?,
        record: click.record.then_some(Channels::Single),
        ring_seconds: None,
        limit_seconds: click.bot.as_ref().and_then(|wish| wish.limit_seconds),
        custom_field: Some(mark::write(click.id, click.custom_field.as_deref())),
        callback: None,
    })
}

/// As Exotel writes an address.
pub(super) fn as_exotel_writes(raw: &str, country: &str) -> String {
    match phone::parse(raw, country) {
        Some(number) if number.country == "91" => number.render(Rendering::NationalZero),
        _ => raw.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(more: &str) -> Account {
        let text = format!("[[account]]\nsid = \"acme1\"\napi_key = \"k\"\napi_token = \"t\"\n{more}\n");
        crate::config::parse("test", &text, &Default::default()).expect("a configuration").accounts.remove(0)
    }

    fn lookup() -> Lookup {
        let agent = |number: &str, email: Option<&str>, caller_id: Option<&str>, click_to_call| Agent {
            number: number.to_owned(),
            email: email.map(str::to_owned),
            caller_id: caller_id.map(str::to_owned),
            click_to_call,
        };
        let all = [
            agent("+919711581199", Some("avnish@example.com"), Some("+918047494574"), true),
            agent("sip:rahil", None, None, true),
            agent("+919945476362", None, None, false),
        ];
        std::sync::Arc::new(move |named| {
            let is = |agent: &&Agent| {
                phone::same(&agent.number, named)
                    || agent.email.as_deref().is_some_and(|it| it.eq_ignore_ascii_case(named))
            };
            all.iter().find(is).cloned()
        })
    }

    fn wish(agent: &str, to: &str) -> Wish {
        Wish {
            key: [0; 32],
            fingerprint: [0; 32],
            renew_after: None,
            agent: agent.to_owned(),
            to: to.to_owned(),
            caller_id: None,
            custom_field: None,
            record: None,
            times: None,
        }
    }

    /// A Monday, 10:00 in India.
    fn monday() -> Timestamp {
        "2026-11-23T04:30:00Z".parse().expect("a time")
    }

    #[test]
    fn what_may_be_dialled_is_put_in_one_writing() {
        let account = account("");
        for agent in ["09711581199", "+919711581199", " 919711581199", "AVNISH@example.com"] {
            let checked = check(&account, &lookup(), &wish(agent, "098765 43210"), monday()).expect(agent);
            assert_eq!((checked.agent.as_str(), checked.to.as_str()), ("+919711581199", "+919876543210"));
            assert_eq!((checked.caller_id.as_str(), checked.record), ("+918047494574", true));
        }
        let sip =
            Wish { caller_id: Some("08047494574".into()), record: Some(false), ..wish("sip:Rahil", "sip:caller") };
        let checked = check(&account, &lookup(), &sip, monday()).expect("sip");
        assert_eq!((checked.agent.as_str(), checked.to.as_str(), checked.record), ("sip:rahil", "sip:caller", false));
    }

    #[test]
    fn what_may_not_be_dialled_is_told_with_what_would_be_right() {
        let account = account("");
        let good = wish("09711581199", "09876543210");
        let told = |wish: &Wish| check(&account, &lookup(), wish, monday()).map(|_| ()).expect_err("refused");
        for (wish, at, code) in [
            (wish("09000000000", "09876543210"), "agent", "unknown_agent"),
            (wish("", "09876543210"), "agent", "unknown_agent"),
            (wish("nobody@example.com", "09876543210"), "agent", "unknown_agent"),
            (wish("09945476362", "09876543210"), "agent", "click_to_call_off"),
            (wish("09711581199", "anonymous"), "to", "not_a_number"),
            (wish("09711581199", "9711581199"), "to", "the_agent_himself"),
            (wish("sip:rahil", "09876543210"), "caller_id", "no_caller_id"),
            (Wish { caller_id: Some("sales".into()), ..good.clone() }, "caller_id", "not_a_number"),
            (Wish { custom_field: Some("x".repeat(93)), ..good.clone() }, "custom_field", "too_long"),
        ] {
            let breach = told(&wish);
            assert_eq!((breach.at, breach.code.as_str()), (at, code));
            assert!(!breach.to_string().contains("9876543210") && !format!("{wish:?}").contains("9876543210"));
        }
        let fits = Wish { custom_field: Some("x".repeat(92)), ..good };
        assert!(check(&account, &lookup(), &fits, monday()).is_ok());
    }

    #[test]
    fn a_test_call_rings_a_telephone_and_needs_a_flow() {
        let wish = TestWish {
            key: [0; 32],
            fingerprint: [0; 32],
            renew_after: None,
            customer: "9876543210".to_owned(),
            did: "+918047494574".to_owned(),
            flow_url: Some("https://my.exotel.com/acme1/exoml/start_voice/7".to_owned()),
            custom_field: "cxb-test:1".to_owned(),
        };
        // As seed 004 wants Indian numbers read, and as people write them.
        for customer in ["9876543210", "919876543210", "00919876543210", "+91 98765 43210", "09876543210"] {
            let wish = TestWish { customer: customer.to_owned(), ..wish.clone() };
            let checked = check_test(&account(""), &wish, monday()).expect(customer);
            assert_eq!((checked.agent.as_str(), checked.to.as_str()), ("+919876543210", "+918047494574"));
            assert!(!format!("{wish:?}").contains("9876543210"));
        }
        let closed = "calling_hours = \"00:00-00:01\"";
        for (more, wish, code) in [
            ("", TestWish { customer: "sip:alice".to_owned(), ..wish.clone() }, "not_a_number"),
            ("", TestWish { customer: "08047494574".to_owned(), ..wish.clone() }, "the_did_itself"),
            ("", TestWish { flow_url: None, ..wish.clone() }, "no_flow_url"),
            (closed, wish, "outside_calling_hours"),
        ] {
            let breach = check_test(&account(more), &wish, monday()).map(|_| ()).expect_err(code);
            assert_eq!(breach.code.as_str(), code);
        }
    }

    #[test]
    fn both_the_accounts_hours_and_those_of_the_way_it_comes_must_be_open() {
        let office = account("calling_hours = \"09:30-18:00\"\ncalling_days = [\"Monday\", \"Tuesday\"]");
        let good = wish("09711581199", "09876543210");
        assert!(check(&office, &lookup(), &good, monday()).is_ok());
        for now in ["2026-11-23T03:59:59Z", "2026-11-23T12:30:00Z", "2026-11-25T04:30:00Z"] {
            let breach = check(&office, &lookup(), &good, now.parse().expect("a time")).map(|_| ()).expect_err(now);
            assert_eq!(breach.code, Code::OutsideCallingHours);
            assert!(breach.message.contains("Monday, Tuesday from 09:30 to 18:00"), "{breach}");
        }
        let afternoon = CallingTimes::read("12:00", "18:00", &[]).expect("times");
        let late = Wish { times: Some(afternoon), ..good };
        assert!(check(&office, &lookup(), &late, monday()).is_err());
    }
}
