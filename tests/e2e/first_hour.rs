//! An operator's first hour, for every connector there is: the configuration of the README and of the CRM's set-up page as
//! they stand, `check`, `serve`, `connect`, the URLs that the check printed, a call, and its record in the CRM.
//!
//! What is otherwise than on the operator's machine is said in the environment: where Exotel, the CRM and the service are.
//! `FIRST_HOUR=1 cargo test -p patchbay --test e2e first_hour -- --nocapture` shows what he reads.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use jiff::Timestamp;
use patchbay::{
    connect::catalogue,
    simulate::{
        self,
        cast::{Cast, Instance, Pace},
        flow::MethodName,
        new_call_sid,
    },
};
use patchbay_kit::{AuthScheme, Manifest, SettingKind};
use patchbay_sandbox::{
    Crm, Faults, HeldRecord, Server, exotel::Exotel, freshchat, freshdesk, freshsales, hubspot, leadsquared,
    salesforce, zoho_crm, zoho_desk,
};
use serde_json::Value;
use toml::Table;

use crate::{
    connect::Connecting,
    every::Standing,
    rig::{ADMIN, EXOPHONE, KEY, Rig, TOKEN},
};

/// What the check prints where the account's credential is to be put.
const PLACEHOLDER: &str = "KEY:TOKEN@";

fn page(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The first block of a page that is fenced as TOML.
fn first_toml<'a>(name: &str, page: &'a str) -> &'a str {
    let (_, rest) = page.split_once("```toml\n").unwrap_or_else(|| panic!("{name} shows no configuration"));
    rest.split_once("```").expect("the end of the block").0
}

/// The value of an environment variable that a page names.
fn variable(name: &str) -> String {
    match name {
        "PATCHBAY_ADMIN_TOKEN" => ADMIN.to_owned(),
        "EXOTEL_KEY" => KEY.to_owned(),
        "EXOTEL_TOKEN" => TOKEN.to_owned(),
        other => format!("secret-of-{}", other.to_lowercase()),
    }
}

/// A set-up page's integration: what its block says, before and after the environment.
struct Shown {
    manifest: &'static Manifest,
    block: String,
    table: Table,
}

impl Shown {
    fn of(manifest: &'static Manifest) -> Self {
        let name = format!("connectors/{}/README.md", manifest.id);
        let block = first_toml(&name, &page(&name)).to_owned();
        let whole: Table = block.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        let integrations = whole["account"]["integration"].as_array().expect("an [[account.integration]]");
        let table = integrations[0].as_table().expect("a table").clone();
        assert_eq!(table["connector"].as_str(), Some(manifest.id), "{name}");
        Self { manifest, block, table }
    }

    fn is_set(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// A setting's value; of one that the environment holds, what it holds.
    fn setting(&self, key: &str) -> String {
        let text = self.table.get(key).and_then(toml::Value::as_str).unwrap_or_default();
        match text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => variable(name),
            None => text.to_owned(),
        }
    }

    fn name(&self) -> String {
        let named = self.table.get("name").and_then(toml::Value::as_str);
        named.unwrap_or(self.manifest.id).to_owned()
    }

    /// Whether a person has to consent: there is OAuth, and nothing in the block that stands for a consent.
    fn wants_consent(&self) -> bool {
        let AuthScheme::OAuth(oauth) = self.manifest.auth else { return false };
        let fixed = oauth.fixed.is_some_and(|key| self.is_set(key));
        let signed = oauth.assertion.is_some_and(|assertion| self.is_set(assertion.key_file));
        !fixed && !signed && !self.is_set("refresh_token")
    }
}

