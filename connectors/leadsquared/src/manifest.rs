//! What LeadSquared is, as data: settings, budget, text rules, writings of numbers.

use std::time::Duration;

use patchbay_kit::{
    Assigns, AuthScheme, Manifest, Origin, Quota, Rendering, Setting, SettingKind, TextFormat, TextRules,
};

use crate::settings::{AGENT_POPUP_URL, CALL_LOG_URL, CALL_ROUTE_URL};

/// A URL that is a secret: who knows it may use it.
const fn capability(key: &'static str, help: &'static str) -> Setting {
    Setting::secret(key, SettingKind::Url, help).required()
}

/// LeadSquared in the catalogue.
pub static MANIFEST: Manifest = Manifest {
    id: "leadsquared",
    name: "LeadSquared",
    // A host of the organisation's region ("Authenticate a User" [V]); without keys there is none to ask.
    origin: Origin::Setting { setting: "api_url" },
    // "Authentication" [V]: as headers, so that the keys stand in no log of URLs.
    auth: AuthScheme::Headers(&[("x-lsq-accesskey", "access_key"), ("x-lsq-secretkey", "secret_key")]),
    settings: &[
        capability(
            CALL_ROUTE_URL,
            "Lead Route V2 of the Universal Telephony Connector (Call Route API), without what follows the ?",
        ),
        capability(AGENT_POPUP_URL, "The Agent Popup API of the Universal Telephony Connector"),
        capability(CALL_LOG_URL, "The Call Log API of the Universal Telephony Connector (.../LogCallComplete/...)"),
        Setting::secret(
            "access_key",
            SettingKind::Text,
            "An administrator's Access Key: My Account, Settings, API and Webhooks",
        ),
        Setting::secret("secret_key", SettingKind::Text, "The Secret Key beside it"),
        Setting::open(
            "api_url",
            SettingKind::Url,
            "With keys: the API host of the organisation's region, https://api-in21.leadsquared.com",
        ),
        Setting::open(
            "call_times",
            SettingKind::Text,
            "How the Call Log API reads times: \"utc\" (default, as documented) or \"account\", the account's own clock",
        ),
        Setting::open("call_start_timer", SettingKind::Text, "Click-to-call from this time of day on, HH:MM:SS"),
        Setting::open("call_end_timer", SettingKind::Text, "Click-to-call until this time of day, HH:MM:SS"),
        Setting::open("call_allowed_days", SettingKind::Texts, "Days of click-to-call: [\"Monday\", ...]; default all"),
        Setting::open("enable_outbound_popup", SettingKind::Bool, "true: a popup for outgoing calls as well"),
    ],
    quotas: &[
        // So many calls of the v2 API within five seconds, by plan and of all of the organisation's software together; no
        // header tells of it. "API calls exceeded the limit of 25 in 5 second(s)" stands on every page of the
        // documentation, other plans have 2 to 20 [V]. A start that is too high costs only 429s, and those cost a delivery
        // no attempt; `quota` in the settings says what is right.
        Quota {
            name: "api",
            per: Duration::from_secs(5),
            limit: Some(25),
            labels: &["user.list", "lead.find", "lead.create", "lead.lookup", "activity.find", "activity.update"],
        },
        // The capability URLs are on a host of their own, and no limit of theirs is documented: who waits for his call to
        // be put through shall not wait for the API's.
        Quota {
            name: "telephony",
            per: Duration::from_secs(5),
            limit: None,
            labels: &["call.log", "popup.show", "route.owner", "route.try"],
        },
    ],
    text: TextRules {
        format: TextFormat::Plain,
        // Subject and body become `CallNotes`, one below the other. No limit is documented; 2000 characters in all are
        // what a note of LeadSquared's is said to take [M].
        subject_chars: 200,
        body_chars: 1700,
    },
    // "Get a Lead by Phone Number" [V]: with or without the country code, without punctuation; what is stored with it
    // others find by the stored writing [C]. New leads are written as LeadSquared shows numbers, `+91-…`.
    phone: &[
        Rendering::National,
        Rendering::Hyphenated,
        Rendering::E164,
        Rendering::E164NoPlus,
        Rendering::NationalZero,
    ],
    writings_per_find: 1,
    record: "call log",
    assigns: Assigns::Always,
    record_facts: true,
};
