//! Keys and values of the positions that a batch has seen.

use crate::manifest::DecoderSpec;
use crate::runtime::{HostTensor, RuntimeError};

/// The KV cache of a batch: per layer one tensor of keys and one of values, each f32
/// `[rows, key_value_heads, capacity, head_dim]` in one piece of memory that the graph reads and writes in place.
///
/// Slot and position are the same thing. Slots from a row's length on hold finite leftovers that the graph's mask hides.
#[derive(Debug)]
pub struct KvCache {
    pub(super) layers: Vec<LayerCache>,
    rows: usize,
    heads: usize,
    capacity: usize,
    head_dim: usize,
}

/// The cache of one layer.
#[derive(Debug)]
pub(super) struct LayerCache {
    pub(super) keys: HostTensor<f32>,
    pub(super) values: HostTensor<f32>,
}

impl KvCache {
    /// An empty cache for `rows` sequences of up to `capacity` positions.
    ///
    /// # Errors
    /// [`RuntimeError::Memory`].
    pub(super) fn new(
        graph: &str,
        spec: &DecoderSpec,
        rows: usize,
        capacity: usize,
    ) -> Result<Self, RuntimeError> {
        let shape = [rows, spec.key_value_heads, capacity, spec.head_dim];
        let layers = (0..spec.layers)
            .map(|_| {
                Ok(LayerCache {
                    keys: HostTensor::zeros(graph, &shape)?,
                    values: HostTensor::zeros(graph, &shape)?,
                })
            })
            .collect::<Result<_, RuntimeError>>()?;
        Ok(Self { layers, rows, heads: spec.key_value_heads, capacity, head_dim: spec.head_dim })
    }

    /// Number of sequences.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Positions per sequence.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Shape of a layer's keys or values of the first `rows` sequences.
    pub(super) fn shape(&self, rows: usize) -> [usize; 4] {
        [rows, self.heads, self.capacity, self.head_dim]
    }

    /// Memory of all layers, bytes.
    pub fn bytes(&self) -> usize {
        self.rows * row_bytes(self.layers.len(), self.heads, self.head_dim, self.capacity)
    }

    /// Copies the first `lengths[target]` positions of row `sources[target]` of another cache of the same model into each
    /// row `target`.
    pub(super) fn copy_rows(&mut self, source: &Self, sources: &[usize], lengths: &[usize]) {
        let head = self.head();
        for (own, other) in self.layers.iter_mut().zip(&source.layers) {
            for (own, other) in [(&mut own.keys, &other.keys), (&mut own.values, &other.values)] {
                let (own, other) = (own.values_mut(), other.values());
                for (target, (&from, &length)) in sources.iter().zip(lengths).enumerate() {
                    for index in 0..self.heads {
                        let filled = length * self.head_dim;
                        let to = (target * self.heads + index) * head;
                        let from = (from * self.heads + index) * head;
                        own[to..to + filled].copy_from_slice(&other[from..from + filled]);
                    }
                }
            }
        }
    }

    /// Lets row `to` continue where row `from` is: copies the first `length` positions.
    pub(super) fn move_row(&mut self, from: usize, to: usize, length: usize) {
        let (row, filled) = (self.heads * self.head(), length * self.head_dim);
        let head = self.head();
        self.each_tensor(|values| {
            for index in (0..row).step_by(head) {
                let source = from * row + index;
                values.copy_within(source..source + filled, to * row + index);
            }
        });
    }

    /// Exchanges the first `length` positions of two rows.
    pub(super) fn exchange_rows(&mut self, one: usize, other: usize, length: usize) {
        let (row, filled) = (self.heads * self.head(), length * self.head_dim);
        let head = self.head();
        let (first, last) = (one.min(other), one.max(other));
        self.each_tensor(|values| {
            let (before, after) = values.split_at_mut(last * row);
            for index in (0..row).step_by(head) {
                let source = first * row + index;
                before[source..source + filled].swap_with_slice(&mut after[index..index + filled]);
            }
        });
    }

    /// Values of one head of one row.
    fn head(&self) -> usize {
        self.capacity * self.head_dim
    }

    fn each_tensor(&mut self, mut change: impl FnMut(&mut [f32])) {
        for layer in &mut self.layers {
            change(layer.keys.values_mut());
            change(layer.values.values_mut());
        }
    }
}

/// Memory of one row of a cache, bytes.
pub fn row_bytes(layers: usize, heads: usize, head_dim: usize, capacity: usize) -> usize {
    2 * layers * heads * head_dim * capacity * size_of::<f32>()
}
