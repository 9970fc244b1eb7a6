//! What HubSpot is, as data: settings, tokens, budget, text rules, writings of numbers.

use std::time::Duration;

use patchbay_kit::{
    Assigns, AuthScheme, Authority, Manifest, OAuth, Origin, Quota, Rendering, Setting, SettingKind, TextFormat,
    TextRules,
};

/// The property that holds the CallSid, unless the settings name another.
pub(crate) const SID_PROPERTY: &str = "exotel_call_sid";

/// "OAuth: Working with OAuth" \[V\]. Tokens are given on the API's own address; refresh tokens do not rotate.
static OAUTH: OAuth = OAuth {
    prefix: "Bearer ",
    authority: Authority::Origin,
    authorize: "https://app.hubspot.com/oauth/authorize",
    token: "/oauth/v1/token",
    scopes: &["oauth", "crm.objects.contacts.read", "crm.objects.contacts.write", "crm.objects.owners.read", "tickets"],
    siblings: &[],
    scope_separator: " ",
    consent: &[],
    pkce: false,
    // `expires_in` says it; half an hour is what it says.
    lifetime: Duration::from_secs(1800),
    at_most: None,
    origin_key: None,
    fixed: Some("access_token"),
    assertion: None,
};

/// HubSpot in the catalogue.
pub static MANIFEST: Manifest = Manifest {
    id: "hubspot",
    name: "HubSpot",
    // One address for every region ("API usage guidelines" [V]).
    origin: Origin::Fixed("https://api.hubapi.com"),
    auth: AuthScheme::OAuth(&OAUTH),
    settings: &[
        Setting::secret(
            "access_token",
            SettingKind::Text,
            "The access token of a private app (Settings, Integrations, Private Apps): pat-…; instead of the app below",
        ),
        Setting::open(
            "client_id",
            SettingKind::Text,
            "The client ID of an app with OAuth (developer account, Apps, Auth)",
        ),
        Setting::secret("client_secret", SettingKind::Text, "The client secret of that app"),
        Setting::secret(
            "refresh_token",
            SettingKind::Text,
            "The refresh token of that app's installation; `patchbay connect` gets one",
        ),
        Setting::open(
            "call_sid_property",
            SettingKind::Text,
            "The unique property of calls, tasks and tickets that holds the CallSid; default exotel_call_sid",
        ),
        Setting::open(
            "missed_follow_up",
            SettingKind::Text,
            "What a missed call or voicemail leads to: task (default), ticket or none",
        ),
    ],
    quotas: &[
        // Ten rolling seconds and app: 100 for private apps on Free and Starter, 110 with OAuth, 190 on Professional and
        // Enterprise, 250 with the capacity pack ("API usage guidelines, Rate limits" [V]). The headers of the first
        // reply correct it; a start that is too high costs only 429s.
        Quota { name: "account", per: Duration::from_secs(10), limit: Some(190), labels: &[] },
        // Search has its own, and no header tells what is left of it.
        Quota {
            name: "search",
            per: Duration::from_secs(1),
            limit: Some(5),
            labels: &["contact.search", "owner.search", "ticket.search"],
        },
    ],
    text: TextRules {
        // `hs_call_body` is shown as HTML ("Calls: Properties" [V]).
        format: TextFormat::Html,
        // Uncertain: no limit is named for titles; a longer one is no title.
        subject_chars: 255,
        // A property holds 65 536 characters ("Properties API" [V]); the rest is left for a link to the recording.
        body_chars: 60_000,
    },
    // The first is also how Patchbay writes them. One search asks for all.
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
