//! Calls that a voicebot makes: somebody is rung, and connected with the bot. A click whose second leg is a bot.

use std::collections::BTreeMap;

use actix_web::{
    HttpRequest,
    web::{Bytes, Data, Path},
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    api::{Answer, ApiError, body},
    auth::{Endpoint, post},
    clicks::{self, ClickShown},
};
use crate::{
    access::{Caller, Role},
    app::Services,
    call::{BotWish, phone},
    codes::Code,
    config::{Account, Did},
    dialer::{BotCall, Breach},
    directory::Entry,
};

pub(super) const ENDPOINTS: &[Endpoint] =
    &[post("/api/v1/accounts/{sid}/bots/{id}/calls", Role::Agent, |route| route.to(place))
        .noted()
        .says("place_bot_call", "Rings somebody and connects him with a voicebot; once for each key")
        .header(clicks::KEY, "New for each call, the same when the same is asked again.")
        .body::<Placing>()
        .gives::<ClickShown>(201)
        .or(&[202])];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BotCalling")]
struct Placing {
    /// The telephone that is to ring.
    to: String,
    /// A DID of the account, by number or id. Without one, the first that leads to the bot.
    exophone: Option<String>,
    /// What the bot is told with the call, beside what its flow says.
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    record: Option<bool>,
    /// Seconds, after which Exotel ends the call; 14400 at most.
    time_limit: Option<u32>,
}

async fn place(
    request: HttpRequest,
    services: Data<Services>,
    caller: Caller,
    path: Path<(String, String)>,
    bytes: Bytes,
) -> Answer {
    let (sid, id) = path.into_inner();
    let key = clicks::key(&request)?.ok_or_else(clicks::no_key)?;
    let asked: Placing = body(&bytes)?;
    clicks::may_have_called(&services, &caller, &sid)?;
    let running = services.account(&sid).zip(services.dialer(&sid));
    let (account, dialer) = running.ok_or_else(|| ApiError::NotFound("there is no such account".to_owned()))?;
    let found = services.bots.of(&sid).get(&id).cloned();
    let bot = found.ok_or_else(|| ApiError::NotFound("there is no such bot: see …/bots".to_owned()))?;
    // Whoever asks again is told what became of it, whatever has become of its DID since: that is looked at behind the key.
    let did = did(&services, &account, &bot.id, asked.exophone.as_deref());
    let unable = bot.profile.secrets_lost;
    let fingerprint = fingerprint(&bot.id, &account, &asked);
    let Placing { to, parameters, record, time_limit, .. } = asked;
    let wish = BotCall {
        key,
        fingerprint,
        customer: to,
        did: if unable { Err(cannot_answer()) } else { did.map(|did| did.profile) },
        bot: BotWish { bot: bot.id, parameters, limit_seconds: time_limit },
        record,
    };
    Ok(clicks::told_of(&sid, dialer.bot_call(&wish).await))
}

/// Whatever way a number is written, it is the same request.
fn fingerprint(bot: &str, account: &Account, asked: &Placing) -> [u8; 32] {
    let one = |text: &str| phone::parse(text, &account.country).map_or_else(|| text.trim().to_owned(), |it| it.e164);
    let to = one(&asked.to);
    let exophone = asked.exophone.as_deref().map(one).unwrap_or_default();
    let record = asked.record.map(|record| record.to_string()).unwrap_or_default();
    let limit = asked.time_limit.map(|limit| limit.to_string()).unwrap_or_default();
    let mut texts = vec!["bot call", bot, &to, &exophone, &record, &limit];
    texts.extend(asked.parameters.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]));
    clicks::hash(&texts)
}

fn cannot_answer() -> Breach {
    Breach {
        at: "bot",
        code: Code::BotCannotAnswer,
        message: "its credentials were sealed with another master key".to_owned(),
    }
}

/// The DID that the customer sees.
fn did(services: &Services, account: &Account, bot: &str, named: Option<&str>) -> Result<Entry<Did>, Breach> {
    let dids = services.bots.dids(&account.sid);
    let Some(named) = named.map(str::trim).filter(|named| !named.is_empty()) else {
        let first = dids.all().find(|did| did.profile.bot_id.as_deref() == Some(bot));
        let message = "no DID leads to this bot; give one as exophone, or give a DID this bot".to_owned();
        return first.cloned().ok_or(Breach { at: "exophone", code: Code::NoDid, message });
    };
    let number = phone::parse(named, &account.country).map(|number| number.e164);
    let found = dids.all().find(|did| did.id == named || Some(&did.profile.number) == number.as_ref());
    let message = "is no DID of this account; add it under /dids first".to_owned();
    found.cloned().ok_or(Breach { at: "exophone", code: Code::UnknownDid, message })
}
