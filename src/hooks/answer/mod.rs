//! The answers that a caller on the line waits for: on a deadline, from what is known here if a CRM is slow or down, and
//! always one that is valid for the applet, whatever becomes of store, CRM or Redis.
//!
//! # How a caller on the line is answered
//!
//! `hooks/answer/` makes the request durable and gathers what is known at the same time: the answers this call's
//! applets were given before and the hand-over (context), the owner (context, else the CRMs are asked), the last agent
//! (store); only what the rules can still need, and all by `hooks.answer_deadline`. `call/route.rs` then decides, a
//! pure function. The answer is put into the context under its question: of those who ask the same at once, or once
//! more, all are told what the first was told. What is not known in time is not known: the rules go on to the next
//! step. A store that does not take the request by then keeps no caller waiting. An owner who is remembered is named at
//! once, and asked for anew in the background if that was long ago; there is one question about a number at a time, and
//! a bounded number in all and for each CRM. What was decided goes into the journal as a receipt of its own, behind the
//! answer.

mod form;
mod owners;
mod rules;

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Data, Payload},
};
use jiff::Timestamp;
use patchbay_kit::PhoneNumber;
use serde_json::json;
use tokio::{task::JoinHandle, time::Instant};
use uuid::Uuid;

use super::intake::Arrived;
use crate::{
    app::Services,
    call::{
        Hook, Receipt,
        applet::{self, Entry, Gather, Playback, Rule, Sound},
        normalise::Asking,
        phone,
        route::{Attempt, Decision, Known, Routed, Routing, Step, repeats, route, wants},
    },
    config::Account,
    context::{self, CallContext},
    store::{CallRef, StoreError},
    telemetry::AppletLabels,
};
use form::Form;
use owners::in_time;

pub(super) use form::Applet;
pub use owners::{Answers, agent_called, look_ahead, of as owners_of};

/// What is heard where the account says nothing: an applet without an answer would end the call.
const GREETING: &str = "Thank you for calling.";
const PROMPT: &str = "Please enter your choice, followed by the hash key.";
/// The case where none applies and the account names none.
const OTHERWISE: &str = "default";

/// What an applet is answered, and what is told of it in the call's timeline.
type Answered = (HttpResponse, Routed);

/// A question of an applet.
struct Question<'a> {
    services: &'a Data<Services>,
    account: &'a Account,
    asking: Asking,
    call: Option<CallRef>,
    number: Option<PhoneNumber>,
    deadline: Instant,
    /// HEAD has none: nothing is asked, taken or kept.
    effect: bool,
}

/// Reads an applet's request. One that cannot be read is answered too, as one that says no more than its URL.
pub(super) async fn read(
    request: &HttpRequest,
    services: &Services,
    payload: Payload,
) -> Result<Arrived, HttpResponse> {
    match Arrived::read(request, services, payload).await {
        Err(refusal) if refusal.status() != StatusCode::METHOD_NOT_ALLOWED => Ok(Arrived::without_body(request)),
        arrived => arrived,
    }
}

/// Answers an applet.
pub(super) async fn answer(
    applet: Applet,
    arrived: Arrived,
    services: &Data<Services>,
    hook: Hook,
    account: String,
) -> HttpResponse {
    let Some(of) = services.account(&account) else { return super::intake::refused() };
    let began = arrived.began();
    let deadline = Instant::from_std(began + services.config.hooks.answer_deadline);
    let asking = arrived.asking();
    let question = Question {
        services,
        account: &of,
        call: asking.call_sid.clone().map(|call_sid| CallRef { account: account.clone(), call_sid }),
        number: asking.customer.as_deref().and_then(|raw| phone::parse(raw, &of.country)),
        asking,
        deadline,
        effect: !arrived.is_head(),
    };
    let form = Form::of(applet, arrived.version.as_deref());
    // The request says that there is a call: it is made durable while the answer is looked for.
    let mut stored = question.effect.then(|| {
        let (services, account) = (Data::clone(services), account.clone());
        tokio::spawn(async move { arrived.store(&services, hook, account).await })
    });
    let (answer, mut routed) = question.answer(applet, form).await;
    let mut durable = stored.is_none();
    if let Some(stored) = &mut stored {
        // A caller is not left without an answer because a disk is slow or full; the store's own word of that is logged
        // and counted as with every other hook.
        durable = in_time(deadline, stored).await.is_some();
    }
    let took = began.elapsed();
    services
        .metrics
        .answer_seconds
        .get_or_create(&AppletLabels { applet: applet.as_str() })
        .observe(took.as_secs_f64());
    routed.took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    if let (Some(call), true) = (question.call, question.effect) {
        tokio::spawn(keep(Data::clone(services), call, routed, stored.filter(|_| !durable)));
    }
    answer
}

