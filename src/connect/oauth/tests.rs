//! Keepers on a real store against a token server that knows the rules.

use std::{collections::VecDeque, future::poll_fn, sync::mpsc, task::Poll};

use futures_util::future::join_all;
use http::{Method, StatusCode};
use patchbay_kit::Authority;
use patchbay_sandbox::{
    Reply, Request as Asked, Sandbox, Server,
    oauth::{Denied, Grants, Rules},
    salesforce::TEST_KEY,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;
use crate::store::{SqliteOptions, SqliteStore};

static OAUTH: OAuth = OAuth {
    prefix: "Bearer ",
    authority: Authority::Origin,
    authorize: "/oauth/auth",
    token: "/oauth/token",
    scopes: &["read", "write"],
    siblings: &["accounts.example.com"],
    scope_separator: ",",
    consent: &[("access_type", "offline")],
    pkce: true,
    lifetime: Duration::from_secs(3600),
    at_most: None,
    origin_key: Some("api_domain"),
    fixed: None,
    assertion: None,
};
static LIMITED: OAuth = OAuth { at_most: Some((10, Duration::from_secs(600))), ..OAUTH };

const RULES: Rules = Rules { lifetime: Duration::from_secs(3600), rotates: false, at_most: None, living: None };
const ROTATING: Rules = Rules { rotates: true, ..RULES };
/// The user of the private key, among the server's families of tokens.
const KEY_FAMILY: u64 = 77;

/// What is done when a request has come and before it is answered.
type Hook = Box<dyn FnMut() + Send>;

struct TokenServer {
    grants: Grants,
    /// Answered before anything of its own.
    scripted: VecDeque<Reply>,
    asked: Vec<Vec<(String, String)>>,
    refused: usize,
    hook: Option<Hook>,
}

impl Sandbox for TokenServer {
    fn handle(&mut self, request: &Asked, now: Timestamp) -> Reply {
        if (&request.method, request.segments().as_slice()) != (&Method::POST, &["oauth", "token"]) {
            return Reply::empty(StatusCode::NOT_FOUND);
        }
        let form = request.form();
        self.asked.push(form.clone());
        if let Some(hook) = &mut self.hook {
            hook();
        }
        if let Some(reply) = self.scripted.pop_front() {
            return reply;
        }
        let issued = if form.iter().any(|(_, value)| value == assertion::GRANT_TYPE) {
            self.grants.issue(KEY_FAMILY, now)
        } else {
            self.grants.token(&form, now)
        };
        match issued {
            Ok(issued) => {
                let mut body = json!({"access_token": issued.access_token, "expires_in": issued.lifetime.as_secs()});
                if let Some(refresh) = issued.refresh_token {
                    body["refresh_token"] = refresh.into();
                }
                Reply::json(StatusCode::OK, &body)
            }
            Err(denied) => {
                self.refused += 1;
                let error = if denied == Denied::TooMany { "too many requests" } else { "invalid_grant" };
                Reply::json(StatusCode::BAD_REQUEST, &json!({"error": error}))
            }
        }
    }

    fn refuse(&self, _: &Asked, status: StatusCode, _: Option<u64>) -> Reply {
        Reply::empty(status)
    }
}

/// A token server, and a store in a folder of its own.
struct Stage {
    dir: TempDir,
    server: Server<TokenServer>,
}

impl Stage {
    fn new(rules: Rules) -> Self {
        let grants = Grants::new("id", "secret", rules).with_refresh_token("first");
        let server = TokenServer { grants, scripted: VecDeque::new(), asked: Vec::new(), refused: 0, hook: None };
        let server = Server::start(([127, 0, 0, 1], 0).into(), server, patchbay_sandbox::Faults::none());
        Self { dir: tempfile::tempdir().expect("a folder"), server: server.expect("it listens") }
    }

    fn store(&self) -> Arc<SqliteStore> {
        let path = self.dir.path().join("patchbay.db");
        let options = SqliteOptions { path, queue: 1000, group: 256, busy_timeout: Duration::from_secs(5) };
        Arc::new(SqliteStore::open(options).expect("the store opens"))
    }

    fn key(&self, name: &str) -> MasterKey {
        MasterKey::load_or_make(None, &self.dir.path().join(name)).expect("a key")
    }

    fn parts(&self, store: &Arc<SqliteStore>, configured: Configured) -> KeeperParts {
        KeeperParts {
            lane: lane(),
            oauth: &OAUTH,
            client_id: "id".to_owned(),
            client_secret: Some("secret".into()),
            configured,
            tokens_for: String::new(),
            authority: Url::parse(&self.server.url()).expect("an address"),
            store: Arc::clone(store) as Arc<dyn Store>,
            key: self.key("patchbay.db"),
            transport: Transport::new(Duration::from_secs(5)).expect("a client"),
            limits: Limits { request_timeout: Duration::from_secs(30), response_bytes: 65_536 },
        }
    }

    /// With the refresh token that the server knows.
    fn keeper(&self, store: &Arc<SqliteStore>) -> Arc<Keeper> {
        Arc::new(Keeper::new(self.parts(store, first())))
    }

    fn asked(&self) -> usize {
        self.server.with(|server| server.asked.len())
    }

    /// With which refresh tokens it was asked.
    fn refresh_tokens(&self) -> Vec<String> {
        self.server.with(|server| {
            let fields = server.asked.iter().flatten();
            fields.filter(|(key, _)| key == "refresh_token").map(|(_, value)| value.clone()).collect()
        })
    }

    fn script(&self, status: u16, body: &str) {
        let status = StatusCode::from_u16(status).expect("a status");
        let reply = Reply::of(status, "application/json", body.to_owned());
        self.server.with(|server| server.scripted.push_back(reply));
    }

    /// The next request is held until the second end is used or dropped; the first says that it has come.
    fn gate(&self) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
        let (come, has_come) = mpsc::channel();
        let (go, may_go) = mpsc::channel::<()>();
        let mut once = Some((come, may_go));
        let hook: Hook = Box::new(move || {
            if let Some((come, may_go)) = once.take() {
                come.send(()).expect("somebody waits");
                // An error is the other end being dropped: that is the signal.
                let _ = may_go.recv();
            }
        });
        self.server.with(|server| server.hook = Some(hook));
        (has_come, go)
    }

    /// Somebody asks for a token, and the token server has the request; it answers once the other end is dropped.
    async fn begun(&self, keeper: &Arc<Keeper>) -> (JoinHandle<Result<Arc<Grant>, TokenError>>, mpsc::Sender<()>) {
        let (come, go) = self.gate();
        let keeper = Arc::clone(keeper);
        let asking = tokio::spawn(async move { keeper.token().await });
        has_come(come).await;
        (asking, go)
    }
}

