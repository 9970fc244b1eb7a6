//! What Freshsales is, as data: settings, budget, text rules, writings of numbers.

use std::time::Duration;

use patchbay_kit::{
    Assigns, AuthScheme, Manifest, Origin, Quota, Rendering, Setting, SettingKind, TextFormat, TextRules,
};

/// Freshsales in the catalogue.
pub static MANIFEST: Manifest = Manifest {
    id: "freshsales",
    name: "Freshsales",
    // The bundle alias; the classic product keeps its own ("Freshsales API, Authentication" [V]).
    origin: Origin::Domain { setting: "domain", suffixes: &[".myfreshworks.com", ".freshworks.com", ".freshsales.io"] },
    // "Freshsales API, Authentication: API key" [V]
    auth: AuthScheme::Header { name: "authorization", prefix: "Token token=", secret: "api_key" },
    settings: &[
        Setting::open(
            "domain",
            SettingKind::Text,
            "The bundle alias: acme.myfreshworks.com, or acme.freshsales.io for the classic product",
        )
        .required(),
        Setting::secret(
            "api_key",
            SettingKind::Text,
            "The API key of an administrator: profile picture, Settings, API Settings",
        )
        .required(),
        Setting::open(
            "number_format",
            SettingKind::Text,
            "How new contacts' numbers are written: national (10 digits, Indian numbers only; default) or e164",
        ),
        Setting::open(
            "calls_as_json",
            SettingKind::Bool,
            "true: call logs are sent as JSON, not as a form; only if Freshsales refuses the form",
        ),
    ],
    quotas: &[
        // 1000 requests per hour and account on Free and Growth, 2000 on Pro, 5000 on Enterprise (Freshworks support,
        // API limits [V]). No header is documented that tells it, so it is found by its 429s.
        Quota { name: "account", per: Duration::from_secs(3600), limit: None, labels: &[] },
    ],
    text: TextRules {
        format: TextFormat::Html,
        // A call log has no title: the subject is the first line of its note.
        subject_chars: 255,
        // Uncertain: the documentation names no limit. 15 000 characters of four bytes, with the subject, stay below the
        // 64 KiB of a MySQL TEXT, which descriptions are taken to be [M].
        body_chars: 15_000,
    },
    // A lookup is for an exact string ("Freshsales API, Search: Lookup" [V]). Exotel has its customers store ten digits
    // without a country code; imports write the others.
    phone: &[Rendering::National, Rendering::E164, Rendering::NationalZero, Rendering::E164NoPlus],
    writings_per_find: 1,
    record: "call",
    // A call log belongs to the user whose key it is; no report knows of a field that gives it to another.
    assigns: Assigns::Never,
    // The log's fields for duration and recording cannot be written [C]: they stand in a note.
    record_facts: false,
};
