//! What every store must do, whatever it keeps its rows in: one function for each case, run by each store's tests.
//!
//! A case gets an empty store of its own.

pub(in crate::store) mod calls;
pub(in crate::store) mod clicks;
pub(in crate::store) mod credentials;
pub(in crate::store) mod decisions;
pub(in crate::store) mod documents;
pub(in crate::store) mod journal;
pub(in crate::store) mod lanes;
pub(in crate::store) mod leases;
pub(in crate::store) mod ledger;
pub(in crate::store) mod outcomes;

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use patchbay_kit::{CallActivity, CallKey, Direction, FollowUp, FollowUpKind, Note, Outcome, RecordRef};

use super::{
    Attempt, AttemptOutcome, CallRef, Claimed, Decision, Delivery, DeliveryState, Duty, LaneRef, Lease, Link, Next,
    Seq, Settlement, Store, Turn, Witnessed, Written,
};
use crate::call::{
    CallEvent, CallState, Caller, Content, EventId, EventKind, Facts, Hook, Intent, IntentKind, LogContent, Receipt,
    plan::Enquiry,
};

/// Gives every case there is to a macro, so that no store's tests can leave one out.
macro_rules! for_each_case {
    ($run:ident) => {
        $run! {
            journal::keeps_order_and_content,
            journal::cursor_moves_on_and_never_back,
            journal::set_aside_and_replayed,
            journal::purge_leaves_what_is_unread_or_set_aside,
            journal::ping_answers,
            decisions::a_call_is_stored_and_read_back,
            decisions::conflict_writes_nothing,
            decisions::the_same_event_is_kept_once_with_every_witness,
            decisions::a_new_intent_is_pending_at_once,
            decisions::equal_content_changes_nothing,
            decisions::other_content_while_pending_keeps_its_time,
            decisions::other_content_after_done_is_pending_again,
            decisions::other_content_leaves_held_and_dead,
            decisions::other_content_in_flight_stays_in_flight,
            decisions::unwanted_is_superseded_and_may_come_back,
            decisions::what_comes_back_by_itself_is_looked_for_if_it_was_tried,
            decisions::unwanted_in_flight_is_left_alone,
            decisions::a_nul_is_no_obstacle,
            lanes::takes_the_oldest_that_are_due,
            lanes::takes_of_its_own_lane_and_kind_only,
            lanes::later_kind_waits_for_the_earlier,
            lanes::later_kind_waits_for_held_and_dead,
            lanes::one_in_flight_of_a_call_and_integration,
            lanes::superseded_earlier_kind_frees_the_later,
            lanes::next_due_is_of_what_can_be_taken,
            lanes::brings_links_and_contact,
            lanes::recovers_what_was_in_flight,
            lanes::recovery_puts_the_kinds_in_order_again,
            lanes::the_past_waits_while_anything_of_now_is_due,
            lanes::what_is_not_due_yet_does_not_keep_the_past_waiting,
            lanes::news_of_a_call_of_the_past_are_not_of_the_past,
            outcomes::done_is_done,
            outcomes::newer_revision_is_pending_at_once,
            outcomes::again_counts_only_what_counts,
            outcomes::contacts_are_kept_and_forgotten,
            outcomes::attempts_are_trimmed,
            outcomes::an_outcome_told_twice_counts_once,
            outcomes::redrive_by_state_and_id,
            outcomes::redrive_of_done_raises_the_revision,
            outcomes::redrive_takes_all_or_as_many_as_asked,
            outcomes::deliveries_are_listed_by_page,
            outcomes::forgets_links,
            outcomes::depths_follow_every_move,
            calls::enquiries_are_due_and_put_off,
            calls::listed_newest_first_by_page,
            calls::listed_by_outcome_number_and_time,
            calls::a_cursor_of_nobody_is_refused,
            calls::purge_leaves_the_unfinished,
            calls::purge_takes_the_oldest_first,
            calls::hook_tokens_live_and_expire,
            clicks::a_key_has_one_click,
            clicks::of_many_who_intend_one_key_one_does,
            clicks::a_click_changes_over_the_version_that_was_read,
            clicks::a_placed_click_is_a_receipt_too,
            clicks::a_key_that_is_renewed_is_given_up_once_settled,
            clicks::unsettled_and_listed,
            clicks::purge_leaves_the_unsettled,
            ledger::shows_calls_by_when_they_began,
            ledger::shows_calls_by_who_told_of_them_and_where_they_stand,
            ledger::counts_popups_and_exophones_nobody_hears_of,
            ledger::keeps_how_far_the_list_was_compared,
            credentials::tokens_are_written_over_the_version_that_was_read,
            credentials::of_many_who_write_over_one_version_one_does,
            credentials::a_consent_is_good_once_and_for_a_time,
            documents::a_document_is_kept_as_written_and_versioned,
            documents::a_document_on_another_version_is_a_conflict,
            documents::a_document_has_its_name_alone,
            documents::the_log_is_listed_by_page_and_account,
            documents::what_is_over_is_forgotten,
            documents::what_lies_sealed_is_found_and_exchanged,
            leases::one_node_has_it_until_it_is_given_back,
            leases::what_is_not_renewed_falls_to_another,
            leases::only_what_is_free_is_granted,
            leases::of_many_who_ask_one_is_granted_it,
            leases::who_lost_the_lane_writes_nothing,
            leases::who_lost_the_journal_decides_nothing,
        }
    };
}
pub(in crate::store) use for_each_case;