/// The CRM's sandbox, with the credentials that the set-up page's block has, and what else the block's variables hold.
fn sandbox(shown: &Shown) -> (Box<dyn Standing>, Vec<(String, String)>) {
    fn serve<S: Crm>(sandbox: S) -> Box<dyn Standing> {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        Box::new(Server::start(loopback, sandbox, Faults::none()).expect("the sandbox starts"))
    }
    let of = |key: &str| shown.setting(key);
    let mut env = Vec::new();
    let crm = match shown.manifest.id {
        "freshchat" => {
            assert_eq!(of("channel_id"), freshchat::CHANNEL, "the channel that the sandbox has");
            serve(freshchat::Freshchat::new(of("api_key")))
        }
        "freshdesk" => serve(freshdesk::Freshdesk::new(of("api_key"))),
        "freshsales" => serve(freshsales::Freshsales::new(of("api_key"))),
        "hubspot" => serve(hubspot::HubSpot::prepared(of("access_token"))),
        "leadsquared" => {
            let sandbox = leadsquared::LeadSquared::new(of("access_key"), of("secret_key"), "orgkey");
            let paths = ["LeadRouteV2", "AgentPopup", "LogCallComplete"].map(|operation| sandbox.path(operation));
            let keys = ["call_route_url", "agent_popup_url", "call_log_url"];
            for (key, path) in keys.into_iter().zip(paths) {
                let name = shown.table[key].as_str().expect("a text").trim_start_matches("${").trim_end_matches('}');
                env.push((name.to_owned(), format!("https://telephony.example{path}")));
            }
            serve(sandbox)
        }
        "salesforce" => {
            let org = salesforce::Salesforce::new(&of("client_id"), &of("client_secret"), "nobodys");
            serve(org.with_set_up())
        }
        "zoho_crm" => serve(zoho_crm::ZohoCrm::new(&of("client_id"), &of("client_secret"), "nobodys")),
        "zoho_desk" => {
            assert_eq!(of("org_id"), zoho_desk::ZohoDesk::ORG_ID.to_string());
            assert_eq!(of("department_id"), zoho_desk::ZohoDesk::DEPARTMENT_ID.to_string());
            serve(zoho_desk::ZohoDesk::new(&of("client_id"), &of("client_secret"), "nobodys"))
        }
        other => panic!("{other} is built in, and its first hour is walked by nobody: give it its sandbox here"),
    };
    (crm, env)
}

/// The operator, with the pages before him.
struct Hour {
    rig: Rig,
    shown: Shown,
    crm: Box<dyn Standing>,
    /// The address that the configuration gives out: a proxy with a certificate in his house, the service itself here.
    public: String,
}

impl Hour {
    /// The configuration is written; nothing runs yet.
    fn begin(manifest: &'static Manifest) -> Self {
        let readme = page("README.md");
        let ours = first_toml("README.md", &readme);
        let shown = Shown::of(manifest);
        let text = format!("{ours}\n{}", shown.block);
        let table: Table = text.parse().unwrap_or_else(|error| panic!("{}: {error}\n{text}", manifest.id));
        let sid = table["account"][0]["sid"].as_str().expect("a SID").to_owned();
        let public = table["server"]["public_url"].as_str().expect("an address").to_owned();

        let mut rig = Rig::new();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let exotel = Server::start(loopback, Exotel::new(&sid, KEY, TOKEN), Faults::none()).expect("Exotel");
        let url = exotel.url();
        exotel.with(|exotel| {
            exotel.set_public_url(url);
            exotel.add_exophone("e1", "+918047494574");
        });
        rig.exotel = exotel;
        let (crm, mut env) = sandbox(&shown);
        crm.add_agent("Avnish Gupta", "avnish@example.com");
        for part in text.split("${").skip(1) {
            let name = part.split_once('}').expect("a whole variable").0.to_owned();
            if env.iter().all(|(known, _)| *known != name) {
                let value = variable(&name);
                env.push((name, value));
            }
        }
        // The hosts, and nothing else.
        let account = "PATCHBAY__ACCOUNT__0__";
        env.push((format!("{account}API_URL"), rig.exotel.url()));
        env.push((format!("{account}INTEGRATION__0__BASE_URL"), crm.url()));
        for setting in manifest.settings.iter().filter(|one| one.kind == SettingKind::Url && !one.secret) {
            if shown.is_set(setting.key) {
                env.push((format!("{account}INTEGRATION__0__{}", setting.key.to_uppercase()), crm.url()));
            }
        }
        env.push(("PATCHBAY__LOG__FORMAT".to_owned(), "json".to_owned()));
        rig.env = env;
        rig.whole = Some(text);
        Self { rig, shown, crm, public }
    }

    /// What `patchbay check` says, and whether it is content.
    fn check(&self) -> (bool, String) {
        let config = self.rig.config().display().to_string();
        let run = || self.rig.command(&["check", "--config", &config]).output().expect("it runs");
        let output = tokio::task::block_in_place(run);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if std::env::var_os("FIRST_HOUR").is_some() {
            println!("$ patchbay check --config patchbay.toml\n{said}{}", String::from_utf8_lossy(&output.stderr));
        }
        for secret in [KEY, TOKEN, ADMIN, "secret-of-"] {
            assert!(!said.contains(secret), "a secret is printed: {said}");
        }
        (output.status.success(), said)
    }

