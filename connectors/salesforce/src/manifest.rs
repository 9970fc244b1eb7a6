//! What Salesforce is, as data: settings, tokens, budget, text rules, writings of numbers.

use std::time::Duration;

use patchbay_kit::{
    Assertion, Assigns, AuthScheme, Authority, Manifest, OAuth, Origin, Quota, Rendering, Setting, SettingKind,
    TextFormat, TextRules,
};

/// Tokens: "OAuth 2.0 Web Server Flow", "OAuth 2.0 Refresh Token Flow", "OAuth 2.0 JWT Bearer Flow" \[V\].
static TOKENS: OAuth = OAuth {
    prefix: "Bearer ",
    authority: Authority::Setting { setting: "login_url", default: "https://login.salesforce.com" },
    authorize: "/services/oauth2/authorize",
    token: "/services/oauth2/token",
    scopes: &["api", "refresh_token"],
    siblings: &[],
    scope_separator: " ",
    consent: &[],
    pkce: true,
    // Never said in the answer: sessions end by the org's policy, by default after two hours without a request
    // ("Session Settings" [V]). A shorter policy is met by a 401, after which the token is renewed.
    lifetime: Duration::from_secs(2 * 3600),
    at_most: None,
    origin_key: Some("instance_url"),
    fixed: None,
    assertion: Some(Assertion { subject: "username", key_file: "private_key_file" }),
};

/// Salesforce in the catalogue.
pub static MANIFEST: Manifest = Manifest {
    id: "salesforce",
    name: "Salesforce",
    origin: Origin::Token,
    auth: AuthScheme::OAuth(&TOKENS),
    settings: &[
        Setting::open(
            "login_url",
            SettingKind::Url,
            "Where users log in: https://{my domain}.my.salesforce.com, or https://test.salesforce.com for a sandbox",
        ),
        Setting::open("client_id", SettingKind::Text, "The external client app's consumer key").required(),
        Setting::secret(
            "client_secret",
            SettingKind::Text,
            "The external client app's consumer secret; not needed with private_key_file",
        ),
        Setting::secret("refresh_token", SettingKind::Text, "A refresh token; `patchbay connect` gets one"),
        Setting::open(
            "username",
            SettingKind::Text,
            "Instead of a refresh token: the user whom private_key_file lets in",
        ),
        Setting::secret(
            "private_key_file",
            SettingKind::File,
            "Instead of a refresh token: the private key (PEM) of the certificate in the app",
        ),
        Setting::open(
            "default_object",
            SettingKind::Text,
            "What an unknown caller becomes: Lead (default), Contact, Account or Case",
        ),
        Setting::open(
            "object_priority",
            SettingKind::Texts,
            "Where callers are looked for, first wins: Contact, Lead, Account (default), Opportunity, Case; Case(SuppliedPhone, Phone__c) names the fields",
        ),
        Setting::open(
            "call_sid_field",
            SettingKind::Text,
            "The unique external id field of tasks that holds the CallSid; default Exotel_Call_Sid__c",
        ),
        Setting::open(
            "caller_id_field",
            SettingKind::Text,
            "The unique external id field of the default object that keeps callers from being made twice; default Exotel_Caller_Id__c, \"none\" to do without",
        ),
        Setting::open(
            "call_fields",
            SettingKind::Texts,
            "Fields of tasks for the facts of a call: \"recording_url=Recording_URL__c\"; by default all of the set-up page",
        ),
        Setting::open(
            "missed_status",
            SettingKind::Text,
            "Status of the tasks of missed calls and voicemails; default Not Started, so that they are open",
        ),
        Setting::open(
            "mask_numbers",
            SettingKind::Bool,
            "true: only the last four digits of customers' numbers are written",
        ),
        Setting::open("api_version", SettingKind::Text, "Version of the REST API; default 62.0"),
    ],
    quotas: &[
        // In 24 hours: 100 000 and more by edition and licences ("Salesforce Developer Limits, API Requests" [V]); the
        // header of the first reply says how much. Calls at the same time are limited too, at 25 long ones.
        Quota { name: "org", per: Duration::from_secs(24 * 3600), limit: Some(100_000), labels: &[] },
    ],
    text: TextRules {
        // "Object Reference, Task" [V]: comments are a text area, shown as they are; 255 and 32 000 characters.
        format: TextFormat::Plain,
        subject_chars: 255,
        body_chars: 32_000,
    },
    // A query is for exact strings; one asks for all of these.
    phone: &[
        Rendering::E164,
        Rendering::National,
        Rendering::NationalZero,
        Rendering::E164NoPlus,
        Rendering::Hyphenated,
        Rendering::Spaced,
    ],
    writings_per_find: 8,
    record: "task",
    assigns: Assigns::Always,
    record_facts: true,
};