pub(in crate::store) const ACCOUNT: &str = "acme1";
pub(in crate::store) const DESK: &str = "desk";
/// The node that does everything where a case is about something else, and another one.
pub(in crate::store) const NODE: Uuid = Uuid::from_u128(0xa);
pub(in crate::store) const OTHER: Uuid = Uuid::from_u128(0xb);

/// Seconds after some beginning.
pub(in crate::store) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).expect("a time within range")
}

pub(in crate::store) fn receipt(number: u128) -> Receipt {
    Receipt {
        id: Uuid::from_u128(number),
        account: ACCOUNT.to_owned(),
        hook: Hook::CallEvents,
        received_at: at(i64::try_from(number).expect("a small number")),
        method: "POST".to_owned(),
        path: format!("/v2/accounts/{ACCOUNT}/call-events"),
        query: format!("event=popup&n={number}"),
        content_type: Some("application/x-www-form-urlencoded".to_owned()),
        body: b"CallSid=\0\xff".to_vec(),
    }
}

pub(in crate::store) fn call(sid: &str) -> CallRef {
    CallRef { account: ACCOUNT.to_owned(), call_sid: sid.to_owned() }
}

pub(in crate::store) fn lane(integration: &str) -> LaneRef {
    LaneRef { account: ACCOUNT.to_owned(), integration: integration.to_owned() }
}

pub(in crate::store) fn event(sid: &str, number: u128) -> CallEvent {
    CallEvent {
        id: EventId(Uuid::from_u128(number)),
        call_sid: sid.to_owned(),
        kind: EventKind::Ringing,
        at: None,
        received_at: at(i64::try_from(number).expect("a small number")),
        facts: Facts { customer: Some("09052161119".to_owned()), ..Facts::default() },
    }
}

pub(in crate::store) fn state(sid: &str) -> CallState {
    CallState {
        call_sid: sid.to_owned(),
        direction: Direction::Incoming,
        customer: Some("09052161119".to_owned()),
        exophone: Some("08046801234".to_owned()),
        started_at: Some(at(0)),
        first_heard_at: None,
        ended_at: None,
        attempts: Vec::new(),
        placed_for: None,
        digits: Vec::new(),
        total_seconds: None,
        talk_seconds: Some(42),
        recording_url: None,
        amd: None,
        outcome: Some(Outcome::Missed),
        automatic: false,
        over: true,
        listed_over: false,
        seen: Default::default(),
        bot: None,
        streams: Vec::new(),
        custom_field: None,
        choices: Default::default(),
        follow_ups: Default::default(),
        talks: Vec::new(),
        events: 1,
    }
}

fn activity(sid: &str, text: &str) -> CallActivity {
    CallActivity {
        key: CallKey(sid.to_owned()),
        outcome: Outcome::Missed,
        direction: Direction::Incoming,
        subject: text.to_owned(),
        body: format!("{text} {sid}"),
        customer: crate::call::phone::party(Some("09052161119"), "IN"),
        exophone: crate::call::phone::party(Some("08046801234"), "IN"),
        started_at: Some(at(0)),
        ended_at: None,
        total_seconds: None,
        tried: Vec::new(),
        recording_link: None,
        talk_seconds: None,
        digits: Vec::new(),
        disposition: None,
        contact: None,
        agent: None,
    }
}

pub(in crate::store) fn intent(sid: &str, integration: &str, kind: IntentKind, text: &str) -> Intent {
    let content = match kind {
        IntentKind::Log => Content::Log(Box::new(LogContent {
            activity: activity(sid, text),
            caller: Caller { number: None, name: "Unknown caller".to_owned(), external_id: format!("caller-{sid}") },
            agent: None,
            chosen: None,
        })),
        IntentKind::FollowUp => Content::FollowUp(FollowUp {
            key: CallKey(sid.to_owned()),
            kind: FollowUpKind::Task,
            subject: text.to_owned(),
            body: format!("{text} {sid}"),
            due_at: at(0),
        }),
        IntentKind::Recording => {
            Content::Recording(Note { key: CallKey(sid.to_owned()), body: format!("{text} {sid}") })
        }
    };
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{integration}/{sid}/{}", kind.as_str()).as_bytes());
    Intent { id, integration: integration.to_owned(), kind, content }
}

pub(in crate::store) fn log(sid: &str, text: &str) -> Intent {
    intent(sid, DESK, IntentKind::Log, text)
}

pub(in crate::store) fn note(sid: &str, text: &str) -> Intent {
    intent(sid, DESK, IntentKind::Recording, text)
}

