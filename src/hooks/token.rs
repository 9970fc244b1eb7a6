//! Any hook behind a hook token: the token names the account, what follows it says which hook is meant.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, Payload, ServiceConfig},
};
use jiff::Timestamp;

use super::{
    answer::{self, Applet},
    intake::{self, Arrived},
    scope::{self, Place},
};
use crate::{
    app::Services,
    call::{Hook, normalise},
};

pub(super) fn routes(config: &mut ServiceConfig) {
    config.route("/h/{token}/{rest:.*}", web::to(by_token)).route("/h/{token}", web::to(by_token));
}

/// The account in a path; behind a token it must be the token's.
const SID: &str = "{sid}";
/// An app of Exotel's WebRTC integrations.
const APP: &str = "{app}";

/// Every path there is. Behind a token a path may be cut off at its front.
pub(super) const PATHS: &[(Hook, &[&str])] = &[
    (Hook::CallEvents, &["v2", "accounts", SID, "call-events"]),
    (Hook::CallEvents, &["v2", "accounts", SID, "dialwhom"]),
    (Hook::CallEvents, &["v2", "accounts", SID, "connect"]),
    (Hook::CallEvents, &["v2", "accounts", SID, "gather"]),
    (Hook::CallEvents, &["v2", "accounts", SID, "greeting"]),
    (Hook::CallEvents, &["v2", "accounts", SID, "playback"]),
    (Hook::CallEvents, &["v2", "accounts", SID, "decide"]),
    (Hook::CallEvents, &["v2", "accounts", SID, "switch"]),
    (Hook::CallEvents, &["exotel", "answer"]),
    (Hook::CallEvents, &["exotel", "dial-up"]),
    (Hook::Status, &["v2", "accounts", SID, "status"]),
    (Hook::Status, &["exotel", "callback", "status"]),
    (Hook::Freshworks, &["pop", SID]),
    (Hook::Freshworks, &["answered", SID]),
    (Hook::Freshworks, &["missed", SID]),
    (Hook::Freshworks, &["pop"]),
    (Hook::Freshworks, &["answered"]),
    (Hook::Freshworks, &["missed"]),
    (Hook::LeadSquared, &["v1", "leadsquared", "inbound", "call", "dialwhom"]),
    (Hook::LeadSquared, &["v1", "leadsquared", "inbound", "call", "popup"]),
    (Hook::LeadSquared, &["v1", "leadsquared", "inbound", "call", "passthru"]),
    (Hook::LeadSquared, &["v1", "leadssquared", "inbound", "call", "dialwhom"]),
    (Hook::LeadSquared, &["v1", "leadssquared", "inbound", "call", "popup"]),
    (Hook::LeadSquared, &["v1", "leadssquared", "inbound", "call", "passthru"]),
    (Hook::LeadSquared, &["v1", "leadsquared", "mobile", SID, "dialwhom"]),
    (Hook::LeadSquared, &["v1", "leadssquared", "mobile", SID, "dialwhom"]),
    (Hook::Salesforce, &["sfdc", "api", "inbound", "agentpopup"]),
    (Hook::Salesforce, &["sfdc", "api", "inbound", "passthru"]),
    (Hook::Zoho, &["callback", "exotel", SID, "createpopup"]),
    (Hook::Zoho, &["callback", "exotel", SID, "incomingcallhungup"]),
    (Hook::Zoho, &["callback", "exotel", SID, "callmissed"]),
    (Hook::IpPstn, &["v2", "integrations", "call", "inbound_call", APP]),
    (Hook::IpPstn, &["v2", "integrations", "call", "inbound_call"]),
];

async fn by_token(request: HttpRequest, services: Data<Services>, payload: Payload) -> HttpResponse {
    let token = request.match_info().get("token").unwrap_or_default();
    let rest = request.match_info().get("rest").unwrap_or_default().trim_matches('/').to_owned();
    let place = {
        let doors = services.doors.load();
        let query = request.query_string();
        doors.token(token, Timestamp::now()).and_then(|(account, scope)| {
            let place = place_of(&rest, query, account).filter(|place| place.is_in(scope, query))?;
            Some((place.hook, account.to_owned()))
        })
    };
    let path = format!("/h/***/{rest}");
    let Some((hook, account)) = place else {
        // An unknown token, an expired one, one for another place, and a right one at a place that does not exist: the same.
        let nothing = HttpResponse::NotFound().content_type("text/plain").body("There is nothing here.\n");
        return intake::count(&services, "token", nothing);
    };
    let applet = Applet::of(rest.rsplit('/').next().unwrap_or_default());
    let applet = applet.filter(|_| matches!(hook, Hook::CallEvents | Hook::LeadSquared));
    let answer = match applet {
        Some(applet) => match answer::read(&request, &services, payload).await {
            Ok(arrived) => answer::answer(applet, arrived.at(path), &services, hook, account).await,
            Err(answer) => answer,
        },
        None => match Arrived::read(&request, &services, payload).await {
            Ok(arrived) => arrived.at(path).keep(&services, hook, account).await,
            Err(answer) => answer,
        },
    };
    intake::count(&services, "token", answer)
}