fn lane() -> LaneRef {
    LaneRef { account: "acme1".to_owned(), integration: "crm".to_owned() }
}

fn first() -> Configured {
    Configured::RefreshToken("first".into())
}

fn access(grant: &Grant) -> String {
    grant.access.expose_secret().to_owned()
}

/// A person's tokens, good for an hour from then.
fn consented(access: &str, refresh: &str, from: Timestamp) -> Grant {
    let lifetime = Duration::from_secs(3600);
    Grant {
        access: access.into(),
        expires_at: from + lifetime,
        renew_at: grant::renew_at(from, lifetime),
        refresh: Some(refresh.into()),
        origin: None,
        authority: None,
        by: By::Consent,
        since: from,
        configured: first().hash(),
        tokens_for: String::new(),
    }
}

async fn has_come(gate: mpsc::Receiver<()>) {
    tokio::task::spawn_blocking(move || gate.recv()).await.expect("a thread").expect("a request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_uses_of_a_dead_token_are_one_request() {
    let stage = Stage::new(ROTATING);
    let keeper = stage.keeper(&stage.store());
    let first: Vec<_> = join_all((0..100).map(|_| keeper.token())).await;
    assert_eq!(stage.asked(), 1);
    let dead = first[0].clone().expect("a token");
    assert!(first.iter().all(|one| one.as_ref().is_ok_and(|one| access(one) == access(&dead))));
    let next: Vec<_> = join_all((0..100).map(|_| keeper.renew(Some(&dead)))).await;
    assert_eq!(stage.asked(), 2);
    assert!(next.iter().all(|one| one.as_ref().is_ok_and(|one| access(one) != access(&dead))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_uses_of_a_revoked_one_are_one_request_too() {
    let stage = Stage::new(RULES);
    let keeper = stage.keeper(&stage.store());
    stage.server.with(|server| server.grants.revoke());
    let (come, go) = stage.gate();
    let mut asking: Vec<_> = (0..100).map(|_| Box::pin(keeper.token())).collect();
    for one in &mut asking {
        assert!(poll_fn(|context| Poll::Ready(one.as_mut().poll(context).is_pending())).await);
    }
    has_come(come).await;
    drop(go);
    for one in join_all(asking).await {
        assert!(matches!(one, Err(TokenError::Refused { .. })), "{one:?}");
    }
    assert_eq!(stage.asked(), 1);
    // It is no memory for ever: who comes later asks anew.
    assert!(keeper.token().await.is_err());
    assert_eq!(stage.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_one_renews_and_the_other_takes_its_result() {
    let stage = Stage::new(ROTATING);
    let store = stage.store();
    let nodes = [stage.keeper(&store), stage.keeper(&store)];
    let mut spent: Option<Arc<Grant>> = None;
    for round in 1..=5 {
        let asking = nodes.iter().flat_map(|node| (0..20).map(|_| node.renew(spent.as_deref())));
        let given: Vec<_> = join_all(asking).await.into_iter().collect::<Result<_, _>>().expect("tokens");
        assert_eq!(stage.asked(), round, "one request of both");
        assert!(given.iter().all(|one| access(one) == access(&given[0])));
        spent = given.into_iter().next();
    }
    let mut used = stage.refresh_tokens();
    used.dedup();
    assert_eq!(used.len(), 5, "no rotated refresh token was used twice: {used:?}");
    assert_eq!(stage.server.with(|server| server.refused), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_refresh_token_is_stored_before_its_access_token_is_given_out() {
    let stage = Stage::new(ROTATING);
    let store = stage.store();
    let keeper = stage.keeper(&store);
    let (asking, go) = stage.begun(&keeper).await;
    // The store gives out while the token server makes up its mind.
    store.refuse_tokens(true).await;
    drop(go);
    assert_eq!(stage.asked(), 1, "it has answered");
    store.ping().await.expect("whatever came before is through");
    assert!(!asking.is_finished());
    assert!(store.credential(&lane()).await.expect("read").is_none());
    store.refuse_tokens(false).await;
    let given = asking.await.expect("it ends").expect("a token");
    let other = stage.keeper(&store);
    let stored = other.read().await.expect("read").grant.expect("it is stored");
    assert_eq!(access(&stored), access(&given));
    assert!(stored.refresh.is_some_and(|refresh| refresh.expose_secret() != "first"));
    assert_eq!(stage.asked(), 1, "what could not be stored was not asked for again");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_waiting_takes_no_token_with_him() {
    let stage = Stage::new(ROTATING);
    let store = stage.store();
    let keeper = stage.keeper(&store);
    let (asking, go) = stage.begun(&keeper).await;
    asking.abort();
    assert!(asking.await.is_err());
    drop(go);
    keeper.settled().await;
    let given = keeper.token().await.expect("a token");
    assert_eq!((stage.asked(), given.refresh.is_some()), (1, true));
    // And the turn was given back: another node need not wait for it.
    let given = store.lease(Uuid::new_v4(), &[Duty::Token(lane())], LEASE).await.expect("lease");
    assert_eq!(given.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_from_the_store() {
    let stage = Stage::new(ROTATING);
    let given = stage.keeper(&stage.store()).token().await.expect("a token");
    let store = stage.store();
    let keeper = stage.keeper(&store);
    let found = keeper.token().await.expect("a token");
    assert_eq!((access(&found), stage.asked()), (access(&given), 1), "the one that is alive is used");
    let next = keeper.renew(Some(&found)).await.expect("renewed with the rotated one");
    assert_eq!(next.by, By::Configuration);
    assert_eq!(next.since, given.since);
    assert_eq!(stage.server.with(|server| server.refused), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_credential_in_the_configuration_wins() {
    let stage = Stage::new(ROTATING);
    let store = stage.store();
    stage.keeper(&store).token().await.expect("a token");
    stage.server.with(|server| server.grants = server.grants.clone().with_refresh_token("second"));
    let with = |configured| Arc::new(Keeper::new(stage.parts(&store, configured)));
    let second = with(Configured::RefreshToken("second".into()));
    assert!(second.standing().await.expect("read").is_none());
    second.token().await.expect("a token");
    assert_eq!(stage.refresh_tokens().last().map(String::as_str), Some("second"));
    // None is no other credential where a person has consented; what came from the configuration ends with it.
    let none = with(Configured::Nothing);
    assert_eq!(none.token().await.err(), Some(TokenError::NotConnected(lane())));
    let consent = consented("by-consent", "refresh", Timestamp::now());
    second.keep(consent, 0, false).await.expect("kept");
    assert_eq!(access(&none.token().await.expect("a token")), "by-consent");
    assert_eq!(stage.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_that_comes_while_the_old_token_is_renewed_stays() {
    for revoked in [false, true] {
        let stage = Stage::new(RULES);
        let store = stage.store();
        let keeper = stage.keeper(&store);
        let old = keeper.token().await.expect("a token");
        if revoked {
            stage.script(400, r#"{"error":"invalid_grant"}"#);
        }
        let (come, go) = stage.gate();
        let asking = tokio::spawn({
            let (keeper, old) = (Arc::clone(&keeper), Arc::clone(&old));
            async move { keeper.renew(Some(&old)).await }
        });
        has_come(come).await;
        let other = stage.keeper(&store);
        other.keep(consented("by-consent", "anew", Timestamp::now()), 0, false).await.expect("kept");
        drop(go);
        let given = asking.await.expect("it ends").expect("the person's token");
        assert_eq!(access(&given), "by-consent", "revoked: {revoked}");
        let stored = other.read().await.expect("read").grant.expect("a grant");
        assert_eq!((access(&stored).as_str(), stored.by), ("by-consent", By::Consent));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_token_server_answers_instead() {
    enum Means {
        Busy,
        Refused(&'static str),
        Unwell,
    }
    use Means::{Busy, Refused, Unwell};
    let stage = Stage::new(RULES);
    let keeper = stage.keeper(&stage.store());
    for (status, body, means) in [
        (429, "", Busy),
        (
            200,
            r#"{"error":"Access Denied","error_description":"You have made too many requests","status":"failure"}"#,
            Busy,
        ),
        (200, r#"{"error":"invalid_code"}"#, Refused("invalid_code")),
        (
            400,
            r#"{"error":"invalid_grant","error_description":"expired access/refresh token"}"#,
            Refused("invalid_grant: ex"),
        ),
        (400, r#"{"status":"BAD_REFRESH_TOKEN","message":"missing"}"#, Refused("BAD_REFRESH_TOKEN: missing")),
        (404, "<html>", Refused("status 404")),
        (500, r#"{"error":"server_error"}"#, Unwell),
        (503, "<html>", Unwell),
        (200, "<html>maintenance</html>", Unwell),
        (200, r#"{"access_token":""}"#, Unwell),
        (302, "", Unwell),
        (400, r#"{"access_token":"a","error":"invalid_client"}"#, Refused("invalid_client")),
    ] {
        stage.script(status, body);
        let error = keeper.token().await.expect_err(body);
        let fits = match (&error, means) {
            (TokenError::Busy { until }, Busy) => *until > Timestamp::now(),
            (TokenError::Refused { code, lane: at }, Refused(said)) => code.starts_with(said) && *at == lane(),
            (TokenError::Unreachable { .. }, Unwell) => true,
            _ => false,
        };
        assert!(fits, "{status} {body}: {error:?}");
    }
    // None of it is for ever, and none of it was stored.
    keeper.token().await.expect("a token");
    assert!(stage.refresh_tokens().iter().all(|used| used == "first"));
    let refused = TokenError::Refused { lane: lane(), code: "invalid_grant".to_owned() };
    assert!(refused.to_string().contains("patchbay connect acme1/crm"), "it tells its cure");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lifetime_is_read_from_the_answer() {
    let stage = Stage::new(RULES);
    let keeper = stage.keeper(&stage.store());
    let lasts = |grant: &Grant| {
        let from = Timestamp::now();
        (grant.expires_at.duration_since(from).as_secs() + 1, grant.expires_at.duration_since(grant.renew_at).as_secs())
    };
    // Shorter than the margin of a token that lives as long as the manifest says: good all the same.
    stage.script(200, r#"{"access_token":"short","expires_in":"100"}"#);
    let short = keeper.token().await.expect("a token");
    assert!(lasts(&short).0 <= 100 && lasts(&short).1 == 10, "{short:?}");
    assert_eq!(access(&keeper.token().await.expect("a token")), "short");
    assert_eq!(stage.asked(), 1);
    stage.script(200, r#"{"access_token":"unsaid","api_domain":"https://www.example.in"}"#);
    let unsaid = keeper.renew(Some(&short)).await.expect("a token");
    assert!(lasts(&unsaid).0 > 3000 && lasts(&unsaid).1 == 300, "{unsaid:?}");
    assert_eq!(unsaid.origin.as_ref().map(Url::as_str), Some("https://www.example.in/"));
    // An answer that does not repeat the CRM's address does not take it away.
    let next = keeper.renew(Some(&unsaid)).await.expect("a token");
    assert_eq!(next.origin, unsaid.origin);
    assert_eq!(format!("{next:?}").matches("access").count(), 0, "{next:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_good_yet_is_used_while_the_token_server_is_not_there() {
    let stage = Stage::new(RULES);
    let store = stage.store();
    // Two minutes are left of its hour.
    let from = Timestamp::now() - Duration::from_secs(3480);
    stage.keeper(&store).keep(consented("old", "first", from), 0, false).await.expect("kept");
    let keeper = stage.keeper(&store);
    stage.script(503, "");
    for _ in 0..100 {
        assert_eq!(access(&keeper.token().await.expect("the old one")), "old");
    }
    assert_eq!(stage.asked(), 1, "it is let alone for a while");
    // The CRM refuses it now: there is nothing to fall back on, and the server is asked at once.
    let held = keeper.held().expect("a grant");
    assert_ne!(access(&keeper.renew(Some(&held)).await.expect("another")), "old");
    assert_eq!(stage.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_renewal_ahead_of_time() {
    let stage = Stage::new(RULES);
    let store = stage.store();
    let from = Timestamp::now() - Duration::from_secs(3480);
    stage.keeper(&store).keep(consented("old", "first", from), 0, false).await.expect("kept");
    let keeper = stage.keeper(&store);
    let (asking, go) = stage.begun(&keeper).await;
    assert_eq!(access(&keeper.token().await.expect("the old one")), "old");
    drop(go);
    assert_ne!(access(&asking.await.expect("it ends").expect("the new one")), "old");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_told_although_its_access_token_lives() {
    let stage = Stage::new(RULES);
    let store = stage.store();
    let from = Timestamp::now() - Duration::from_secs(3480);
    stage.keeper(&store).keep(consented("old", "gone", from), 0, false).await.expect("kept");
    let keeper = stage.keeper(&store);
    assert!(matches!(keeper.token().await, Err(TokenError::Refused { .. })));
    // Also to those who come while it is asked for again, and when the token server cannot answer for once.
    for answer in [None, Some(503), None] {
        if let Some(status) = answer {
            stage.script(status, "");
        }
        let told = join_all((0..20).map(|_| keeper.token())).await;
        assert!(told.iter().all(Result::is_err), "while there is time to connect anew: {told:?}");
    }
    let now = consented("new", "anew", Timestamp::now());
    stage.keeper(&store).keep(now, 0, false).await.expect("kept");
    assert_eq!(access(&keeper.token().await.expect("the person's")), "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_of_the_dead_is_waited_for_and_taken_over() {
    let stage = Stage::new(RULES);
    let store = stage.store();
    let ttl = Duration::from_millis(400);
    let until = Timestamp::now() + ttl;
    let taken = store.lease(Uuid::new_v4(), &[Duty::Token(lane())], ttl).await.expect("lease");
    assert_eq!(taken.len(), 1);
    stage.keeper(&store).token().await.expect("a token");
    let asked: Vec<Timestamp> = stage.server.requests().iter().map(|seen| seen.at).collect();
    // To the millisecond, as the store keeps it.
    assert!(asked.len() == 1 && asked[0].as_millisecond() >= until.as_millisecond(), "{asked:?}, {until}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_crms_limit_on_tokens_is_never_reached() {
    let stage = Stage::new(Rules { at_most: LIMITED.at_most.map(|(most, per)| (most as usize, per)), ..RULES });
    let store = stage.store();
    let nodes = [0, 1].map(|_| Arc::new(Keeper::new(KeeperParts { oauth: &LIMITED, ..stage.parts(&store, first()) })));
    let began = Timestamp::now();
    for node in &nodes {
        let mut spent = None;
        let until = loop {
            match node.renew(spent.as_deref()).await {
                Ok(grant) => spent = Some(grant),
                Err(TokenError::Busy { until }) => break until,
                Err(error) => panic!("{error}"),
            }
        };
        assert!(until >= began + Duration::from_secs(600), "{until}");
        assert!(matches!(node.renew(spent.as_deref()).await, Err(TokenError::Busy { .. })));
    }
    assert_eq!(stage.server.with(|server| (server.asked.len(), server.refused)), (10, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_key_renews_as_often_as_is_needed() {
    let stage = Stage::new(RULES);
    let store = stage.store();
    let configured = Configured::Assertion { key: TEST_KEY.into(), subject: "user@example.com".to_owned() };
    let mut spent = None;
    for round in 1..=4 {
        // A new life each time: what is stored must serve, too.
        let keeper = Arc::new(Keeper::new(stage.parts(&store, configured.clone())));
        let given = keeper.renew(spent.as_deref()).await.expect("a token");
        assert!(given.refresh.is_none());
        spent = Some(given);
        assert_eq!(stage.asked(), round);
    }
    assert!(stage.refresh_tokens().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sealed_with_another_key_is_no_use() {
    let stage = Stage::new(RULES);
    let store = stage.store();
    stage.keeper(&store).token().await.expect("a token");
    let keeper = |configured| {
        let parts = stage.parts(&store, configured);
        Arc::new(Keeper::new(KeeperParts { key: stage.key("other.db"), ..parts }))
    };
    assert_eq!(keeper(Configured::Nothing).token().await.err(), Some(TokenError::NotConnected(lane())));
    keeper(first()).token().await.expect("from the configuration");
    assert_eq!(stage.asked(), 2);
    // And is overwritten.
    assert!(keeper(first()).standing().await.expect("read").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_becomes_tokens_with_the_server_that_may_be_told_the_secret() {
    let stage = Stage::new(ROTATING);
    let store = stage.store();
    let keeper = Arc::new(Keeper::new(stage.parts(&store, Configured::Nothing)));
    let redirect = "https://calls.example.com/oauth/callback";
    let (url, until) = keeper.ask_consent(redirect).await.expect("where to go");
    assert!(url.as_str().starts_with(&format!("{}/oauth/auth?", stage.server.url())), "{url}");
    assert!(until > Timestamp::now());
    let query = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let given = |name: &str| query(name).unwrap_or_default();
    assert_eq!([given("response_type"), given("client_id"), given("redirect_uri")], ["code", "id", redirect]);
    assert_eq!(
        [given("scope"), given("access_type"), given("code_challenge_method")],
        ["read,write", "offline", "S256"]
    );
    let state = given("state");
    assert_eq!((state.len(), query("client_secret")), (43, None));
    assert_eq!(store.take_consent(consent::hash("another"), Timestamp::now()).await.expect("read"), None);
    let taken = store.take_consent(consent::hash(&state), Timestamp::now()).await.expect("read").expect("it waits");

    for stranger in [
        "https://accounts.evil.example",
        "http://accounts.example.com",
        "https://accounts.example.com:8443",
        "https://accounts.example.com.evil.example",
        "https://evil.example/accounts.example.com",
        "nonsense",
    ] {
        let refused = keeper.connect(&taken, "code-1", Some(stranger)).await;
        assert!(matches!(refused, Err(TokenError::Unreachable { .. })), "{stranger}: {refused:?}");
    }
    assert_eq!(stage.asked(), 0, "nobody was told the secret");
    let sibling = keeper.sibling("https://accounts.example.com/there?and=more").expect("one of the CRM's");
    assert_eq!(sibling.as_ref().map(Url::as_str), Some("https://accounts.example.com/"));
    assert_eq!(keeper.sibling(&stage.server.url()).expect("the configured one"), None);

    let other = Keeper::new(KeeperParts { key: stage.key("other.db"), ..stage.parts(&store, Configured::Nothing) });
    assert!(other.connect(&taken, "code-1", None).await.is_err(), "begun under another master key");
    let challenge = given("code_challenge");
    let code = stage.server.with(|server| server.grants.consent(redirect, Some(&challenge), Timestamp::now()));
    keeper.connect(&taken, &code, Some(&stage.server.url())).await.expect("connected");
    let (by, _) = keeper.standing().await.expect("read").expect("connected");
    assert_eq!((by, stage.asked()), (By::Consent, 1));
    let given = keeper.token().await.expect("a token");
    keeper.renew(Some(&given)).await.expect("renewed with what the consent gave");
    assert!(keeper.connect(&taken, &code, None).await.is_err(), "a code is good once");
    assert_eq!(keeper.standing().await.expect("read").map(|(by, _)| by), Some(By::Consent), "and takes nothing away");
}
