//! What is pasted where in an account's flow, and how it is seen that it works: the end of a check is what is done next.

use std::fmt::Write as _;

use crate::{
    call::{
        applet::Entry,
        route::{Routing, Step},
    },
    config::{Account, Config, Integration},
    connect::catalogue,
    directory::bots::token_of_file,
    hooks::{self, FamilyUrl},
    key::MasterKey,
};

/// What stands for the account's credential: a check prints no secret.
const CREDENTIAL: &str = "KEY:TOKEN";
const HOOK_TOKEN: &str = "HOOK_TOKEN";

/// The account's flow, from its first applet to its last.
pub(super) fn flow(config: &Config, account: &Account, key: Option<&MasterKey>) -> String {
    let public = public_url(config);
    let (scheme, rest) = public.split_once("://").unwrap_or(("https", &public));
    let base = format!("{scheme}://{CREDENTIAL}@{rest}/v2/accounts/{}", account.sid);
    let mut recipe = Recipe::default();
    recipe.line(format_args!(
        "What to paste into the flow of {} (App Bazaar at {}), in the order of a call.",
        account.sid,
        account.portal_url.as_str().trim_end_matches('/')
    ));
    recipe.line(format_args!("{CREDENTIAL} are the API key and the API token of that account."));
    recipe.voicebots(account, &public, &base, key);
    recipe.asked_first(account, &base);
    let event = |event: &str| format!("{base}/call-events?event={event}");
    recipe.step("Connect applet, \"Create popup…\"", &[&event("pop")]);
    recipe.note("In the same applet tick \"Record this call\", if recordings are to be in the CRM.");
    recipe.step(
        "Passthru applet under \"After the call conversation ends\"; tick \"Make Passthru Async\"",
        &[&event("answered")],
    );
    recipe.note("Or, where every record shall say that it was made automatically:");
    recipe.url(&event("automated_answered"));
    recipe.step("Passthru applet under \"If nobody answers…\"; tick \"Make Passthru Async\"", &[&event("missed")]);
    recipe.part("Only if the flow has such an applet; \"Make Passthru Async\" ticked, where nothing else is said:");
    recipe.step("Passthru applet behind a Voicemail applet", &[&event("voicemail")]);
    recipe.step(
        "Passthru applet behind each key of an IVR Menu; \"sales\" is what the key means",
        &[&format!("{}&ivr_tag_1=sales", event("ivr"))],
    );
    recipe.step(
        "Passthru applet behind a Gather applet; \"order\" is what the digits mean",
        &[&format!("{}&gather_tag_1=order", event("gather"))],
    );
    recipe.step("Passthru applet behind the last of those, or their digits reach no record", &[&event("end")]);
    recipe.rules(&account.routing, &base);
    recipe.line(format_args!(""));
    recipe.line(format_args!("Save the flow, and assign it to the ExoPhone (ExoPhones, Assign ExoPhones to Flow)."));
    recipe.moving(hooks::families(account, &public, HOOK_TOKEN, key), account);
    recipe.text.truncate(recipe.text.trim_end().len());
    recipe.text
}

/// The first calls, and where they are seen.
pub(super) fn test_call(config: &Config, account: &Account) -> String {
    let sid = &account.sid;
    let public = public_url(config);
    let mut recipe = Recipe::default();
    recipe.line(format_args!("The test call, while `patchbay serve` runs:"));
    recipe.step(
        &format!(
            "Without a telephone: an invented call of 098765 00000, which the CRM{} for a real one",
            if account.integrations.len() == 1 { " takes" } else { "s take" }
        ),
        &[&format!("patchbay simulate --to http://{} --account {sid} --flow answered", reached_at(config))],
    );
    recipe.note("It finds key and token in EXOTEL_KEY and EXOTEL_TOKEN.");
    recipe.step("With one: call the ExoPhone, let an agent answer, talk, hang up. What is there then:", &[]);
    for integration in &account.integrations {
        let Integration { name, manifest, .. } = integration;
        let shown = if manifest.id == name { String::new() } else { format!(" ({name})") };
        let when = if able(integration, |able| able.updates().is_some() || able.notes().is_some()) {
            "at the call's end; its recording within five minutes"
        } else {
            "when all is known of the call, the recording included"
        };
        recipe.note(&format!("{}{shown}: a {} with the CallSid in it, {when}", manifest.name, manifest.record));
    }
    if account.integrations.is_empty() {
        recipe.note("no record anywhere: the account has no [[account.integration]]");
    }
    recipe.step(
        "The last call, as Patchbay has it; with its CallSid behind …/calls/, each request that was made of it",
        &[&format!(
            "curl -H \"Authorization: Bearer $PATCHBAY_ADMIN_TOKEN\" \"{public}/api/v1/accounts/{sid}/calls?limit=1\""
        )],
    );
    recipe.note("No call there: no URL of the flow leads here. A call, and no record: its `deliveries` say why.");
    recipe.text.truncate(recipe.text.trim_end().len());
    recipe.text
}

fn public_url(config: &Config) -> String {
    config.server.public_url.clone().unwrap_or_else(|| format!("http://{}", config.server.listen))
}

/// Where this machine reaches the service.
fn reached_at(config: &Config) -> String {
    let listen = config.server.listen;
    if listen.ip().is_unspecified() { format!("127.0.0.1:{}", listen.port()) } else { listen.to_string() }
}

/// What a connector can do with the settings that it has here.
fn able(integration: &Integration, what: impl Fn(&dyn patchbay_kit::Connector) -> bool) -> bool {
    catalogue::find(integration.manifest.id).is_some_and(|entry| what((entry.build)(&integration.settings).as_ref()))
}

