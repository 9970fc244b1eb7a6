//! What holds for any input at all: of reading, of what is sent and when, and of both together.

mod support;

use std::time::Duration;

use patchbay_voice::{
    Frame, Law, Limits, Rate, Reader, exotel,
    inbound::{Inbound, Keep},
    outbound::{Due, Echo, Outbound, PACKET_BYTES, Pace, Pushed, STRICT_BYTES},
    twilio,
};
use proptest::{collection::vec, prelude::*};
use support::{corpus, media_frame, mutated};

fn rates() -> impl Strategy<Value = Rate> {
    proptest::sample::select(Rate::ALL.to_vec())
}

fn paces() -> impl Strategy<Value = Pace> {
    (rates(), 0u64..1200, 0u64..1000, 0u64..1500, any::<bool>()).prop_map(
        |(rate, frame_ms, ahead_ms, burst_ms, strict)| Pace { frame_ms, ahead_ms, burst_ms, strict, ..Pace::of(rate) },
    )
}

/// What may happen to a queue.
#[derive(Debug, Clone)]
enum Step {
    Push(usize),
    Mark,
    Finish,
    Clear,
    /// Time passes, and everything due is sent when it is due.
    Wait(u64),
    /// Time passes, and nobody looks.
    Stall(u64),
}

fn steps(with_clear: bool) -> impl Strategy<Value = Vec<Step>> {
    let clear = if with_clear { Just(Step::Clear).boxed() } else { Just(Step::Mark).boxed() };
    let step = prop_oneof![
        6 => (0usize..12_000).prop_map(Step::Push),
        2 => Just(Step::Mark),
        1 => Just(Step::Finish),
        1 => clear,
        6 => (0u64..400).prop_map(Step::Wait),
        1 => (0u64..3000).prop_map(Step::Stall),
    ];
    vec(step, 1..60)
}

/// A queue, and a far side that plays what it is sent from the moment it comes.
struct Run {
    out: Outbound,
    pace: Pace,
    now: Duration,
    /// Every byte that was sent.
    sent: Vec<u8>,
    /// Marks sent, with how many bytes stood before each.
    marks: Vec<(String, usize)>,
    plays_until: Duration,
    /// When each message of this epoch begins to play, and how much it is.
    playing: Vec<(Duration, u64)>,
}

impl Run {
    fn new(pace: Pace) -> Self {
        let out = Outbound::new(&pace);
        Self {
            out,
            pace,
            now: Duration::ZERO,
            sent: Vec::new(),
            marks: Vec::new(),
            plays_until: Duration::ZERO,
            playing: Vec::new(),
        }
    }

    /// Sends what is due, and holds each message against the rules. The most that may be unplayed is what the pace
    /// says, or two messages.
    fn send(&mut self) -> usize {
        let rate = self.pace.rate;
        let least = if self.pace.strict { STRICT_BYTES as u64 } else { PACKET_BYTES as u64 };
        let mut messages = 0;
        while let Some(due) = self.out.poll(self.now) {
            messages += 1;
            assert!(messages < 10_000, "no end of what is due");
            match due {
                Due::Media(pcm) => {
                    let bytes = pcm.len() as u64;
                    assert!(bytes > 0 && bytes.is_multiple_of(rate.bytes_of_ms(20)), "{bytes} bytes are not 20 ms");
                    assert!(bytes.is_multiple_of(PACKET_BYTES as u64) && bytes >= least && bytes <= 100_000, "{bytes}");
                    self.sent.extend_from_slice(pcm);
                    let begins = self.plays_until.max(self.now);
                    self.playing.push((begins, bytes));
                    self.plays_until = begins + rate.duration(bytes);
                    let frame = Duration::from_millis(self.pace.frame_ms.max(20))
                        .max(rate.duration(least) + Duration::from_millis(20));
                    let most = Duration::from_millis(self.pace.ahead_ms.max(self.pace.burst_ms)).max(frame * 2);
                    let ahead = self.plays_until - self.now;
                    assert!(ahead <= most, "{ahead:?} ahead, of {most:?}");
                }
                Due::Mark(name) => self.marks.push((name.to_owned(), self.sent.len())),
                Due::Close => panic!("nobody hung up"),
            }
        }
        messages
    }

