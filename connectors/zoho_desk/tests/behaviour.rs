//! Zoho Desk owes what every connector owes: the behaviour suite against the strict sandbox, in every form that the
//! sources leave open.

mod subject;

use std::time::Duration;

use patchbay_sandbox::zoho_desk::{Times, Trash};
use patchbay_testkit::suite;
use subject::ZohoDesk;

#[test]
fn it_behaves() {
    suite::run(&ZohoDesk::like(|_| ()));
}

/// As the OpenAPI description's examples have it, with the recycle bin shown.
#[test]
fn it_behaves_with_times_as_numbers_and_deleted_records_shown() {
    suite::run(&ZohoDesk::like(|settings| {
        settings.times = Times::Millis;
        settings.trash = Trash::Shown;
        settings.empty_is_204 = false;
        settings.org_in_query = false;
    }));
}

/// As older clients have it.
#[test]
fn it_behaves_where_lists_begin_with_one() {
    suite::run(&ZohoDesk::like(|settings| settings.first_index = 1));
}

#[test]
fn it_behaves_where_the_search_knows_no_numbers() {
    suite::run(&ZohoDesk::like(|settings| settings.search_by_number = false));
}

#[test]
fn it_behaves_where_numbers_are_unique() {
    suite::run(&ZohoDesk::like(|settings| settings.unique_numbers = true));
}

/// The list of a contact's tickets may be as far behind as the search.
#[test]
fn it_behaves_where_a_contacts_tickets_come_late() {
    suite::run(&ZohoDesk::like(|settings| settings.contact_tickets_lag = Duration::from_secs(7200)));
}
