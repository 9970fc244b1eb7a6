//! HubSpot owes what every connector owes: the behaviour suite against the strict sandbox.

mod subject;

use patchbay_testkit::suite;
use subject::HubSpot;

#[test]
fn it_behaves_as_a_private_app() {
    suite::run(&HubSpot { app: false, batch_fails_whole: true, missing_associate_is_404: true });
}

#[test]
fn it_behaves_as_an_app_with_oauth() {
    suite::run(&HubSpot { app: true, batch_fails_whole: true, missing_associate_is_404: true });
}

/// One refused input may be a 207 that names it, and a contact who is not there a 400.
#[test]
fn it_behaves_where_refusals_have_their_other_form() {
    suite::run(&HubSpot { app: false, batch_fails_whole: false, missing_associate_is_404: false });
}
