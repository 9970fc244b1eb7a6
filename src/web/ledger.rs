//! The ledger: for each call who told of it, and where it stands in each CRM; as pages, as CSV, and counted.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Bytes, Data, Path},
};
use futures_util::stream;
use jiff::Timestamp;
use patchbay_kit::{Outcome, RecordRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    api::{Answer, ApiError, limit, query},
    auth::{Endpoint, get},
};
use crate::{
    access::Role,
    app::Services,
    call::{SeenBy, shape},
    store::{
        DeliveryState, LedgerEntry, LedgerFilter, LedgerSeen, LedgerSummary, SilentExoPhone, Span, StoreError,
        SweepCursor,
    },
};

/// Rows that a CSV file is made of at a time.
const PIECE: u32 = 500;
/// The state of a record that is not there, whatever the reason; of a single call, of one that nobody has planned.
const MISSING: &str = "missing";
/// Nothing is planned, because the call's outcome is not known yet.
const OPEN: &str = "open";

pub(super) const ENDPOINTS: &[Endpoint] = &[
    get("/api/v1/accounts/{sid}/ledger", Role::Admin, |route| route.to(page))
        .says("list_ledger", "For each call who told of it, and where it stands in each CRM")
        .query::<LedgerQuery>()
        .gives::<LedgerShown>(200),
    get("/api/v1/accounts/{sid}/ledger.csv", Role::Admin, |route| route.to(csv))
        .says("export_ledger", "The same as a table, all of it")
        .query::<LedgerQuery>()
        .gives_media("text/csv"),
    get("/api/v1/accounts/{sid}/ledger/summary", Role::Admin, |route| route.to(summary))
        .says("count_ledger", "The ledger, counted")
        .query::<SummaryQuery>()
        .gives::<SummaryShown>(200),
];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LedgerQuery {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    /// One or several of the states of deliveries, or `missing`.
    #[serde(default)]
    state: Vec<String>,
    /// `callback` or `list` alone, or `both`.
    seen: Option<String>,
    before: Option<String>,
    limit: Option<u32>,
}

fn integrations(services: &Services, sid: &str) -> Vec<String> {
    let account = services.account(sid);
    account.iter().flat_map(|account| &account.integrations).map(|one| one.name.clone()).collect()
}

fn filter(asked: LedgerQuery, integrations: &[String], limit: u32) -> Result<LedgerFilter, ApiError> {
    let seen = match asked.seen.as_deref() {
        None => None,
        Some("callback") => Some(LedgerSeen::CallbackOnly),
        Some("list") => Some(LedgerSeen::ListOnly),
        Some("both") => Some(LedgerSeen::Both),
        Some(other) => {
            let message = format!("seen: must be callback, list or both, is {other:?}");
            return Err(ApiError::BadRequest(message));
        }
    };
    let (mut states, mut missing_in) = (Vec::new(), Vec::new());
    for name in asked.state.iter().flat_map(|names| names.split(',')).map(str::trim).filter(|name| !name.is_empty()) {
        match DeliveryState::parse(name) {
            Some(state) => states.push(state),
            None if name == MISSING => missing_in = integrations.to_vec(),
            None => {
                let known = DeliveryState::ALL.map(DeliveryState::as_str).join(", ");
                let message = format!("there is no state {name:?}; there are: {known}, {MISSING}");
                return Err(ApiError::BadRequest(message));
            }
        }
    }
    let span = Span { from: asked.from, to: asked.to };
    Ok(LedgerFilter { span, seen, states, missing_in, before: asked.before, limit })
}

async fn page(request: HttpRequest, services: Data<Services>, sid: Path<String>) -> Answer {
    let asked: LedgerQuery = query(&request)?;
    let (integrations, limit) = (integrations(&services, &sid), limit(asked.limit));
    let page = services.store.ledger(&sid, &filter(asked, &integrations, limit)?).await?;
    let calls = page.items.into_iter().map(|entry| shown(entry, &integrations)).collect();
    Ok(HttpResponse::Ok().json(LedgerShown { calls, next: page.next }))
}

