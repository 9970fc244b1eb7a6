//! What is sent and when, to the millisecond: never late, never too far ahead, and taken back when the caller
//! interrupts.

use super::*;
use crate::Rate;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A stream at 8 kHz that is driven by hand.
struct Line8k {
    out: Outbound,
    now: Duration,
}

/// What was sent, with its time in ms: media as how many ms of audio, marks as their name on the wire.
#[derive(Debug, PartialEq, Eq)]
enum Sent {
    Audio(u128, u64),
    Mark(u128, String),
    Close(u128),
}

use Sent::{Audio, Close, Mark};

impl Line8k {
    fn new(pace: Pace) -> Self {
        Self { out: Outbound::new(&pace), now: Duration::ZERO }
    }

    fn say(&mut self, ms: u64) {
        let epoch = self.out.epoch();
        let pcm = vec![1; Rate::Hz8000.bytes_of_ms(ms) as usize];
        assert_eq!(self.out.push(self.now, epoch, &pcm), Pushed::Taken(pcm.len()));
    }

    /// All that is sent until then, at the moments that the queue asks for.
    fn until(&mut self, ms: u64) -> Vec<Sent> {
        let mut sent = Vec::new();
        loop {
            let at = self.now.as_millis();
            while let Some(due) = self.out.poll(self.now) {
                sent.push(match due {
                    Due::Media(pcm) => Audio(at, pcm.len() as u64 / 16),
                    Due::Mark(name) => Mark(at, name.to_owned()),
                    Due::Close => Close(at),
                });
            }
            match self.out.next_due() {
                Some(due) if due <= MS(ms) => {
                    assert!(due > self.now, "asked for a moment at which there was nothing");
                    self.now = due;
                }
                _ => break,
            }
        }
        self.now = MS(ms);
        sent
    }
}

fn pace() -> Pace {
    Pace::of(Rate::Hz8000)
}

#[test]
fn a_long_utterance_goes_out_a_little_ahead_of_the_ear() {
    let mut line = Line8k::new(pace());
    line.say(700);
    let sent = line.until(2000);
    let wanted = [(0, 100), (0, 100), (0, 100), (100, 100), (200, 100), (300, 100), (400, 100)];
    assert_eq!(sent, wanted.map(|(at, ms)| Audio(at, ms)));
}

#[test]
fn the_first_burst_may_be_larger() {
    let mut line = Line8k::new(Pace { burst_ms: 500, ahead_ms: 200, ..pace() });
    line.say(800);
    let sent = line.until(2000);
    let wanted = [(0, 100), (0, 100), (0, 100), (0, 100), (0, 100), (400, 100), (500, 100), (600, 100)];
    assert_eq!(sent, wanted.map(|(at, ms)| Audio(at, ms)));
}

#[test]
fn what_trickles_in_is_gathered_and_never_late() {
    let mut line = Line8k::new(pace());
    let mut sent = Vec::new();
    for step in 0..30 {
        line.say(20);
        sent.extend(line.until((step + 1) * 20));
    }
    // The first frame when it is full; then what there is, before the far side runs dry.
    assert_eq!(sent[..3], [Audio(80, 100), Audio(140, 40), Audio(180, 40)]);
    let mut ends = 180;
    for piece in &sent[1..] {
        let Audio(at, ms) = piece else { panic!("{piece:?}") };
        assert!(*at <= ends, "{sent:?}");
        ends += u128::from(*ms);
    }
}

#[test]
fn a_remainder_is_carried_and_padded_only_at_the_end() {
    let mut line = Line8k::new(pace());
    let epoch = line.out.epoch();
    line.out.push(MS(0), epoch, &[1; 1601]);
    assert_eq!(line.until(50), [Audio(0, 100)]);
    line.out.push(MS(50), epoch, &[1; 1600]);
    assert_eq!(line.until(60), [Audio(50, 100)]);
    line.out.push(MS(60), epoch, &[2; 4]);
    line.out.finish();
    // Half a sample is silence, as is all after it.
    let Some(Due::Media(last)) = line.out.poll(MS(60)) else { panic!("no end") };
    assert_eq!((last.len(), &last[..6]), (320, &[1, 2, 2, 2, 0, 0][..]));
    assert!(last[5..].iter().all(|byte| *byte == 0));
}

