//! A person's consent: where he is sent, and what is made of the code he comes back with (RFC 6749 §4.1, RFC 7636).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::Duration;
use url::Url;

use super::{By, Grant, Keeper, TokenError, grant, unreachable, unreadable};
use crate::{codes::Code, key, store::Consent};

/// What a waiting consent is sealed for.
const PURPOSE: &str = "oauth consent";
/// How long a person may take.
const TTL: Duration = Duration::from_secs(15 * 60);

/// What the code is exchanged with.
#[derive(Serialize, Deserialize)]
struct Waiting {
    verifier: String,
    redirect_uri: String,
}

/// The hash under which a consent waits for its `state`.
pub fn hash(state: &str) -> [u8; 32] {
    Sha256::digest(state.as_bytes()).into()
}

impl Keeper {
    /// Where a person consents, and until when.
    ///
    /// # Errors
    /// [`TokenError::Unreachable`].
    pub async fn ask_consent(&self, redirect_uri: &str) -> Result<(Url, Timestamp), TokenError> {
        let parts = &self.parts;
        let oauth = parts.oauth;
        let random = key::token::<32>;
        let (state, verifier) = (random().map_err(|e| unreachable(&e))?, random().map_err(|e| unreachable(&e))?);
        let mut url = match Url::parse(oauth.authorize) {
            Ok(url) => url,
            Err(_) => parts.authority.join(oauth.authorize).map_err(|error| unreachable(&error.to_string()))?,
        };
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("response_type", "code");
            query.append_pair("client_id", &parts.client_id);
            query.append_pair("redirect_uri", redirect_uri);
            query.append_pair("scope", &oauth.scopes.join(oauth.scope_separator));
            query.append_pair("state", &state);
            for (key, value) in oauth.consent {
                query.append_pair(key, value);
            }
            if oauth.pkce {
                query.append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())));
                query.append_pair("code_challenge_method", "S256");
            }
        }
        let now = Timestamp::now();
        let expires_at = now + TTL;
        let waiting = Waiting { verifier, redirect_uri: redirect_uri.to_owned() };
        let plain = serde_json::to_vec(&waiting).unwrap_or_default();
        let place = [parts.lane.account.as_str(), &parts.lane.integration];
        let sealed = parts.key.seal(PURPOSE, &place, &plain).map_err(|error| unreachable(&error))?;
        let consent = Consent { lane: parts.lane.clone(), sealed, expires_at };
        parts.store.put_consent(hash(&state), &consent, now).await.map_err(unreadable)?;
        Ok((url, expires_at))
    }

    /// Exchanges the code for tokens and keeps them. `authority`: the token server that the callback named.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn connect(&self, consent: &Consent, code: &str, authority: Option<&str>) -> Result<(), TokenError> {
        let parts = &self.parts;
        let place = [parts.lane.account.as_str(), &parts.lane.integration];
        let plain = parts.key.open(PURPOSE, &place, &consent.sealed);
        let waiting: Option<Waiting> = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
        let Waiting { verifier, redirect_uri } =
            waiting.ok_or_else(|| unreachable("the consent was begun under another master key; begin anew"))?;
        let authority = authority.map(|named| self.sibling(named)).transpose()?.flatten();
        let at = authority.as_ref().unwrap_or(&parts.authority);
        let mut form = vec![("grant_type", "authorization_code".to_owned())];
        form.push(("code", code.to_owned()));
        form.push(("redirect_uri", redirect_uri));
        if parts.oauth.pkce {
            form.push(("code_verifier", verifier));
        }
        form.extend(self.client());
        let now = Timestamp::now();
        let answer = self.exchange(at, form).await?;
        if answer.refresh.is_none() {
            tracing::error!(
                code = %Code::NoRefreshToken, lane = %parts.lane,
                "the CRM gave no refresh token: the connection ends with its access token; allow offline access, \
                 connect again"
            );
        }
        let grant = Grant {
            renew_at: grant::renew_at(now, answer.lifetime),
            access: answer.access,
            expires_at: now + answer.lifetime,
            refresh: answer.refresh,
            origin: answer.origin,
            authority,
            by: By::Consent,
            since: now,
            configured: self.configured_hash.clone(),
            tokens_for: parts.tokens_for.clone(),
        };
        let grant = self.keep(grant, 0, false).await?;
        self.hold(grant);
        Ok(())
    }

    /// A token server that the callback named, if it is one that the client's secret may be told to: the configured
    /// one, or one the manifest lists (a CRM's other data centres).
    pub(super) fn sibling(&self, named: &str) -> Result<Option<Url>, TokenError> {
        let parts = &self.parts;
        let url = Url::parse(named).map_err(|_| unreachable("the callback names a token server that is no address"))?;
        if url.origin() == parts.authority.origin() {
            return Ok(None);
        }
        let host = url.host_str().unwrap_or_default();
        if url.scheme() == "https" && url.port().is_none() && parts.oauth.siblings.contains(&host) {
            // Of what was named, nothing but the host.
            return Ok(Url::parse(&format!("https://{host}")).ok());
        }
        Err(unreachable(&format!("the callback names a token server that is not the CRM's: {host}")))
    }
}