    /// A person's consent, by the address that `patchbay connect` prints.
    async fn connect(&self) {
        let (running, url) = tokio::task::block_in_place(|| Connecting::start(&self.rig, &self.shown.name()));
        let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        let reply = browser.get(&url).send().await.expect("the consent's page");
        assert_eq!(reply.status(), 302, "{url}");
        let back = reply.headers()["location"].to_str().expect("text").to_owned();
        let reply = browser.get(self.here(&back)).send().await.expect("the page that the CRM sends him to");
        assert_eq!(reply.status(), 200, "{back}");
        let (code, said) = tokio::task::block_in_place(|| running.ended());
        assert!(code == Some(0) && said.contains("is connected"), "{said}");
    }

    /// An address as the outside has it, where this machine has it.
    fn here(&self, url: &str) -> String {
        let path = url.strip_prefix(&self.public).unwrap_or_else(|| panic!("{url} is not below {}", self.public));
        self.rig.url(path)
    }

    /// Exotel asks a URL that was pasted into its flow, and puts its own parameters behind those that stand there.
    async fn ask(&self, pasted: &str, parameters: &str) -> (u16, String) {
        let (scheme, rest) = pasted.split_once("://").expect("a URL");
        let rest = rest.strip_prefix(PLACEHOLDER).unwrap_or_else(|| panic!("{pasted} has no place for the credential"));
        let mut url = self.here(&format!("{scheme}://{rest}"));
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(parameters);
        let reply = self.rig.http.get(url).basic_auth(KEY, Some(TOKEN)).send().await.expect("an answer");
        (reply.status().as_u16(), reply.text().await.expect("a text"))
    }

    fn records(&self, call_sid: &str) -> Vec<HeldRecord> {
        self.crm.records().into_iter().filter(|record| record.text.contains(call_sid)).collect()
    }

    /// A flow of the simulated Exotel, by the URLs that stand in the recipe; what it became in the CRM.
    async fn call(&self, flow: &str, customer: &str, recipe: &Recipe) -> (Instance, HeldRecord) {
        let flows = simulate::flow::flows().expect("the flows");
        let flow = flows.iter().find(|one| one.name == flow).expect("the flow");
        let call_sid = new_call_sid();
        let cast = Cast {
            recording_url: self.rig.exotel.with(|exotel| exotel.recording_url(&call_sid)),
            call_sid,
            customer: customer.to_owned(),
            exophone: EXOPHONE.to_owned(),
            agents: simulate::agents(),
        };
        let call = flow.instantiate(cast, Pace { begins: Timestamp::now(), speed: 1000.0 });
        self.rig.exotel.with(|exotel| exotel.add_call(call.call.clone()));
        for request in &call.requests {
            assert!(request.method == MethodName::Get, "an applet asks by GET");
            let event = request.query.split('&').find_map(|one| one.strip_prefix("event=")).expect("an event");
            let own: Vec<&str> = request.query.split('&').filter(|one| !one.starts_with("event=")).collect();
            let (status, _) = self.ask(recipe.of_event(event), &own.join("&")).await;
            assert_eq!(status, 200, "{event}");
        }
        let what = format!("a record of the {} call in {}", flow.name, self.shown.manifest.name);
        let sid = &call.cast.call_sid;
        let record = self.rig.until(&what, || self.records(sid).into_iter().next()).await;
        (call, record)
    }
}

/// What a check says is to be pasted: applets with their URLs, in its order.
struct Recipe {
    said: String,
    steps: Vec<(String, String)>,
}

impl Recipe {
    fn read(said: &str) -> Self {
        let (_, flow) = said.split_once("What to paste into the flow of").expect("a recipe");
        let mut steps = Vec::new();
        let mut applet = String::new();
        for line in flow.lines().map(str::trim) {
            let number = line.split_once(". ").filter(|(number, _)| number.parse::<u32>().is_ok());
            if let Some((_, what)) = number {
                what.clone_into(&mut applet);
            } else if line.starts_with("https://") {
                steps.push((applet.clone(), line.to_owned()));
            }
        }
        Self { said: said.to_owned(), steps }
    }

    /// The URL below the step that is for this place of the flow.
    fn of(&self, place: &str) -> Option<&str> {
        self.steps.iter().find(|(applet, _)| applet.contains(place)).map(|(_, url)| url.as_str())
    }