#[test]
fn an_agent_that_never_ends_an_utterance_gets_its_mark_back() {
    let mut line = Line8k::new(pace());
    let epoch = line.out.epoch();
    line.out.push(MS(0), epoch, &[1; 1700]);
    assert!(line.out.mark("done"));
    assert_eq!(line.until(1000), [Audio(0, 100), Audio(200, 20), Mark(200, "pb-1".into())]);
}

#[test]
fn a_gap_within_an_utterance_is_counted_and_one_between_two_is_not() {
    let mut line = Line8k::new(pace());
    line.say(200);
    line.until(1000);
    line.say(200);
    line.until(1000);
    assert_eq!(line.out.underruns(), 1);
    line.say(200);
    line.out.finish();
    line.until(3000);
    line.say(200);
    line.until(3000);
    assert_eq!(line.out.underruns(), 1, "the utterance had ended");
    line.out.clear(line.now);
    line.until(5000);
    line.say(200);
    line.until(5000);
    assert_eq!(line.out.underruns(), 1, "the caller had interrupted it");
}

#[test]
fn strictly_no_message_is_small() {
    let mut line = Line8k::new(Pace { strict: true, ..pace() });
    line.say(700);
    line.out.finish();
    // Messages of 200 ms are two ahead; the last has 100 ms of silence.
    assert_eq!(line.until(2000), [Audio(0, 200), Audio(0, 200), Audio(200, 200), Audio(400, 200)]);
    for (rate, bytes) in [(Rate::Hz8000, 3200), (Rate::Hz16000, 3200), (Rate::Hz24000, 3840)] {
        let shape = Shape::of(&Pace { strict: true, frame_ms: 20, ..Pace::of(rate) });
        assert_eq!((shape.frame, shape.least), (bytes, bytes));
    }
}

#[test]
fn a_stall_of_ours_is_not_made_up_for() {
    let mut line = Line8k::new(pace());
    line.say(10_000);
    line.until(1000);
    line.now = MS(5000);
    let sent = line.until(5050);
    assert_eq!(sent, [Audio(5000, 100), Audio(5000, 100), Audio(5000, 100)]);
}

#[test]
fn marks_stand_where_they_were_put() {
    let mut line = Line8k::new(pace());
    assert!(line.out.mark("before"));
    line.say(200);
    assert!(line.out.mark("between"));
    line.say(200);
    assert!(line.out.mark("after"));
    let sent = line.until(1000);
    let mark = |at, number: u8| Mark(at, format!("pb-{number}"));
    let wanted = [mark(0, 1), Audio(0, 100), Audio(0, 100), mark(0, 2), Audio(0, 100), Audio(100, 100), mark(100, 3)];
    assert_eq!(sent, wanted);
    assert_eq!(line.out.echoed(line.now, "pb-1"), Echo::Played(vec!["before".into()]));
    // The echo of the second was lost.
    assert_eq!(line.out.echoed(line.now, "pb-3"), Echo::Played(vec!["between".into(), "after".into()]));
    assert_eq!(line.out.echoed(line.now, "pb-3"), Echo::Cleared);
    for unknown in ["pb-4", "pb-0", "pb-", "pb-x", "after", ""] {
        assert_eq!(line.out.echoed(line.now, unknown), Echo::Unknown, "{unknown}");
    }
}

#[test]
fn an_interruption_is_one_step() {
    let mut line = Line8k::new(pace());
    line.say(2000);
    assert!(line.out.mark("end"));
    let old = line.out.epoch();
    line.until(450);
    let cleared = line.out.clear(line.now);
    assert_eq!((cleared.heard, cleared.dropped), (MS(450), MS(1550)));
    assert!(cleared.tell);
    assert_eq!(cleared.marks, ["end"]);
    assert_eq!(line.out.push(line.now, old, &[1; 3200]), Pushed::Stale);
    assert_eq!((line.out.queued(), line.out.position()), (MS(0), MS(0)));
    assert_eq!(line.until(460), []);
    let again = line.out.clear(line.now);
    assert_eq!((again.heard, again.tell), (MS(0), false), "what is in play cannot be taken back");
    // The message in play goes on to 500 ms: what follows is not thought to begin earlier.
    line.say(1000);
    assert_eq!(line.until(499), [Audio(460, 100), Audio(460, 100)]);
    assert_eq!(line.out.heard(MS(550)), MS(50));
}

