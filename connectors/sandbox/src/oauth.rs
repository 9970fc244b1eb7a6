//! The token server that CRMs with OAuth share: who may have an access token, how long it lives, how many there may be.
//!
//! Only the rules (RFC 6749, RFC 7636); each CRM's sandbox says yes and no in its own form.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{StatusCode, header};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::{Reply, Request};

/// How one CRM's token server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long an access token lives.
    pub lifetime: Duration,
    /// Every refresh gives a new refresh token, and the old one is dead.
    pub rotates: bool,
    /// At most so many access tokens per refresh token in this time.
    pub at_most: Option<(usize, Duration)>,
    /// At most so many living access tokens per refresh token: one more kills the oldest.
    pub living: Option<usize>,
}

/// A token answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    pub access_token: String,
    /// Given with a code; on a refresh only where they rotate.
    pub refresh_token: Option<String>,
    pub lifetime: Duration,
}

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// `client_id` or `client_secret` is wrong.
    Client,
    /// The code or refresh token is unknown, used, expired or revoked.
    Grant,
    /// Too many access tokens were asked for.
    TooMany,
    /// A parameter is missing, or the grant type is unknown.
    Malformed(&'static str),
}

#[derive(Clone, Debug)]
struct Code {
    redirect_uri: String,
    /// PKCE, S256.
    challenge: Option<String>,
    expires_at: Timestamp,
}

#[derive(Clone, Debug)]
struct Access {
    /// The consent it comes from: lives on when its refresh token rotates.
    family: u64,
    expires_at: Timestamp,
}

/// The token server's state.
#[derive(Clone, Debug)]
pub struct Grants {
    pub rules: Rules,
    client_id: String,
    client_secret: String,
    codes: BTreeMap<String, Code>,
    refresh: BTreeMap<String, u64>,
    access: BTreeMap<String, Access>,
    issued: BTreeMap<u64, VecDeque<Timestamp>>,
    count: u64,
}

impl Grants {
    pub fn new(client_id: &str, client_secret: &str, rules: Rules) -> Self {
        Self {
            rules,
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
            codes: BTreeMap::new(),
            refresh: BTreeMap::new(),
            access: BTreeMap::new(),
            issued: BTreeMap::new(),
            count: 0,
        }
    }

    /// A refresh token that somebody got earlier.
    #[must_use]
    pub fn with_refresh_token(mut self, token: &str) -> Self {
        self.count += 1;
        self.refresh.insert(token.to_owned(), self.count);
        self
    }

    /// A person consents: the code that is sent to `redirect_uri`. It lives two minutes, and once.
    pub fn consent(&mut self, redirect_uri: &str, challenge: Option<&str>, now: Timestamp) -> String {
        self.count += 1;
        let code = format!("code-{}", self.count);
        let expires_at = now + Duration::from_secs(120);
        let (redirect_uri, challenge) = (redirect_uri.to_owned(), challenge.map(str::to_owned));
        self.codes.insert(code.clone(), Code { redirect_uri, challenge, expires_at });
        code
    }

