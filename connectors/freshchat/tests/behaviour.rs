//! Freshchat owes what every connector owes: the behaviour suite against the strict sandbox, in each of the forms that
//! its documentation leaves open.

mod subject;

use patchbay_kit::StatusCode;
use patchbay_sandbox::freshchat::{Duplicate, Settings};
use patchbay_testkit::suite;
use subject::Freshchat;

#[test]
fn it_behaves() {
    suite::run(&Freshchat(Settings::default()));
}

#[test]
fn it_behaves_where_messages_run_from_the_oldest_and_are_paged_by_number() {
    suite::run(&Freshchat(Settings { newest_first: false, links_messages: false, ..Settings::default() }));
}

#[test]
fn it_behaves_where_messages_run_from_the_newest_and_are_paged_by_number() {
    suite::run(&Freshchat(Settings { links_messages: false, ..Settings::default() }));
}

#[test]
fn it_behaves_where_errors_have_the_older_form_and_nobody_is_a_404() {
    suite::run(&Freshchat(Settings {
        older_errors: true,
        nobody_is_404: true,
        created: StatusCode::CREATED,
        ..Settings::default()
    }));
}

#[test]
fn it_behaves_where_lists_say_more_and_a_reference_id_yields_its_user() {
    suite::run(&Freshchat(Settings {
        lists_details: true,
        duplicate: Duplicate::Yielded,
        newest_first: false,
        created: StatusCode::ACCEPTED,
        ..Settings::default()
    }));
}

#[test]
fn it_behaves_where_a_reference_id_is_not_unique() {
    suite::run(&Freshchat(Settings { duplicate: Duplicate::Made, ..Settings::default() }));
}
