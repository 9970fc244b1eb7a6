//! How often somebody may try to sign in: by the e-mail that is tried, and by the address it is tried from. The context
//! counts, so that with several nodes nobody has as many tries as there are nodes.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    time::Duration,
};

use crate::{
    context::{Admission, Context, Limit},
    key,
};

/// At once for one e-mail, then one every half minute.
const EMAIL: Limit =
    Limit { name: "sign_in_email", burst: NonZeroU32::new(10).unwrap(), per: Duration::from_secs(300) };
/// At once from one address, then one every three seconds: many may sit behind it.
const ADDRESS: Limit =
    Limit { name: "sign_in_address", burst: NonZeroU32::new(30).unwrap(), per: Duration::from_secs(90) };

/// Counts an attempt from this address, for this e-mail if one is tried.
///
/// # Errors
/// How long to wait.
pub(super) async fn attempt(
    context: &dyn Context,
    address: Option<IpAddr>,
    email: Option<&str>,
) -> Result<(), Duration> {
    if let Some(address) = address.map(network) {
        granted(context.admit(&ADDRESS, &address.to_string()).await)?;
    }
    if let Some(email) = email {
        // What is typed there may be anything, a password too.
        let key = key::hash(email);
        granted(context.admit(&EMAIL, &key).await)?;
    }
    Ok(())
}

fn granted(admission: Admission) -> Result<(), Duration> {
    match admission {
        Admission::Granted => Ok(()),
        Admission::Refused { retry_after } => Err(retry_after),
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
    use crate::context::MemoryContext;

    #[tokio::test]
    async fn an_email_and_an_address_have_so_many_attempts() {
        let context = MemoryContext::default();
        let attempt = async |last: u8, email: &str| {
            super::attempt(&context, Some(IpAddr::from([192, 0, 2, last])), Some(email)).await
        };
        for n in 0..EMAIL.burst.get() {
            attempt(u8::try_from(n).expect("few"), "a@example.com").await.expect("allowed");
        }
        let wait = attempt(200, "a@example.com").await.expect_err("from wherever");
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(30), "{wait:?}");
        attempt(201, "b@example.com").await.expect("another is free");
        for n in 0..ADDRESS.burst.get() {
            attempt(250, &format!("{n}@example.com")).await.expect("allowed");
        }
        attempt(250, "c@example.com").await.expect_err("whatever the e-mail");
        attempt(251, "c@example.com").await.expect("another address is free");
    }

    #[test]
    fn a_network_counts_as_one_address() {
        let read = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(read("2001:db8:1:2::1"), read("2001:db8:1:2:ffff::9"));
        assert_ne!(read("2001:db8:1:2::1"), read("2001:db8:1:3::1"));
        assert_eq!(read("::ffff:192.0.2.1"), read("192.0.2.1"));
    }
}
