//! Many voicebot calls at once: whether each is taken, heard and kept, and how long a caller waits for the first word.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::task::JoinSet;

use super::{
    calls::{Line, new_sid},
    session::{End, Plan, Record, Step},
    sound::Sound,
    wire::Target,
    words::Shape,
};
use crate::simulate::{Histogram, Percentiles};

/// All calls begin within this: nobody's calls come in one instant.
const RAMP: Duration = Duration::from_secs(1);
const MS: fn(u64) -> Duration = Duration::from_millis;

#[derive(Debug, Serialize)]
pub(super) struct LoadReport {
    pub(super) calls: u32,
    pub(super) seconds: u32,
    /// Calls that the server took.
    pub(super) taken: u64,
    /// Of those, the ones that went on to their end.
    pub(super) kept: u64,
    pub(super) heard: u64,
    pub(super) frames_sent: u64,
    pub(super) messages: u64,
    pub(super) audio_seconds: f64,
    /// From the handshake's end to the first word.
    first_word: Percentiles,
    most_ahead_ms: u64,
    stutters: u64,
    /// The most that one of our own frames was late: beyond 20 ms it is this machine that is measured.
    lateness_ms: u64,
    pub(super) errors: BTreeMap<String, u64>,
}

impl LoadReport {
    pub(super) fn good(&self) -> bool {
        self.kept == u64::from(self.calls)
    }

    pub(super) fn table(&self) -> String {
        let Percentiles { p50_ms, p99_ms, max_ms, .. } = self.first_word;
        let mut text = format!(
            "calls       {} at once for {} s: {} taken, {} kept to their end, {} heard\n\
             sent        {} frames, at most {} ms late\n\
             received    {} messages with {:.1} s of audio\n\
             first word  p50 {p50_ms:.0} ms   p99 {p99_ms:.0} ms   max {max_ms:.0} ms\n\
             playing     at most {} ms ahead, {} gaps\n",
            self.calls,
            self.seconds,
            self.taken,
            self.kept,
            self.heard,
            self.frames_sent,
            self.lateness_ms,
            self.messages,
            self.audio_seconds,
            self.most_ahead_ms,
            self.stutters,
        );
        for (error, times) in &self.errors {
            text.push_str(&format!("{times} × {error}\n"));
        }
        text
    }
}

pub(super) async fn run(target: &Arc<Target>, line: &Line, calls: u32, seconds: u32) -> LoadReport {
    let sound = Sound::new(line.rate);
    let mut going = JoinSet::new();
    for number in 0..calls {
        // The caller asks, and listens to the answer.
        let speaks = |second| if second % 4 < 2 { Step::Speak(MS(1000)) } else { Step::Quiet(MS(1000)) };
        let mut steps: Vec<Step> = (0..seconds).map(speaks).collect();
        steps.extend([Step::Stop, Step::Quiet(MS(300)), Step::Close]);
        let call_sid = new_sid('c');
        let caller = line.caller(number, &call_sid);
        let plan = Plan { caller, shape: Shape::Captured, rate: line.rate, steps, keep: false };
        let (target, sound) = (target.clone(), sound.clone());
        going.spawn(async move {
            tokio::time::sleep(RAMP * number / calls).await;
            target.call(plan, sound, false).await
        });
    }
    let mut report = LoadReport {
        calls,
        seconds,
        taken: 0,
        kept: 0,
        heard: 0,
        frames_sent: 0,
        messages: 0,
        audio_seconds: 0.0,
        first_word: Percentiles::default(),
        most_ahead_ms: 0,
        stutters: 0,
        lateness_ms: 0,
        errors: BTreeMap::new(),
    };
    let mut first_word = Histogram::default();
    while let Some(ended) = going.join_next().await {
        match ended {
            Ok(Ok(record)) => report.add(&record, &mut first_word),
            Ok(Err(why)) => *report.errors.entry(why).or_default() += 1,
            Err(error) => *report.errors.entry(error.to_string()).or_default() += 1,
        }
    }
    report.first_word = first_word.percentiles();
    report
}

impl LoadReport {
    fn add(&mut self, record: &Record, first_word: &mut Histogram) {
        self.taken += 1;
        match &record.end {
            Some((_, end)) if record.stopped.is_none() => {
                *self.errors.entry(format!("ended before its time: {end:?}")).or_default() += 1;
            }
            Some((_, End::Cut(_) | End::Broken(_) | End::Stuck)) => {
                *self.errors.entry("cut off at its end".to_owned()).or_default() += 1;
            }
            _ => self.kept += 1,
        }
        if let Some(heard) = record.first_heard {
            self.heard += 1;
            first_word.record(heard.saturating_sub(record.began));
        }
        self.frames_sent += record.frames_sent;
        self.messages += record.messages;
        self.audio_seconds += record.rate.duration(record.media_bytes).as_secs_f64();
        self.most_ahead_ms = self.most_ahead_ms.max(record.most_ahead.as_millis() as u64);
        self.stutters += record.stutters;
        self.lateness_ms = self.lateness_ms.max(record.lateness.as_millis() as u64);
    }
}