    /// What a far side does that is told `clear`: plays a message that it has begun, and nothing else. How much of
    /// this epoch it has played.
    fn take_back(&mut self) -> Duration {
        let rate = self.pace.rate;
        let mut heard = Duration::ZERO;
        for (begins, bytes) in self.playing.drain(..) {
            heard += self.now.saturating_sub(begins).min(rate.duration(bytes));
            if begins > self.now {
                self.plays_until = self.plays_until.min(begins);
            }
        }
        heard
    }

    fn wait(&mut self, until: Duration) {
        self.send();
        while let Some(due) = self.out.next_due().filter(|due| *due <= until) {
            assert!(due > self.now, "asked for a moment that has been");
            // Not starved: a whole frame that waits goes out before the far side has played what it has.
            if self.out.queued() >= Duration::from_millis(1200) {
                assert!(due <= self.plays_until, "{due:?} is after {:?}", self.plays_until);
            }
            self.now = due;
            self.send();
        }
        self.now = until;
        self.send();
    }
}

proptest! {
    /// Whatever is brought and whenever anybody looks: messages are as Exotel wants them, and not too early.
    #[test]
    fn messages_are_aligned_and_never_too_far_ahead(pace in paces(), steps in steps(true)) {
        let mut run = Run::new(pace);
        for step in steps {
            match step {
                Step::Push(bytes) => {
                    let epoch = run.out.epoch();
                    prop_assert_ne!(run.out.push(run.now, epoch, &vec![1; bytes]), Pushed::Stale);
                    run.send();
                }
                Step::Mark => drop(run.out.mark("m")),
                Step::Finish => run.out.finish(),
                Step::Clear => {
                    let (old, position) = (run.out.epoch(), run.out.position());
                    let cleared = run.out.clear(run.now);
                    prop_assert!(cleared.heard <= position && cleared.heard + cleared.dropped == position);
                    prop_assert_eq!((run.out.queued(), run.out.position()), (Duration::ZERO, Duration::ZERO));
                    prop_assert_eq!(run.out.push(run.now, old, &[1; 320]), Pushed::Stale);
                    for (name, _) in run.marks.drain(..) {
                        prop_assert_eq!(run.out.echoed(run.now, &name), Echo::Cleared);
                    }
                    let truth = run.take_back();
                    prop_assert!(cleared.heard.abs_diff(truth) < Duration::from_millis(1), "{truth:?} and not {cleared:?}");
                    prop_assert_eq!(run.out.poll(run.now), None);
                }
                Step::Wait(ms) => run.wait(run.now + Duration::from_millis(ms)),
                Step::Stall(ms) => {
                    run.now += Duration::from_millis(ms);
                    run.send();
                }
            }
            prop_assert!(run.out.heard(run.now) <= run.out.position());
        }
    }

    /// Without an interruption, what comes out is what went in, in order, with silence at ends alone.
    #[test]
    fn nothing_is_lost_or_doubled(pace in paces(), steps in steps(false)) {
        // A pause is not taken for an end here, so that every silence has a reason.
        let mut run = Run::new(Pace { idle_ms: 100_000_000, ..pace });
        let (mut brought, mut number) = (Vec::new(), 0u32);
        let mut marks = Vec::new();
        for step in steps {
            match step {
                Step::Push(bytes) => {
                    // Never 0, so that silence is told from speech.
                    let pcm: Vec<u8> = (0..bytes).map(|_| { number += 1; (number % 251) as u8 + 1 }).collect();
                    let epoch = run.out.epoch();
                    let Pushed::Taken(taken) = run.out.push(run.now, epoch, &pcm) else { panic!("stale") };
                    number -= (bytes - taken) as u32;
                    brought.extend_from_slice(&pcm[..taken]);
                }
                Step::Mark | Step::Clear => if run.out.mark("m") { marks.push(brought.len()) },
                // Half a sample is given up there; whole ones are brought so that none is.
                Step::Finish => if brought.len() % 2 == 0 { run.out.finish() },
                Step::Wait(ms) => run.wait(run.now + Duration::from_millis(ms)),
                Step::Stall(ms) => run.now += Duration::from_millis(ms),
            }
        }
        if brought.len() % 2 == 1 {
            let epoch = run.out.epoch();
            if run.out.push(run.now, epoch, &[7]) == Pushed::Taken(1) { brought.push(7); }
        }
        run.out.finish();
        run.wait(run.now + Duration::from_secs(1000));
        let spoken: Vec<u8> = run.sent.iter().copied().filter(|byte| *byte != 0).collect();
        prop_assert!(spoken == brought, "{} bytes of {}", spoken.len(), brought.len());
        // Each mark after all that was brought before it.
        prop_assert_eq!(run.marks.len(), marks.len());
        for ((_, at), wanted) in run.marks.iter().zip(marks) {
            let before = run.sent[..*at].iter().filter(|byte| **byte != 0).count();
            prop_assert!(before >= wanted);
        }
        prop_assert_eq!(run.out.next_due(), None);
    }

    /// An end comes, echo or none.
    #[test]
    fn a_line_that_is_hung_up_is_closed(pace in paces(), bytes in 0usize..200_000, echoes in any::<bool>()) {
        let mut out = Outbound::new(&pace);
        let epoch = out.epoch();
        let mut now = Duration::from_secs(5);
        out.push(now, epoch, &vec![1; bytes]);
        out.hang_up();
        let mut heard_by = now;
        let closed = 'closed: loop {
            loop {
                let mark = match out.poll(now) {
                    Some(Due::Close) => break 'closed true,
                    Some(Due::Media(pcm)) => {
                        heard_by = heard_by.max(now) + pace.rate.duration(pcm.len() as u64);
                        continue;
                    }
                    Some(Due::Mark(name)) => name.to_owned(),
                    None => break,
                };
                if echoes {
                    now = now.max(heard_by);
                    prop_assert_eq!(out.echoed(now, &mark), Echo::Played(vec![]));
                }
            }
            match out.next_due() {
                Some(due) => now = now.max(due),
                None => break false,
            }
        };
        prop_assert!(closed && now >= heard_by && now <= heard_by + Duration::from_secs(2));
    }

    /// What a reader takes has a price with a bound, whatever it is given.
    #[test]
    fn no_bytes_make_a_reader_panic_or_grow(frames in vec(mutated(), 1..12), law in 0..2) {
        let mut reader = if law == 0 { Reader::exotel(Limits::DEFAULT) } else { Reader::twilio(Limits::DEFAULT) };
        let mut pcm = Vec::new();
        for frame in frames {
            let before = pcm.len();
            let read = reader.read(&frame, &mut pcm);
            let grown = pcm.len() - before;
            match read {
                Ok(Frame::Media(media)) => {
                    prop_assert_eq!(media.pcm_bytes, grown);
                    // A byte of G.711 is two; a byte may have waited.
                    prop_assert!(grown % 2 == 0 && grown <= 2 * frame.len() + 1);
                }
                Ok(other) => {
                    prop_assert_eq!(grown, 0);
                    let shown = format!("{other:?}");
                    prop_assert!(shown.len() < 16 * 1024);
                }
                Err(_) => prop_assert_eq!(grown, 0),
            }
        }
    }

    /// The quick way is no other way: the same frame, the same audio, the same left over.
    #[test]
    fn the_quick_way_reads_what_the_patient_way_reads(frames in vec(prop_oneof![mutated(), media_frame()], 1..8)) {
        let mut quick = Reader::exotel(Limits::DEFAULT);
        let mut patient = quick.clone();
        let (mut pcm, mut wanted) = (Vec::new(), Vec::new());
        for frame in frames {
            let read = quick.read(&frame, &mut pcm);
            prop_assert_eq!(read, patient.read_patiently(&frame, &mut wanted), "{}", String::from_utf8_lossy(&frame));
            prop_assert_eq!(&pcm, &wanted);
        }
    }

    #[test]
    fn what_is_printed_reads_back(
        pcm in vec(any::<u8>(), 0..1000),
        sid in proptest::option::of(any::<String>()),
        name in any::<String>(),
        numbered in any::<bool>(),
    ) {
        let style = exotel::Style { stream_sid: sid.clone(), numbered, ..exotel::Style::default() };
        let mut writer = exotel::Writer::new(&style);
        let mut reader = Reader::exotel(Limits { text_bytes: 100_000, ..Limits::DEFAULT });
        let (mut out, mut back) = (Vec::new(), Vec::new());
        let whole = &pcm[..pcm.len() / 2 * 2];
        writer.media(whole, &mut out);
        prop_assert!(matches!(reader.read(&out, &mut back), Ok(Frame::Media(media)) if media.chunk.is_some() == numbered));
        prop_assert_eq!(&back, whole);
        writer.mark(&name, &mut out);
        prop_assert_eq!(reader.read(&out, &mut back), Ok(Frame::Mark { name: name.clone() }));
        writer.clear(&mut out);
        prop_assert_eq!(reader.read(&out, &mut back), Ok(Frame::Clear));

        let mut writer = twilio::Writer::new(sid.as_deref().unwrap_or_default());
        let mut reader = Reader::twilio(Limits { text_bytes: 100_000, ..Limits::DEFAULT });
        writer.mark(&name, &mut out);
        prop_assert_eq!(reader.read(&out, &mut back), Ok(Frame::Mark { name }));
        // G.711 twice is G.711 once.
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        writer.media(whole, &mut out);
        reader.read(&out, &mut once).expect("audio");
        writer.media(&once, &mut out);
        reader.read(&out, &mut twice).expect("audio");
        prop_assert!(once.len() == whole.len() && once == twice);
    }

    /// What waits for the bot is never more than may wait, and what is not dropped comes out in order.
    #[test]
    fn a_callers_audio_has_a_bound_and_an_order(
        rate in rates(),
        steps in vec((0u64..900, any::<bool>(), any::<bool>()), 1..60),
    ) {
        let keep = Keep { early_ms: 1000, ..Keep::DEFAULT };
        let mut inbound = Inbound::new(rate, keep);
        let (mut pushed, mut taken, mut last) = (0u64, 0u64, 0u32);
        let mut next = 1u32;
        for (ms, ready, take) in steps {
            let pcm: Vec<u8> = (0..rate.bytes_of_ms(ms) / 4).flat_map(|_| { next += 1; next.to_le_bytes() }).collect();
            pushed += pcm.len() as u64;
            inbound.push(&pcm);
            prop_assert!(inbound.waiting() <= Duration::from_millis(keep.early_ms));
            if ready { inbound.ready() }
            while take && let Some(frame) = inbound.take(20) {
                prop_assert_eq!(frame.len() as u64, rate.bytes_of_ms(20));
                for number in frame.as_chunks::<4>().0 {
                    let number = u32::from_le_bytes(*number);
                    prop_assert!(number > last);
                    last = number;
                }
                taken += frame.len() as u64;
            }
        }
        let rest = rate.duration(pushed - taken);
        let off = rest.abs_diff(inbound.waiting() + inbound.dropped());
        prop_assert!(off < Duration::from_micros(1), "all is waiting, taken or counted as dropped");
    }
}

