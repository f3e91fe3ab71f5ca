"""Two image tokens that say what the whole image probably shows: its scene class, and the words that fit it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from rsmoe_export.graph import Graph

#: The class token, the word token.
CONCEPT_TOKENS = 2
#: Names of their tensors, see `tensor_shapes`.
TENSORS = (
    "classes.weight",
    "classes.bias",
    "class_table",
    "words.weight",
    "words.bias",
    "word_table",
    "concept_position",
)


def tensor_shapes(channels: int, hidden: int, classes: int, words: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor."""
    return {
        "classes.weight": (classes, channels),
        "classes.bias": (classes,),
        "class_table": (classes, hidden),
        "words.weight": (words, channels),
        "words.bias": (words,),
        "word_table": (words, hidden),
        "concept_position": (CONCEPT_TOKENS, hidden),
    }


def has_concepts(weights: Mapping[str, np.ndarray]) -> bool:
    """Whether a connector's tensors describe concept tokens.

    Raises:
        ValueError: only some of them are there.
    """
    missing = [name for name in TENSORS if name not in weights]
    if missing and len(missing) < len(TENSORS):
        raise ValueError(f"connector tensor {missing[0]!r} of the concept tokens is missing")
    return not missing


def emit_concepts(graph: Graph, features: str, hidden: int, tensor: Callable[..., np.ndarray], channels: int) -> str:
    """Concept tokens f32 `[batch, 2, hidden]` of features f32 `[batch, rows, cols, channels]`, the class token first.

    With pooled = mean of the features over the cells:
    class token = softmax(pooled @ classes.weight^T + classes.bias) @ class_table + concept_position[0];
    word token = sigmoid(pooled @ words.weight^T + words.bias) @ word_table + concept_position[1].
    `tensor(name, shape)` gives a weight, None in the shape meaning any length.
    """
    position = tensor("concept_position", (CONCEPT_TOKENS, hidden))
    tokens = []
    with graph.scope("concepts"):
        pooled = graph.node("ReduceMean", [features, graph.const([1, 2])], stem="pooled", keepdims=0)
        kinds = (("classes", "class_table", "Softmax", {"axis": -1}), ("words", "word_table", "Sigmoid", {}))
        for row, (name, table, squash, options) in enumerate(kinds):
            weight = tensor(f"{name}.weight", (None, channels))
            bias = graph.weight(f"{name}.bias", tensor(f"{name}.bias", weight.shape[:1]))
            logits = graph.node("Gemm", [pooled, graph.weight(f"{name}.w", weight), bias], stem=f"{name}.y", transB=1)
            shares = graph.node(squash, [logits], stem=f"{name}.shares", **options)
            values = graph.weight(table, tensor(table, (len(weight), hidden)))
            place = graph.weight(f"{name}.position", position[row])
            token = graph.node("Gemm", [shares, values, place], stem=f"{name}.token")
            tokens.append(graph.reshape(token, [-1, 1, hidden], stem=f"{name}.row"))
        return graph.node("Concat", tokens, stem="tokens", axis=1)
