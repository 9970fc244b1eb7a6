//! The caller's own audio, back at him: whoever sets up a flow hears whether it works, without a server anywhere. `*`
//! interrupts it, `#` ends it.

use std::{
    collections::VecDeque,
    mem,
    task::{Context, Poll},
};

use super::{Backend, Form, Heard, Says, Wants};

#[derive(Default)]
pub(super) struct Echo {
    audio: Vec<u8>,
    says: VecDeque<Says>,
}

impl Backend for Echo {
    fn form(&self) -> Form {
        Form::Audio
    }

    fn waits_for_brief(&self) -> bool {
        false
    }

    fn takes(&self) -> bool {
        true
    }

    fn hear(&mut self, heard: Heard<'_>) {
        match heard {
            Heard::Audio(pcm) => self.audio.extend_from_slice(pcm),
            Heard::Dtmf(key) => match key.digit.as_str() {
                "*" => {
                    self.audio.clear();
                    self.says.push_back(Says::Clear);
                }
                "#" => self.says.extend([Says::Audio(mem::take(&mut self.audio)), Says::Done]),
                _ => {}
            },
            Heard::Mark(_) | Heard::Cleared { .. } | Heard::Answered(_) => {}
        }
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<Wants> {
        if let Some(says) = self.says.pop_front() {
            return Poll::Ready(says.into());
        }
        match self.audio.is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(Says::Audio(mem::take(&mut self.audio)).into()),
        }
    }
}
