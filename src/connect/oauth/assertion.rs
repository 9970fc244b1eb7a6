//! A signed assertion in the place of a refresh token (RFC 7523): who holds the private key is the user.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use ring::{rand::SystemRandom, rsa::KeyPair, signature::RSA_PKCS1_SHA256};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::json;

/// `grant_type` of the exchange.
pub(super) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How long the assertion itself is good, in seconds. Salesforce takes three minutes at most (crm-api §5.a).
const SECONDS: i64 = 180;

/// The assertion, signed with RS256.
///
/// # Errors
/// In words: what is wrong with the key.
pub(super) fn sign(pem: &str, issuer: &str, subject: &str, audience: &str, now: Timestamp) -> Result<String, String> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| "the private key is not in PEM form (-----BEGIN PRIVATE KEY-----)".to_owned())?;
    let pair = match &key {
        PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
        _ => return Err("the private key is not an RSA key".to_owned()),
    };
    let pair = pair.map_err(|error| format!("the private key cannot be used: {error}; RSA of 2048 bits or more"))?;
    let header = json!({"alg": "RS256", "typ": "JWT"});
    let claims = json!({"iss": issuer, "sub": subject, "aud": audience, "exp": now.as_second() + SECONDS});
    let encoded = |part: serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encoded(header), encoded(claims));
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| "the private key cannot sign".to_owned())?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_told() {
        let sign = |pem: &str| sign(pem, "id", "user@example.com", "https://login.example.com", Timestamp::UNIX_EPOCH);
        assert!(sign("nonsense").is_err_and(|error| error.contains("PEM")));
        let empty = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(sign(empty).is_err_and(|error| error.contains("cannot be used")));
    }
}