/// Lines with numbered steps among them.
#[derive(Default)]
struct Recipe {
    text: String,
    steps: usize,
}

impl Recipe {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = writeln!(self.text, "{line}");
    }

    fn part(&mut self, title: &str) {
        self.line(format_args!("\n{title}"));
    }

    fn step(&mut self, what: &str, urls: &[&str]) {
        self.steps += 1;
        let number = self.steps;
        self.line(format_args!("\n{number:>2}. {what}"));
        urls.iter().for_each(|url| self.url(url));
    }

    fn url(&mut self, url: &str) {
        self.line(format_args!("      {url}"));
    }

    fn note(&mut self, text: &str) {
        self.line(format_args!("    {text}"));
    }

    fn voicebots(&mut self, account: &Account, public: &str, base: &str, key: Option<&MasterKey>) {
        if account.bots.is_empty() {
            return;
        }
        let wss = public.replacen("http", "ws", 1);
        for bot in &account.bots {
            // A token of the file is the operator's own; one that is made up is shown here alone, once there is a key.
            let token = match (&bot.token, key) {
                (Some(_), _) => "BOT_TOKEN".to_owned(),
                (None, Some(key)) => token_of_file(&account.sid, &bot.id, key),
                (None, None) => "…  (start the service once, and check again)".to_owned(),
            };
            let url = format!("{wss}/voicebot/{token}");
            self.step(&format!("Voicebot applet, for the bot {:?}", bot.id), &[&url]);
            if bot.token.is_some() {
                self.note("BOT_TOKEN is the `token` of that bot in the file.");
            }
        }
        self.step(
            "Passthru applet behind the Voicebot applet: how the bot's part of the call ended",
            &[&format!("{base}/call-events")],
        );
    }

    /// Whom a Connect applet rings, where Patchbay knows more of it than the flow.
    fn asked_first(&mut self, account: &Account, base: &str) {
        let owners: Vec<&str> = account
            .integrations
            .iter()
            .filter(|integration| able(integration, |able| able.owners().is_some()))
            .map(|integration| integration.manifest.name)
            .collect();
        let default = Routing::default();
        let Routing { order, groups, fallback, hours, .. } = &account.routing;
        let ruled = *order != default.order || !groups.is_empty() || !fallback.is_empty() || hours.is_some();
        let why = match (ruled, owners.as_slice()) {
            (true, _) => "Whom the rules of [account.routing] name is rung.".to_owned(),
            (false, []) if account.bots.is_empty() => return,
            (false, []) => "Whom the bot has handed the caller over to is rung.".to_owned(),
            (false, names) => format!(
                "The owner of the caller in {} is rung. Without it those whom the applet names are.",
                names.join(", else ")
            ),
        };
        self.step(
            "Connect applet, \"Dial phone number(s) returned by URL\", Primary URL",
            &[&format!("{base}/dialwhom")],
        );
        self.note(&why);
        if !order.contains(&Step::Fallback) || fallback.is_empty() {
            self.note("Under \"We didn't dial anyone\" put a second Connect applet, with a group, and steps as below.");
        }
    }

    /// The applets that the account has texts, prompts or cases for.
    fn rules(&mut self, routing: &Routing, base: &str) {
        fn names<T>(entries: &[Entry<T>]) -> Vec<String> {
            let mut names: Vec<String> = entries
                .iter()
                .map(|entry| if entry.name.is_empty() { String::new() } else { format!("?name={}", entry.name) })
                .collect();
            names.dedup();
            names
        }
        let applets = &routing.applets;
        let urls = |path: &str, names: Vec<String>| -> Vec<String> {
            names.into_iter().map(|name| format!("{base}/{path}{name}")).collect()
        };
        let of = [
            ("Greeting or Menu applet, text from a URL", urls("greeting", names(&applets.greetings))),
            ("Gather applet, \"Configure parameters dynamically\"", urls("gather", names(&applets.gathers))),
            (
                "Connect applet, what is heard around the conversation",
                urls("playback", if applets.playbacks.is_empty() { Vec::new() } else { vec![String::new()] }),
            ),
            (
                "Passthru applet before a Switch Case applet; not async, its answer is waited for",
                urls("switch", if applets.cases.is_empty() { Vec::new() } else { vec![String::new()] }),
            ),
            (
                "Passthru applet that decides, 200 in business hours and else 302; not async",
                urls("decide?rule=business_hours", routing.hours.iter().map(|_| String::new()).collect()),
            ),
        ];
        for (applet, urls) in of {
            if !urls.is_empty() {
                let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
                self.step(applet, &urls);
            }
        }
    }

    /// The forms of Exotel's own connectors, for who comes from there.
    fn moving(&mut self, families: Vec<FamilyUrl>, account: &Account) {
        if families.is_empty() {
            return;
        }
        self.part("Instead, for flows that have the URLs of Exotel's own connectors: only the host is new.");
        if families.iter().any(|one| one.url.contains(HOOK_TOKEN)) {
            self.line(format_args!(
                "For {HOOK_TOKEN} make one (POST /api/v1/accounts/{}/hooks); or leave /h/{HOOK_TOKEN} out, and have\n\
                 open_hooks in the account while you move.",
                account.sid
            ));
        }
        let mut last = "";
        for FamilyUrl { family, applet, url } in families {
            if family != last {
                self.line(format_args!("\n    {family}"));
                last = family;
            }
            self.note(applet);
            self.url(&url);
        }
    }
}
