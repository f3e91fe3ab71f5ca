//! Rows whose texts are finished leave the batch: those that still write move together to the front.

use super::DecodeBatch;

/// What becomes of a batch's rows when their texts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Afterwards {
    /// Each row is left as it was before its text, to be continued in another way.
    #[default]
    Kept,
    /// Nobody needs the rows any more; saves the copies that keep them.
    Spent,
}

/// Rows are compacted as soon as one in so many has finished: moving one costs about as much as one step with it.
const FINISHED_SHARE: usize = 8;

/// Which row stands in which slot of the cache, and which slots a step runs.
#[derive(Debug)]
pub(super) struct Slots {
    rows: Vec<usize>,
    /// Slots from here on are left out of steps.
    active: usize,
    afterwards: Afterwards,
}

impl Slots {
    /// Every row in its own place.
    pub(super) fn new(rows: usize, afterwards: Afterwards) -> Self {
        Self { rows: (0..rows).collect(), active: rows, afterwards }
    }

    /// The rows that a step runs, by slot.
    pub(super) fn rows(&self) -> &[usize] {
        &self.rows[..self.active]
    }

    /// Takes finished rows out of the steps, if there are enough for it to pay. Finished rows must have been rewound.
    pub(super) fn compact(&mut self, batch: &mut DecodeBatch, is_running: impl Fn(usize) -> bool) {
        let live = self.rows().iter().filter(|&&row| is_running(row)).count();
        if (self.active - live) * FINISHED_SHARE < self.active {
            return;
        }
        let mut last = self.active;
        for slot in 0..live {
            if is_running(self.rows[slot]) {
                continue;
            }
            // There are as many rows that write behind `live` as finished ones before it.
            let Some(other) = (live..last).rev().find(|&other| is_running(self.rows[other])) else { break };
            last = other;
            let lengths = [last, slot].map(|slot| batch.lengths[self.rows[slot]]);
            match self.afterwards {
                Afterwards::Kept => batch.cache.exchange_rows(last, slot, lengths[0].max(lengths[1])),
                Afterwards::Spent => batch.cache.move_row(last, slot, lengths[0]),
            }
            self.rows.swap(slot, last);
        }
        self.active = live;
    }

    /// Puts every row back into its own place, if rows are kept. All must have been rewound.
    pub(super) fn restore(mut self, batch: &mut DecodeBatch) {
        if self.afterwards == Afterwards::Spent {
            return;
        }
        for slot in 0..self.rows.len() {
            while self.rows[slot] != slot {
                let home = self.rows[slot];
                let length = batch.lengths[home].max(batch.lengths[self.rows[home]]);
                batch.cache.exchange_rows(slot, home, length);
                self.rows.swap(slot, home);
            }
        }
    }
}
