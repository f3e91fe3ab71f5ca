"""Vision tower and connectors in float64 numpy, with the roundings of what runs in int8."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from rsmoe_export.connector.projection import ProjectionSpec
from rsmoe_export.connector.qformer import QFormerSpec
from rsmoe_export.quantize import int8_columns
from rsmoe_export.reference.decoder import quantize_rows
from rsmoe_export.vision.efficientnet import TowerSpec, fold_batch_norm
from rsmoe_export.vision.familiarity import Familiarity
from rsmoe_export.vision.int8 import Grid, Int8Kernel, Int8Tower
from rsmoe_export.vision.vit import VitSpec

_erf = np.vectorize(math.erf, otypes=[np.float64])


def gelu(x: np.ndarray) -> np.ndarray:
    """The exact GELU."""
    return x * 0.5 * (1 + _erf(x / math.sqrt(2)))


def layer_norm(x: np.ndarray, scale: np.ndarray, shift: np.ndarray, epsilon: float) -> np.ndarray:
    """Layer norm over the last axis."""
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + epsilon) * scale + shift


def convolve(x: np.ndarray, kernel: np.ndarray, stride: int, padded_for: tuple[int, int]) -> np.ndarray:
    """Convolution with "same" padding, without bias: x `[in, height, width]`, kernel `[out, in / groups, k, k]`
    (groups 1 or in).
    """
    size = kernel.shape[-1]
    pads = []
    for extent in padded_for:
        total = max((math.ceil(extent / stride) - 1) * stride + size - extent, 0)
        pads.append((total // 2, total - total // 2))
    x = np.pad(x, ((0, 0), *pads))
    patches = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    if kernel.shape[1] == 1 and kernel.shape[0] == x.shape[0]:
        return np.einsum("chwij,cij->chw", patches, kernel[:, 0])
    return np.einsum("chwij,ocij->ohw", patches, kernel, optimize=True)


def tower(
    spec: TowerSpec,
    weights: Mapping[str, np.ndarray],
    pixels: np.ndarray,
    int8: Int8Tower | None = None,
    observe: Callable[[str, np.ndarray], None] = lambda name, values: None,
) -> np.ndarray:
    """features float64 `[rows, cols, head]` of one image `[3, height, width]`.

    Batch norms are applied, not folded, but where weights are rounded to int8. `observe` is told every activation
    `[channels, rows, cols]` by its name: `stem`; of each block `b0.expand`, `b0.depthwise`, `b0.project` (if a sum
    follows) and its result `b0`; `head`.
    """
    grid: Grid | None = None  # of the present activation, once the rest is int8

    def settle(y: np.ndarray, activation: str) -> np.ndarray:
        nonlocal grid
        observe(activation, y)
        if grid is not None:
            grid = int8.grid(activation)
            y = round_to(grid, y)
        return y

    def step(
        x: np.ndarray, activation: str, conv: str, norm: str, stride: int, size: tuple[int, int], relu: bool = True
    ) -> np.ndarray:
        if grid is not None:
            rounded = Int8Kernel.rounded(*fold_batch_norm(weights, conv, norm), grid)
            kernel = rounded.values * rounded.scale.astype(np.float64)[:, None, None, None]
            bias = rounded.bias * rounded.bias_scale.astype(np.float64)
            y = convolve(x, kernel, stride, size) + bias[:, None, None]
        else:
            y = convolve(x, weights[f"{conv}.weight"].astype(np.float64), stride, size)
            part = {
                name: weights[f"{norm}.{name}"].astype(np.float64)[:, None, None]
                for name in ("weight", "bias", "running_mean", "running_var")
            }
            y = (y - part["running_mean"]) / np.sqrt(part["running_var"] + 1e-3) * part["weight"] + part["bias"]
        return settle(np.clip(y, 0, 6) if relu else y, activation)

    def shrink(size: tuple[int, int], stride: int) -> tuple[int, int]:
        return -(-size[0] // stride), -(-size[1] // stride)

    size, last = spec.padded_for or (spec.height, spec.width), "stem"
    x = step(pixels.astype(np.float64), last, "_conv_stem", "_bn0", 2, size)
    size = shrink(size, 2)
    for index, block in enumerate(spec.blocks):
        if int8 is not None and index == int8.float_blocks:
            grid = int8.grid(last)
            x = round_to(grid, x)
        skip, name, last = x, f"_blocks.{index}", f"b{index}"
        if block.expand != 1:
            x = step(x, f"{last}.expand", f"{name}._expand_conv", f"{name}._bn0", 1, size)
        x = step(x, f"{last}.depthwise", f"{name}._depthwise_conv", f"{name}._bn1", block.stride, size)
        size = shrink(size, block.stride)
        projected = f"{last}.project" if block.has_skip else last
        x = step(x, projected, f"{name}._project_conv", f"{name}._bn2", 1, size, relu=False)
        if block.has_skip:
            x = settle(x + skip, last)
    return step(x, "head", "_conv_head", "_bn1", 1, size).transpose(1, 2, 0)


def round_to(grid: Grid, x: np.ndarray) -> np.ndarray:
    """x at the nearest of the grid's values."""
    steps = np.clip(np.rint(x / np.float64(grid.scale)), -grid.zero_point, 255 - grid.zero_point)
    return steps * np.float64(grid.scale)


