//! What Zoho CRM is, as data: settings, tokens, budget, text rules, writings of numbers.

use std::time::Duration;

use patchbay_kit::{
    Assigns, AuthScheme, Authority, Manifest, OAuth, Origin, Quota, Rendering, Setting, SettingKind, TextFormat,
    TextRules,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// "OAuth: Multi DC support", "Token validity" and "Scopes" (v8) \[V\]. A refresh gives no new refresh token.
static OAUTH: OAuth = OAuth {
    prefix: "Zoho-oauthtoken ",
    authority: Authority::Setting { setting: "accounts_url", default: "https://accounts.zoho.in" },
    authorize: "/oauth/v2/auth",
    token: "/oauth/v2/token",
    scopes: &[
        "ZohoCRM.modules.contacts.READ",
        "ZohoCRM.modules.leads.ALL",
        "ZohoCRM.modules.accounts.READ",
        "ZohoCRM.modules.calls.ALL",
        "ZohoCRM.modules.tasks.ALL",
        "ZohoCRM.modules.events.ALL",
        "ZohoCRM.coql.READ",
        "ZohoCRM.users.READ",
        "ZohoCRM.settings.fields.READ",
    ],
    // "Multi DC support" and `GET /oauth/serverinfo` [V]; the last two are younger than that page [M].
    siblings: &[
        "accounts.zoho.in",
        "accounts.zoho.com",
        "accounts.zoho.eu",
        "accounts.zoho.com.au",
        "accounts.zoho.jp",
        "accounts.zoho.sa",
        "accounts.zoho.com.cn",
        "accounts.zohocloud.ca",
        "accounts.zoho.uk",
        "accounts.zoho.ae",
    ],
    scope_separator: ",",
    consent: &[("access_type", "offline"), ("prompt", "consent")],
    pkce: false,
    lifetime: Duration::from_secs(3600),
    // The eleventh is denied, and every further request prolongs that ("Token validity" [V]).
    at_most: Some((10, Duration::from_secs(600))),
    origin_key: Some("api_domain"),
    fixed: None,
    assertion: None,
};

/// Zoho CRM in the catalogue.
pub static MANIFEST: Manifest = Manifest {
    id: "zoho_crm",
    name: "Zoho CRM",
    origin: Origin::Token,
    auth: AuthScheme::OAuth(&OAUTH),
    settings: &[
        Setting::open(
            "accounts_url",
            SettingKind::Url,
            "The accounts server of your data centre: https://accounts.zoho.in (default), .com, .eu, .com.au, .jp, .sa",
        ),
        Setting::open(
            "client_id",
            SettingKind::Text,
            "Of the client in the API console of your data centre: https://api-console.zoho.in",
        )
        .required(),
        Setting::secret(
            "client_secret",
            SettingKind::Text,
            "Of the same client; it differs from one data centre to the next",
        )
        .required(),
        Setting::secret(
            "refresh_token",
            SettingKind::Text,
            "From a consent with access_type=offline; `patchbay connect` gets one",
        ),
        Setting::open(
            "phonebridge",
            SettingKind::Bool,
            "true: PhoneBridge shows the calls to agents and logs them; needs a client registered as its provider",
        ),
        Setting::open(
            "call_sid_field",
            SettingKind::Text,
            "API name of the custom field on Calls that holds the CallSid: Exotel_CallSid (default)",
        ),
        Setting::open(
            "missed_follow_up",
            SettingKind::Text,
            "What a missed call or voicemail leads to: task (default), call, event or none",
        ),
    ],
    quotas: &[
        // Credits in a rolling day, by edition and users; the header says what is left once half is used. Too many at
        // the same time is the same 429. "API Limits" (v8) [V]
        Quota { name: "credits", per: DAY, limit: None, labels: &[] },
        // The sub-concurrency of COQL: ten at a time ("API Limits" [V]).
        Quota {
            name: "queries",
            per: Duration::from_secs(60),
            limit: None,
            labels: &["contact.find", "owner.find", "call.find"],
        },
    ],
    text: TextRules {
        // Descriptions are shown as they are [M].
        format: TextFormat::Plain,
        // "Insert Records" (v8), Calls: Subject is one line, Description several; their lengths are from the fields'
        // metadata of a new organisation [M].
        subject_chars: 255,
        body_chars: 32_000,
    },
    // A comparison is with the exact text ("Query API" [V]); one query takes fifty texts for each field.
    phone: &[
        Rendering::E164,
        Rendering::National,
        Rendering::NationalZero,
        Rendering::E164NoPlus,
        Rendering::Hyphenated,
        Rendering::Spaced,
    ],
    writings_per_find: 6,
    record: "call",
    assigns: Assigns::Always,
    record_facts: true,
};
