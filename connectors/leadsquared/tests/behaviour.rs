//! LeadSquared owes what every connector owes: the behaviour suite against the strict sandbox, in each of the forms
//! that its documentation leaves open.

mod org;
mod subject;

use patchbay_kit::StatusCode;
use patchbay_sandbox::leadsquared::{LogReply, NoRoute, PhoneSearch};
use patchbay_testkit::suite;
use subject::LeadSquared;

#[test]
fn it_behaves() {
    suite::run(&LeadSquared { keys: true, differs: |_| {} });
}

#[test]
fn it_behaves_without_keys() {
    suite::run(&LeadSquared { keys: false, differs: |_| {} });
}

#[test]
fn it_behaves_where_numbers_are_found_as_they_are_stored() {
    suite::run(&LeadSquared { keys: true, differs: |settings| settings.phone_search = PhoneSearch::Exact });
}

#[test]
fn it_behaves_where_refusals_come_under_other_statuses() {
    suite::run(&LeadSquared { keys: true, differs: |settings| settings.error_status = StatusCode::BAD_REQUEST });
    suite::run(&LeadSquared { keys: true, differs: |settings| settings.error_status = StatusCode::OK });
}

#[test]
fn it_behaves_without_keys_where_a_log_names_no_activity() {
    suite::run(&LeadSquared { keys: false, differs: |settings| settings.log_reply = LogReply::Bare });
    suite::run(&LeadSquared { keys: false, differs: |settings| settings.log_reply = LogReply::Queued });
}

#[test]
fn it_behaves_whatever_is_unique_and_in_whatever_order() {
    suite::run(&LeadSquared { keys: true, differs: |settings| settings.unique_phone = false });
    suite::run(&LeadSquared { keys: true, differs: |settings| settings.unique_sessions = true });
    suite::run(&LeadSquared { keys: true, differs: |settings| settings.oldest_first = true });
}

#[test]
fn it_behaves_where_the_route_says_otherwise_that_it_knows_nobody() {
    suite::run(&LeadSquared { keys: false, differs: |settings| settings.no_route = NoRoute::Null });
    suite::run(&LeadSquared { keys: false, differs: |settings| settings.no_route = NoRoute::Empty });
    suite::run(&LeadSquared { keys: false, differs: |settings| settings.no_route = NoRoute::Enveloped });
    suite::run(&LeadSquared { keys: false, differs: |settings| settings.no_route = NoRoute::Error });
}

#[test]
fn it_behaves_where_a_wrong_url_is_refused_otherwise() {
    suite::run(&LeadSquared { keys: false, differs: |settings| settings.unknown_connector = StatusCode::NOT_FOUND });
    suite::run(&LeadSquared { keys: true, differs: |settings| settings.org_segment = true });
}
