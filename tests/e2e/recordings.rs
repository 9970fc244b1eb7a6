//! Recordings: an address in a callback is not trusted, and the link in the CRM is Patchbay's own.

use std::time::Duration;

use crate::rig::{Call, KEY, Rig, TOKEN, recording_bytes};

fn link(note: &str) -> String {
    let start = note.find("http").expect("a link");
    let end = note[start..].find('"').expect("its end") + start;
    note[start..end].replace("&amp;", "&").replace("&#x3D;", "=")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_streams_the_recording_with_range() {
    for signed in [false, true] {
        let rig = Rig::started();
        rig.exotel.with(|exotel| exotel.settings.signed_recordings = signed);
        let call = Call::new(1);
        rig.simulate(&call);
        rig.hook(&call.answered()).await;
        let link = link(&rig.note(&call.sid).await);
        let whole = rig.http.get(&link).send().await.expect("an answer");
        assert_eq!(whole.status(), 200);
        assert_eq!(whole.headers()["content-type"], "audio/mpeg");
        assert_eq!(whole.headers()["accept-ranges"], "bytes");
        assert_eq!(whole.bytes().await.expect("a body"), recording_bytes());
        let part = rig.http.get(&link).header("range", "bytes=100-199").send().await.expect("an answer");
        assert_eq!(part.status(), 206);
        assert_eq!(part.headers()["content-range"], "bytes 100-199/50000");
        assert_eq!(part.bytes().await.expect("a body"), recording_bytes()[100..200]);
        let head = rig.http.head(&link).send().await.expect("an answer");
        assert_eq!((head.status().as_u16(), head.headers()["content-length"].as_bytes()), (200, &b"50000"[..]));

        let tampered = link.replace(&call.sid, &Call::new(2).sid);
        assert_eq!(rig.http.get(tampered).send().await.expect("an answer").status(), 403);
        let unsigned = link.split('?').next().expect("a path").to_owned();
        assert_eq!(rig.http.get(unsigned).send().await.expect("an answer").status(), 403);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_recording_is_waited_for() {
    let rig = Rig::started();
    let call = Call {
        // It ended just now; the recording comes a second later.
        started_at: jiff::Timestamp::now() - Duration::from_secs(27),
        recording_after: Duration::from_secs(1),
        ..Call::new(1)
    };
    rig.simulate(&call);
    rig.hook(&call.answered()).await;
    let ticket = rig.ticket(&call.sid).await;
    let note = rig.note(&call.sid).await;
    assert!(note.contains("Call Recording") && note.contains("Call Duration: 8s"), "{note}");
    rig.settled().await;
    assert_eq!(rig.notes(ticket.id).len(), 1);
    let file = rig.account(&format!("/calls/{}", call.sid)).await;
    assert_eq!(file["state"]["complete"], true, "{file:#}");
    assert!(!file.to_string().contains("exotelrecordings"), "{file:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attackers_recording_url_goes_nowhere() {
    let rig = Rig::started();
    let trap = patchbay_sandbox::Server::start(
        ([127, 0, 0, 1], 0).into(),
        patchbay_sandbox::exotel::Exotel::new("acme1", KEY, TOKEN),
        patchbay_sandbox::Faults::none(),
    )
    .expect("a trap");
    let call = Call::new(1);
    rig.simulate(&call);
    let evil: String = url::form_urlencoded::byte_serialize(format!("{}/x.mp3", trap.url()).as_bytes()).collect();
    rig.hook(&format!("{}&RecordingUrl={evil}", call.answered())).await;
    let note = rig.note(&call.sid).await;
    assert!(!note.contains(&trap.url()), "{note}");
    let heard = rig.http.get(link(&note)).send().await.expect("an answer").bytes().await.expect("a body");
    assert_eq!(heard, recording_bytes());
    assert_eq!(trap.request_count(), 0, "nobody was sent there, least of all with credentials");
}
