//! Reading lists to their end, within the limits.

use super::*;

// ---- Limits and retries -----------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_question_is_repeated_while_exotel_is_out_of_order_and_not_for_ever() {
    let faults = [Fault::ResetBefore, Fault::ResetAfter, Fault::Status(500), Fault::Status(503)];
    for fault in faults {
        let (server, client) = rig();
        for _ in 0..2 {
            server.faults().push(On::any(), fault);
        }
        assert_eq!(client.identify().await, Ok(()), "{fault:?}");
        assert_eq!(server.request_count(), 3, "{fault:?}");
        for _ in 0..3 {
            server.faults().push(On::any(), fault);
        }
        let failed = client.identify().await;
        assert!(matches!(failed, Err(ExotelError::Unreachable { .. })), "{fault:?}: {failed:?}");
        assert_eq!(server.request_count(), 6, "{fault:?}");
    }
    // A refusal is an answer.
    let (server, client) = rig();
    assert!(matches!(client.call("nobody").await, Err(ExotelError::NotFound { .. })));
    assert_eq!(server.request_count(), 1);
}

#[tokio::test]
async fn too_many_is_told_with_a_time_and_nothing_goes_out_before_it() {
    let (server, client) = rig();
    server.with(|exotel| exotel.settings.connect_per_minute = Some(1));
    placed(client.connect(&connect()).await);
    for _ in 0..2 {
        let busy = client.connect(&connect()).await;
        let Dialled::Refused(ExotelError::Busy { retry_after }) = busy else { panic!("{busy:?}") };
        assert!(retry_after <= Duration::from_secs(30), "{retry_after:?}");
    }
    assert_eq!(server.request_count(), 2, "what Exotel said once, it is not made to say again");
    assert_eq!(client.identify().await, Ok(()), "questions are another budget");
    // A clone waits no longer than it was told to, and shares what is known.
    let busy = client.patient(Duration::from_secs(1)).connect(&connect()).await;
    assert!(matches!(busy, Dialled::Refused(ExotelError::Busy { .. })), "{busy:?}");
    assert_eq!(server.request_count(), 3);
}

#[tokio::test]
async fn exotels_word_on_when_to_come_back_is_kept() {
    let (server, client) = rig();
    server.faults().push(On::any(), Fault::RateLimited { retry_after_s: 0 });
    assert_eq!(client.identify().await, Ok(()), "a question waits as long as it is told to");
    assert_eq!(server.request_count(), 2);
    server.faults().push(On::any(), Fault::RateLimited { retry_after_s: 7 });
    let busy = Dialled::Refused(ExotelError::Busy { retry_after: Duration::from_secs(7) });
    assert_eq!(client.connect(&connect()).await, busy, "what dials does not");
    assert_eq!(server.request_count(), 3);
}

#[tokio::test]
async fn our_own_limit_is_kept_before_exotels() {
    let (server, _) = rig();
    let few = PerMinute { details: std::num::NonZeroU32::MIN, ..PerMinute::PUBLISHED };
    let client = client_with(&server.url(), "k3y", few);
    assert!(matches!(client.told("nobody").await, Ok(Told::NoSuchCall(_))));
    assert!(matches!(client.told("nobody").await, Err(ExotelError::Busy { .. })));
    assert!(matches!(client.patient(Duration::ZERO).call("nobody").await, Err(ExotelError::Busy { .. })));
    assert_eq!(server.request_count(), 1);
}

// ---- Sweeping ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_sweep_sees_every_call_of_its_time_once_and_no_other() {
    for (xml, strings) in [(false, true), (true, false)] {
        let (server, client) = rig();
        let to = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        let from = to - SignedDuration::from_hours(40 * 24);
        let mut expected = BTreeSet::new();
        server.with(|exotel| {
            exotel.settings.always_xml = xml;
            exotel.settings.numbers_as_strings = strings;
            // Both ends, the seam of two windows, and so many at one moment that a page ends among them.
            let seam = from + SignedDuration::from_hours(28 * 24);
            let mut times = vec![from, to, seam, seam + SignedDuration::from_secs(1)];
            times.extend([from + SignedDuration::from_hours(5); 230]);
            for (n, at) in times.into_iter().enumerate() {
                let sid = format!("call{n:04}");
                exotel.add_call(SimulatedCall::new(&sid, "09052138847", "08030754890", at));
                expected.insert(sid);
            }
            for (sid, at) in [("before", from - Duration::from_secs(1)), ("after", to + Duration::from_secs(1))] {
                exotel.add_call(SimulatedCall::new(sid, "09052138847", "08030754890", at));
            }
        });
        let mut pages = client.calls_between(from, to, CallFilter::default());
        let (mut seen, mut errors) = (Vec::new(), 0);
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => seen.extend(page.calls.into_iter().map(|call| call.sid)),
                Err(error) => {
                    errors += 1;
                    assert!(errors < 3, "{error}");
                }
            }
            // The second page fails for good once; the sweep goes on where it was.
            if errors == 0 && seen.len() == 100 {
                for _ in 0..3 {
                    server.faults().push(On::any(), Fault::Status(503));
                }
            }
        }
        assert_eq!(errors, 1);
        assert_eq!(seen.len(), expected.len());
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected);
        assert_eq!(server.with(|exotel| exotel.surprises().count()), 0);
    }
}

#[tokio::test]
async fn lists_are_filtered_and_calls_asked_for_by_sid() {
    let (server, client) = rig();
    let now = Timestamp::now();
    server.with(|exotel| {
        for n in 0..45 {
            let from = if n % 2 == 0 { "09052138847" } else { "09711581199" };
            exotel.add_call(SimulatedCall::new(format!("c{n}"), from, "08030754890", now));
        }
    });
    let filter = CallFilter {
        from: vec![number(SUPERVISOR)],
        exophones: vec![number(EXOPHONE)],
        status: Some(CallStatus::InProgress),
        direction: Some(CallDirection::Inbound),
        ..CallFilter::default()
    };
    let mut pages = client.calls_between(now - SignedDuration::from_mins(1), now, filter);
    assert_eq!(pages.next().await.expect("a page").expect("readable").calls.len(), 22);
    let sids: Vec<String> = (0..50).map(|n| format!("c{n}")).collect();
    let sids: Vec<&str> = sids.iter().map(String::as_str).collect();
    assert_eq!(client.calls_by_sid(&sids).await.expect("calls").len(), 45);
    assert_eq!(server.with(|exotel| exotel.surprises().count()), 0);
}