/// Every frame that was ever seen or documented is read, and as what its file says.
#[test]
fn the_corpus_is_read() {
    for (name, frame) in corpus() {
        let read = Reader::exotel(Limits::DEFAULT).read(&frame, &mut Vec::new());
        let read = read.unwrap_or_else(|error| panic!("{name}: {error}"));
        let kind = name.split('-').next().unwrap_or_default().to_owned();
        let is = match &read {
            Frame::Connected => "connected",
            Frame::Start(_) => "start",
            Frame::Media(media) => {
                assert!(media.pcm_bytes > 0, "{name}");
                "media"
            }
            Frame::Dtmf(_) => "dtmf",
            Frame::Mark { .. } => "mark",
            Frame::Clear => "clear",
            Frame::Stop(_) => "stop",
            Frame::Unknown { .. } => "unknown",
        };
        assert_eq!(is, kind, "{name}: {read:?}");
    }
}

/// The one start that was captured whole (CAP).
#[test]
fn the_captured_start_says_what_it_says() {
    let (_, frame) = corpus().into_iter().find(|(name, _)| name == "start-captured").expect("the capture");
    let Ok(Frame::Start(start)) = Reader::exotel(Limits::DEFAULT).read(&frame, &mut Vec::new()) else {
        panic!("start")
    };
    assert_eq!(start.stream_sid.as_deref(), Some("3357459ca698d8c765bac10b0ec418bl"));
    assert_eq!(start.call_sid.as_deref(), Some("b0c8aea60aceb0007fc5a1bb75c218bl"));
    assert_eq!((start.law, start.rate), (Law::Linear, Rate::Hz8000));
    assert!(start.custom_parameters.is_empty());
}
