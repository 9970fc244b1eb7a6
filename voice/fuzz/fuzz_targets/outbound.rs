//! What a bot may do to the line, in any order and at any time: what waits has a bound, what is sent is whole packets,
//! never too far ahead, and a line that is hung up is closed.
#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use patchbay_voice::{
    Rate,
    outbound::{Due, Outbound, Pace},
};

#[derive(Arbitrary, Debug)]
enum Step {
    Push(u16),
    Mark(String),
    Echo(String),
    /// The n-th mark that was sent comes back.
    Reached(u8),
    Finish,
    Clear,
    Wait(u16),
    HangUp,
}

#[derive(Arbitrary, Debug)]
struct Story {
    rate: u8,
    frame_ms: u16,
    ahead_ms: u16,
    strict: bool,
    steps: Vec<Step>,
}

fuzz_target!(|story: Story| {
    let rate = Rate::ALL[usize::from(story.rate) % 3];
    let pace = Pace {
        frame_ms: u64::from(story.frame_ms),
        ahead_ms: u64::from(story.ahead_ms),
        strict: story.strict,
        queue_ms: 2000,
        ..Pace::of(rate)
    };
    let mut line = Outbound::new(&pace);
    let (mut now, mut sent) = (Duration::ZERO, Vec::<String>::new());
    let mut closed = false;
    let mut drive = |line: &mut Outbound, now: Duration, sent: &mut Vec<String>| {
        for _ in 0..100_000 {
            match line.poll(now) {
                None => return,
                Some(Due::Media(pcm)) => {
                    assert!(!closed && !pcm.is_empty());
                    assert_eq!(pcm.len() % rate.bytes_of_ms(20) as usize, 0, "whole units");
                }
                Some(Due::Mark(name)) => {
                    assert!(!closed);
                    sent.push(name.to_owned());
                }
                Some(Due::Close) => {
                    assert!(!closed, "once");
                    closed = true;
                }
            }
        }
        panic!("it is never done");
    };
    for step in story.steps {
        match step {
            Step::Push(bytes) => {
                let _ = line.push(now, line.epoch(), &vec![1; usize::from(bytes)]);
            }
            Step::Mark(name) => _ = line.mark(name),
            Step::Echo(name) => drop(line.echoed(now, &name)),
            Step::Reached(index) => {
                if let Some(name) = sent.get(usize::from(index)) {
                    let _ = line.echoed(now, name);
                }
            }
            Step::Finish => line.finish(),
            Step::Clear => drop(line.clear(now)),
            Step::Wait(ms) => now += Duration::from_millis(u64::from(ms)),
            Step::HangUp => line.hang_up(),
        }
        assert!(line.queued() <= Duration::from_millis(2000).max(Duration::from_millis(1100)));
        assert!(line.heard(now) <= line.position().max(Duration::ZERO) || line.position().is_zero());
        drive(&mut line, now, &mut sent);
    }
    line.hang_up();
    for _ in 0..1000 {
        drive(&mut line, now, &mut sent);
        let Some(due) = line.next_due() else { break };
        now = now.max(due);
    }
    drive(&mut line, now, &mut sent);
    assert!(closed, "it is closed at last");
});