/// Where a call stands in an integration, also where nothing is planned.
fn standing(entry: &LedgerEntry, integration: &str) -> &'static str {
    match entry.integrations.get(integration) {
        Some(standing) => standing.state.as_str(),
        None if entry.outcome.is_none() => OPEN,
        None => MISSING,
    }
}

#[derive(Serialize, JsonSchema)]
struct LedgerShown {
    calls: Vec<EntryShown>,
    next: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct EntryShown {
    call_sid: String,
    first_by: Option<SeenBy>,
    seen: SeenShown,
    started_at: Timestamp,
    first_seen_at: Timestamp,
    #[schemars(with = "Option<shape::OutcomeShape>")]
    outcome: Option<Outcome>,
    /// By integration.
    integrations: BTreeMap<String, StandingShown>,
}

#[derive(Serialize, JsonSchema)]
struct SeenShown {
    callback: bool,
    list: bool,
}

/// Where a call's own record stands in one CRM.
#[derive(Serialize, JsonSchema)]
struct StandingShown {
    /// One of a delivery's; `open` while the outcome is not known, `missing` where nothing is planned.
    state: &'static str,
    reason: Option<String>,
    #[schemars(with = "Option<shape::RecordShape>")]
    record: Option<RecordRef>,
}

fn shown(entry: LedgerEntry, integrations: &[String]) -> EntryShown {
    let names: BTreeSet<&String> = integrations.iter().chain(entry.integrations.keys()).collect();
    let standings = names.into_iter().map(|name| {
        let known = entry.integrations.get(name);
        let shown = StandingShown {
            state: standing(&entry, name),
            reason: known.and_then(|known| known.reason.clone()),
            record: known.and_then(|known| known.record.clone()),
        };
        (name.clone(), shown)
    });
    EntryShown {
        integrations: standings.collect(),
        call_sid: entry.call_sid,
        first_by: entry.first_by,
        seen: SeenShown { callback: entry.by_callback, list: entry.by_list },
        started_at: entry.began_at,
        first_seen_at: entry.first_seen_at,
        outcome: entry.outcome,
    }
}

/// All that matches, page by page as it is read: it may be a year.
async fn csv(request: HttpRequest, services: Data<Services>, sid: Path<String>) -> Answer {
    let asked: LedgerQuery = query(&request)?;
    let integrations = integrations(&services, &sid);
    let filter = filter(asked, &integrations, PIECE)?;
    let mut head: Vec<String> = ["call_sid", "started_at", "first_seen_at", "outcome", "first_by", "callback", "list"]
        .map(str::to_owned)
        .into();
    head.extend(integrations.iter().flat_map(|name| [format!("{name} state"), format!("{name} record")]));
    let sid = sid.into_inner();
    let rows = stream::try_unfold((Some(filter), Some(line(&head))), move |(filter, head)| {
        let (services, sid, integrations) = (services.clone(), sid.clone(), integrations.clone());
        async move {
            let Some(mut filter) = filter else { return Ok::<_, StoreError>(None) };
            let page = services.store.ledger(&sid, &filter).await?;
            let mut text = head.unwrap_or_default();
            for entry in &page.items {
                text.push_str(&line(&cells(entry, &integrations)));
            }
            filter.before = page.next;
            let next = filter.before.is_some().then_some(filter);
            Ok(Some((Bytes::from(text), (next, None))))
        }
    });
    Ok(HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .insert_header((header::CONTENT_DISPOSITION, "attachment; filename=\"ledger.csv\""))
        .streaming(Box::pin(rows)))
}

fn cells(entry: &LedgerEntry, integrations: &[String]) -> Vec<String> {
    let mut cells = vec![
        entry.call_sid.clone(),
        entry.began_at.to_string(),
        entry.first_seen_at.to_string(),
        entry.outcome.map(|outcome| outcome.as_str().to_owned()).unwrap_or_default(),
        entry.first_by.map(|by| by.as_str().to_owned()).unwrap_or_default(),
        entry.by_callback.to_string(),
        entry.by_list.to_string(),
    ];
    for name in integrations {
        let record = entry.integrations.get(name).and_then(|standing| standing.record.as_ref());
        cells.push(standing(entry, name).to_owned());
        cells.push(record.map(|record| format!("{} {}", record.kind, record.id)).unwrap_or_default());
    }
    cells
}

/// One line, every cell quoted. What a spreadsheet would take for a formula is kept from being one: a CallSid is whatever
/// a request says it is.
fn line(cells: &[String]) -> String {
    let cells = cells.iter().map(|cell| {
        let guard = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
        format!("\"{guard}{}\"", cell.replace('"', "\"\""))
    });
    cells.collect::<Vec<_>>().join(",") + "\r\n"
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SummaryQuery {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

async fn summary(request: HttpRequest, services: Data<Services>, sid: Path<String>) -> Answer {
    let asked: SummaryQuery = query(&request)?;
    let span = Span { from: asked.from, to: asked.to };
    let summary = services.store.ledger_summary(&sid, span).await?;
    let swept = services.store.sweep_cursor(&sid).await?;
    let counts = counted(&summary, swept, &integrations(&services, &sid));
    Ok(HttpResponse::Ok().json(SummaryShown { from: asked.from, to: asked.to, counts }))
}

#[derive(Serialize, JsonSchema)]
struct SummaryShown {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    #[serde(flatten)]
    counts: Counted,
}

/// A ledger, counted, as the API answers it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Counted {
    pub calls: u64,
    pub seen: SeenCounted,
    /// Of these the outcome is not known yet: they are missing in every CRM, and rightly so.
    pub open: u64,
    pub integrations: BTreeMap<String, StandingCounted>,
    pub popups: PopupsCounted,
    pub silent_exophones: Vec<SilentExoPhone>,
    pub swept: Option<Swept>,
}

/// By which of the two ways calls came to be known.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SeenCounted {
    pub callback: u64,
    pub list: u64,
    pub both: u64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct StandingCounted {
    pub states: BTreeMap<DeliveryState, u64>,
    /// Calls without a record that is done.
    pub missing: u64,
}

/// Answered calls that callbacks told of: with how many popups came, and those that Exotel has to enable.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct PopupsCounted {
    pub answered: u64,
    pub with_popups: u64,
    pub with_ringing: u64,
}

/// How far Exotel's list was compared.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Swept {
    pub since: Timestamp,
    pub reached: Timestamp,
}

