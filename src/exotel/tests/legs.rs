//! Who is in a call: a supervisor listens, whispers, barges in and ends it, and an order whose answer was lost is not
//! repeated.

use super::*;

// ---- A call that goes on ----------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_supervisor_listens_whispers_and_barges_in_and_the_call_is_ended() {
    for xml in [false, true] {
        let (server, client) = rig();
        server.with(|exotel| exotel.settings.always_xml = xml);
        let call = placed(client.connect(&connect()).await).sid;
        let legs = client.active_legs(&call).await.expect("legs");
        let origins: Vec<_> = legs.iter().map(|leg| leg.origin.clone()).collect();
        assert_eq!(origins, [LegOrigin::Outbound, LegOrigin::OutboundDial]);
        let monitor = |ear, target_leg| Monitor {
            ear,
            supervisor: number(SUPERVISOR),
            target_leg,
            custom_field: Some("m1".to_owned()),
            callback: Some(StatusCallback { url: "https://calls.test/status".to_owned(), answered: true }),
        };
        let aimless = client.monitor(&call, &monitor(Ear::Whisper, None)).await;
        assert!(matches!(aimless, Err(ExotelError::Refused { status: 400, .. })), "{aimless:?}");
        let ear = client.monitor(&call, &monitor(Ear::Listen, None)).await.expect("a leg").sid;
        let agent = Some(legs[0].sid.as_str());
        client.raise(&call, &ear, Ear::Whisper, agent).await.expect("whispering");
        let raised = client.raise(&call, &ear, Ear::Barge, None).await.expect("barging in");
        assert_eq!(raised.last_action.as_deref(), Some("barge"));
        let back = client.raise(&call, &ear, Ear::Listen, None).await;
        assert!(matches!(back, Err(ExotelError::Refused { status: 400, .. })), "{back:?}");

        client.tape(&call, &Tape::Start { channels: Channels::Dual, first_leg_only: true }).await.expect("recorded");
        assert!(server.with(|exotel| exotel.is_taped(&call)));
        client.tape(&call, &Tape::Stop).await.expect("stopped");
        assert!(!server.with(|exotel| exotel.is_taped(&call)));

        assert!(client.legs(&call).await.is_err(), "those of a call that goes on are asked for elsewhere");
        assert_eq!(client.hang_up(&call).await, Ok(1), "with the first leg the call is over");
        assert_eq!(client.hang_up(&call).await, Ok(0));
        assert!(matches!(client.active_legs(&call).await, Err(ExotelError::NotFound { .. })));
        let legs = client.legs(&call).await.expect("legs");
        assert_eq!(legs.len(), 3);
        assert!(legs.iter().all(|leg| leg.status == CallStatus::Completed && leg.on_call_seconds.is_some()));
        let late = Timestamp::now() + SignedDuration::from_secs(1);
        let callbacks = server.with(|exotel| exotel.take_callbacks(late));
        assert!(callbacks.iter().any(|callback| callback.body.contains("LegSid") && callback.body.contains("m1")));
        assert_eq!(server.with(|exotel| exotel.surprises().count()), 0);
    }
}

#[tokio::test]
async fn a_hang_up_whose_answer_was_lost_is_not_known_and_not_given_again() {
    let (server, client) = rig();
    let call = placed(client.connect(&connect()).await).sid;
    let on = On::exactly(Method::PUT, &format!("/v1/Accounts/{SID}/Calls/{call}/Legs/*"));
    server.faults().push(on, Fault::ResetAfter);
    assert!(matches!(client.hang_up(&call).await, Err(ExotelError::Unknown { .. })));
    let seen = server.requests();
    let mut told: Vec<&str> =
        seen.iter().filter(|seen| seen.method == Method::PUT).map(|seen| seen.path.as_str()).collect();
    let count = told.len();
    told.dedup();
    assert!(count > 0 && told.len() == count, "no leg twice: {told:?}");
    // Whoever asks again finds it gone, which is what was wanted.
    assert_eq!(client.hang_up(&call).await, Ok(0));
    assert!(server.with(|exotel| exotel.call(&call).expect("the call").ended_at <= Some(Timestamp::now())));
}
