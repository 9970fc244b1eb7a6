//! What Freshchat is, as data: settings, budget, text rules, writings of numbers.

use std::time::Duration;

use patchbay_kit::{
    Assigns, AuthScheme, Manifest, Origin, Quota, Rendering, Setting, SettingKind, TextFormat, TextRules,
};

/// Freshchat in the catalogue.
pub static MANIFEST: Manifest = Manifest {
    id: "freshchat",
    name: "Freshchat",
    // "Freshchat API, Authentication" [V]: acme.freshchat.com for Freshchat alone, acme.myfreshworks.com as a part of
    // the Freshworks suite, and api.in.freshchat.com and its like by region [C].
    origin: Origin::Domain { setting: "domain", suffixes: &[".freshchat.com", ".myfreshworks.com"] },
    auth: AuthScheme::Header { name: "authorization", prefix: "Bearer ", secret: "api_key" },
    settings: &[
        Setting::open(
            "domain",
            SettingKind::Text,
            "The chat URL beside the API token: acme.freshchat.com, or acme-123.myfreshworks.com in the suite",
        )
        .required(),
        Setting::secret(
            "api_key",
            SettingKind::Text,
            "The API token: Admin, Configure, API Tokens, Generate Token. It ends on a day of its own",
        )
        .required(),
        Setting::open(
            "channel_id",
            SettingKind::Text,
            "The id of the channel (topic) in which calls are written down, best one of their own: Phone",
        )
        .required(),
    ],
    quotas: &[
        // There is a limit, and its numbers are not documented ("Freshchat API, Status and error messages" [V] names
        // the 429 only).
        Quota { name: "account", per: Duration::from_secs(60), limit: None, labels: &[] },
    ],
    text: TextRules {
        // A message's text is shown as it is.
        format: TextFormat::Plain,
        // A message has no subject: it becomes the first line. Uncertain: no limit is documented; together they stay
        // below 5000 characters, which the chat's own box takes [M].
        subject_chars: 250,
        body_chars: 4_700,
    },
    // `phone_no` asks for an exact string [C], so each way in which agents, the chat widget and imports write numbers
    // is a question of its own. The first is also how Patchbay writes them.
    phone: &[Rendering::E164, Rendering::National, Rendering::E164NoPlus, Rendering::NationalZero],
    writings_per_find: 1,
    record: "message",
    // There is one conversation for each agent and customer, so the agent is part of where a call is written down.
    assigns: Assigns::Always,
    // Times and durations stand in the texts; messages have no fields of their own for them.
    record_facts: false,
};
