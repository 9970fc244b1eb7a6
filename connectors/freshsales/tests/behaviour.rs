//! Freshsales owes what every connector owes: the behaviour suite against the strict sandbox, in each of the forms in
//! which accounts are reported to answer.

mod subject;

use patchbay_sandbox::freshsales::Gone;
use patchbay_testkit::suite;
use subject::Freshsales;

#[test]
fn it_behaves() {
    suite::run(&Freshsales::usual());
}

#[test]
fn it_behaves_with_call_logs_as_json() {
    suite::run(&Freshsales { calls_as_json: true, ..Freshsales::usual() });
}

#[test]
fn it_behaves_with_the_classic_product() {
    suite::run(&Freshsales { classic: true, ..Freshsales::usual() });
}

#[test]
fn it_behaves_where_nothing_says_how_many_pages_there_are() {
    suite::run(&Freshsales { pages_told: false, ..Freshsales::usual() });
}

#[test]
fn it_behaves_where_lists_have_no_pages() {
    suite::run(&Freshsales { paged: false, pages_told: false, ..Freshsales::usual() });
}

#[test]
fn it_behaves_whatever_a_call_of_a_deleted_contact_comes_to() {
    suite::run(&Freshsales { gone: Gone::Invalid, ..Freshsales::usual() });
}
