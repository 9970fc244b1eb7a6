//! Salesforce owes what every connector owes: the behaviour suite against the strict sandbox.

mod subject;

use patchbay_testkit::suite;
use subject::Salesforce;

#[test]
fn it_behaves() {
    suite::run(&Salesforce::USUAL);
}

/// What the facts do not settle is as it may also be.
#[test]
fn it_behaves_where_salesforce_answers_otherwise() {
    suite::run(&Salesforce { other_forms: true, ..Salesforce::USUAL });
}

/// Nobody has made the custom fields but the one that holds the CallSid.
#[test]
fn it_behaves_in_an_org_without_its_fields() {
    suite::run(&Salesforce { has_call_fields: false, ..Salesforce::USUAL });
}

#[test]
fn it_behaves_where_unknown_callers_become_something_else() {
    for default_object in ["Contact", "Account", "Case"] {
        suite::run(&Salesforce { default_object, ..Salesforce::USUAL });
    }
}

/// Without the external id on callers nothing keeps a second one out but looking first.
#[test]
fn it_behaves_without_an_external_id_on_callers() {
    suite::run(&Salesforce { has_caller_id: false, ..Salesforce::USUAL });
}
