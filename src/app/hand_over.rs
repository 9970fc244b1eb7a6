//! Whom a caller goes on to when a bot is done with him: named by one of ours, or by one elsewhere through the API. The
//! flow's next Connect applet asks whom to dial, and is told.

use jiff::Timestamp;

use super::Services;
use crate::{
    call::phone,
    config::{Account, bot::TARGET_CHARS},
    context::Fact,
    store::CallRef,
};

/// Notes it where the next dial-whom of the call looks. The call need not be known: a bot may be quicker than the
/// callbacks that tell of it.
///
/// # Errors
/// Why the target is none, in words.
pub async fn hand_over(services: &Services, call: &CallRef, target: &str) -> Result<(), String> {
    let target = target.trim();
    if target.is_empty() || target.chars().count() > TARGET_CHARS {
        return Err(format!("must have 1 to {TARGET_CHARS} characters"));
    }
    if !reaches_somebody(services, &call.account, target) {
        return Err(
            "must be a phone number, \"sip:…\", the e-mail address of an agent in the user mapping, or a group of \
                    the account's routing"
                .to_owned(),
        );
    }
    services.context.note(call, Fact::HandOver { target: target.to_owned() }, Timestamp::now()).await;
    Ok(())
}

fn reaches_somebody(services: &Services, account: &str, target: &str) -> bool {
    let Some(account) = services.account(account) else { return false };
    let agents = services.agents.of(&account.sid);
    names_somebody(&account, target, |email| agents.with_email(email).any(|agent| agent.profile.number.is_some()))
}

/// Whether it is a number, an address of a telephone, a group of the routing, or an agent who has a telephone.
pub(crate) fn names_somebody(account: &Account, target: &str, is_agent: impl FnOnce(&str) -> bool) -> bool {
    let group = target.strip_prefix("group:").unwrap_or(target);
    phone::is_sip(target)
        || phone::parse(target, &account.country).is_some()
        || account.routing.groups.iter().any(|one| one.name == group)
        || is_agent(target)
}