    /// Where Exotel tells of this: what an operator knows who has read the applets' names.
    fn of_event(&self, event: &str) -> &str {
        let place = match event {
            "pop" => "Create popup",
            "answered" => "After the call conversation ends",
            "missed" => "If nobody answers",
            other => panic!("no applet tells of {other}"),
        };
        self.of(place).unwrap_or_else(|| panic!("no URL for {place}: {}", self.said))
    }
}

async fn first_hour(manifest: &'static Manifest) {
    let mut hour = Hour::begin(manifest);
    let consent = hour.shown.wants_consent();
    let (content, said) = hour.check();
    assert_eq!(content, !consent, "{said}");
    let cure = format!(
        "/{}: not_connected: nobody has consented yet: start `patchbay serve`, then run `patchbay connect ",
        hour.shown.name()
    );
    assert!(!consent || said.contains(&cure), "{said}");
    if manifest.id == "freshdesk" {
        let readme = page("README.md");
        let (_, paste) = readme.split_once("### 8. Paste").expect("the step");
        let shown = paste.split("```").nth(1).expect("what a check prints").trim_matches('\n');
        assert!(said.contains(shown), "the README shows {shown}\n\nand a check {said}");
    }
    // Longer lines than URLs are broken by terminals.
    let long = said
        .lines()
        .filter(|line| !line.contains("://") && !line.contains(" --config "))
        .find(|line| line.chars().count() > 120);
    assert_eq!(long, None, "{said}");

    hour.rig.start();
    if consent {
        hour.connect().await;
    }
    let (content, said) = hour.check();
    assert!(content, "with everything set up: {said}");
    let recipe = Recipe::read(&said);

    // The owner of an unknown caller is nobody, and that is an answer.
    let entry = catalogue::find(manifest.id).expect("an entry");
    let owners = (entry.build)(&patchbay_kit::Settings::default()).owners().is_some();
    if let Some(url) = recipe.of("Dial phone number(s) returned by URL") {
        let parameters = format!("CallSid={}&CallFrom=09876500009&CallTo={EXOPHONE}", new_call_sid());
        assert_eq!(hour.ask(url, &parameters).await, (200, String::new()), "{}", manifest.id);
    } else {
        assert!(!owners, "{} names owners, and nothing says where to paste that: {said}", manifest.id);
    }

    let (_, record) = hour.call("missed", "09876500001", &recipe).await;
    assert!(record.text.contains("Missed Call from"), "{}: {record:?}", manifest.id);
    let (answered, record) = hour.call("answered", "09876500000", &recipe).await;
    assert!(record.text.contains("Incoming Call from"), "{}: {record:?}", manifest.id);
    let sid = &answered.cast.call_sid;
    assert_eq!(hour.records(sid).len(), 1, "{}: one call is one record", manifest.id);

    // Where the recipe says that he can look, the call is.
    let shown = recipe.said.lines().find(|line| line.trim().starts_with("curl ")).expect("where to look");
    let url = shown.split('"').find(|part| part.starts_with(&hour.public)).expect("a URL");
    let request = hour.rig.http.get(hour.here(url)).bearer_auth(ADMIN);
    let answer = request.send().await.expect("an answer").bytes().await.expect("a body");
    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    assert_eq!(answer["calls"][0]["call_sid"].as_str(), Some(sid.as_str()), "{answer:#}");
    assert!(answer["calls"][0]["outcome"] == "answered", "{answer:#}");
    if std::env::var_os("FIRST_HOUR").is_some() {
        println!("$ {}\n{answer:#}", shown.trim());
    }
    assert!(hour.rig.terminate(), "it ends when it is told to");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_hour_is_as_the_pages_say() {
    // Side by side, as far as the machine bears it.
    let places = Arc::new(tokio::sync::Semaphore::new(2));
    let mut hours = Vec::new();
    for entry in catalogue::all() {
        let places = Arc::clone(&places);
        hours.push((
            entry.manifest.id,
            tokio::spawn(async move {
                let _place = places.acquire_owned().await.expect("it is never closed");
                first_hour(entry.manifest).await;
            }),
        ));
    }
    let mut failed = Vec::new();
    for (id, hour) in hours {
        if hour.await.is_err() {
            failed.push(id);
        }
    }
    assert!(failed.is_empty(), "the first hour with {} is not as its page says; see above", failed.join(", "));
}
