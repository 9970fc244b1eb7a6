//! Whom the account's credentials may be shown to: a recording's URL comes in an unsigned request (exotel-api §7).

use url::{Host, Url};

/// Longer URLs are refused: cut, they would lead elsewhere.
const MAX_URL: usize = 2_000;

/// Buckets on hosts that Exotel shares with the rest of the world (exotel-api §1.1 Recordings).
const BUCKETS: [(&str, &str); 2] = [
    ("s3-ap-southeast-1.amazonaws.com", "/exotelrecordings/"),
    ("s3-ap-south-1.amazonaws.com", "/exotel-mum1-recordings/"),
];

/// Whether the account's credentials may be sent to this URL, and an agent to its content: https on one of Exotel's
/// hosts (exotel-api §1.1 Recordings), or one of `extra`.
pub fn recording_allowed(url: &Url, extra: &[url::Origin]) -> bool {
    if !url.username().is_empty() || url.password().is_some() {
        return false;
    }
    if extra.contains(&url.origin()) {
        return true;
    }
    let Some(Host::Domain(host)) = url.host() else { return false };
    if url.scheme() != "https" || url.port().is_some() {
        return false;
    }
    let exotels = [".exotel.com", ".exotel.in"].iter().any(|domain| host.ends_with(domain));
    let bucket = BUCKETS
        .iter()
        .any(|(bucket_host, path)| host == *bucket_host && url.path().starts_with(path) && !url.path().contains(".."));
    exotels || bucket
}

/// The URL if it may be used, else the host that was refused.
pub(super) fn read(text: &str, extra: &[url::Origin]) -> Result<String, String> {
    match Url::parse(text) {
        Ok(url) if text.chars().count() < MAX_URL && recording_allowed(&url, extra) => Ok(url.into()),
        Ok(url) => Err(url.host_str().unwrap_or("no host").to_owned()),
        Err(_) => Err("not a URL".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(url: &str) -> bool {
        recording_allowed(&Url::parse(url).unwrap(), &[Url::parse("http://127.0.0.1:9101").unwrap().origin()])
    }

    #[test]
    fn exotels_hosts_are_allowed() {
        for url in [
            "https://recordings.exotel.com/exotelrecordings/acme/1.mp3",
            "https://recordings.exotel.com:443/exotelrecordings/acme/1.mp3",
            "https://RECORDINGS.exotel.com/x.mp3",
            "https://recordings.mum1.exotel.in/x.mp3",
            "https://s3-ap-southeast-1.amazonaws.com/exotelrecordings/acme/1.mp3",
            "https://s3-ap-south-1.amazonaws.com/exotel-mum1-recordings/acme/1.mp3",
            "http://127.0.0.1:9101/recordings/1.mp3",
        ] {
            assert!(allowed(url), "{url}");
        }
    }

    #[test]
    fn everybody_elses_are_not() {
        for url in [
            "http://recordings.exotel.com/x.mp3",
            "https://recordings.exotel.com:8443/x.mp3",
            "https://recordings.exotel.com.evil.com/x.mp3",
            "https://recordings.exotel.com@evil.com/x.mp3",
            "https://key:token@recordings.exotel.com/x.mp3",
            "https://evil.com/recordings.exotel.com/x.mp3",
            "https://evil.com\\@recordings.exotel.com/",
            "https://evilexotel.com/x.mp3",
            "https://recordings.us3.qaexotel.com/exotelrecordings/x.mp3",
            "https://exotel.com.",
            "https://recordings.exotel.com./x.mp3",
            "https://169.254.169.254/latest/meta-data",
            "https://2130706433/x.mp3",
            "https://0x7f000001/x.mp3",
            "https://[::1]/x.mp3",
            "https://s3-ap-southeast-1.amazonaws.com/evil/x.mp3",
            "https://s3-ap-southeast-1.amazonaws.com/exotelrecordings/../evil/x.mp3",
            "https://s3-ap-southeast-1.amazonaws.com/exotelrecordings-evil/x.mp3",
            "https://exotelrecordings.s3.evil.com/x.mp3",
            "http://127.0.0.1:9102/recordings/1.mp3",
            "http://user@127.0.0.1:9101/recordings/1.mp3",
            "http://localhost:9101/x.mp3",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "data:text/html,x",
        ] {
            assert!(!allowed(url), "{url}");
        }
    }

    #[test]
    fn a_refused_url_leaves_only_its_host() {
        assert_eq!(read("https://evil.com/secret?x=1", &[]), Err("evil.com".to_owned()));
        assert_eq!(read("yes", &[]), Err("not a URL".to_owned()));
        assert!(read(&format!("https://recordings.exotel.com/{}", "a".repeat(3000)), &[]).is_err());
    }
}
