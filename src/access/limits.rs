//! How often somebody may try to sign in: by the e-mail that is tried, and by the address it is tried from.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    time::Duration,
};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use sha2::{Digest, Sha256};

/// At once for one e-mail, then one every half minute.
const EMAIL_BURST: u32 = 10;
const EMAIL_EVERY: Duration = Duration::from_secs(30);
/// At once from one address, then one every three seconds: many may sit behind it.
const ADDRESS_BURST: u32 = 30;
const ADDRESS_EVERY: Duration = Duration::from_secs(3);
/// Those that are remembered before the old ones are forgotten.
const REMEMBERED: usize = 10_000;

pub(super) struct SignInLimits {
    emails: DefaultKeyedRateLimiter<[u8; 32]>,
    addresses: DefaultKeyedRateLimiter<IpAddr>,
}

impl fmt::Debug for SignInLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignInLimits")
    }
}

impl Default for SignInLimits {
    fn default() -> Self {
        let quota = |every, burst| {
            let quota = Quota::with_period(every).expect("a period that is not zero");
            quota.allow_burst(NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN))
        };
        Self {
            emails: RateLimiter::keyed(quota(EMAIL_EVERY, EMAIL_BURST)),
            addresses: RateLimiter::keyed(quota(ADDRESS_EVERY, ADDRESS_BURST)),
        }
    }
}

impl SignInLimits {
    /// Counts an attempt from this address, for this e-mail if one is tried.
    ///
    /// # Errors
    /// How long to wait.
    pub(super) fn attempt(&self, address: Option<IpAddr>, email: Option<&str>) -> Result<(), Duration> {
        let now = DefaultClock::default().now();
        if let Some(address) = address.map(network) {
            if self.addresses.len() > REMEMBERED {
                self.addresses.retain_recent();
            }
            self.addresses.check_key(&address).map_err(|until| until.wait_time_from(now))?;
        }
        if let Some(email) = email {
            if self.emails.len() > REMEMBERED {
                self.emails.retain_recent();
            }
            let key: [u8; 32] = Sha256::digest(email.as_bytes()).into();
            self.emails.check_key(&key).map_err(|until| until.wait_time_from(now))?;
        }
        Ok(())
    }
}

/// Of IPv6, what one customer has at the least: else he has as many addresses as he likes.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_and_an_address_have_so_many_attempts() {
        let limits = SignInLimits::default();
        let from = |last: u8| Some(IpAddr::from([192, 0, 2, last]));
        for n in 0..EMAIL_BURST {
            limits.attempt(from(u8::try_from(n).expect("few")), Some("a@example.com")).expect("allowed");
        }
        let wait = limits.attempt(from(200), Some("a@example.com")).expect_err("from wherever");
        assert!(wait > Duration::ZERO && wait <= EMAIL_EVERY, "{wait:?}");
        limits.attempt(from(201), Some("b@example.com")).expect("another is free");
        for n in 0..ADDRESS_BURST {
            limits.attempt(from(250), Some(&format!("{n}@example.com"))).expect("allowed");
        }
        limits.attempt(from(250), Some("c@example.com")).expect_err("whatever the e-mail");
        limits.attempt(from(251), Some("c@example.com")).expect("another address is free");
    }

    #[test]
    fn a_network_counts_as_one_address() {
        let read = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(read("2001:db8:1:2::1"), read("2001:db8:1:2:ffff::9"));
        assert_ne!(read("2001:db8:1:2::1"), read("2001:db8:1:3::1"));
        assert_eq!(read("::ffff:192.0.2.1"), read("192.0.2.1"));
    }
}
