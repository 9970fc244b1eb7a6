//! The organisation of the tests, and the integration with it: set up once, so that each test names only what it
//! differs in.

use std::collections::BTreeSet;

use patchbay_kit::Settings;
use patchbay_sandbox::leadsquared;
use patchbay_testkit::Credentials;

const ACCESS: &str = "u$r-the-access-key";
const SECRET: &str = "the-secret-key";
const ORG: &str = "247ce-the-org-key";

/// The organisation of the tests.
pub(crate) fn sandbox() -> leadsquared::LeadSquared {
    leadsquared::LeadSquared::new(ACCESS, SECRET, ORG)
}

/// Keys and capability URLs of an organisation.
pub(crate) fn credentials(of: &leadsquared::LeadSquared, keys: bool) -> Credentials {
    let url = |operation| format!("https://telephony-in21.leadsquared.com{}", of.path(operation));
    let [route, popup, log] = ["LeadRouteV2", "AgentPopup", "LogCallComplete"].map(url);
    let urls = [("call_route_url", route.as_str()), ("agent_popup_url", &popup), ("call_log_url", &log)];
    let [route, popup, log] = urls;
    if keys {
        Credentials::of([route, popup, log, ("access_key", ACCESS), ("secret_key", SECRET)])
    } else {
        Credentials::of(urls)
    }
}

/// Settings under which an integration is built, as the core hands them over.
pub(crate) fn settings(keys: bool) -> Settings {
    let mut secrets = BTreeSet::from(["call_route_url", "agent_popup_url", "call_log_url"]);
    if keys {
        secrets.extend(["access_key", "secret_key"]);
    }
    let mut settings = Settings { secrets: secrets.into_iter().map(str::to_owned).collect(), ..Settings::default() };
    if keys {
        settings.text.insert("api_url".to_owned(), "https://api-in21.leadsquared.com".to_owned());
    }
    settings
}
