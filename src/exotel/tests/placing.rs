//! Placing a call: once, whatever becomes of the answer.

use super::*;

// ---- Placing a call ---------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_call_is_placed_with_its_mark_and_nothing_is_sent_that_nobody_documents() {
    let (server, client) = rig();
    for (xml, strings) in [(false, false), (false, true), (true, false)] {
        server.with(|exotel| {
            exotel.settings.always_xml = xml;
            exotel.settings.numbers_as_strings = strings;
        });
        let call = placed(client.connect(&connect()).await);
        server.with(|exotel| {
            let held = exotel.call(&call.sid).expect("the call");
            assert_eq!((held.from.as_str(), held.to.as_str()), ("09876530240", "09052138847"));
            assert_eq!((held.exophone.as_str(), held.custom_field.as_deref()), ("08030754890", Some("patchbay:42")));
        });
        assert_eq!(client.call(&call.sid).await.expect("the call").sid, call.sid);
    }
    let to_flow =
        Connect { to: Reach::Flow("https://my.exotel.com/acme1/exoml/start_voice/77".to_owned()), ..connect() };
    let call = placed(client.connect(&to_flow).await);
    assert_eq!(call.to, Some(number(EXOPHONE).into()), "of a call into a flow, To is the ExoPhone");
    let address = crate::exotel::StreamUrl("wss://calls.example.com/voicebot/hunter2".to_owned());
    let to_bot = Connect { to: Reach::Stream(address), limit_seconds: Some(600), record: None, ..connect() };
    assert!(!format!("{to_bot:?}").contains("hunter2"));
    let call = placed(client.connect(&to_bot).await);
    let held = server.with(|exotel| exotel.call(&call.sid).cloned()).expect("the call");
    assert_eq!(held.stream_url.as_deref(), Some("wss://calls.example.com/voicebot/hunter2"));
    assert_eq!((held.from.as_str(), held.custom_field.as_deref()), ("09876530240", Some("patchbay:42")));
    assert_eq!(to_bot.compare(&call, call.created_at.expect("a time")), Likeness::Likely);
    assert_eq!(server.with(|exotel| exotel.surprises().count()), 0);
}

#[tokio::test]
async fn a_request_that_dials_or_sends_goes_out_once_whatever_happens_to_it() {
    let faults = [
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::Garbage,
        Fault::Status(500),
        Fault::Status(502),
        Fault::Status(503),
        Fault::Status(504),
    ];
    for fault in faults {
        let (server, client) = rig();
        let mut call = SimulatedCall::new("c1", "09052138847", "08030754890", Timestamp::now());
        call.talk_seconds = 5;
        server.with(|exotel| exotel.add_call(call));
        server.faults().push(On::any(), fault);
        let dialled = client.connect(&connect()).await;
        assert!(matches!(dialled, Dialled::Unknown { .. }), "{fault:?}: {dialled:?}");
        assert_eq!(server.request_count(), 1, "{fault:?}");
        assert_eq!(server.with(|exotel| exotel.placed().len()), usize::from(fault == Fault::ResetAfter), "{fault:?}");

        let unknown = |error: Option<ExotelError>, what: &str| {
            assert!(matches!(error, Some(ExotelError::Unknown { .. })), "{what} {fault:?}: {error:?}");
        };
        server.faults().push(On::any(), fault);
        let sms = Sms {
            from: "ACMEIN".to_owned(),
            to: vec![number(CUSTOMER)],
            body: "Hello".to_owned(),
            kind: None,
            entity: None,
            template: None,
            custom_field: None,
            callback: None,
        };
        unknown(client.send_sms(&sms).await.err(), "sms");
        server.faults().push(On::any(), fault);
        let monitor = Monitor {
            ear: Ear::Listen,
            supervisor: number(SUPERVISOR),
            target_leg: None,
            custom_field: None,
            callback: None,
        };
        unknown(client.monitor("c1", &monitor).await.err(), "monitor");
        server.faults().push(On::any(), fault);
        let tape = Tape::Start { channels: Channels::Single, first_leg_only: false };
        unknown(client.tape("c1", &tape).await.err(), "tape");
        assert_eq!(server.request_count(), 4, "{fault:?}");
    }
}

#[tokio::test]
async fn what_never_reached_exotel_was_refused_and_what_no_operator_took_is_not_known() {
    let closed = std::net::TcpListener::bind(loopback()).expect("a port").local_addr().expect("its address");
    let dialled = client(&format!("http://{closed}")).connect(&connect()).await;
    assert!(matches!(dialled, Dialled::Refused(ExotelError::Unreachable { .. })), "{dialled:?}");

    let (server, client) = rig();
    for (trouble, placed) in [
        (Trouble::NoRoute(500), 0),
        (Trouble::NoRoute(504), 0),
        (Trouble::PlacedAllTheSame(500), 1),
        (Trouble::PlacedAllTheSame(504), 2),
    ] {
        server.with(|exotel| exotel.next_connect(trouble));
        let dialled = client.connect(&connect()).await;
        assert!(matches!(dialled, Dialled::Unknown { .. }), "{trouble:?}: {dialled:?}");
        assert_eq!(server.with(|exotel| exotel.placed().len()), placed, "{trouble:?}");
    }
    let foreign = Connect { caller_id: number("+918041111111"), ..connect() };
    let dialled = client.connect(&foreign).await;
    assert!(matches!(dialled, Dialled::Refused(ExotelError::Refused { status: 400, .. })), "{dialled:?}");
    let stranger = client_with(&server.url(), "other", PerMinute::PUBLISHED);
    assert_eq!(stranger.connect(&connect()).await, Dialled::Refused(ExotelError::Auth { status: 401 }));
}