def vit(spec: VitSpec, weights: Mapping[str, np.ndarray], pixels: np.ndarray, variant: str = "fp32") -> np.ndarray:
    """features float64 `[tokens, width]` of one image `[3, side, side]`; variant fp32 or w8a8."""

    def part(name: str) -> np.ndarray:
        return weights[name].astype(np.float64)

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        weight = weights[f"{name}.weight"]
        if variant == "w8a8":
            x, weight = quantize_rows(x), int8_columns(weight).dequantize()
        return x @ weight.astype(np.float64).T + part(f"{name}.bias")

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        return layer_norm(x, part(f"{name}.weight"), part(f"{name}.bias"), spec.epsilon)

    def attend(x: np.ndarray, name: str) -> np.ndarray:
        size = spec.width // spec.heads
        query, key, value = np.split(linear(x, f"{name}.qkv"), 3, axis=1)
        out = np.empty_like(query)
        for head in range(spec.heads):
            span = slice(head * size, (head + 1) * size)
            scores = query[:, span] @ key[:, span].T / math.sqrt(size)
            scores = np.exp(scores - scores.max(axis=1, keepdims=True))
            out[:, span] = scores / scores.sum(axis=1, keepdims=True) @ value[:, span]
        return linear(out, f"{name}.projection")

    cells = spec.side // spec.patch
    patches = pixels.astype(np.float64).reshape(3, cells, spec.patch, cells, spec.patch)
    patches = patches.transpose(1, 3, 0, 2, 4).reshape(cells * cells, -1)
    kernel = part("embeddings.patch_embedding.weight").reshape(spec.width, -1)
    x = np.concatenate(
        [part("embeddings.class_embedding")[0], patches @ kernel.T + part("embeddings.patch_embedding.bias")]
    )
    x = x + part("embeddings.position_embedding")[0]
    for index in range(spec.layers):
        layer = f"encoder.layers.{index}"
        x = x + attend(norm(x, f"{layer}.layer_norm1"), f"{layer}.self_attn")
        inner = gelu(linear(norm(x, f"{layer}.layer_norm2"), f"{layer}.mlp.fc1"))
        x = x + linear(inner, f"{layer}.mlp.fc2")
    return norm(x, "post_layernorm")


def projection(spec: ProjectionSpec, weights: Mapping[str, np.ndarray], features: np.ndarray) -> np.ndarray:
    """image embeddings float64 `[image_tokens, hidden]` of features `[rows, cols, channels]`."""
    part = {name: tensor.astype(np.float64) for name, tensor in weights.items()}
    down, across = spec.blocks
    grid = np.zeros((2 * down, 2 * across, spec.channels))
    grid[: spec.rows, : spec.cols] = features
    merged = np.stack(
        [
            np.concatenate([grid[2 * r + i, 2 * c + j] for i in (0, 1) for j in (0, 1)])
            for r in range(down)
            for c in range(across)
        ]
    )
    x = layer_norm(merged, part["norm.weight"], part["norm.bias"], 1e-5)
    x = gelu(x @ part["fc1.weight"].T + part["fc1.bias"])
    x = x @ part["fc2.weight"].T + part["fc2.bias"] + part["position"]
    return np.concatenate([x, concept_tokens(part, features)]) if spec.concepts else x


