//! The stage of the demo: Freshdesk and Exotel on loopback, and between them Patchbay as `serve` would run it.

use std::{collections::BTreeMap, net::SocketAddr};

use patchbay_sandbox::{Faults, Server, exotel::Exotel, freshdesk::Freshdesk};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    app::Service,
    config,
    simulate::{
        self,
        cast::{Cast, Instance, Pace},
        flow::Flow,
        play::{Door, Target},
    },
    store::{CallFile, CallRef},
    telemetry,
};

/// Short, so that links to recordings fit on a line.
pub(super) const SID: &str = "demo";
/// How a log level gets in; everything else of the environment stays outside, so that the demo is always the same.
const LOG_LEVEL: &str = "PATCHBAY__LOG__LEVEL";

/// A caller Freshdesk knows, under another writing of his number than Exotel's.
pub(super) const KNOWN: (&str, &str, &str) = ("Asha Rao", "919876543210", "09876543210");

/// The agents of the helpdesk, in the order of [`simulate::agents`]. The first is mapped by id, the second by e-mail.
const AGENTS: [(&str, u64); 2] = [("Avnish Gupta", 81_007_555_518), ("Meera Nair", 81_025_450_493)];

/// All there is, running.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) service: Service,
    pub(super) freshdesk: Server<Freshdesk>,
    pub(super) exotel: Server<Exotel>,
    pub(super) secrets: Secrets,
    /// Removed with everything in it when the stage goes.
    dir: TempDir,
}

/// Made up for each run, so that finding one where it should not be means something.
#[derive(Debug)]
pub(super) struct Secrets {
    pub(super) admin_token: String,
    pub(super) exotel_key: String,
    pub(super) exotel_token: String,
    pub(super) freshdesk_key: String,
}

impl Secrets {
    fn new() -> Self {
        let random = || Uuid::new_v4().simple().to_string();
        Self { admin_token: random(), exotel_key: random(), exotel_token: random(), freshdesk_key: random() }
    }
}

impl Stage {
    pub(super) async fn set(listen: SocketAddr) -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|error| format!("no temporary directory can be made: {error}"))?;
        let secrets = Secrets::new();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut desk = Freshdesk::new(&secrets.freshdesk_key);
        let people = simulate::agents();
        for ((name, id), person) in AGENTS.iter().zip(&people) {
            desk.add_agent(name, &person.email, *id);
        }
        desk.add_contact(KNOWN.0, Some(KNOWN.1), None);
        let freshdesk = Server::start(loopback, desk, Faults::default())
            .map_err(|error| format!("the sandbox of Freshdesk cannot listen on loopback: {error}"))?;
        let exotel = simulate::serve(loopback, Exotel::new(SID, &secrets.exotel_key, &secrets.exotel_token))?;

        let [mapped, by_email] = &people;
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let text = format!(
            r#"
            [server]
            listen = "{listen}"
            admin_token = "{admin_token}"
            drain_timeout = "2s"

            [store]
            url = {store}

            [log]
            level = "warn"

            # What takes minutes and hours in earnest takes seconds here.
            [delivery]
            retry = ["100ms", "200ms", "400ms", "1s"]
            ambiguous_wait = "3s"
            request_timeout = "2s"

            [enquiry]
            schedule = ["200ms", "500ms", "700ms", "1s", "1s", "2s"]

            [[account]]
            sid = "{SID}"
            api_url = "{exotel_url}"
            api_key = "{exotel_key}"
            api_token = "{exotel_token}"

            [[account.integration]]
            connector = "freshdesk"
            base_url = "{freshdesk_url}"
            api_key = "{freshdesk_key}"
            assign_tickets = true

            [[account.agent]]
            number = {mapped_number}
            crm_user = {{ freshdesk = "{mapped_id}" }}

            [[account.agent]]
            number = {other_number}
            email = {other_email}
            "#,
            store = quoted(&format!("sqlite:{}", dir.path().join("patchbay.db").display())),
            admin_token = secrets.admin_token,
            exotel_url = exotel.url(),
            exotel_key = secrets.exotel_key,
            exotel_token = secrets.exotel_token,
            freshdesk_url = freshdesk.url(),
            freshdesk_key = secrets.freshdesk_key,
            mapped_number = quoted(&mapped.number),
            mapped_id = AGENTS[0].1,
            other_number = quoted(&by_email.number),
            other_email = quoted(&by_email.email),
        );
        let env: BTreeMap<String, String> =
            std::env::var(LOG_LEVEL).ok().map(|level| (LOG_LEVEL.to_owned(), level)).into_iter().collect();
        let config = config::parse("the demo's configuration", &text, &env).map_err(|error| error.to_string())?;
        telemetry::init(&config.log);
        let service = Service::start(config).await.map_err(|error| error.to_string())?;
        Ok(Self { service, freshdesk, exotel, secrets, dir })
    }

    /// Patchbay's address.
    pub(super) fn url(&self) -> &str {
        self.service.services.public_url()
    }

    pub(super) fn target(&self) -> Result<Target, String> {
        let Secrets { exotel_key, exotel_token, .. } = &self.secrets;
        Target::new(self.url(), SID, Door::Basic { key: exotel_key.clone(), token: exotel_token.clone() })
    }

    /// Gives a flow its people: the first is called by somebody Freshdesk knows; who left the voicemail is who was
    /// missed, and neither is known.
    pub(super) fn cast(&self, at: usize, flow: &Flow, pace: Pace) -> Instance {
        let call_sid = simulate::new_call_sid();
        let customer = match flow.name.as_str() {
            "answered" => KNOWN.2.to_owned(),
            "missed" | "voicemail" => "09876500000".to_owned(),
            _ => format!("098765{:05}", at + 1),
        };
        let cast = Cast {
            recording_url: self.exotel.with(|exotel| exotel.recording_url(&call_sid)),
            call_sid,
            customer,
            exophone: "08047494574".to_owned(),
            agents: simulate::agents(),
        };
        flow.instantiate(cast, pace)
    }

    /// The helpdesk's id of an agent, by his number.
    pub(super) fn agent_id(number: &str) -> Option<u64> {
        let at = simulate::agents().iter().position(|agent| agent.number == number)?;
        Some(AGENTS[at].1)
    }

    pub(super) async fn file(&self, call: &Instance) -> Result<Option<CallFile>, String> {
        let call = CallRef { account: SID.to_owned(), call_sid: call.cast.call_sid.clone() };
        self.service.services.store.call_file(&call).await.map_err(|error| error.to_string())
    }

    /// Ends everything, the service first.
    pub(super) async fn strike(self) {
        self.service.stop().await;
        self.freshdesk.stop().await;
        self.exotel.stop().await;
        if let Err(error) = self.dir.close() {
            tracing::warn!(%error, "the demo's temporary directory cannot be removed");
        }
    }
}
