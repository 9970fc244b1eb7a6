//! Credentials that say themselves when they end: told while there is still time to make new ones.

use std::collections::BTreeMap;

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use jiff::{SignedDuration, Timestamp};
use patchbay_kit::AuthScheme;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

/// How long before its end a credential is spoken of.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// JWTs leave the padding out (RFC 7515); who kept it is understood, too.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// When a credential of the configuration ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The setting that holds it.
    pub setting: &'static str,
    pub at: Timestamp,
}

/// How near the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Far,
    Soon,
    Past,
}

impl Expiry {
    /// Of what stands in a header as it is configured: what is a JWT with `exp`; the first to end, where there are
    /// several. Access tokens that are renewed have no part in this.
    pub fn of(scheme: AuthScheme, secrets: &BTreeMap<String, SecretString>) -> Option<Self> {
        let one =
            |setting: &'static str| Some(Self { setting, at: jwt_end(secrets.get(setting)?.expose_secret().trim())? });
        match scheme {
            AuthScheme::Header { secret, .. } => one(secret),
            AuthScheme::Headers(all) => all.iter().filter_map(|(_, secret)| one(secret)).min_by_key(|one| one.at),
            AuthScheme::OAuth(oauth) => oauth.fixed.and_then(one),
            AuthScheme::Basic { .. } => None,
        }
    }

    pub fn standing(self, now: Timestamp) -> Standing {
        let left = self.at.duration_since(now);
        if left <= SignedDuration::ZERO {
            Standing::Past
        } else if left <= SOON {
            Standing::Soon
        } else {
            Standing::Far
        }
    }

    /// In words, for the person who has to make a new one.
    pub fn told(self, now: Timestamp) -> String {
        let Self { setting, at } = self;
        match self.standing(now) {
            Standing::Far => format!("`{setting}` is good until {at}"),
            Standing::Soon => {
                let days = at.duration_since(now).as_hours() / 24;
                let left = match days {
                    0 => "in less than a day".to_owned(),
                    1 => "in 1 day".to_owned(),
                    _ => format!("in {days} days"),
                };
                format!("`{setting}` ends {left}, on {at}: make a new one before that")
            }
            Standing::Past => format!("`{setting}` ended on {at}: make a new one"),
        }
    }
}

/// The `exp` of a JWT (RFC 7519, 4.1.4). Its signature is the CRM's business: nothing is decided by what it says.
fn jwt_end(token: &str) -> Option<Timestamp> {
    let object = |part: &str| serde_json::from_slice::<Map<String, Value>>(&ENGINE.decode(part).ok()?).ok();
    let mut parts = token.split('.');
    let (head, claims, _signature, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    if !object(head)?.contains_key("alg") {
        return None;
    }
    // A NumericDate may have a fraction.
    let exp = object(claims)?.get("exp")?.as_f64().filter(|exp| exp.is_finite())?;
    Timestamp::from_second(exp as i64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn jwt(head: &str, claims: &str) -> String {
        let part = |text: &str| ENGINE.encode(text).trim_end_matches('=').to_owned();
        format!("{}.{}.{}", part(head), part(claims), part("signature"))
    }

    fn of(token: &str) -> Option<Timestamp> {
        let scheme = AuthScheme::Header { name: "authorization", prefix: "Bearer ", secret: "api_key" };
        let secrets = BTreeMap::from([("api_key".to_owned(), SecretString::from(token.to_owned()))]);
        Expiry::of(scheme, &secrets).map(|expiry| expiry.at)
    }

    #[test]
    fn a_jwt_says_when_it_ends() {
        let head = r#"{"typ":"JWT","alg":"HS256"}"#;
        assert_eq!(of(&jwt(head, r#"{"sub":"é","exp":1768471200}"#)), Some(at(1_768_471_200)));
        assert_eq!(of(&format!(" {}\n", jwt(head, r#"{"exp":1768471200.75}"#))), Some(at(1_768_471_200)));
        let padded = format!("{}.{}.c2ln", ENGINE.encode(head), ENGINE.encode(r#"{"exp":1768471200}"#));
        assert_eq!(of(&padded), Some(at(1_768_471_200)));
    }

    #[test]
    fn what_is_no_jwt_or_names_no_end_has_none() {
        let head = r#"{"alg":"HS256"}"#;
        for claims in [r#"{"iat":1}"#, r#"{"exp":"1768471200"}"#, r#"{"exp":null}"#, r#"{"exp":1e300}"#, "[]", "{"] {
            assert_eq!(of(&jwt(head, claims)), None, "{claims}");
        }
        let whole = jwt(head, r#"{"exp":1768471200}"#);
        let headless = jwt("{}", r#"{"exp":1768471200}"#);
        let cut = whole.rsplit_once('.').expect("a signature").0.to_owned();
        for token in ["", "...", "pat-na1-0.1.2", "a key", &headless, &cut, &format!("{whole}.more")] {
            assert_eq!(of(token), None, "{token}");
        }
    }

    #[test]
    fn only_what_is_sent_as_it_is_configured_is_looked_at() {
        let token = |exp: i64| SecretString::from(jwt(r#"{"alg":"none"}"#, &format!(r#"{{"exp":{exp}}}"#)));
        let secrets = BTreeMap::from([("a".to_owned(), token(2000)), ("b".to_owned(), token(1000))]);
        let of = |scheme| Expiry::of(scheme, &secrets);
        assert_eq!(of(AuthScheme::Headers(&[("x-a", "a"), ("x-b", "b")])), Some(Expiry { setting: "b", at: at(1000) }));
        assert_eq!(of(AuthScheme::Headers(&[("x-a", "a"), ("x-c", "c")])), Some(Expiry { setting: "a", at: at(2000) }));
        assert_eq!(of(AuthScheme::Basic { user: "a", password: "X" }), None);
        assert_eq!(of(AuthScheme::Header { name: "x", prefix: "", secret: "c" }), None);
    }

    #[test]
    fn a_month_before_its_end_it_is_soon() {
        const DAY: i64 = 24 * 3600;
        let expiry = Expiry { setting: "api_key", at: at(100 * DAY) };
        let standing = |second| (expiry.standing(at(second)), expiry.told(at(second)));
        assert_eq!(standing(69 * DAY), (Standing::Far, "`api_key` is good until 1970-04-11T00:00:00Z".to_owned()));
        let (soon, told) = standing(70 * DAY);
        assert!(soon == Standing::Soon && told.contains("ends in 30 days, on 1970-04-11"), "{told}");
        assert!(standing(98 * DAY + 1).1.contains("ends in 1 day,"));
        assert!(standing(100 * DAY - 1).1.contains("ends in less than a day"));
        let (past, told) = standing(100 * DAY);
        assert!(past == Standing::Past && told.starts_with("`api_key` ended on 1970-04-11"), "{told}");
    }
}
