//! The answers that a caller on the line waits for: on a deadline, and from what is known here if a CRM is slow or down.

use std::sync::Arc;

use actix_web::{HttpResponse, web::Data};
use futures_util::future::join;
use jiff::Timestamp;
use patchbay_kit::{PhoneNumber, RecordRef};
use serde_json::json;
use tokio::{sync::Semaphore, task::JoinHandle, time::Instant};

use super::intake::Arrived;
use crate::{
    app::Services,
    call::{Hook, normalise, phone},
    context::{Context, KnownOwner},
    directory::Roster,
    store::LaneRef,
};

/// Questions to CRMs that may be under way at once: those that are too slow for their caller go on for the next one, and
/// a CRM that hangs must not pile them up.
const ASKING: usize = 64;

/// The questions to CRMs that are under way.
#[derive(Debug)]
pub struct Answers {
    asking: Arc<Semaphore>,
}

/// A question that is under way: whom to dial.
type Asking = JoinHandle<Option<Vec<String>>>;

impl Default for Answers {
    fn default() -> Self {
        Self { asking: Arc::new(Semaphore::new(ASKING)) }
    }
}

/// What the first of these says by the deadline; of one that says nothing, what is remembered of it. One that is too slow
/// for this caller goes on, and is remembered for the next.
async fn by_then(deadline: Instant, asked: Vec<(Asking, Asking)>) -> Vec<String> {
    for (asking, remembered) in asked {
        let now = tokio::time::timeout_at(deadline, asking).await.ok().and_then(Result::ok).flatten();
        let numbers = match now {
            Some(numbers) => Some(numbers),
            // Begun together with the question, and with a deadline of its own.
            None => remembered.await.ok().flatten(),
        };
        if let Some(numbers) = numbers {
            return numbers;
        }
    }
    Vec::new()
}

/// The form of an answer to a Connect applet, by its `Exotel-Version` header (exotel-api §4.6, §4.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// None: "Dial phone number(s) returned by URL".
    Plain,
    /// `1.0`: "Configure parameters dynamically by providing a URL".
    Numbers,
    /// `1.1`: the same for the call centre.
    Contacts,
}

impl Form {
    fn of(version: Option<&str>) -> Self {
        match version {
            None | Some("") => Self::Plain,
            Some("1.1") => Self::Contacts,
            Some(_) => Self::Numbers,
        }
    }

    /// Nobody to dial is an answer too: the flow goes on under "We didn't dial anyone".
    fn answer(self, numbers: &[String]) -> HttpResponse {
        let destination = match self {
            Self::Plain => return HttpResponse::Ok().content_type("text/plain").body(numbers.join(",")),
            Self::Numbers => json!({ "numbers": numbers }),
            Self::Contacts => numbers.iter().map(|number| json!({ "contact_uri": number })).collect(),
        };
        // Exotel's default is not to record; what this answer replaces in the flow builder is a ticked box.
        HttpResponse::Ok().json(json!({ "fetch_after_attempt": false, "destination": destination, "record": true }))
    }
}

/// Whom to dial for this caller: his owner in the CRM. The request says that there is a call, so it is made durable like
/// any other; meanwhile the CRM is asked.
pub(super) async fn dial_whom(
    arrived: Arrived,
    services: &Data<Services>,
    hook: Hook,
    account: String,
) -> HttpResponse {
    let form = Form::of(arrived.version.as_deref());
    if arrived.is_head() {
        return form.answer(&[]);
    }
    let customer = normalise::customer(&arrived.query, arrived.content_type.as_deref(), &arrived.body);
    let numbers = owners(services, &account, customer.as_deref());
    match join(arrived.append(services, hook, account.clone()), numbers).await {
        (Ok(()), numbers) => form.answer(&numbers),
        (Err(answer), _) => answer,
    }
}

/// The owner's numbers, likeliest first, as the first of the account's integrations knows him: now, or once did.
async fn owners(services: &Data<Services>, account: &str, customer: Option<&str>) -> Vec<String> {
    let deadline = Instant::now() + services.config.hooks.answer_deadline;
    let Some(account) = services.account(account) else { return Vec::new() };
    let Some(number) = customer.and_then(|raw| phone::parse(raw, &account.country)) else { return Vec::new() };
    let lanes = account
        .integrations
        .iter()
        .map(|integration| LaneRef { account: account.sid.clone(), integration: integration.name.clone() });
    // All are asked at once.
    let asked = lanes
        .filter(|lane| services.lanes.get(lane).is_some_and(|lane| lane.driver().connector.owners().is_some()))
        .map(|lane| {
            let remembered = recall(Arc::clone(&services.context), lane.clone(), number.clone());
            (tokio::spawn(ask(Data::clone(services), lane, number.clone())), tokio::spawn(remembered))
        })
        .collect();
    by_then(deadline, asked).await
}

/// Whom this CRM named last, to any of the nodes.
async fn recall(context: Arc<dyn Context>, lane: LaneRef, number: PhoneNumber) -> Option<Vec<String>> {
    Some(context.owner(&lane, &number).await?.numbers)
}