/// A summary as the API answers it.
pub fn counted(summary: &LedgerSummary, swept: Option<SweepCursor>, integrations: &[String]) -> Counted {
    let standing = |name: &String| {
        let states = summary.integrations.get(name).cloned().unwrap_or_default();
        let done = states.get(&DeliveryState::Done).copied().unwrap_or(0);
        (name.clone(), StandingCounted { states, missing: summary.calls.saturating_sub(done) })
    };
    Counted {
        calls: summary.calls,
        seen: SeenCounted { callback: summary.callback_only, list: summary.list_only, both: summary.both },
        open: summary.open,
        integrations: integrations.iter().map(standing).collect(),
        popups: PopupsCounted {
            answered: summary.answered,
            with_popups: summary.answered_with_popups,
            with_ringing: summary.answered_with_ringing,
        },
        silent_exophones: summary.silent_exophones.clone(),
        swept: swept.map(|swept| Swept { since: swept.since, reached: swept.reached }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_breaks_out_of_its_place_or_becomes_a_formula() {
        let cells = ["a", "b,\"c\"\r\nd", "=HYPERLINK(1)", "-1", ""].map(str::to_owned);
        assert_eq!(line(&cells), "\"a\",\"b,\"\"c\"\"\r\nd\",\"'=HYPERLINK(1)\",\"'-1\",\"\"\r\n");
    }
}
