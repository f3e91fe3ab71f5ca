//! Keys and values of the positions that a batch has seen.

use rayon::prelude::*;

use crate::manifest::DecoderSpec;
use crate::runtime::{HostTensor, RuntimeError};

/// Positions by which a capacity grows. Attention looks at all of a row's slots, filled or not, so they should be few; but every
/// growth moves the whole cache.
///
/// On a processor results do not depend on the capacity as long as it is a multiple of 16, to the last bit: ONNX Runtime's float kernels
/// sum the slots in order, up to 16 side by side, and a hidden slot adds an exact zero.
const BLOCK: usize = 32;

/// The KV cache of a batch: per layer one tensor of keys and one of values, each f32
/// `[rows, key_value_heads, capacity, head_dim]` in one piece of memory that the graph reads and writes in place.
///
/// The capacity follows what the rows need. Slot and position are the same thing. Slots from a row's length on hold finite
/// leftovers that the graph's mask hides.
#[derive(Debug)]
pub struct KvCache {
    pub(super) layers: Vec<LayerCache>,
    graph: String,
    rows: usize,
    heads: usize,
    capacity: usize,
    longest: usize,
    head_dim: usize,
    version: u64,
}

/// The cache of one layer.
#[derive(Debug)]
pub(super) struct LayerCache {
    pub(super) keys: HostTensor<f32>,
    pub(super) values: HostTensor<f32>,
}

impl KvCache {
    /// An empty cache for `rows` sequences of up to `longest` positions; the capacity is the smallest there is.
    ///
    /// # Errors
    /// [`RuntimeError::Memory`].
    pub(super) fn new(
        graph: &str,
        spec: &DecoderSpec,
        rows: usize,
        longest: usize,
    ) -> Result<Self, RuntimeError> {
        let capacity = BLOCK;
        let shape = [rows, spec.key_value_heads, capacity, spec.head_dim];
        let layers = (0..spec.layers)
            .map(|_| {
                Ok(LayerCache {
                    keys: HostTensor::zeros(graph, &shape)?,
                    values: HostTensor::zeros(graph, &shape)?,
                })
            })
            .collect::<Result<_, RuntimeError>>()?;
        Ok(Self {
            layers,
            graph: graph.to_owned(),
            rows,
            heads: spec.key_value_heads,
            capacity,
            longest,
            head_dim: spec.head_dim,
            version: 1,
        })
    }

    /// Forgets everything: the capacity is the smallest again. The memory is kept.
    pub(super) fn clear(&mut self) {
        self.capacity = BLOCK;
        self.version += 1;
    }

    /// Grows the capacity to at least `positions`, if it is smaller. The first `filled` positions of each row stay what they are.
    ///
    /// # Errors
    /// [`RuntimeError::Memory`].
    ///
    /// # Panics
    /// If a sequence cannot be that long.
    pub(super) fn reserve(&mut self, positions: usize, filled: usize) -> Result<(), RuntimeError> {
        assert!(positions <= self.longest, "lengths were checked");
        if positions <= self.capacity {
            return Ok(());
        }
        let capacity = capacity_for(positions);
        self.version += 1;
        let shape = [self.rows, self.heads, capacity, self.head_dim];
        let (old, new, kept) = (self.head(), capacity * self.head_dim, filled * self.head_dim);
        for layer in &mut self.layers {
            for tensor in [&mut layer.keys, &mut layer.values] {
                if tensor.values().len() < shape.iter().product() {
                    let mut larger = HostTensor::zeros(&self.graph, &shape)?;
                    for (to, from) in
                        larger.values_mut().chunks_exact_mut(new).zip(tensor.values().chunks_exact(old))
                    {
                        to[..kept].copy_from_slice(&from[..kept]);
                    }
                    *tensor = larger;
                } else {
                    // From the last head to the first, since each moves towards the end.
                    for index in (1..self.rows * self.heads).rev() {
                        tensor.values_mut().copy_within(index * old..index * old + kept, index * new);
                    }
                }
            }
        }
        self.capacity = capacity;
        Ok(())
    }

    /// Another one, never 0, whenever the capacity has changed or the tensors are others: then they have to be bound anew.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Number of sequences.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Positions per sequence that there is room for now.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Positions per sequence at most.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Shape of a layer's keys or values of the first `rows` sequences.
    pub(super) fn shape(&self, rows: usize) -> [usize; 4] {
        [rows, self.heads, self.capacity, self.head_dim]
    }

    /// Memory of all layers, bytes.
    pub fn bytes(&self) -> usize {
        let values = self.layers.iter().map(|layer| layer.keys.values().len() + layer.values.values().len());
        values.sum::<usize>() * size_of::<f32>()
    }

    /// Copies the first `lengths[target]` positions of row `sources[target]` of another cache of the same model into each
    /// row `target`.
    pub(super) fn copy_rows(&mut self, source: &Self, sources: &[usize], lengths: &[usize]) {
        let (head, source_head) = (self.head(), source.head());
        let (heads, head_dim) = (self.heads, self.head_dim);
        self.layers.par_iter_mut().zip(&source.layers).for_each(|(own, other)| {
            for (own, other) in [(&mut own.keys, &other.keys), (&mut own.values, &other.values)] {
                let (own, other) = (own.values_mut(), other.values());
                for (target, (&from, &length)) in sources.iter().zip(lengths).enumerate() {
                    for index in 0..heads {
                        let filled = length * head_dim;
                        let to = (target * heads + index) * head;
                        let from = (from * heads + index) * source_head;
                        own[to..to + filled].copy_from_slice(&other[from..from + filled]);
                    }
                }
            }
        });
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

/// Memory of one row of a cache of this capacity, bytes.
pub fn row_bytes(layers: usize, heads: usize, head_dim: usize, capacity: usize) -> usize {
    2 * layers * heads * head_dim * capacity * size_of::<f32>()
}

/// The capacity of a cache whose rows hold `positions` positions.
pub fn capacity_for(positions: usize) -> usize {
    positions.next_multiple_of(BLOCK)
}