#[test]
fn the_echo_of_a_cleared_mark_is_not_playing() {
    let mut line = Line8k::new(pace());
    line.say(300);
    assert!(line.out.mark("turn"));
    assert_eq!(line.until(100).len(), 4);
    assert_eq!(line.out.clear(line.now).marks, ["turn"]);
    // The same name again: the old echo is not the new one's.
    line.say(100);
    line.out.finish();
    assert!(line.out.mark("turn"));
    line.until(110);
    assert_eq!(line.out.echoed(line.now, "pb-1"), Echo::Cleared);
    assert_eq!(line.out.echoed(MS(300), "pb-2"), Echo::Played(vec!["turn".into()]));
}

#[test]
fn what_was_heard_is_what_marks_say() {
    let mut line = Line8k::new(pace());
    line.say(100);
    assert!(line.out.mark("a"));
    line.say(900);
    line.until(340);
    assert_eq!(line.out.heard(MS(340)), MS(340), "no mark has come back yet, ever: by time");
    // 250 ms late: the far side's own buffer.
    line.out.echoed(MS(350), "pb-1");
    assert_eq!(line.out.heard(MS(350)), MS(100));
    assert_eq!(line.out.heard(MS(400)), MS(150));
    // Never past a mark that has not come back, nor past what was sent.
    assert!(line.out.mark("b"));
    line.until(5000);
    assert_eq!(line.out.heard(MS(60_000)), MS(1000));
    let mut other = line.out.clone();
    let epoch = other.epoch();
    other.push(MS(5000), epoch, &[1; 1600]);
    other.finish();
    while other.poll(MS(5000)).is_some() {}
    assert_eq!(other.heard(MS(60_000)), MS(1000), "the mark at 1 s is not back");
    other.echoed(MS(60_000), "pb-2");
    assert_eq!(other.clear(MS(60_000)).heard, MS(1000));
}

#[test]
fn an_end_waits_for_its_mark() {
    let mut line = Line8k::new(pace());
    line.say(200);
    line.out.hang_up();
    assert_eq!(line.until(250), [Audio(0, 100), Audio(0, 100), Mark(0, "pb-1".into())]);
    let epoch = line.out.epoch();
    assert_eq!(line.out.push(line.now, epoch, &[1; 320]), Pushed::Stale, "after goodbye nothing is said");
    assert_eq!(line.out.echoed(line.now, "pb-1"), Echo::Played(vec![]));
    assert_eq!(line.until(251), [Close(250)]);
    assert_eq!(line.until(9999), []);
}

#[test]
fn an_end_does_not_wait_for_ever() {
    let mut line = Line8k::new(pace());
    line.say(200);
    line.out.hang_up();
    assert_eq!(line.until(9999)[2..], [Mark(0, "pb-1".into()), Close(2200)]);
}

#[test]
fn an_interrupted_end_is_an_end() {
    let mut line = Line8k::new(pace());
    line.say(5000);
    line.out.hang_up();
    line.until(100);
    line.out.clear(line.now);
    assert_eq!(line.until(150), [Mark(100, "pb-1".into())]);
    line.out.clear(line.now);
    assert_eq!(line.until(160), [Mark(150, "pb-2".into())]);
    assert_eq!(line.out.echoed(line.now, "pb-1"), Echo::Cleared);
    line.out.echoed(line.now, "pb-2");
    assert_eq!(line.until(170), [Close(160)]);
}

#[test]
fn a_full_queue_takes_no_more() {
    let mut out = Outbound::new(&Pace { queue_ms: 1000, ..pace() });
    let epoch = out.epoch();
    assert_eq!(out.push(MS(0), epoch, &[1; 20_000]), Pushed::Taken(16_000));
    assert_eq!(out.push(MS(0), epoch, &[1; 10]), Pushed::Taken(0));
    assert!(matches!(out.poll(MS(0)), Some(Due::Media(pcm)) if pcm.len() == 1600));
    assert_eq!(out.push(MS(0), epoch, &[1; 10]), Pushed::Taken(10));
    let refused = (0..10_000).filter(|_| !out.mark("m")).count();
    assert!(refused > 9000);
}
