//! What is off in an Exotel account, as far as it can be seen from here, and what to ask Exotel's support for.

use std::{fmt::Write as _, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use patchbay_kit::{Request, mask};
use url::Url;

use super::{Tokens, bots::Answering, plural};
use crate::{
    app::{self, StartError},
    codes::Code,
    config::{Account, Config, StoreUrl},
    connect::transport::Transport,
    exotel::{ExoPhone, ExotelClient, ExotelError, Streams},
    operator::Operator,
    store::{Span, Store, StoreError},
    web::ledger::{self, Counted},
};

/// What the last calls showed is judged by these.
const LATELY: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Fewer calls prove nothing.
const ENOUGH: u64 = 5;
/// Signatures of links, tokens and the overlap of sweeps bear more than this; people reading timelines do not.
const SKEW: SignedDuration = SignedDuration::from_secs(30);

const RINGING: &str = "the events \"Ringing\" and \"Answered\" of the \"Create popup…\" URL of Connect applets";
const LEGS: &str = "the Legs API (GET /v1/Accounts/<SID>/Calls/<CallSid>/Legs), which tells who took a call";
const VOICEBOT: &str = "the Voicebot applet";

/// Where the ledger of the calls that came is to be had.
pub(super) enum Ledger {
    Store(Arc<dyn Store>),
    /// With the service that runs.
    Running,
    /// It has never run here, or cannot be asked.
    Nowhere,
}

impl Ledger {
    pub(super) async fn find(config: &Config, tokens: &Tokens) -> Self {
        match (tokens, &config.store.url) {
            (Tokens::Vault(vault), _) => Self::Store(Arc::clone(&vault.store)),
            (Tokens::Running, _) => Self::Running,
            (Tokens::Broken(_), _) => Self::Nowhere,
            // Whoever opens it may migrate it, under the hands of nodes that run.
            (Tokens::Needless, StoreUrl::Postgres { .. }) => Self::Running,
            // A check makes nothing, and no database either.
            (Tokens::Needless, StoreUrl::Sqlite(database)) if !database.exists() => Self::Nowhere,
            (Tokens::Needless, StoreUrl::Sqlite(_)) => match app::open_store(&config.store).await {
                Ok(store) => Self::Store(store),
                Err(StartError::Store { error: StoreError::InUse(_), .. }) => Self::Running,
                Err(_) => Self::Nowhere,
            },
        }
    }

    /// What came lately of an account's calls, counted as the API does it.
    async fn lately(&self, config: &Config, account: &Account, transport: &Transport) -> Option<Counted> {
        let from = Timestamp::now().checked_sub(LATELY).ok()?;
        match self {
            Self::Nowhere => None,
            Self::Store(store) => {
                let summary = store.ledger_summary(&account.sid, Span { from: Some(from), to: None }).await.ok()?;
                let swept = store.sweep_cursor(&account.sid).await.ok()?;
                let integrations: Vec<String> = account.integrations.iter().map(|one| one.name.clone()).collect();
                Some(ledger::counted(&summary, swept, &integrations))
            }
            Self::Running => {
                let path = ["api", "v1", "accounts", &account.sid, "ledger", "summary"];
                let request = Request::get("ledger.summary", path).query("from", from);
                let answer = Operator::of(config, transport).ok()?.send(&request).await.ok()?;
                serde_json::from_value(answer).ok()
            }
        }
    }

    /// Gives the store back, if it is ours alone.
    pub(super) async fn close(self, tokens: &Tokens) {
        if let (Self::Store(store), Tokens::Needless) = (self, tokens) {
            store.close().await;
        }
    }
}

/// What was found out about an account.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) lines: Vec<String>,
    pub(super) failures: u32,
    /// What Exotel has to enable.
    asks: Vec<&'static str>,
    /// What it perhaps has to.
    perhaps: Vec<&'static str>,
    sid: String,
}

impl Findings {
    fn ok(&mut self, text: impl std::fmt::Display) {
        self.lines.push(format!("ok    {}: {text}", self.sid));
    }

    pub(super) fn warn(&mut self, code: Code, text: impl std::fmt::Display) {
        self.lines.push(format!("warn  {}: {code}: {text}", self.sid));
    }

    fn fail(&mut self, code: Code, text: impl std::fmt::Display) {
        self.failures += 1;
        self.lines.push(format!("FAIL  {}: {code}: {text}", self.sid));
    }