#[tokio::test]
async fn a_call_whose_answer_was_lost_is_found_again_once_it_is_listed() {
    for shows_mark in [true, false] {
        let (server, client) = rig();
        server.with(|exotel| exotel.settings.custom_field_listed = shows_mark);
        let asked_at = Timestamp::now();
        server.faults().push(On::any(), Fault::ResetAfter);
        assert!(matches!(client.connect(&connect()).await, Dialled::Unknown { .. }));
        let filter = CallFilter { from: vec![number(AGENT)], to: vec![number(CUSTOMER)], ..CallFilter::default() };
        let around = |seconds| asked_at + SignedDuration::from_secs(seconds);
        let find = async || {
            let mut pages = client.calls_between(around(-60), around(60), filter.clone());
            let page = pages.next().await.expect("a page").expect("readable");
            page.calls.iter().map(|call| connect().compare(call, asked_at)).collect::<Vec<_>>()
        };
        server.with(|exotel| exotel.settings.list_lag = Duration::from_secs(600));
        assert_eq!(find().await, [], "not listed yet");
        server.with(|exotel| exotel.settings.list_lag = Duration::ZERO);
        assert_eq!(find().await, [if shows_mark { Likeness::Same } else { Likeness::Likely }]);
    }
}

#[tokio::test]
async fn another_call_of_the_same_people_is_told_apart() {
    let (_server, client) = canned("connect");
    let call = placed(client.connect(&connect()).await);
    let asked_at: Timestamp = "2017-03-03T05:18:30Z".parse().unwrap();
    let unmarked = Connect { custom_field: None, ..connect() };
    assert_eq!(unmarked.compare(&call, asked_at), Likeness::Likely);
    assert_eq!(unmarked.compare(&call, asked_at - SignedDuration::from_mins(10)), Likeness::Other);
    let marked = |mark: &str| Call { custom_field: Some(mark.to_owned()), ..call.clone() };
    assert_eq!(connect().compare(&marked("patchbay:42"), asked_at), Likeness::Same);
    assert_eq!(connect().compare(&marked("patchbay:43"), asked_at), Likeness::Other);
    assert_eq!(unmarked.compare(&marked("patchbay:43"), asked_at), Likeness::Other);
    let inbound = Call { direction: Some(CallDirection::Inbound), ..call.clone() };
    assert_eq!(connect().compare(&inbound, asked_at), Likeness::Other);
    let elsewhere = Connect { to: Reach::Party(number(SUPERVISOR).into()), ..connect() };
    assert_eq!(elsewhere.compare(&call, asked_at), Likeness::Other);
}

#[tokio::test]
async fn callbacks_of_a_placed_call_say_what_became_of_it() {
    let (server, client) = rig();
    let recording = RecordingPlan { available_after_end: Duration::ZERO, bytes: "mp3".into() };
    server.with(|exotel| exotel.settings.placed_recording = Some(recording));
    let call = placed(client.connect(&connect()).await);
    let later = Timestamp::now() + SignedDuration::from_mins(10);
    let callbacks = server.with(|exotel| exotel.take_callbacks(later));
    assert_eq!(server.with(|exotel| exotel.take_callbacks(later)).len(), 0, "each is given once");
    let locale = Locale {
        utc_offset: Offset::from_seconds(19_800).unwrap(),
        country: "IN".to_owned(),
        recording_origins: Vec::new(),
    };
    let events: Vec<_> = callbacks
        .iter()
        .map(|callback| {
            let receipt = Receipt {
                id: Uuid::nil(),
                account: SID.to_owned(),
                hook: Hook::Status,
                received_at: later,
                method: "POST".to_owned(),
                path: "/v2/accounts/acme1/status".to_owned(),
                query: String::new(),
                content_type: Some(callback.content_type.clone()),
                body: callback.body.clone().into_bytes(),
            };
            normalise(&receipt, &locale).expect("readable")
        })
        .collect();
    assert_eq!(events.len(), 3, "each leg's answer, and the end");
    let ids: BTreeSet<_> = events.iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), 3, "the second answer is not the first again");
    for event in &events {
        assert_eq!((event.call_sid.as_str(), &event.kind), (call.sid.as_str(), &EventKind::StatusChanged));
        assert_eq!(event.facts.agent.as_deref(), Some("09876530240"));
        assert_eq!(event.facts.customer.as_deref(), Some("09052138847"));
    }
    let end = &events[2].facts;
    assert_eq!((end.call_status.as_deref(), end.conversation_seconds), (Some("completed"), Some(13)));
    assert_eq!(end.custom_field.as_deref(), Some("patchbay:42"));
}
