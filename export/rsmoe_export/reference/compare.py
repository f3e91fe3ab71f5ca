"""`compare`: a real decoder's graphs against transformers, on prefills and greedy decode steps."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime
import yaml
from tokenizers import Tokenizer

from rsmoe_export.build import build
from rsmoe_export.decoder.builder import DecoderOptions, build_decoder
from rsmoe_export.decoder.products import VARIANTS
from rsmoe_export.recipe import read_recipe
from rsmoe_export.reference import transformers_model
from rsmoe_export.reference.session import DecoderSession
from rsmoe_export.sources.derived import Limited
from rsmoe_export.sources.gguf_file import GgufSource
from rsmoe_export.sources.tensor_files import TensorFile

#: Decode steps after each prefill.
STEPS = 16
#: What fp32 may differ from transformers in any logit: both sum in float32, in another order.
FP32_TOLERANCE = 5e-4
_CAPACITY = 160
_CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
_QUESTIONS = (
    "Name three things that one sees in a picture of an airport.",
    "What is the capital of France?",
    "Describe a farm in one sentence.",
)


@dataclass(frozen=True)
class Trace:
    """A prompt in parts (ids, adapter), and the logits and greedy ids that the reference gives."""

    name: str
    parts: Sequence[tuple[np.ndarray, int]]
    images: np.ndarray | None
    logits: np.ndarray
    ids: list[int]


@dataclass
class Figures:
    """Differences of one graph over all traces."""

    worst: float = 0.0
    divergences: list[float] = field(default_factory=list)
    agreed: int = 0
    steps: int = 0
    logprob: list[float] = field(default_factory=list)

    def row(self, name: str) -> str:
        """A row of the printed table."""
        return (
            f"| {name} | {self.worst:.1e} | {np.mean(self.divergences):.1e} | {np.mean(self.logprob):.1e} "
            f"| {self.agreed} of {self.steps} |"
        )


HEADER = (
    "| graph | largest logit difference | mean KL divergence, nats | greedy token's log-probability, mean difference "
    "| same greedy token |\n"
    "|---|---|---|---|---|"
)


def trace(
    name: str,
    parts: Sequence[tuple[np.ndarray, int]],
    images: np.ndarray | None,
    words: np.ndarray,
    feed: Callable[[np.ndarray, int], np.ndarray],
) -> Trace:
    """Greedy reference decoding; `feed(ids, adapter)` returns logits over the vocabulary, words are the ids in play."""
    logits = [feed(ids, adapter)[words] for ids, adapter in parts][-1:]
    adapter, ids = parts[-1][1], []
    for _ in range(STEPS):
        ids.append(int(words[logits[-1].argmax()]))
        logits.append(feed(np.array(ids[-1:]), adapter)[words])
    return Trace(name, parts, images, np.stack(logits), ids)


def measure(path: Path, traces: Sequence[Trace], threads: int = 1) -> Figures:
    """Runs a graph over the traces' prompts, then over the reference's tokens one by one."""
    figures = Figures()
    session = DecoderSession(path, 1, _CAPACITY, threads)
    for item in traces:
        images = None if item.images is None else item.images[None]
        past, found = 0, []
        for ids, adapter in item.parts:
            out = session.run(ids[None], np.array([past]), adapters=np.array([adapter]), images=images)
            past += len(ids)
        found.append(out["logits"][0])
        for token in item.ids:
            out = session.run(np.array([[token]]), np.array([past]), adapters=np.array([adapter]))
            past += 1
            found.append(out["logits"][0])
        for ours, theirs in zip(np.stack(found).astype(np.float64), item.logits, strict=True):
            best = int(theirs.argmax())
            figures.worst = max(figures.worst, float(np.abs(ours - theirs).max()))
            ours, theirs = _log_softmax(ours), _log_softmax(theirs)
            figures.divergences.append(float((np.exp(theirs) * (theirs - ours)).sum()))
            figures.logprob.append(abs(ours[best] - theirs[best]))
            figures.agreed += int(ours.argmax()) == best
            figures.steps += 1
    return figures


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def compare_gguf(path: Path, variants: Sequence[str] = VARIANTS) -> dict[str, Figures]:
    """A GGUF checkpoint as it is: graphs built here, the reference read from the same file by transformers."""
    source = Limited(GgufSource(path), _CAPACITY)
    tokenizer = Tokenizer.from_str(source.base.tokenizer_json().decode())
    model = transformers_model.from_gguf(path)
    words = np.arange(source.config.vocabulary)
    traces = []
    for question in _QUESTIONS:
        ids = np.array(tokenizer.encode(_CHAT.format(question), add_special_tokens=False).ids)
        run = transformers_model.Continuation(model)
        traces.append(trace(question, [(ids, 0)], None, words, lambda new, _, run=run: run.feed(new)))
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for variant in variants:
            graph = Path(folder) / f"{variant}.onnx"
            build_decoder(graph, source, DecoderOptions(variant))
            figures[variant] = measure(graph, traces)
    return figures


def compare_package(root: Path, variants: Sequence[str] = VARIANTS) -> dict[str, Figures]:
    """A trained package: an image prefix, then the bare base and every adapter; the reference merges deltas on its
    own.
    """
    recipe = read_recipe(root)
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        built = build(root, Path(folder), variants, say=lambda _: None)
        facts = yaml.safe_load((built / "manifest.yaml").read_text(encoding="utf-8"))
        tokenizer = Tokenizer.from_file(str(built / "tokenizer.json"))
        words = np.fromfile(built / "output_ids.bin", "<i4")
        images = _image_embeddings(built, facts)
        traces = _package_traces(recipe, facts, tokenizer, words, images)
        for variant in variants:
            figures[variant] = measure(built / f"base.{variant}.onnx", traces)
    return figures


def _image_embeddings(built: Path, facts: Mapping[str, object]) -> np.ndarray:
    """Embeddings f32 `[image_tokens, hidden]` of a smooth synthetic picture."""
    size = facts["vision_encoder"]["preprocess"]
    y, x = np.mgrid[0 : size["height"], 0 : size["width"]] / size["height"]
    picture = np.stack([np.sin(6 * x), np.cos(5 * y), np.sin(9 * x * y)]).astype(np.float32)
    features = onnxruntime.InferenceSession(str(built / "vision.onnx")).run(None, {"pixel_values": picture[None]})[0]
    return onnxruntime.InferenceSession(str(built / "connector.onnx")).run(None, {"features": features})[0][0]


def _package_traces(
    recipe: object, facts: Mapping[str, object], tokenizer: Tokenizer, words: np.ndarray, images: np.ndarray
) -> list[Trace]:
    model = transformers_model.from_gguf(recipe.base.locate())
    if recipe.layers is not None:
        transformers_model.keep_layers(model, recipe.layers)
    transformers_model.add_low_rank(model, TensorFile(recipe.trained["base_delta"]))
    adapters = TensorFile(recipe.trained["adapters"])
    names = facts["decoders"]["base"]["adapters"]

    def encode(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False).ids

    head = [*encode("<|im_start|>user\n"), *range(-1, -len(images) - 1, -1)]
    head += [*encode("Describe the image."), *encode("<|im_end|>\n")]
    traces = []
    for number, name in enumerate(["bare base", *names]):
        tail = (
            "<|im_start|>assistant\n"
            if number == 0
            else "<|im_start|>user\nName the scene.<|im_end|>\n<|im_start|>assistant\n"
        )
        feed = _adapted_feed(copy.deepcopy(model), adapters, names, images)
        parts = [(np.array(head), 0), (np.array(encode(tail)), number)]
        traces.append(trace(name, parts, images, words, feed))
    return traces


def _adapted_feed(
    model: transformers_model.PreTrainedModel,
    adapters: Mapping[str, np.ndarray],
    names: Sequence[str],
    images: np.ndarray,
) -> Callable[[np.ndarray, int], np.ndarray]:
    """`feed` of one trace: the adapter is merged into the model's weights once the first token that has it arrives."""
    run, merged = transformers_model.Continuation(model), {0}

    def feed(ids: np.ndarray, adapter: int) -> np.ndarray:
        if adapter not in merged:
            transformers_model.add_low_rank(model, adapters, f"{names[adapter - 1]}.")
            merged.add(adapter)
        return run.feed(ids, images)

    return feed