    /// What to send to Exotel's support; `None` where there is nothing to ask for.
    pub(super) fn letter(&self) -> Option<String> {
        if self.asks.is_empty() && self.perhaps.is_empty() {
            return None;
        }
        let mut text = format!("\nTo send to Exotel's support (hello@exotel.com):\n\n  Account SID: {}\n", self.sid);
        for (head, items) in [
            ("Please enable for this account:", &self.asks),
            ("Please see whether this is enabled, and enable it if not:", &self.perhaps),
        ] {
            if !items.is_empty() {
                // Writing to a String does not fail.
                let _ = writeln!(text, "  {head}");
            }
            for item in items {
                let _ = writeln!(text, "  - {item}");
            }
        }
        text.truncate(text.trim_end().len());
        Some(text)
    }
}

/// Looks at everything that can be known of an account. `elsewhere`: the other regions' APIs, by name.
pub(super) async fn look(
    config: &Config,
    account: &Account,
    transport: &Transport,
    found: &Ledger,
    elsewhere: &[(&'static str, Url)],
) -> Findings {
    let mut findings = Findings { sid: account.sid.clone(), ..Findings::default() };
    let client = app::exotel_client(config, account, transport.clone());
    let answering = Answering::find(config, account, found, transport).await;
    match client.identify().await {
        Ok(()) => findings.ok(format_args!("Exotel at {} knows the key", client.host())),
        Err(error) => {
            let cure = match region_of(config, account, transport, elsewhere, &error).await {
                Some(region) => format!("but the region {region} knows the key: set region = {region:?}"),
                None => error.cure().to_owned(),
            };
            findings.fail(error.code(), format_args!("{error} (asked at {}): {cure}", client.host()));
            answering.judge(config, account, None, &mut findings);
            return findings;
        }
    }
    clock(&client, &mut findings).await;
    let phones = exophones(account, &client, &mut findings).await;
    answering.judge(config, account, phones.as_deref(), &mut findings);
    calls(found.lately(config, account, transport).await.as_ref(), &mut findings);
    findings.perhaps.push(LEGS);
    if answering.has_bots() {
        voicebots(&client, &mut findings).await;
    }
    findings
}

/// Whoever may have streams has voicebots.
async fn voicebots(client: &ExotelClient, findings: &mut Findings) {
    match client.streams().await {
        Ok(Streams { most: Some(0), .. }) | Err(ExotelError::NotFound { .. } | ExotelError::Refused { .. }) => {
            findings.warn(
                Code::VoicebotsNotEnabled,
                "Exotel knows of no streams of this account: voicebots are not enabled, it seems",
            );
            findings.asks.push(VOICEBOT);
        }
        Ok(Streams { most, .. }) => {
            let most = most.map(|most| format!(", {most} at once")).unwrap_or_default();
            findings.ok(format_args!("voicebots are enabled{most}"));
        }
        Err(error) => {
            findings
                .warn(error.code(), format_args!("whether voicebots are enabled cannot be seen from here: {error}"));
            findings.perhaps.push(VOICEBOT);
        }
    }
}

/// The region that does know the key: a wrong one is refused as a wrong key is (exotel-api §1.1).
async fn region_of(
    config: &Config,
    account: &Account,
    transport: &Transport,
    elsewhere: &[(&'static str, Url)],
    error: &ExotelError,
) -> Option<&'static str> {
    if !matches!(error, ExotelError::Auth { .. } | ExotelError::NotFound { .. }) {
        return None;
    }
    for (region, api_url) in elsewhere {
        let there = Account { api_url: api_url.clone(), ..account.clone() };
        if app::exotel_client(config, &there, transport.clone()).identify().await.is_ok() {
            return Some(region);
        }
    }
    None
}

async fn clock(client: &ExotelClient, findings: &mut Findings) {
    match client.clock_ahead().await {
        None => findings.ok("Exotel's clock cannot be seen from here: it names no date"),
        Some(ahead) if ahead.abs() < SKEW => findings.ok("this machine's clock agrees with Exotel's"),
        Some(ahead) => {
            let way = if ahead.is_negative() { "ahead of" } else { "behind" };
            let seconds = ahead.abs().as_secs();
            findings.warn(
                Code::ClockOff,
                format_args!("this machine's clock is {seconds} s {way} Exotel's: set it, by NTP"),
            );
        }
    }
}

/// The API names the flow an ExoPhone leads into; what that flow does is seen by the calls alone.
async fn exophones(account: &Account, client: &ExotelClient, findings: &mut Findings) -> Option<Vec<ExoPhone>> {
    let phones = match client.exophones().await {
        Ok(phones) => phones,
        Err(error) => {
            findings.warn(error.code(), format_args!("its ExoPhones cannot be seen from here: {error}"));
            return None;
        }
    };
    let ours = format!("/{}/exoml/", account.sid);
    let elsewhere = |phone: &&ExoPhone| !phone.voice_url.as_ref().is_some_and(|url| url.contains(&ours));
    let lost: Vec<String> = phones.iter().filter(elsewhere).map(|phone| mask::number(&phone.number.e164)).collect();
    findings.ok(format_args!("{} ExoPhone{}", phones.len(), plural(phones.len())));
    if !lost.is_empty() {
        let lost = lost.join(", ");
        findings.warn(
            Code::FlowMissing,
            format_args!("no flow of this account is named for {lost}: assign one in App Bazaar"),
        );
    }
    Some(phones)
}

/// What the calls that came show.
fn calls(lately: Option<&Counted>, findings: &mut Findings) {
    let Some(lately) = lately.filter(|lately| lately.calls > 0) else {
        findings.ok("no calls came lately: whether flows lead here, and popup events are enabled, cannot be seen");
        findings.perhaps.push(RINGING);
        return;
    };
    for one in &lately.silent_exophones {
        let (phone, calls) = (mask::number(&one.exophone), one.calls);
        findings.warn(Code::FlowElsewhere, format_args!(
                "of {calls} call{} to {phone} Exotel's list alone told: its flow does not lead here; paste the URLs below \
                 into it",
                plural(usize::try_from(calls).unwrap_or(usize::MAX))
            ),
        );
    }
    let answered = lately.popups.answered;
    if answered < ENOUGH {
        findings.ok("too few answered calls came lately to see whether popup events are enabled");
        findings.perhaps.push(RINGING);
    } else if lately.popups.with_popups == 0 {
        findings.warn(Code::PopupsMissing, format_args!(
                "popup events are not enabled: none came with {answered} answered calls; paste the URL of *Create popup…* \
                 into the flow's Connect applets"
            ),
        );
        findings.perhaps.push(RINGING);
    } else if lately.popups.with_ringing == 0 {
        findings.warn(
            Code::PopupsMissing,
            format_args!(
                "popup events are not all enabled: of {answered} answered calls none told that it rang or who took it; \
                 Exotel enables that"
            ),
        );
        findings.asks.push(RINGING);
    } else {
        findings.ok("popup events come");
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

    use crate::store::{LedgerSummary, SilentExoPhone};
    use patchbay_sandbox::{Fault, Faults, On, Server, exotel::Exotel};

    use super::*;

    fn exotel(token: &str) -> Server<Exotel> {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        Server::start(loopback, Exotel::new("acme1", "k3y", token), Faults::none()).expect("the simulated Exotel")
    }

    fn config(url: &str) -> Config {
        let text = format!(
            "[[account]]\nsid = \"acme1\"\napi_key = \"k3y\"\napi_token = \"t0ken\"\napi_url = \"{url}\"\n\
             [[account.bot]]\nid = \"sales\"\nbackend = \"echo\""
        );
        crate::config::parse("test", &text, &BTreeMap::new()).expect("a configuration")
    }

    async fn told(server: &Server<Exotel>, elsewhere: &[(&'static str, Url)]) -> Findings {
        let config = config(&server.url());
        let transport = Transport::new(Duration::from_secs(5)).expect("a client");
        look(&config, &config.accounts[0], &transport, &Ledger::Nowhere, elsewhere).await
    }

    fn has(findings: &Findings, wanted: &str) -> bool {
        findings.lines.iter().any(|line| line.contains(wanted))
    }

    #[tokio::test]
    async fn the_region_that_knows_the_key_is_named() {
        let (here, there) = (exotel("another"), exotel("t0ken"));
        let elsewhere = |server: &Server<Exotel>| [("mumbai", Url::parse(&server.url()).expect("a URL"))];
        let wrong = told(&here, &elsewhere(&there)).await;
        assert_eq!(wrong.failures, 1);
        assert!(has(&wrong, "the region mumbai knows the key: set region = \"mumbai\""), "{wrong:?}");
        let neither = told(&here, &elsewhere(&here)).await;
        assert!(neither.failures == 1 && !has(&neither, "mumbai knows"), "{neither:?}");
    }

    #[tokio::test]
    async fn a_clock_that_is_wrong_is_told_with_its_way() {
        let server = exotel("t0ken");
        assert!(has(&told(&server, &[]).await, "clock agrees"));
        for (ahead, way) in [(90, "s behind Exotel's"), (-90, "s ahead of Exotel's")] {
            server.with(|exotel| exotel.settings.clock_ahead_s = ahead);
            let findings = told(&server, &[]).await;
            assert!(has(&findings, way) && findings.failures == 0, "{findings:?}");
        }
    }

    #[tokio::test]
    async fn an_exophone_in_no_flow_of_the_account_is_told_without_its_number() {
        let server = exotel("t0ken");
        server.with(|exotel| {
            exotel.add_exophone("e1", "+918047494574");
            exotel.add_exophone("e2", "+918047494575");
            let flow = "https://my.exotel.com/acme1/exoml/start_voice/7";
            exotel.exophones_mut()[1].voice_url = Some(flow.to_owned());
        });
        let findings = told(&server, &[]).await;
        assert!(has(&findings, "no flow of this account is named for +91******4574:"), "{findings:?}");
        let letter = findings.letter().expect("something to ask");
        assert!(letter.contains("Account SID: acme1") && letter.contains(VOICEBOT), "{letter}");
    }

    #[tokio::test]
    async fn dids_are_held_against_bots_exophones_and_flows() {
        let server = exotel("t0ken");
        server.with(|exotel| exotel.add_exophone("e1", "+918047494574"));
        let text = format!(
            "[[account]]\nsid = \"acme1\"\napi_key = \"k3y\"\napi_token = \"t0ken\"\napi_url = \"{}\"\n\
             [[account.bot]]\nid = \"sales\"\nbackend = \"echo\"\nexophones = [\"08047494574\", \"08047494575\"]\n\
             [[account.did]]\nnumber = \"08047494574\"\nflow_url = \"https://my.exotel.com/other/exoml/start_voice/7\"\n\
             [[account.did]]\nnumber = \"08047494576\"\nbot_id = \"gone\"\n",
            server.url()
        );
        let config = crate::config::parse("test", &text, &BTreeMap::new()).expect("a configuration");
        let transport = Transport::new(Duration::from_secs(5)).expect("a client");
        let findings = look(&config, &config.accounts[0], &transport, &Ledger::Nowhere, &[]).await;
        for wanted in [
            "set server.public_url to an https address",
            "the DID +91******4575 (of the bot \"sales\") is no ExoPhone of this account: mend",
            "the DID +91******4576 leads to the bot \"gone\", which is not there: make it",
            "the flow_url of the DID +91******4574 names no flow of this account: copy it",
        ] {
            assert!(has(&findings, wanted), "{wanted}: {findings:?}");
        }
        assert!(!has(&findings, "4574 (of the bot") && findings.failures == 0, "{findings:?}");
    }

    #[tokio::test]
    async fn voicebots_that_are_missing_are_asked_for() {
        let server = exotel("t0ken");
        let asked = |findings: &Findings| (findings.asks.contains(&VOICEBOT), findings.perhaps.contains(&VOICEBOT));
        for (streams, line, asks) in [
            (None, "voicebots are not enabled, it seems", true),
            (Some(0), "voicebots are not enabled, it seems", true),
            (Some(100), "voicebots are enabled, 100 at once", false),
        ] {
            server.with(|exotel| exotel.settings.streams = streams);
            let findings = told(&server, &[]).await;
            assert!(has(&findings, line) && asked(&findings) == (asks, false), "{findings:?}");
        }
        let path = "/v1/Accounts/acme1/ActiveStreams";
        for _ in 0..3 {
            server.faults().push(On::exactly(None, path), Fault::Status(500));
        }
        let findings = told(&server, &[]).await;
        assert!(has(&findings, "cannot be seen from here") && asked(&findings) == (false, true), "{findings:?}");
    }

    #[test]
    fn popup_events_are_judged_by_the_calls_that_came() {
        let judged = |answered: u64, popups: u64, ringing: u64| {
            let mut findings = Findings { sid: "acme1".to_owned(), ..Findings::default() };
            let summary = LedgerSummary {
                calls: 40,
                answered,
                answered_with_popups: popups,
                answered_with_ringing: ringing,
                silent_exophones: vec![SilentExoPhone { exophone: "08047494574".to_owned(), calls: 3 }],
                ..LedgerSummary::default()
            };
            let lately = ledger::counted(&summary, None, &[]);
            calls(Some(&lately), &mut findings);
            assert!(has(&findings, "of 3 calls to *******4574 Exotel's list alone told"), "{findings:?}");
            (findings.lines.join("\n"), findings.asks.contains(&RINGING))
        };
        for (counts, line, asked) in [
            ((4, 0, 0), "too few answered calls", false),
            ((5, 0, 0), "popup events are not enabled", false),
            ((5, 5, 0), "popup events are not all enabled", true),
            ((5, 5, 1), "popup events come", false),
        ] {
            let (lines, asks) = judged(counts.0, counts.1, counts.2);
            assert!(lines.contains(line) && asks == asked, "{counts:?}: {lines}");
        }
    }
}
