//! Cases about what a connector says of itself and makes of replies.

use std::collections::{BTreeMap, BTreeSet};

use patchbay_kit::{
    Assigns, AuthScheme, Authority, Bytes, HeaderMap, Kind, OAuth, Origin, Phase, Response, Retry, SettingKind,
    StatusCode,
};

use super::{Bench, Subject};
use crate::sample;

/// Keys that every integration has, whatever its connector.
const TAKEN: &[&str] = &["connector", "name", "base_url", "quota", "defaults"];
/// Parts of a key that promise a secret.
const SECRETIVE: &[&str] = &["key", "token", "secret", "password"];
/// More of a detail is nothing a person reads, and may be the whole body.
const DETAIL_CHARS: usize = 2000;

fn snake(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

pub(super) fn manifest<S: Subject>(bench: &mut Bench<'_, S>) {
    let connector = bench.connector();
    let manifest = connector.manifest();
    assert!(snake(manifest.id), "the id is not lower case: {}", manifest.id);
    assert!(!manifest.name.is_empty() && !manifest.record.is_empty());
    let mut keys = BTreeSet::new();
    for setting in manifest.settings {
        let key = setting.key;
        assert!(snake(key) && keys.insert(key) && !TAKEN.contains(&key), "the setting {key} is misnamed or taken");
        assert!(!setting.help.is_empty() && !setting.help.contains('\n'), "the help of {key} is not one line");
        if SECRETIVE.iter().any(|part| key.split('_').any(|word| word == *part)) {
            assert!(setting.secret, "{key} looks like a secret and is not marked as one");
        }
    }
    let setting = |key: &str| {
        manifest.settings.iter().find(|one| one.key == key).unwrap_or_else(|| panic!("there is no setting {key}"))
    };
    match manifest.auth {
        AuthScheme::Basic { user: secret, .. } | AuthScheme::Header { secret, .. } => {
            assert!(setting(secret).secret && setting(secret).required, "{secret} must be a required secret");
        }
        AuthScheme::Headers(headers) => {
            assert!(!headers.is_empty() && headers.iter().all(|(_, secret)| setting(secret).secret));
        }
        AuthScheme::OAuth(oauth) => {
            assert!(!setting("client_id").secret, "client_id is no secret: it stands in the consent's URL");
            for secret in ["client_secret", "refresh_token"].into_iter().chain(oauth.fixed) {
                assert!(setting(secret).secret, "{secret} must be secret");
            }
            assert!(!oauth.lifetime.is_zero() && !oauth.scopes.is_empty() && oauth.prefix.ends_with(' '));
            if let Some(assertion) = oauth.assertion {
                assert!(setting(assertion.key_file).kind == SettingKind::File && !setting(assertion.subject).secret);
            }
            if let Authority::Setting { setting: key, .. } = oauth.authority {
                assert!(setting(key).kind == SettingKind::Url && !setting(key).secret);
            }
        }
    }
    match manifest.origin {
        Origin::Domain { setting: domain, suffixes } => {
            assert!(setting(domain).required && !setting(domain).secret, "{domain} must be required and open");
            assert!(!suffixes.is_empty() && suffixes.iter().all(|suffix| suffix.starts_with('.')));
        }
        Origin::Fixed(url) => assert!(url.starts_with("https://") && !url.ends_with('/')),
        Origin::Token => {
            assert!(matches!(manifest.auth, AuthScheme::OAuth(OAuth { origin_key: Some(_), .. })), "no token says it");
        }
        Origin::BesideAuthority { .. } => assert!(matches!(manifest.auth, AuthScheme::OAuth(_))),
        Origin::Setting { setting: key } => assert!(setting(key).kind == SettingKind::Url && !setting(key).secret),
    }
    if let Assigns::Flag(flag) = manifest.assigns {
        assert_eq!(setting(flag).kind, SettingKind::Bool);
    }
    let mut quotas = BTreeSet::new();
    for quota in manifest.quotas {
        assert!(
            quotas.insert(quota.name) && quota.limit != Some(0) && !quota.per.is_zero(),
            "the quota {}",
            quota.name
        );
    }
    assert!(manifest.text.subject_chars > 0 && manifest.text.body_chars > 0);
    let renderings: BTreeSet<String> = manifest.phone.iter().map(|one| format!("{one:?}")).collect();
    assert_eq!(renderings.len(), manifest.phone.len(), "a rendering stands twice");
    assert!(connector.contacts().is_none() || !manifest.phone.is_empty(), "contacts without a rendering");
    assert!(manifest.writings_per_find > 0);
}

/// A label is a name for metrics and quotas: `ticket.create`, and always the same request.
pub(super) fn labels<S: Subject>(bench: &mut Bench<'_, S>) {
    everything(bench);
    let mut methods = BTreeMap::new();
    for sent in bench.line.sent() {
        assert!(sent.label.split('.').count() > 1 && sent.label.split('.').all(snake), "the label {}", sent.label);
        let said = (sent.method.clone(), format!("{:?}", sent.safety));
        assert_eq!(methods.entry(sent.label).or_insert_with(|| said.clone()), &said, "the label {}", sent.label);
    }
    let known: Vec<&str> = methods.keys().chain(bench.subject.unsent()).copied().collect();
    for quota in bench.connector().manifest().quotas {
        for label in quota.labels {
            assert!(known.contains(label), "the quota {} counts {label}, which is never sent", quota.name);
        }
    }
}

pub(super) fn right_credentials<S: Subject>(bench: &mut Bench<'_, S>) {
    let identity = bench.ok(bench.connector().identify());
    assert!(!identity.account.trim().is_empty(), "nobody is identified");
}

pub(super) fn wrong_credentials<S: Subject>(bench: &mut Bench<'_, S>) {
    bench.line.credentials = bench.line.credentials.wrong();
    let failure = bench.refused(bench.connector().identify());
    assert_eq!(failure.kind, Kind::Unauthorized);
    assert!(matches!(failure.retry, Retry::Never | Retry::AfterRefresh), "{:?}", failure.retry);
    assert!(!failure.detail.is_empty(), "nobody is told what to do");
}

pub(super) fn error_table<S: Subject>(bench: &mut Bench<'_, S>) {
    let connector = bench.connector();
    let rows = bench.subject.errors();
    for kind in [Kind::Unauthorized, Kind::Invalid, Kind::RateLimited, Kind::Unavailable] {
        assert!(rows.iter().any(|row| row.kind == kind), "the table has no row for {kind:?}");
    }
    for row in rows {
        let failure = connector.classify(&row.reply);
        let said = format!("{} {}", row.reply.status, String::from_utf8_lossy(&row.reply.body));
        assert_eq!(failure.kind, row.kind, "{said}");
        assert_eq!(failure.retry, row.retry, "{said}");
        assert_eq!(failure.remote_code.as_deref(), row.code, "{said}");
        assert_eq!(failure.about, row.about, "{said}");
        for part in row.tells {
            assert!(failure.detail.contains(part), "{said} does not tell {part}: {}", failure.detail);
        }
    }
}

/// Bodies that a proxy, a captive portal or a cut connection leaves.
fn unreadable() -> Vec<Bytes> {
    let long = "<p>Something went wrong</p>".repeat(4000);
    let texts: [&[u8]; 9] = [
        b"",
        b"<html><body><h1>502 Bad Gateway</h1></body></html>",
        b"{\"errors\":[{\"field\":",
        b"null",
        b"[]",
        b"{\"errors\":\"no\",\"description\":7,\"message\":[],\"code\":{}}",
        b"{\"errors\":[null,1,\"x\",{\"field\":null,\"additional_info\":[]}]}",
        b"\xff\xfe\x00",
        long.as_bytes(),
    ];
    texts.into_iter().map(Bytes::copy_from_slice).collect()
}

pub(super) fn unreadable_errors<S: Subject>(bench: &mut Bench<'_, S>) {
    let connector = bench.connector();
    for status in (300..600).filter_map(|status| StatusCode::from_u16(status).ok()) {
        for body in unreadable() {
            let failure = connector.classify(&Response { status, headers: HeaderMap::new(), body });
            assert!(failure.detail.chars().count() <= DETAIL_CHARS, "{status}: the detail is the body");
            if status.is_server_error() {
                assert_ne!(failure.retry, Retry::Never, "{status} is given up");
            }
            match status.as_u16() {
                401 => assert_eq!(failure.kind, Kind::Unauthorized),
                429 => assert!(failure.kind == Kind::RateLimited && matches!(failure.retry, Retry::After(_))),
                500 | 502..=504 => assert_eq!(failure.kind, Kind::Unavailable, "{status}"),
                _ => {}
            }
        }
    }
    // Headers can be anything, too.
    for value in ["", "many", "-1", "NaN", "1e400", "700.0"] {
        let mut headers = HeaderMap::new();
        for name in ["retry-after", "x-ratelimit-total", "x-ratelimit-remaining"] {
            headers.insert(name, value.parse().expect("a header value"));
        }
        let reply = Response { status: StatusCode::TOO_MANY_REQUESTS, headers, body: Bytes::new() };
        assert!(matches!(connector.classify(&reply).retry, Retry::After(_)), "retry-after: {value}");
        if let Some(allowance) = connector.allowance(&reply) {
            for number in [allowance.limit, allowance.remaining].into_iter().flatten() {
                assert!(number.is_finite() && number >= 0.0, "an allowance of {number} from {value}");
            }
        }
    }
}

pub(super) fn unreadable_successes<S: Subject>(bench: &mut Bench<'_, S>) {
    let connector = bench.connector();
    let call = sample::call(sample::CALL_SID, Some(patchbay_kit::RecordRef::new("contact", 7)));
    for body in unreadable() {
        let reply = Response { status: StatusCode::OK, headers: HeaderMap::new(), body };
        // What is tried is that nothing panics, and that what is refused is worth a retry.
        let failures = [
            connector.identify().parse(&reply).err(),
            connector.activities().create(&call).parse(&reply).err(),
            connector.activities().find(&call).and_then(|exchange| exchange.parse(&reply).err()),
            connector.contacts().and_then(|contacts| contacts.find(&["1".to_owned()]).parse(&reply).err()),
            connector.contacts().and_then(|contacts| contacts.create(&sample::caller()).parse(&reply).err()),
            connector.agents().and_then(|agents| agents.list(None).parse(&reply).err()),
        ];
        for failure in failures.into_iter().flatten() {
            assert_ne!(failure.retry, Retry::Never, "{failure}");
        }
        assert!(connector.activities().create(&call).parse(&reply).is_err(), "a record was read out of nothing");
    }
}

pub(super) fn unknown_fields<S: Subject>(bench: &mut Bench<'_, S>) {
    bench.line.grows_replies = true;
    everything(bench);
}

/// Every operation once, as the core does them for a call.
fn everything<S: Subject>(bench: &mut Bench<'_, S>) {
    let connector = bench.connector();
    bench.ok(connector.identify());
    let (mut call, at) = bench.record();
    if let Some(find) = connector.activities().find(&call) {
        assert_eq!(bench.ok(find), Some(at.clone()));
    }
    "Missed Call from 09876543210".clone_into(&mut call.subject);
    let changed = patchbay_kit::Changed { subject: true, facts: true, ..patchbay_kit::Changed::default() };
    if let Some(updates) = connector.updates() {
        let updated = bench.ok(updates.update(&at, &call, changed));
        assert!(updated == at || bench.subject.appends());
    }
    if let Some(notes) = connector.notes() {
        let note = sample::note(sample::CALL_SID);
        let written = bench.ok(notes.create(&at, &call, &note));
        if let Some(find) = notes.find(&at, &call, &note) {
            assert_eq!(bench.ok(find), Some(written.clone()));
        }
        let updated = bench.ok(notes.update(&written, &call, &note));
        assert!(updated == written || bench.subject.appends());
    }
    if let Some(contacts) = connector.contacts() {
        bench.line.now += bench.subject.contact_lag();
        if let Some(search) = contacts.search(&sample::number()) {
            bench.ok(search);
        }
        let renderings = connector.manifest().phone.iter().map(|one| sample::number().render(*one));
        let found: Vec<_> = renderings.flat_map(|one| bench.ok(contacts.find(&[one]))).collect();
        assert!(found.iter().any(|one| Some(&one.at) == call.contact.as_ref()));
        if let Some(find) = contacts.find_created(&sample::caller().external_id) {
            assert_eq!(bench.ok(find).map(|contact| contact.at), call.contact);
        }
    }
    let mut agent = None;
    if let Some(agents) = connector.agents() {
        bench.subject.add_agents(&mut bench.line.sandbox, 2);
        let page = bench.ok(agents.list(None));
        assert!(page.items.len() >= 2);
        agent = Some(page.items[0].at.clone());
    }
    if let Some(popups) = connector.popups() {
        for phase in [Phase::Ringing, Phase::Answered, Phase::Ended] {
            if let Some(show) = popups.show(&sample::popup("popup", phase, agent.clone())) {
                bench.ok(show);
            }
        }
    }
    if let Some(owners) = connector.owners() {
        bench.ok(owners.of(&sample::number()));
    }
    if let Some((tickets, contact)) = connector.open_tickets().zip(call.contact.as_ref())
        && let Some(exchange) = tickets.of(contact, 3)
    {
        bench.ok(exchange);
    }
    if let Some(follow_ups) = connector.follow_ups() {
        for kind in follow_ups.kinds() {
            let it = sample::follow_up(sample::CALL_SID, *kind);
            if let Some(find) = follow_ups.find(&at, &call, &it) {
                bench.ok(find);
            }
            bench.ok(follow_ups.create(&at, &call, &it));
        }
    }
}
