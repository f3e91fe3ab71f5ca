"""Random decoders: seeded, distinct weights, made layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rsmoe_export.decoder.config import DecoderConfig
from rsmoe_export.decoder.weights import LayerWeights, LowRankSet


def normal(seed: tuple[int, ...], shape: tuple[int, ...], deviation: float) -> np.ndarray:
    """float32 normal numbers. RandomState's stream is frozen by numpy's policy, so files made from it do not change."""
    values = np.random.RandomState(seed).standard_normal(shape)
    # In place: a large table takes gigabytes here.
    values *= deviation
    return values.astype(np.float32)


def projection_shapes(config: DecoderConfig) -> dict[str, tuple[int, int]]:
    """`[out, in]` of every linear layer."""
    hidden, inner = config.hidden, config.intermediate
    query, kv = config.query_width, config.key_value_width
    return {
        "q": (query, hidden),
        "k": (kv, hidden),
        "v": (kv, hidden),
        "o": (hidden, query),
        "gate": (inner, hidden),
        "up": (inner, hidden),
        "down": (hidden, inner),
    }


@dataclass(frozen=True)
class RandomDecoder:
    """A decoder of normal weights with deviation `gain / sqrt(inputs)`; q/k/v biases if asked for."""

    config: DecoderConfig
    seed: int
    gain: float = 1.0
    biases: bool = False

    def embedding(self) -> np.ndarray:
        """Unit-variance token embeddings."""
        return normal((self.seed, 1), (self.config.vocabulary, self.config.hidden), 1.0)

    def head(self) -> np.ndarray:
        """A head of its own (untied), logits of about unit variance."""
        config = self.config
        return normal((self.seed, 2), (config.vocabulary, config.hidden), config.hidden**-0.5)

    def final_norm(self) -> np.ndarray:
        """Scales near one."""
        return 1 + normal((self.seed, 3), (self.config.hidden,), 0.1)

    def layer(self, index: int) -> LayerWeights:
        """Weights of one layer."""
        config = self.config
        shapes = projection_shapes(config)
        projections = {
            name: normal((self.seed, 10 + index, number), shape, self.gain * shape[1] ** -0.5)
            for number, (name, shape) in enumerate(shapes.items())
        }
        biases = {}
        if self.biases:
            biases = {
                name: normal((self.seed, 10 + index, 20 + number), (shapes[name][0],), 0.3)
                for number, name in enumerate(("q", "k", "v"))
            }
        norms = [1 + normal((self.seed, 10 + index, 30 + number), (config.hidden,), 0.1) for number in (0, 1)]
        return LayerWeights(norms[0], norms[1], projections, biases)


def random_low_rank(config: DecoderConfig, seed: int, rank: int, gain: float) -> LowRankSet:
    """Pairs for all linear layers; the product's output has about `gain` times the deviation of its input."""
    pairs = {}
    for layer in range(config.layers):
        for number, (name, (out, inputs)) in enumerate(projection_shapes(config).items()):
            a = normal((seed, layer, number, 0), (inputs, rank), inputs**-0.5)
            b = normal((seed, layer, number, 1), (rank, out), gain * rank**-0.5)
            pairs[layer, name] = (a, b)
    return LowRankSet(pairs)
