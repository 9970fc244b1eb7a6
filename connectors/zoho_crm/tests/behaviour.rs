//! Zoho CRM owes what every connector owes: the behaviour suite against the strict sandbox, in both readings of what
//! the documentation leaves open.

mod subject;

use patchbay_testkit::suite;

#[test]
fn it_behaves_as_documented() {
    suite::run(&subject::AS_DOCUMENTED);
}

#[test]
fn it_behaves_as_others_saw() {
    suite::run(&subject::AS_OTHERS_SAW);
}