/// Whether a URL that is to be pasted stands behind this token, of this account and scope, and is opened by it.
pub fn opens(url: &str, token: &str, account: &str, scope: Option<&str>) -> bool {
    let Some((_, rest)) = url.split_once(&format!("/h/{token}")) else { return false };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    place_of(path.trim_matches('/'), query, account).is_some_and(|place| place.is_in(scope, query))
}

/// Which hook a path behind a token means. An account that is named, in path or query, must be the token's.
fn place_of(rest: &str, query: &str, account: &str) -> Option<Place> {
    if rest.is_empty() {
        return Some(Place { hook: Hook::CallEvents, applet: "call-events" });
    }
    let given: Vec<&str> = rest.split('/').collect();
    let fits = |path: &[&str]| {
        let Some(tail) = path.len().checked_sub(given.len()).map(|from| &path[from..]) else { return false };
        let named = tail.iter().any(|segment| *segment != SID && *segment != APP);
        named
            && tail.iter().zip(&given).all(|(segment, given)| match *segment {
                SID => *given == account,
                APP => !given.is_empty(),
                segment => segment == *given,
            })
    };
    let (hook, path) = PATHS.iter().find(|(_, path)| fits(path))?;
    let said = |names: &[&str]| normalise::field(query, None, b"", names);
    // Two families end alike; one of them says more.
    let hook = if rest == "passthru" && said(&["callState"]).is_some() { Hook::Salesforce } else { *hook };
    let by_parameter = matches!(hook, Hook::LeadSquared | Hook::Salesforce | Hook::IpPstn);
    let other = by_parameter && said(intake::ACCOUNT_NAMES).is_some_and(|named| named != account);
    let applet = scope::last(path)?;
    (!other).then_some(Place { hook, applet })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook_of(rest: &str, query: &str, account: &str) -> Option<Hook> {
        place_of(rest, query, account).map(|place| place.hook)
    }

    #[test]
    fn of_what_is_shown_with_a_token_only_what_it_opens_is() {
        let all = [
            "https://x/h/t/call-events?event=pop",
            "https://x/h/t/dialwhom",
            "https://x/h/t/status",
            "https://x/h/t/callback/exotel/acme1/callmissed",
            "https://x/sfdc/api/inbound/agentpopup?AccountUid=1",
        ];
        let opened = |scope| all.into_iter().filter(|url| opens(url, "t", "acme1", scope)).collect::<Vec<_>>();
        assert_eq!(opened(None), all[..4]);
        assert_eq!(opened(Some("call_events")), all[..2]);
        assert_eq!(opened(Some("call_events?event=pop")), all[..1]);
        assert_eq!(opened(Some("zoho/callmissed")), all[3..4]);
        assert!(!opens(all[0], "other", "acme1", None) && !opens(all[3], "t", "acme2", None));
    }

    #[test]
    fn behind_a_token_the_whole_path_or_its_end_may_stand() {
        let at = |path: &str| hook_of(path, "", "acme1");
        for path in ["", "call-events", "v2/accounts/acme1/call-events", "dialwhom", "v2/accounts/acme1/dialwhom"] {
            assert_eq!(at(path), Some(Hook::CallEvents), "{path}");
        }
        assert_eq!((at("exotel/answer"), at("dial-up")), (Some(Hook::CallEvents), Some(Hook::CallEvents)));
        assert_eq!(at("v2/accounts/acme1/status"), Some(Hook::Status));
        assert_eq!(at("exotel/callback/status"), Some(Hook::Status));
        for path in ["pop", "answered/acme1", "missed/acme1"] {
            assert_eq!(at(path), Some(Hook::Freshworks), "{path}");
        }
        for path in [
            "popup",
            "passthru",
            "call/popup",
            "v1/leadsquared/inbound/call/passthru",
            "v1/leadssquared/mobile/acme1/dialwhom",
        ] {
            assert_eq!(at(path), Some(Hook::LeadSquared), "{path}");
        }
        for path in ["agentpopup", "inbound/passthru", "sfdc/api/inbound/passthru"] {
            assert_eq!(at(path), Some(Hook::Salesforce), "{path}");
        }
        for path in ["createpopup", "callback/exotel/acme1/callmissed", "incomingcallhungup"] {
            assert_eq!(at(path), Some(Hook::Zoho), "{path}");
        }
        for path in ["inbound_call", "v2/integrations/call/inbound_call/f3b0"] {
            assert_eq!(at(path), Some(Hook::IpPstn), "{path}");
        }
        for path in [
            "v2/accounts/other/call-events",
            "v2/accounts/acme1",
            "v2/accounts/acme1x/status",
            "x",
            "acme1",
            "pop/other",
            "callback/exotel/other/callmissed",
            "x/v2/accounts/acme1/call-events",
        ] {
            assert_eq!(at(path), None, "{path}");
        }
    }

    #[test]
    fn a_query_tells_families_apart_and_must_not_name_another_account() {
        assert_eq!(hook_of("passthru", "callState=Answered", "acme1"), Some(Hook::Salesforce));
        assert_eq!(hook_of("passthru", "accsid=acme1", "acme1"), Some(Hook::LeadSquared));
        assert_eq!(hook_of("call/passthru", "AccSid=other", "acme1"), None);
        assert_eq!(hook_of("agentpopup", "AccountSid=other", "acme1"), None);
        // A leg's own status callback carries it.
        assert_eq!(hook_of("status", "AccountSid=exotel", "acme1"), Some(Hook::Status));
    }
}
