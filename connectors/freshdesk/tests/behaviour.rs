//! Freshdesk owes what every connector owes: the behaviour suite against the strict sandbox.

mod subject;

use patchbay_testkit::suite;
use subject::Freshdesk;

#[test]
fn it_behaves() {
    suite::run(&Freshdesk { conflict_names_holder: true });
}

#[test]
fn it_behaves_where_a_conflict_names_nobody() {
    suite::run(&Freshdesk { conflict_names_holder: false });
}