pub(in crate::store) fn decision(sid: &str, on_version: i64, intents: Vec<Intent>, at: Timestamp) -> Decision {
    Decision {
        call: call(sid),
        on_version,
        witnessed: Vec::new(),
        state: state(sid),
        intents,
        enquiry: Enquiry { step: 0, due_at: None },
        backfill: false,
        at,
    }
}

/// Decides on the call as it is now.
pub(in crate::store) async fn decide(store: &dyn Store, sid: &str, intents: Vec<Intent>, at: Timestamp) {
    let version = store.calls(&[call(sid)]).await.expect("calls").get(&call(sid)).map_or(0, |call| call.version);
    store.decide(vec![decision(sid, version, intents, at)], Vec::new(), None).await.expect("decide");
}

pub(in crate::store) async fn delivery(store: &dyn Store, intent: &Intent) -> Delivery {
    let file = store.call_file(&call(content_sid(&intent.content))).await.expect("call file").expect("the call");
    file.deliveries.into_iter().find(|delivery| delivery.id == intent.id).expect("the delivery")
}

fn content_sid(content: &Content) -> &str {
    match content {
        Content::Log(content) => &content.activity.key.0,
        Content::Recording(note) => &note.key.0,
        Content::FollowUp(it) => &it.key.0,
    }
}

pub(in crate::store) async fn claim(store: &dyn Store, kind: IntentKind, now: Timestamp) -> Vec<Claimed> {
    take(store, &lane(DESK), Turn::Now(kind), 10, now).await
}

pub(in crate::store) async fn take(
    store: &dyn Store,
    lane: &LaneRef,
    turn: Turn,
    limit: usize,
    now: Timestamp,
) -> Vec<Claimed> {
    let lease = leased(store, NODE, Duty::Lane(lane.clone())).await;
    store.claim(&lease, lane, turn, limit, now).await.expect("claim")
}

pub(in crate::store) async fn recover(store: &dyn Store, not_before: Timestamp, now: Timestamp) -> u64 {
    let lease = leased(store, NODE, Duty::Lane(lane(DESK))).await;
    store.recover(&lease, &lane(DESK), not_before, now).await.expect("recover")
}

/// Takes a duty that nobody else has.
pub(in crate::store) async fn leased(store: &dyn Store, holder: Uuid, duty: Duty) -> Lease {
    let mut granted = store.lease(holder, &[duty], Duration::from_secs(3600)).await.expect("lease");
    assert_eq!(granted.len(), 1, "it is nobody else's");
    granted.remove(0)
}

/// That the journal is read up to there, by whose it is to read.
pub(in crate::store) async fn up_to(store: &dyn Store, seq: Seq) -> Option<(Seq, Lease)> {
    Some((seq, leased(store, NODE, Duty::Journal).await))
}

pub(in crate::store) fn sids(claimed: &[Claimed]) -> Vec<&str> {
    claimed.iter().map(|one| one.delivery.call_sid.as_str()).collect()
}

pub(in crate::store) fn settlement(claimed: &Claimed, next: Next, now: Timestamp) -> Settlement {
    let Delivery { id, account, integration, call_sid, kind, revision, .. } = claimed.delivery.clone();
    Settlement {
        delivery: id,
        lane: LaneRef { account, integration },
        call_sid,
        kind,
        attempt: Attempt {
            at: now,
            revision,
            outcome: AttemptOutcome::Delivered,
            remote_code: None,
            detail: String::new(),
            duration_ms: 7,
            exchanges: Vec::new(),
        },
        next,
        link: None,
        contact: None,
    }
}

pub(in crate::store) async fn settle(store: &dyn Store, claimed: &Claimed, next: Next, now: Timestamp) {
    settled(store, settlement(claimed, next, now)).await;
}

pub(in crate::store) async fn settled(store: &dyn Store, settlement: Settlement) {
    let lease = leased(store, NODE, Duty::Lane(settlement.lane.clone())).await;
    store.settle(&lease, settlement).await.expect("settle");
}

/// Takes the one delivery of that kind that is due, and settles it.
pub(in crate::store) async fn carry_out(store: &dyn Store, kind: IntentKind, next: Next, now: Timestamp) {
    let claimed = claim(store, kind, now).await;
    assert_eq!(claimed.len(), 1, "one is due");
    settle(store, &claimed[0], next, now).await;
}

pub(in crate::store) fn held() -> Next {
    Next::Held { reason: "mapping".to_owned(), probe: true }
}

pub(in crate::store) fn dead() -> Next {
    Next::Dead { reason: "too old".to_owned(), probe: false }
}

pub(in crate::store) fn again(due_at: Timestamp, counts: bool) -> Next {
    Next::Again { due_at, counts, probe: true, reason: "outage".to_owned() }
}

pub(in crate::store) fn link(sid: &str, id: u32) -> Link {
    Link { at: RecordRef::new("ticket", id), written: Written::Log(Box::new(activity(sid, "was"))) }
}
