//! What Zoho Desk is, as data: settings, tokens, budget, text rules, writings of numbers.

use std::time::Duration;

use patchbay_kit::{
    Assigns, AuthScheme, Authority, Manifest, OAuth, Origin, Quota, Rendering, Setting, SettingKind, TextFormat,
    TextRules,
};

/// "OAuth" \[V\]; the same token server as all of Zoho's.
static OAUTH: OAuth = OAuth {
    // Not `Bearer`. "OAuth: Making API calls" [V]
    prefix: "Zoho-oauthtoken ",
    // Each data centre has its own, and a client's secret differs from one to the next. "OAuth: Multi DC support" [V]
    authority: Authority::Setting { setting: "accounts_url", default: "https://accounts.zoho.in" },
    authorize: "/oauth/v2/auth",
    token: "/oauth/v2/token",
    // As the operations name them [S]: agents and departments are "basic" data.
    scopes: &[
        "Desk.tickets.READ",
        "Desk.tickets.CREATE",
        "Desk.tickets.UPDATE",
        "Desk.contacts.READ",
        "Desk.contacts.CREATE",
        "Desk.search.READ",
        "Desk.basic.READ",
    ],
    // The data centres ("OAuth: Multi DC support" [V]).
    siblings: &[
        "accounts.zoho.com",
        "accounts.zoho.eu",
        "accounts.zoho.in",
        "accounts.zoho.com.au",
        "accounts.zoho.jp",
        "accounts.zoho.sa",
        "accounts.zoho.com.cn",
        "accounts.zoho.uk",
        "accounts.zohocloud.ca",
    ],
    scope_separator: ",",
    consent: &[("access_type", "offline"), ("prompt", "consent")],
    pkce: false,
    lifetime: Duration::from_secs(3600),
    // Ten in ten minutes for one refresh token; the eleventh is denied ("Token validity" [V]).
    at_most: Some((10, Duration::from_secs(600))),
    // The answer's `api_domain` is the address of other products than this one ("Root endpoint" [V]).
    origin_key: None,
    fixed: None,
    assertion: None,
};

/// Zoho Desk in the catalogue.
pub static MANIFEST: Manifest = Manifest {
    id: "zoho_desk",
    name: "Zoho Desk",
    // accounts.zoho.in → desk.zoho.in, and so in every data centre. "Root endpoint" [V]
    origin: Origin::BesideAuthority { from: "accounts", to: "desk" },
    auth: AuthScheme::OAuth(&OAUTH),
    settings: &[
        Setting::open(
            "accounts_url",
            SettingKind::Url,
            "Zoho's accounts server in your data centre: https://accounts.zoho.in (default), .com, .eu, .com.au …",
        ),
        Setting::open("client_id", SettingKind::Text, "Of the client made for Patchbay in Zoho's API console: 1000.…")
            .required(),
        Setting::secret(
            "client_secret",
            SettingKind::Text,
            "The client's secret, of the same data centre as accounts_url",
        )
        .required(),
        Setting::secret(
            "refresh_token",
            SettingKind::Text,
            "From an administrator's consent; `patchbay connect` gets one",
        ),
        Setting::open("org_id", SettingKind::Text, "The organisation's id: Setup, Developer Space, API").required(),
        Setting::open(
            "department_id",
            SettingKind::Text,
            "The id of the department that gets the tickets: the last number in the address of its page in Setup",
        )
        .required(),
    ],
    quotas: &[
        // Credits per day and organisation: 5 000 free, 50 000 and more with Standard, 100 000 and more with Enterprise,
        // one for a record and three for a list ("API Credits" [V]). What there are in all is in no header. A start that
        // is too high costs only 429s, and those say how long to wait.
        Quota { name: "credits", per: Duration::from_secs(24 * 3600), limit: Some(100_000), labels: &[] },
    ],
    text: TextRules {
        format: TextFormat::Html,
        // A subject may have 1 000 characters [S], of which this leaves room for a comment's escapes; nobody reads more.
        subject_chars: 255,
        // A description may have 65 535, but a comment only 32 000 [S], and a missed call is one, its subject on top.
        body_chars: 30_000,
    },
    // The search has wildcards, so one question covers all that end alike; the first is how Patchbay writes numbers.
    phone: &[Rendering::E164, Rendering::National, Rendering::NationalZero, Rendering::E164NoPlus],
    writings_per_find: 4,
    record: "ticket",
    assigns: Assigns::Always,
    // Times and durations stand in the texts; tickets have no fields of their own for them.
    record_facts: false,
};
