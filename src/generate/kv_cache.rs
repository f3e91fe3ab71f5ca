//! Keys and values of the positions that a batch has seen.

use super::decoder::CacheNames;
use crate::manifest::DecoderSpec;
use crate::runtime::{Binding, HostTensor, RuntimeError};

/// Capacities are multiples of it, or the package's `max_context`.
///
/// Attention goes over every slot, filled or not, so a cache is as long as its texts want it. How much longer makes no difference to the last bit:
/// hidden slots have weight 0, and sums over a row go in groups that divide 64 (8 to 64 floats in ONNX Runtime's vector kernels).
const BLOCK: usize = 64;

/// The KV cache of a batch: per layer one tensor of keys and one of values, each f32
/// `[rows, key_value_heads, capacity, head_dim]` in one piece of memory that the graph reads and writes in place.
///
/// Slot and position are the same thing. Slots from a row's length on hold finite leftovers that the graph's mask hides. The
/// capacity grows with the texts.
#[derive(Debug)]
pub struct KvCache {
    pub(super) layers: Vec<LayerCache>,
    rows: usize,
    heads: usize,
    capacity: usize,
    /// Positions that there is memory for.
    reserved: usize,
    /// True if no row holds a position that is still wanted, so that the capacity may shrink.
    is_cleared: bool,
    head_dim: usize,
}

/// The cache of one layer.
#[derive(Debug)]
pub(super) struct LayerCache {
    pub(super) keys: HostTensor<f32>,
    pub(super) values: HostTensor<f32>,
}

impl KvCache {
    /// A cache for `rows` sequences, without a position yet.
    ///
    /// # Errors
    /// [`RuntimeError::Memory`].
    pub(super) fn new(graph: &str, spec: &DecoderSpec, rows: usize) -> Result<Self, RuntimeError> {
        let (heads, head_dim) = (spec.key_value_heads, spec.head_dim);
        let layer = |_| LayerCache::zeros(graph, &[rows, heads, 0, head_dim]);
        let layers = (0..spec.layers).map(layer).collect::<Result<_, RuntimeError>>()?;
        Ok(Self { layers, rows, heads, capacity: 0, reserved: 0, is_cleared: true, head_dim })
    }

    /// Makes room for `positions` positions, of `most` at most; what the rows hold stays. Returns whether the tensors or their shape
    /// changed.
    ///
    /// # Errors
    /// [`RuntimeError::Memory`].
    pub(super) fn reserve(
        &mut self,
        graph: &str,
        positions: usize,
        most: usize,
    ) -> Result<bool, RuntimeError> {
        let capacity = capacity_for(positions, most);
        let is_cleared = std::mem::take(&mut self.is_cleared);
        if capacity == self.capacity || (capacity < self.capacity && !is_cleared) {
            return Ok(false);
        }
        if capacity <= self.reserved && is_cleared {
            self.capacity = capacity;
        } else if capacity <= self.reserved {
            let (from, to) = (self.head(), capacity * self.head_dim);
            let heads = self.rows * self.heads;
            // From the back, so that nothing is overwritten that is still to be moved.
            self.each_tensor(|values| {
                for head in (0..heads).rev() {
                    values.copy_within(head * from..(head + 1) * from, head * to);
                }
            });
            self.capacity = capacity;
        } else {
            let shape = [self.rows, self.heads, capacity, self.head_dim];
            let lengths = vec![if is_cleared { 0 } else { self.capacity }; self.rows];
            let rows: Vec<usize> = (0..self.rows).collect();
            let layers = self.layers.iter().map(|_| LayerCache::zeros(graph, &shape));
            let layers = layers.collect::<Result<_, RuntimeError>>()?;
            let grown = Self { layers, capacity, reserved: capacity, ..*self };
            let old = std::mem::replace(self, grown);
            self.copy_rows(&old, &rows, &lengths);
        }
        Ok(true)
    }

    /// Forgets all positions; the memory stays.
    pub(super) fn clear(&mut self) {
        self.is_cleared = true;
    }

    /// Number of sequences.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Positions per sequence that there are slots for now.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Binds the first `rows` sequences, to be read and written in place.
    pub(super) fn bind(
        &mut self,
        binding: &mut Binding,
        names: &CacheNames,
        rows: usize,
    ) -> Result<(), RuntimeError> {
        let shape = [rows, self.heads, self.capacity, self.head_dim];
        for (index, layer) in self.layers.iter_mut().enumerate() {
            binding.bind_input_part(&names.past_key[index], &mut layer.keys, &shape)?;
            binding.bind_input_part(&names.past_value[index], &mut layer.values, &shape)?;
            binding.bind_output_part(&names.present_key[index], &mut layer.keys, &shape)?;
            binding.bind_output_part(&names.present_value[index], &mut layer.values, &shape)?;
        }
        Ok(())
    }

    /// Memory of all layers, bytes.
    pub fn bytes(&self) -> usize {
        self.rows * row_bytes(self.layers.len(), self.heads, self.head_dim, self.reserved)
    }

    /// Copies the first `lengths[target]` positions of row `sources[target]` of another cache of the same model into each
    /// row `target`.
    pub(super) fn copy_rows(&mut self, source: &Self, sources: &[usize], lengths: &[usize]) {
        let (head, other_head) = (self.head(), source.head());
        for (own, other) in self.layers.iter_mut().zip(&source.layers) {
            for (own, other) in [(&mut own.keys, &other.keys), (&mut own.values, &other.values)] {
                let (own, other) = (own.values_mut(), other.values());
                for (target, (&from, &length)) in sources.iter().zip(lengths).enumerate() {
                    for index in 0..self.heads {
                        let filled = length * self.head_dim;
                        let to = (target * self.heads + index) * head;
                        let from = (from * self.heads + index) * other_head;
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

impl LayerCache {
    fn zeros(graph: &str, shape: &[usize]) -> Result<Self, RuntimeError> {
        Ok(Self { keys: HostTensor::zeros(graph, shape)?, values: HostTensor::zeros(graph, shape)? })
    }
}

/// Memory of one row of a cache, bytes.
pub fn row_bytes(layers: usize, heads: usize, head_dim: usize, capacity: usize) -> usize {
    2 * layers * heads * head_dim * capacity * size_of::<f32>()
}

/// The capacity of a cache whose rows get `positions` positions, where `most` is the longest that there may be.
pub fn capacity_for(positions: usize, most: usize) -> usize {
    positions.next_multiple_of(BLOCK).min(most)
}