/// Asks one CRM. `None`: it knows nobody, has no number of his, or cannot be asked now.
async fn ask(services: Data<Services>, lane: LaneRef, number: PhoneNumber) -> Option<Vec<String>> {
    let _place = services.answers.asking.try_acquire().ok()?;
    let driver = services.lanes.get(&lane)?.driver();
    let exchange = driver.connector.owners()?.of(&number);
    let owner = match driver.run(exchange, &mut Vec::new()).await {
        Ok(owner) => owner?,
        Err(stop) => {
            tracing::info!(%lane, ?stop, "the CRM does not say who owns a caller; the last known owner is dialled");
            return None;
        }
    };
    let agents = services.agents.of(&lane.account);
    let country = &services.account(&lane.account)?.country;
    let numbers = dialled(&agents, country, &lane.integration, owner.at.as_ref(), &owner.numbers);
    if numbers.is_empty() {
        return None;
    }
    let owner = KnownOwner { numbers: numbers.clone(), learnt_at: Timestamp::now() };
    services.context.learn_owner(&lane, &number, owner);
    Some(numbers)
}

/// An owner's numbers as Exotel can dial them; of one without any, those that the user mapping has for him.
fn dialled(
    agents: &Roster,
    country: &str,
    integration: &str,
    owner: Option<&RecordRef>,
    numbers: &[String],
) -> Vec<String> {
    let mapped = agents.agents().map(|agent| &agent.profile).filter(|agent| {
        let user = agent.crm_user.get(integration);
        user.is_some() && user == owner.map(|owner| &owner.id)
    });
    let read = |raw: &str| match phone::parse(raw, country) {
        Some(number) => Some(number.e164),
        None => phone::is_sip(raw).then(|| raw.trim().to_owned()),
    };
    let mut dialled: Vec<String> = Vec::new();
    let mut add = |number: String| {
        if !dialled.contains(&number) {
            dialled.push(number);
        }
    };
    numbers.iter().filter_map(|raw| read(raw)).for_each(&mut add);
    if dialled.is_empty() {
        dialled.extend(mapped.filter_map(|agent| agent.number.clone()));
    }
    dialled
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::directory::Profile;

    #[tokio::test]
    async fn a_caller_waits_no_longer_than_the_deadline() {
        let soon = || Instant::now() + Duration::from_millis(50);
        let says = |numbers: &'static [&'static str], after: Duration| {
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                (!numbers.is_empty()).then(|| numbers.iter().map(|&number| number.to_owned()).collect::<Vec<_>>())
            })
        };
        let (now, never) = (Duration::ZERO, Duration::from_secs(3600));
        let nobody = || says(&[], now);
        let ask = async |first, second| by_then(soon(), vec![(first, nobody()), (second, nobody())]).await;
        assert_eq!(ask(says(&["+911"], now), says(&["+912"], now)).await, ["+911"]);
        // The first knows nobody, or is too slow and was never heard of him.
        assert_eq!(ask(says(&[], now), says(&["+912"], now)).await, ["+912"]);
        assert_eq!(ask(says(&["+911"], never), says(&["+912"], now)).await, ["+912"]);
        assert!(ask(says(&["+911"], never), says(&[], now)).await.is_empty());
        // It named him once: slow, broken or forgetful, he is dialled.
        let ask = async |first, second| by_then(soon(), vec![(first, says(&["+919"], now)), (second, nobody())]).await;
        assert_eq!(ask(says(&["+911"], never), says(&["+912"], now)).await, ["+919"]);
        assert_eq!(ask(says(&[], now), says(&["+912"], now)).await, ["+919"]);
        let broken = tokio::spawn(async { panic!("a mistake in a connector") });
        assert_eq!(ask(broken, says(&["+912"], now)).await, ["+919"]);
        assert_eq!(ask(says(&["+911"], now), says(&["+912"], now)).await, ["+911"]);
    }

    #[test]
    fn an_owner_is_dialled_where_the_crm_says_or_else_the_mapping() {
        let agents = Roster::of([Profile {
            number: Some("+919945476362".to_owned()),
            crm_user: [("crm".to_owned(), "77".to_owned())].into(),
            ..Profile::default()
        }]);
        let of = |id: &str, numbers: &[&str]| {
            let numbers: Vec<String> = numbers.iter().map(|&number| number.to_owned()).collect();
            dialled(&agents, "IN", "crm", Some(&RecordRef::new("user", id)), &numbers)
        };
        assert_eq!(of("77", &["097115 81199", "+91-9711581199", "sip:ravi"]), ["+919711581199", "sip:ravi"]);
        assert_eq!(of("77", &["", "ext. 12"]), ["+919945476362"]);
        assert!(of("78", &[]).is_empty());
        assert!(dialled(&agents, "IN", "crm", None, &[]).is_empty());
    }

    #[test]
    fn the_form_follows_the_version() {
        for (version, form) in [
            (None, Form::Plain),
            (Some("1.0"), Form::Numbers),
            (Some("1.1"), Form::Contacts),
            (Some("2"), Form::Numbers),
        ] {
            assert_eq!(Form::of(version), form, "{version:?}");
        }
    }
}
