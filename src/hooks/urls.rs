//! The URLs to paste into an account's flows, ready but for the credential that only the customer knows.

use schemars::JsonSchema;
use serde::Serialize;

use super::account_uids;
use crate::{config::Account, key::MasterKey};

/// The URLs of the canonical family, by applet; the last is of use where a CRM knows who owns a caller.
pub fn sample_urls(base: &str) -> Vec<(&'static str, String)> {
    let url = |event: &str| format!("{base}/call-events?event={event}");
    vec![
        (POPUP, url("pop")),
        (AFTER, url("answered")),
        ("the same, when every call shall be marked as an automatic ticket", url("automated_answered")),
        (NOBODY, url("missed")),
        ("Passthru after a key of an IVR", format!("{}&ivr_tag_1=<meaning of the key>", url("ivr"))),
        ("Passthru after a Gather", format!("{}&gather_tag_1=<meaning of the digits>", url("gather"))),
        ("Passthru at the end of an IVR or Gather flow", url("end")),
        (VOICEMAIL, url("voicemail")),
        (WHOM, format!("{base}/dialwhom")),
        ("Connect applet, \"Configure parameters dynamically\"", format!("{base}/connect")),
        ("Connect applet, what is heard around the conversation", format!("{base}/playback")),
        ("Gather applet, \"Configure parameters dynamically\"", format!("{base}/gather?name=<prompt>")),
        ("Greeting or Menu applet, text from a URL", format!("{base}/greeting?name=<greeting>")),
        ("Passthru that decides: 200 or 302", format!("{base}/decide?rule=<rule>")),
        ("Passthru before a Switch Case applet", format!("{base}/switch")),
    ]
}

const POPUP: &str = "Connect applet, \"Create popup…\"";
const AFTER: &str = "Passthru after the conversation";
const NOBODY: &str = "Passthru under \"If nobody answers…\"";
const VOICEMAIL: &str = "Passthru after a Voicemail applet";
const WHOM: &str = "Connect applet, \"Dial phone number(s) returned by URL\"";

/// Around a voicebot applet, behind a hook token: the paths that flows made for other voice platforms have.
pub fn voicebot_urls(public_url: &str, token: &str) -> Vec<FamilyUrl> {
    let base = format!("{public_url}/h/{token}/exotel");
    let url =
        |applet: &'static str, path: &str| FamilyUrl { family: "voicebot", applet, url: format!("{base}/{path}") };
    vec![
        url("Passthru before the Voicebot applet: 200 where the DID leads to a bot, else 302", "answer"),
        url("Passthru after the Voicebot applet: 200 where the bot has handed the caller over, else 302", "dial-up"),
        url("Connect applet after it, \"Configure parameters dynamically\"", "dial-up"),
        url("StatusCallback of calls that are placed elsewhere", "callback/status"),
    ]
}

/// One URL of a family other than the canonical one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FamilyUrl {
    pub family: &'static str,
    pub applet: &'static str,
    pub url: String,
}