/// Puts what an applet was told into the journal, behind its request.
async fn keep(
    services: Data<Services>,
    call: CallRef,
    routed: Routed,
    request: Option<JoinHandle<Result<(), StoreError>>>,
) {
    if let Some(request) = request {
        let _ = request.await;
    }
    let mut body = json!(routed);
    body["call_sid"] = json!(call.call_sid);
    let receipt = Receipt {
        id: Uuid::now_v7(),
        account: call.account,
        hook: Hook::Routed,
        received_at: Timestamp::now(),
        method: "POST".to_owned(),
        path: format!("/{}", routed.applet),
        query: String::new(),
        content_type: Some("application/json".to_owned()),
        body: body.to_string().into_bytes(),
    };
    match services.store.append(receipt).await {
        Ok(_) => services.journal.notify_one(),
        Err(error) => tracing::debug!(%error, "what an applet was told is not in its call's timeline"),
    }
}

impl Question<'_> {
    fn routing(&self) -> &Routing {
        &self.account.routing
    }

    async fn answer(&self, applet: Applet, form: Form) -> Answered {
        match applet {
            Applet::DialWhom | Applet::Connect => self.dial(applet, form).await,
            Applet::Gather => self.gather().await,
            Applet::Greeting => self.greeting().await,
            Applet::Playback => self.playback().await,
            Applet::Decide => self.decide().await,
            Applet::Switch => self.switch().await,
            Applet::Answer => self.is_there_a_bot(),
            // The version is what a Connect applet says, and a Passthru does not.
            Applet::DialUp if form == Form::Plain => self.is_handed_over().await,
            Applet::DialUp => self.dial(applet, form).await,
        }
    }

    async fn dial(&self, applet: Applet, form: Form) -> Answered {
        let rules = self.routing();
        let now = Timestamp::now();
        let before = match &self.call {
            Some(call) => in_time(self.deadline, self.services.context.call(call)).await.unwrap_or_default(),
            None => CallContext::default(),
        };
        let after = Attempt { dialled: self.asking.last_dialled.clone(), failed: self.asking.failed };
        let decision = match repeats(&before.given, applet.as_str(), &after, now) {
            Some(given) => given.decision.clone().repeated(),
            None => {
                let known = self.known(&before, now).await;
                let asked = context::Question { applet: applet.as_str().to_owned(), place: before.given.len(), after };
                self.name(asked, route(rules, &known, now), now).await
            }
        };
        let routed = Routed {
            applet: applet.as_str().to_owned(),
            rule: decision.rule.clone(),
            numbers: decision.numbers.clone(),
            answer: None,
            source: Some(decision.source),
            integration: decision.integration.clone(),
            outside_hours: decision.outside_hours,
            took_ms: 0,
        };
        (form.dial(&decision, rules), routed)
    }

    /// What is said: this, or what was said to the same question in the meantime. That nobody is to be dialled binds
    /// nobody: whoever asks next may find somebody.
    async fn name(&self, asked: context::Question, decision: Decision, now: Timestamp) -> Decision {
        let Some(call) = self.call.as_ref().filter(|_| self.effect && !decision.numbers.is_empty()) else {
            return decision;
        };
        let context = &self.services.context;
        let named = in_time(self.deadline, context.name(call, asked, decision.clone(), now)).await;
        if named.as_ref().is_some_and(|named| *named != decision) {
            return named.map_or(decision, Decision::repeated);
        }
        if decision.rule == Step::HandOver.to_string() {
            in_time(self.deadline, context.take_hand_over(call, now)).await;
        }
        decision
    }

    /// What is known of the call, as far as it can decide anything, by the deadline.
    async fn known(&self, before: &CallContext, now: Timestamp) -> Known {
        let rules = self.routing();
        let agents = self.services.agents.of(&self.account.sid);
        let hand_over = before
            .hand_over()
            .map(|target| owners::dialable(target, &self.account.country).unwrap_or_else(|| target.to_owned()));
        // Of the agents those alone who can be named: there may be thousands.
        let named =
            rules.groups.iter().flat_map(|group| &group.members).chain(&hand_over).filter(|name| name.contains('@'));
        let number_of = |email: &String| {
            let number = agents.with_email(email.trim()).find_map(|agent| agent.profile.number.clone())?;
            Some((email.trim().to_lowercase(), number))
        };
        let known = Known {
            last_dialled: self.asking.last_dialled.clone(),
            failed: self.asking.failed,
            offered: before.offered(),
            agents: named.filter_map(number_of).collect(),
            hand_over: hand_over.clone(),
            ..Known::default()
        };
        let (owner, sticky) = wants(rules, &known, now);
        let (owners, sticky) =
            futures_util::future::join(async { if owner { self.owners().await } else { Vec::new() } }, async {
                if sticky { self.last_agent(now).await } else { None }
            })
            .await;
        Known { owners, sticky, ..known }
    }

    async fn gather(&self) -> Answered {
        let entries = applet::meant(&self.routing().applets.gathers, self.asking.name.as_deref());
        let prompt = Gather {
            prompt: Sound::Text(PROMPT.to_owned()),
            max_digits: 255,
            finish_on_key: "#".to_owned(),
            timeout_seconds: 5,
            repeat: 0,
            repeat_prompt: None,
        };
        let entry = self.first(&entries).await;
        let gather = entry.map_or(&prompt, |entry| &entry.what);
        (form::gather(gather), told(Applet::Gather, entry, gather.prompt.text()))
    }

    async fn greeting(&self) -> Answered {
        let entries = applet::meant(&self.routing().applets.greetings, self.asking.name.as_deref());
        let entry = self.first(&entries).await;
        let text = entry.map_or(GREETING, |entry| &entry.what);
        (form::text(text), told(Applet::Greeting, entry, text))
    }

    async fn playback(&self) -> Answered {
        let entries = applet::meant(&self.routing().applets.playbacks, self.asking.name.as_deref());
        let entry = self.first(&entries).await;
        let nothing = Playback::default();
        let playback = entry.map_or(&nothing, |entry| &entry.what);
        let heard = [&playback.start, &playback.during, &playback.end].into_iter().flatten();
        let heard: Vec<&str> = heard.map(Sound::text).collect();
        (form::playback(playback), told(Applet::Playback, entry, &heard.join(" · ")))
    }

    async fn decide(&self) -> Answered {
        let rule = self.asking.rule.as_deref().and_then(|rule| Rule::parse(&rule.to_ascii_lowercase()));
        let Some(rule) = rule else {
            // A mistyped flow goes on where it would without the question.
            return (form::branch(true), told::<()>(Applet::Decide, None, "yes"));
        };
        self.holds(rule).await
    }

    async fn holds(&self, rule: Rule) -> Answered {
        let holds = self.holding(&[rule].into()).await.contains(&rule);
        let routed = told::<()>(Applet::Decide, None, if holds { "yes" } else { "no" });
        (form::branch(holds), Routed { rule: rule.as_str().to_owned(), ..routed })
    }

    /// Whether the DID that was called leads to a bot.
    fn is_there_a_bot(&self) -> Answered {
        let called = self.asking.exophone.as_deref().and_then(|raw| phone::parse(raw, &self.account.country));
        let bots = self.services.bots.of(&self.account.sid);
        let dids = self.services.bots.dids(&self.account.sid);
        let did = called.and_then(|called| dids.all().find(|did| did.profile.number == called.e164));
        let bot = did.and_then(|did| did.profile.bot_id.as_deref()).filter(|id| bots.get(id).is_some());
        let routed = told::<()>(Applet::Answer, None, bot.unwrap_or("no bot"));
        (form::branch(bot.is_some()), Routed { rule: "did".to_owned(), ..routed })
    }

    /// Whether a bot has named somebody. He is not taken by this: the Connect applet that follows asks for him.
    async fn is_handed_over(&self) -> Answered {
        let (answer, routed) = self.holds(Rule::HandOver).await;
        (answer, Routed { applet: Applet::DialUp.as_str().to_owned(), ..routed })
    }

    async fn switch(&self) -> Answered {
        let applets = &self.routing().applets;
        let entries: Vec<&Entry<()>> = applets.cases.iter().collect();
        let entry = self.first(&entries).await;
        let otherwise = applets.otherwise.as_deref().unwrap_or(OTHERWISE);
        let case = entry.map_or(otherwise, |entry| &entry.name);
        (form::select(case), told(Applet::Switch, entry, case))
    }

    /// The first of these that applies to this call.
    async fn first<'e, T>(&self, entries: &[&'e Entry<T>]) -> Option<&'e Entry<T>> {
        let holding = self.holding(&applet::rules(entries)).await;
        applet::first(entries, &holding)
    }
}

/// What is told of an applet that dials nobody.
fn told<T>(applet: Applet, entry: Option<&Entry<T>>, answer: &str) -> Routed {
    let rule = match entry {
        None => "default".to_owned(),
        Some(Entry { when: Some(when), .. }) => {
            format!("{}{}", if when.holds { "" } else { "not " }, when.rule.as_str())
        }
        Some(_) => "always".to_owned(),
    };
    Routed {
        applet: applet.as_str().to_owned(),
        rule,
        numbers: Vec::new(),
        answer: Some(answer.to_owned()),
        source: None,
        integration: None,
        outside_hours: false,
        took_ms: 0,
    }
}
