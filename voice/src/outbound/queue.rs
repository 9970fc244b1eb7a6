//! Bytes that wait, in one piece, so that a frame of any size is a slice of them and nothing is copied on the way out.

/// What a queue keeps when it is empty: more than a call that waits needs, and no more than many calls can have.
const KEPT_BYTES: usize = 16 * 1024;

#[derive(Debug, Clone, Default)]
pub(crate) struct Queue {
    bytes: Vec<u8>,
    /// Of those, already taken.
    head: usize,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.head
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.tidy();
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds silence.
    pub(crate) fn pad(&mut self, bytes: usize) {
        self.bytes.resize(self.bytes.len() + bytes, 0);
    }

    pub(crate) fn last_mut(&mut self) -> Option<&mut u8> {
        if self.len() == 0 { None } else { self.bytes.last_mut() }
    }

    /// The oldest bytes: all there are, if there are fewer.
    pub(crate) fn take(&mut self, bytes: usize) -> &[u8] {
        let from = self.head;
        self.head = (from + bytes).min(self.bytes.len());
        &self.bytes[from..self.head]
    }

    pub(crate) fn skip(&mut self, bytes: usize) {
        self.take(bytes);
    }

    /// Keeps the oldest bytes, so many.
    pub(crate) fn cut(&mut self, bytes: usize) {
        self.bytes.truncate(self.head + bytes);
    }

    pub(crate) fn clear(&mut self) {
        self.head = self.bytes.len();
        self.tidy();
    }

    /// Gives back what was taken: what is moved is never more than what was taken since it was moved last.
    pub(crate) fn tidy(&mut self) {
        if self.len() == 0 {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES);
            self.head = 0;
        } else if self.head >= self.len() {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back() {
        let mut queue = Queue::default();
        for round in 0..50u8 {
            queue.push(&[round; 100_000]);
            while queue.len() > 0 {
                assert!(queue.take(1600).iter().all(|byte| *byte == round));
            }
            queue.tidy();
            assert!(queue.bytes.capacity() <= KEPT_BYTES);
        }
        // Never empty, and never more than twice what is in it.
        queue.push(&[1; 1000]);
        for _ in 0..1000 {
            queue.push(&[2; 320]);
            queue.skip(320);
        }
        assert!(queue.bytes.len() <= 2 * 1000 + 320, "{}", queue.bytes.len());
    }
}