/// The URLs of those families that fit the account's integrations: the paths of Exotel's own connectors behind a hook
/// token; Salesforce's with its AccountUid, where the master key is at hand.
pub fn families(account: &Account, public_url: &str, token: &str, key: Option<&MasterKey>) -> Vec<FamilyUrl> {
    let has = |ids: &[&str]| account.integrations.iter().any(|one| ids.contains(&one.manifest.id));
    let sid = &account.sid;
    let mut urls = Vec::new();
    let mut add =
        |family: &'static str, applet: &'static str, url: String| urls.push(FamilyUrl { family, applet, url });
    let base = format!("{public_url}/h/{token}");
    if has(&["freshsales", "freshchat"]) {
        add("freshworks", POPUP, format!("{base}/pop/{sid}"));
        add("freshworks", AFTER, format!("{base}/answered/{sid}"));
        add("freshworks", NOBODY, format!("{base}/missed/{sid}"));
        add("freshworks", VOICEMAIL, format!("{base}/missed/{sid}?MissedCallType=voicemail"));
    }
    if has(&["leadsquared"]) {
        let inbound = format!("{base}/v1/leadsquared/inbound/call");
        add("leadsquared", WHOM, format!("{inbound}/dialwhom?AccSid={sid}"));
        add("leadsquared", POPUP, format!("{inbound}/popup?AccSid={sid}"));
        add("leadsquared", AFTER, format!("{inbound}/passthru?AccSid={sid}"));
        add("leadsquared", NOBODY, format!("{inbound}/passthru?AccSid={sid}"));
        add(
            "leadsquared",
            "Connect applet of mobile calls, \"Configure parameters dynamically\"",
            format!("{base}/v1/leadsquared/mobile/{sid}/dialwhom"),
        );
    }
    if has(&["salesforce"]) {
        let uids = key.map(|key| account_uids(account, key)).unwrap_or_default();
        let opened: Vec<(String, String)> = if uids.is_empty() {
            vec![(base.clone(), String::new())]
        } else {
            uids.into_iter().map(|(_, uid)| (public_url.to_owned(), format!("&AccountUid={uid}"))).collect()
        };
        for (base, uid) in opened {
            let inbound = format!("{base}/sfdc/api/inbound");
            let passthru = |state: &str| format!("{inbound}/passthru?AccountSid={sid}{uid}&callState={state}");
            add("salesforce", POPUP, format!("{inbound}/agentpopup?AccountSid={sid}{uid}"));
            add("salesforce", AFTER, passthru("Answered"));
            add("salesforce", NOBODY, passthru("missedCall"));
            add("salesforce", "Passthru under \"We didn't dial anyone…\"", passthru("notConnected"));
        }
    }
    if has(&["zoho_crm", "zoho_desk"]) {
        let callback = format!("{base}/callback/exotel/{sid}");
        add("zoho", POPUP, format!("{callback}/createpopup"));
        add("zoho", AFTER, format!("{callback}/incomingcallhungup"));
        add("zoho", NOBODY, format!("{callback}/callmissed"));
    }
    if !account.bots.is_empty() {
        urls.extend(voicebot_urls(public_url, token));
    }
    let mut add =
        |family: &'static str, applet: &'static str, url: String| urls.push(FamilyUrl { family, applet, url });
    for app in &account.app_ids {
        let inbound = format!("{base}/v2/integrations/call/inbound_call/{app}");
        add("ip_pstn", POPUP, format!("{inbound}?type=popup"));
        add("ip_pstn", AFTER, format!("{inbound}?type=incomingcallhungup"));
        add("ip_pstn", NOBODY, format!("{inbound}?type=missedcall"));
    }
    urls
}

#[cfg(test)]
mod tests {
    use patchbay_kit::Manifest;

    use super::*;

    #[test]
    fn an_account_is_shown_what_fits_its_integrations() {
        let text = r#"
            [[account]]
            sid = "acme1"
            api_key = "k"
            api_token = "t"
            app_ids = ["app-1"]
            [[account.integration]]
            connector = "freshdesk"
            base_url = "http://127.0.0.1:1"
            api_key = "x"
        "#;
        let mut config = crate::config::parse("test", text, &Default::default()).expect("a configuration");
        let account = &mut config.accounts[0];
        let dir = tempfile::tempdir().expect("a directory");
        let key = MasterKey::load_or_make(None, &dir.path().join("x.db")).expect("made");
        let mut shown = |connector: &'static str, key: Option<&MasterKey>| -> Vec<FamilyUrl> {
            let integration = &mut account.integrations[0];
            integration.manifest = Box::leak(Box::new(Manifest { id: connector, ..*integration.manifest }));
            families(account, "https://calls.example.com", "TOKEN", key)
        };
        assert!(shown("hubspot", Some(&key)).iter().all(|url| url.family == "ip_pstn"));
        for (connector, family, url) in [
            ("freshchat", "freshworks", "https://calls.example.com/h/TOKEN/missed/acme1?MissedCallType=voicemail"),
            (
                "leadsquared",
                "leadsquared",
                "https://calls.example.com/h/TOKEN/v1/leadsquared/inbound/call/dialwhom?AccSid=acme1",
            ),
            ("zoho_desk", "zoho", "https://calls.example.com/h/TOKEN/callback/exotel/acme1/createpopup"),
            (
                "freshdesk",
                "ip_pstn",
                "https://calls.example.com/h/TOKEN/v2/integrations/call/inbound_call/app-1?type=missedcall",
            ),
        ] {
            let urls = shown(connector, Some(&key));
            assert!(urls.iter().any(|one| one.family == family && one.url == url), "{urls:?}");
        }
        let opened = shown("salesforce", Some(&key));
        let wanted = "https://calls.example.com/sfdc/api/inbound/passthru?AccountSid=acme1&AccountUid=";
        assert!(opened.iter().any(|one| one.url.starts_with(wanted)), "{opened:?}");
        // Before the first start there is no key yet.
        let closed = shown("salesforce", None);
        let wanted = "https://calls.example.com/h/TOKEN/sfdc/api/inbound/agentpopup?AccountSid=acme1";
        assert!(closed.iter().any(|one| one.url == wanted), "{closed:?}");
    }
}
