//! Numbers in audio: every frame says which one it is, in a way that survives G.711 and resampling, so that whoever hears
//! it knows how long it was under way and whether one is missing.

use patchbay_voice::audio;

/// Of a frame of 20 ms: two that mark its beginning, then eight bits; after them it is silent.
const SLOTS: usize = 10;
const MARKED: usize = 2;
/// Of 8000 samples a second.
const SLOT_SAMPLES: usize = 12;
const MARK: i16 = 16_000;
const BIT: i16 = 7000;
/// What no bit reaches, whatever a filter does to it.
const THRESHOLD: i32 = 11_500;

const fn slot(hz: u32) -> usize {
    SLOT_SAMPLES * (hz / 8000) as usize
}

const fn period(hz: u32) -> usize {
    hz as usize / 50
}

/// 20 ms of PCM16 that say this number.
pub(crate) fn frame(number: u8, hz: u32) -> Vec<u8> {
    let mut samples = vec![MARK; MARKED * slot(hz)];
    for bit in 0..8 {
        let level = if number >> bit & 1 == 1 { BIT } else { -BIT };
        samples.extend(std::iter::repeat_n(level, slot(hz)));
    }
    samples.resize(period(hz), 0);
    let mut pcm = Vec::new();
    audio::write(&samples, &mut pcm);
    pcm
}

/// Hears the numbers of one stream.
pub(crate) struct Ear {
    slot: usize,
    period: usize,
    samples: Vec<i16>,
    /// Whether `samples` begin where a frame does, once `skip` of them are gone.
    found: bool,
    skip: usize,
    last: Option<u8>,
    pub(crate) missing: u64,
}

impl Ear {
    pub(crate) fn new(hz: u32) -> Self {
        let (slot, period) = (slot(hz), period(hz));
        Self { slot, period, samples: Vec::new(), found: false, skip: 0, last: None, missing: 0 }
    }

    /// A frame is heard with its last bit, not with the silence behind it: a filter's delay may put that into the next.
    pub(crate) fn hear(&mut self, pcm: &[u8], mut number: impl FnMut(u8)) {
        self.samples.extend(audio::samples(pcm));
        loop {
            let skipped = self.skip.min(self.samples.len());
            self.samples.drain(..skipped);
            self.skip -= skipped;
            if !self.found {
                let Some(at) = self.find() else { return };
                self.found = true;
                self.skip = at;
                continue;
            }
            if self.skip > 0 || self.samples.len() < SLOTS * self.slot {
                return;
            }
            if self.level(self.slot / 2, self.slot) < THRESHOLD {
                // Something was cut out in the middle of a frame.
                self.missing += 1;
                self.last = None;
                self.found = false;
                continue;
            }
            let level = |bit| self.level((MARKED + bit) * self.slot + self.slot / 4, self.slot / 2);
            let said = (0..8).fold(0u8, |number, bit| number | u8::from(level(bit) > 0) << bit);
            if let Some(last) = self.last {
                self.missing += u64::from(said.wrapping_sub(last.wrapping_add(1)));
            }
            self.last = Some(said);
            number(said);
            self.skip = self.period;
        }
    }

    fn level(&self, from: usize, samples: usize) -> i32 {
        self.samples[from..from + samples].iter().map(|sample| i32::from(*sample)).sum::<i32>() / samples as i32
    }

    /// Where a frame begins, looked for in the second of three periods.
    fn find(&self) -> Option<usize> {
        if self.samples.len() < 3 * self.period {
            return None;
        }
        let mark = MARKED * self.slot;
        (self.period..2 * self.period).max_by_key(|at| self.level(*at, mark))
    }
}