def concept_tokens(part: Mapping[str, np.ndarray], features: np.ndarray) -> np.ndarray:
    """Class token and word token, float64 `[2, hidden]`, of features `[rows, cols, channels]`."""
    pooled = features.astype(np.float64).mean(axis=(0, 1))
    classes = np.exp(part["classes.weight"] @ pooled + part["classes.bias"])
    words = 1 / (1 + np.exp(-(part["words.weight"] @ pooled + part["words.bias"])))
    tokens = (classes / classes.sum() @ part["class_table"], words @ part["word_table"])
    return np.stack(tokens) + part["concept_position"]


def familiarity(weights: Familiarity, features: np.ndarray, early: np.ndarray) -> float:
    """How familiar an image is, 0..1; features `[rows, cols, channels]`, early `[channels, rows, cols]`: the map that
    leaves block `weights.block`.
    """
    pooled = np.concatenate([features.astype(np.float64).mean(axis=(0, 1)), early.astype(np.float64).mean(axis=(1, 2))])
    z = (pooled - weights.mean) @ weights.projection.astype(np.float64)
    distance = min(np.sqrt(np.mean((z - centre) ** 2)) for centre in weights.centres)
    return float(1 / (1 + np.exp(weights.scale[1] * distance - weights.scale[0])))


def qformer(
    spec: QFormerSpec, weights: Mapping[str, np.ndarray], features: np.ndarray, ids: np.ndarray, mask: np.ndarray
) -> np.ndarray:
    """image embeddings float64 `[queries, hidden]` of features `[rows, cols, channels]`, ids and mask `[length]`."""
    part = {name: tensor.astype(np.float64) for name, tensor in weights.items()}

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ part[f"{name}.weight"].T + part[f"{name}.bias"]

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        return layer_norm(x, part[f"{name}.weight"], part[f"{name}.bias"], spec.epsilon)

    def attend(name: str, x: np.ndarray, states: np.ndarray, seen: np.ndarray) -> np.ndarray:
        size = spec.width // spec.heads
        query, key, value = (
            linear(s, f"{name}.attention.{n}") for n, s in (("query", x), ("key", states), ("value", states))
        )
        out = np.empty_like(query)
        for head in range(spec.heads):
            span = slice(head * size, (head + 1) * size)
            scores = query[:, span] @ key[seen][:, span].T / math.sqrt(size)
            scores = np.exp(scores - scores.max(axis=1, keepdims=True))
            out[:, span] = scores / scores.sum(axis=1, keepdims=True) @ value[seen][:, span]
        return norm(linear(out, f"{name}.output.dense") + x, f"{name}.output.LayerNorm")

    def feed_forward(layer: str, x: np.ndarray, suffix: str) -> np.ndarray:
        inner = gelu(linear(x, f"{layer}.intermediate{suffix}.dense"))
        return norm(linear(inner, f"{layer}.output{suffix}.dense") + x, f"{layer}.output{suffix}.LayerNorm")

    vision = features.reshape(-1, spec.channels).astype(np.float64)
    text = part["embeddings.word_embeddings.weight"][ids] + part["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(np.concatenate([part["query_tokens"][0], text]), "embeddings.layernorm")
    seen = np.concatenate([np.ones(spec.queries, bool), mask.astype(bool)])
    for index in range(spec.layers):
        layer = f"encoder.layer.{index}"
        x = attend(f"{layer}.attention", x, x, seen)
        queries = x[: spec.queries]
        if index % spec.cross_attention_frequency == 0:
            queries = attend(f"{layer}.crossattention", queries, vision, np.ones(len(vision), bool))
        x = np.concatenate([feed_forward(layer, queries, "_query"), feed_forward(layer, x[spec.queries :], "")])
    return linear(x[: spec.queries], "language_projection")
