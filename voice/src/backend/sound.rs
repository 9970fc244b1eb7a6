//! A call's audio as a service wants it, and back.

use crate::{
    Law, Rate,
    audio::{Resampler, g711},
};

/// What a service hears or says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    pub rate: Rate,
    pub law: Law,
}

impl Format {
    pub const fn pcm(rate: Rate) -> Self {
        Self { rate, law: Law::Linear }
    }
}

/// One direction. Where both sides agree nothing is done.
#[derive(Debug)]
pub struct Sound {
    law: Law,
    resampler: Resampler,
    resampled: Vec<u8>,
    coded: Vec<u8>,
    /// The first half of a sample whose other half comes with the next piece.
    half: Option<u8>,
}

impl Sound {
    /// From the call to a service: PCM16 at `from` in, `to` out of [`Sound::code`].
    pub fn to_service(from: Rate, to: Format) -> Self {
        Self::of(to.law, Resampler::new(from, to.rate))
    }

    /// From a service to the call: `from` in, PCM16 at `to` out of [`Sound::expand`].
    pub fn from_service(from: Format, to: Rate) -> Self {
        Self::of(from.law, Resampler::new(from.rate, to))
    }

    fn of(law: Law, resampler: Resampler) -> Self {
        Self { law, resampler, resampled: Vec::new(), coded: Vec::new(), half: None }
    }

    pub fn code<'a>(&'a mut self, pcm: &'a [u8]) -> &'a [u8] {
        let Self { law, resampler, resampled, coded, .. } = self;
        resampled.clear();
        let pcm = resampler.run(pcm, resampled);
        if *law == Law::Linear {
            return pcm;
        }
        coded.clear();
        g711::compress(*law, pcm, coded);
        coded
    }

    /// A piece of any size: services cut where they like.
    pub fn expand(&mut self, said: &[u8]) -> Vec<u8> {
        let Self { law, resampler, resampled, coded, half } = self;
        resampled.clear();
        coded.clear();
        if *law != Law::Linear {
            g711::expand(*law, said, coded);
        } else if half.is_none() && said.len().is_multiple_of(2) {
            return resampler.run(said, resampled).to_vec();
        } else {
            coded.extend(half.take());
            coded.extend_from_slice(said);
            if coded.len() % 2 == 1 {
                *half = coded.pop();
            }
        }
        resampler.run(coded, resampled).to_vec()
    }

    /// What was said is whole: half a sample says nothing, and must not shift what comes next.
    pub fn end(&mut self) {
        self.half = None;
    }

    /// What comes next does not go on where the last ended.
    pub fn reset(&mut self) {
        self.half = None;
        self.resampler.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_at_the_same_rate_is_the_same_but_for_the_law() {
        let pcm: Vec<u8> = [0i16, 1000, -1000, 32_000].iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let (rate, law) = (Rate::Hz8000, Law::Mu);
        for (format, far) in [(Format::pcm(rate), 0), (Format { rate, law }, 512)] {
            let coded = Sound::to_service(rate, format).code(&pcm).to_vec();
            assert_eq!(coded.len(), if far == 0 { 8 } else { 4 });
            let back = Sound::from_service(format, rate).expand(&coded);
            assert_eq!(back.len(), pcm.len());
            let mut pairs = crate::audio::samples(&pcm).zip(crate::audio::samples(&back));
            assert!(pairs.all(|(was, is)| (i32::from(was) - i32::from(is)).abs() <= far));
        }
    }

    #[test]
    fn samples_that_are_cut_in_two_are_whole() {
        let pcm: Vec<u8> = (0..=255).collect();
        let mut sound = Sound::from_service(Format::pcm(Rate::Hz8000), Rate::Hz8000);
        let parts = [&pcm[..7], &pcm[7..8], &pcm[8..8], &pcm[8..101], &pcm[101..]];
        let heard: Vec<Vec<u8>> = parts.into_iter().map(|part| sound.expand(part)).collect();
        assert!(heard.iter().all(|part| part.len() % 2 == 0));
        assert_eq!(heard.concat(), pcm);
        // One that stays half does not shift what comes next.
        assert_eq!(sound.expand(&pcm[..3]), pcm[..2]);
        sound.end();
        assert_eq!(sound.expand(&pcm), pcm);
    }
}
