//! The token endpoint: refreshing, rotation, and JWTs that are really signed.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use patchbay_sandbox::salesforce::{TEST_KEY, TEST_USER};
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};

use super::*;

fn denied((status, body): (u16, Value)) -> (u16, String) {
    assert!(body["error_description"].is_string(), "{body}");
    (status, body["error"].as_str().expect("an error").to_owned())
}

#[test]
fn a_refresh_token_gives_sessions_without_saying_how_long_they_live() {
    let mut org = Org::new();
    let good = "grant_type=refresh_token&refresh_token=refresh&client_id=app&client_secret=secret";
    let (status, answer) = org.form(good);
    assert_eq!((status, &answer["token_type"]), (200, &json!("Bearer")));
    assert_eq!(answer["instance_url"], "http://acme.test");
    assert_eq!((answer.get("expires_in"), answer.get("refresh_token")), (None, None));
    for (form, code) in [
        (good.replace("refresh_token=refresh", "refresh_token=old"), "invalid_grant"),
        (good.replace("client_id=app", "client_id=other"), "invalid_client_id"),
        (good.replace("=secret", "=wrong"), "invalid_client"),
        (good.replace("grant_type=refresh_token", "grant_type=magic"), "unsupported_grant_type"),
        (good.replace("&refresh_token=refresh", ""), "invalid_request"),
        (String::new(), "unsupported_grant_type"),
    ] {
        assert_eq!(denied(org.form(&form)), no(400, code), "{form}");
    }
    org.salesforce.grants.revoke();
    assert_eq!(denied(org.form(good)), no(400, "invalid_grant"));
}

#[test]
fn a_rotated_refresh_token_is_dead() {
    let mut org = Org::new();
    org.salesforce.grants.rules.rotates = true;
    let form =
        |token: &str| format!("grant_type=refresh_token&refresh_token={token}&client_id=app&client_secret=secret");
    let (_, answer) = org.form(&form("refresh"));
    let next = answer["refresh_token"].as_str().expect("a new one").to_owned();
    assert_eq!(denied(org.form(&form("refresh"))), no(400, "invalid_grant"));
    assert_eq!(org.form(&form(&next)).0, 200);
}

fn signed(head: Value, claims: Value) -> String {
    let pem: String = TEST_KEY.lines().filter(|line| !line.starts_with("-----")).collect();
    let pair = RsaKeyPair::from_pkcs8(&STANDARD.decode(pem).unwrap()).unwrap();
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(head), part(claims));
    let mut signature = vec![0; pair.public().modulus_len()];
    let random = ring::rand::SystemRandom::new();
    pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn a_jwt_opens_the_org_if_all_of_it_is_right() {
    let mut org = Org::new();
    let ask = |org: &mut Org, assertion: &str| {
        org.form(&format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}"))
    };
    let head = json!({"alg": "RS256"});
    let now = START.as_second();
    let claims = |over: Value| {
        let mut claims =
            json!({"iss": "app", "sub": TEST_USER, "aud": "https://login.salesforce.com", "exp": now + 180});
        for (key, value) in over.as_object().unwrap() {
            claims[key] = value.clone();
        }
        claims
    };
    let good = signed(head.clone(), claims(json!({})));
    let (status, answer) = ask(&mut org, &good);
    assert_eq!((status, answer.get("refresh_token")), (200, None));
    answer["access_token"].as_str().unwrap().clone_into(&mut org.token);
    assert_eq!(org.query("SELECT Id FROM User").0, 200);
    assert_eq!(ask(&mut org, &signed(head.clone(), claims(json!({"aud": "http://acme.test"})))).0, 200);

    let (text, signature) = good.rsplit_once('.').unwrap();
    let other = signed(head.clone(), claims(json!({"sub": "somebody@example.com"})));
    let (other_text, _) = other.rsplit_once('.').unwrap();
    for (assertion, code) in [
        (format!("{other_text}.{signature}"), "invalid_grant"),
        (format!("{text}."), "invalid_grant"),
        ("not.a.jwt".to_owned(), "invalid_grant"),
        (other.clone(), "invalid_grant"),
        (signed(json!({"alg": "none"}), claims(json!({}))), "invalid_grant"),
        (signed(head.clone(), claims(json!({"iss": "other"}))), "invalid_client_id"),
        (signed(head.clone(), claims(json!({"aud": "https://example.com"}))), "invalid_grant"),
        (signed(head.clone(), claims(json!({"exp": now}))), "invalid_grant"),
        (signed(head.clone(), claims(json!({"exp": now + 3600}))), "invalid_grant"),
    ] {
        assert_eq!(denied(ask(&mut org, &assertion)), no(400, code), "{assertion}");
    }
}

#[test]
fn a_consent_yields_a_code_that_is_good_once() {
    let mut org = Org::new();
    let mut ask = |query: &str| {
        let reply = org.raw(Method::GET, &format!("/services/oauth2/authorize?{query}"), "text/plain", "");
        let to = reply.headers.get(header::LOCATION).map(|to| to.to_str().expect("text").to_owned());
        (reply.status.as_u16(), to.unwrap_or_default())
    };
    let good = "response_type=code&client_id=app&scope=api+refresh_token&state=a%26b\
                &redirect_uri=https%3A%2F%2Fcalls.example%2Fback";
    let (status, to) = ask(good);
    assert_eq!(status, 302);
    let code = to.strip_prefix("https://calls.example/back?code=").and_then(|rest| rest.strip_suffix("&state=a%26b"));
    let code = code.unwrap_or_else(|| panic!("{to}")).to_owned();
    for (query, error) in [
        (good.replace("=code", "=token"), "unsupported_response_type"),
        (good.replace("api+refresh_token", "api"), "invalid_scope"),
        (good.replace("api+", "full+"), "invalid_scope"),
        (format!("{good}&code_challenge=x&code_challenge_method=plain"), "invalid_request"),
    ] {
        assert_eq!(ask(&query), (302, format!("https://calls.example/back?error={error}&state=a%26b")), "{query}");
    }
    for query in [good.replace("=app", "=other"), good.replace("redirect_uri", "uri"), String::new()] {
        assert_eq!(ask(&query), (400, String::new()), "{query}");
    }
    let form = format!(
        "grant_type=authorization_code&code={code}&client_id=app&client_secret=secret\
         &redirect_uri=https%3A%2F%2Fcalls.example%2Fback"
    );
    let (status, answer) = org.form(&form);
    assert!(status == 200 && answer["refresh_token"].is_string(), "{answer}");
    assert_eq!(denied(org.form(&form)), no(400, "invalid_grant"));
}