    /// The page of consent that Zoho's products share: the person consents at once. The redirect says which data centre he
    /// belongs to.
    ///
    /// # Errors
    /// What is wrong with the request, in Zoho's words.
    pub(crate) fn consent_at_zoho(&mut self, request: &Request, now: Timestamp) -> Result<Reply, &'static str> {
        let given = |name: &str| request.param(name).filter(|value| !value.is_empty());
        let (Some(redirect_uri), Some(_), Some(_)) = (given("redirect_uri"), given("client_id"), given("scope")) else {
            return Err("invalid_request");
        };
        if given("response_type") != Some("code") {
            return Err("invalid_response_type");
        }
        let code = self.consent(redirect_uri, given("code_challenge"), now);
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("code", &code)
            .append_pair("location", "in")
            .append_pair("accounts-server", &request.origin());
        if let Some(state) = given("state") {
            query.append_pair("state", state);
        }
        let join = if redirect_uri.contains('?') { '&' } else { '?' };
        Ok(Reply::empty(StatusCode::FOUND).with(header::LOCATION, format!("{redirect_uri}{join}{}", query.finish())))
    }

    /// Answers a token request's form (`authorization_code` and `refresh_token`; a CRM with another grant issues
    /// through [`Grants::issue`]).
    ///
    /// # Errors
    /// Why there is none.
    pub fn token(&mut self, form: &[(String, String)], now: Timestamp) -> Result<Issued, Denied> {
        let field = |name: &'static str| {
            let found = form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
            found.filter(|value| !value.is_empty()).ok_or(Denied::Malformed(name))
        };
        let grant_type = field("grant_type")?;
        if field("client_id")? != self.client_id || field("client_secret")? != self.client_secret {
            return Err(Denied::Client);
        }
        match grant_type {
            "authorization_code" => {
                let code = self.codes.remove(field("code")?).ok_or(Denied::Grant)?;
                if code.expires_at <= now || field("redirect_uri")? != code.redirect_uri {
                    return Err(Denied::Grant);
                }
                if let Some(challenge) = code.challenge {
                    let digest = Sha256::digest(field("code_verifier")?.as_bytes());
                    if URL_SAFE_NO_PAD.encode(digest) != challenge {
                        return Err(Denied::Grant);
                    }
                }
                self.count += 1;
                let family = self.count;
                let mut issued = self.issue(family, now)?;
                issued.refresh_token = Some(self.new_refresh(family));
                Ok(issued)
            }
            "refresh_token" => {
                let given = field("refresh_token")?;
                let family = *self.refresh.get(given).ok_or(Denied::Grant)?;
                let mut issued = self.issue(family, now)?;
                if self.rules.rotates {
                    self.refresh.remove(given);
                    issued.refresh_token = Some(self.new_refresh(family));
                }
                Ok(issued)
            }
            _ => Err(Denied::Malformed("grant_type")),
        }
    }

    /// An access token of a family (a consent, or a user's key), within the rules.
    ///
    /// # Errors
    /// [`Denied::TooMany`].
    pub fn issue(&mut self, family: u64, now: Timestamp) -> Result<Issued, Denied> {
        if let Some((most, per)) = self.rules.at_most {
            let times = self.issued.entry(family).or_default();
            while times.front().is_some_and(|at| *at + per <= now) {
                times.pop_front();
            }
            if times.len() >= most {
                return Err(Denied::TooMany);
            }
            times.push_back(now);
        }
        if let Some(most) = self.rules.living {
            let mut living: Vec<(Timestamp, String)> = self
                .access
                .iter()
                .filter(|(_, access)| access.family == family && access.expires_at > now)
                .map(|(token, access)| (access.expires_at, token.clone()))
                .collect();
            living.sort();
            while living.len() >= most {
                let (_, oldest) = living.remove(0);
                self.access.remove(&oldest);
            }
        }
        self.count += 1;
        let access_token = format!("access-{}", self.count);
        let expires_at = now + self.rules.lifetime;
        self.access.insert(access_token.clone(), Access { family, expires_at });
        Ok(Issued { access_token, refresh_token: None, lifetime: self.rules.lifetime })
    }

    fn new_refresh(&mut self, family: u64) -> String {
        self.count += 1;
        let token = format!("refresh-{}", self.count);
        self.refresh.insert(token.clone(), family);
        token
    }

    /// Whether an access token opens the API.
    pub fn knows(&self, access_token: &str, now: Timestamp) -> bool {
        self.access.get(access_token).is_some_and(|access| access.expires_at > now)
    }

    /// Ends every access token.
    pub fn expire(&mut self) {
        self.access.clear();
    }

    /// A person takes the consent back: refresh tokens are dead too.
    pub fn revoke(&mut self) {
        self.access.clear();
        self.refresh.clear();
    }

    /// How many access tokens were given out so far.
    pub fn issued_count(&self) -> usize {
        self.issued.values().map(VecDeque::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        lifetime: Duration::from_secs(3600),
        rotates: true,
        at_most: Some((2, Duration::from_secs(600))),
        living: Some(1),
    };

    fn form(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let client = [("client_id", "id"), ("client_secret", "secret")];
        pairs.iter().chain(&client).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_rotated_refresh_token_is_dead_and_its_access_token_lives_until_too_many_do() {
        let mut grants = Grants::new("id", "secret", RULES).with_refresh_token("r");
        let refresh = |token: &str| form(&[("grant_type", "refresh_token"), ("refresh_token", token)]);
        let first = grants.token(&refresh("r"), at(0)).unwrap();
        assert!(grants.knows(&first.access_token, at(3599)) && !grants.knows(&first.access_token, at(3600)));
        assert_eq!(grants.token(&refresh("r"), at(1)), Err(Denied::Grant));
        let next = first.refresh_token.unwrap();
        let second = grants.token(&refresh(&next), at(2)).unwrap();
        assert!(!grants.knows(&first.access_token, at(3)), "one more than may live kills the oldest");
        let next = second.refresh_token.unwrap();
        assert_eq!(grants.token(&refresh(&next), at(3)), Err(Denied::TooMany));
        assert!(grants.token(&refresh(&next), at(600)).is_ok());
    }

    #[test]
    fn a_code_is_good_once_for_its_redirect_and_verifier() {
        let mut grants = Grants::new("id", "secret", RULES);
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(b"verifier"));
        let with = |code: &str, uri: &str, verifier: &str| {
            form(&[
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", uri),
                ("code_verifier", verifier),
            ])
        };
        for (uri, verifier, second, fine) in [
            ("https://a/", "verifier", 0, true),
            ("https://b/", "verifier", 0, false),
            ("https://a/", "other", 0, false),
            ("https://a/", "verifier", 120, false),
        ] {
            let code = grants.consent("https://a/", Some(&challenge), at(0));
            let request = with(&code, uri, verifier);
            assert_eq!(grants.token(&request, at(second)).is_ok(), fine, "{uri} {verifier} {second}");
            assert!(grants.token(&request, at(second)).is_err(), "a code is good once");
        }
    }
}
