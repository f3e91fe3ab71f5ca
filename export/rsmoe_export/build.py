"""`build`: a trained package from its recipe."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from rsmoe_export import drafts, manifest
from rsmoe_export.calibration.activations import Activations
from rsmoe_export.calibration.ranges import read as read_ranges
from rsmoe_export.calibration.sample import Sample
from rsmoe_export.connector.concepts import has_concepts
from rsmoe_export.connector.projection import ProjectionSpec, build_projection
from rsmoe_export.decoder.builder import DecoderOptions, build_decoder
from rsmoe_export.decoder.head import build_full_head
from rsmoe_export.decoder.products import VARIANTS
from rsmoe_export.decoder.weights import Adapter, DecoderSource, LowRankSet
from rsmoe_export.package import MANIFEST, Package
from rsmoe_export.recipe import Recipe, read_recipe
from rsmoe_export.sources.derived import Limited, Merged, kept
from rsmoe_export.sources.gguf_file import GgufSource
from rsmoe_export.sources.tensor_files import TensorFile
from rsmoe_export.vision.efficientnet import TowerSpec, build_tower
from rsmoe_export.vision.familiarity import Familiarity
from rsmoe_export.vision.int8 import Int8Tower
from rsmoe_export.vision.trained import trained_tower

#: Name of the draft texts in a package.
DRAFTS = "drafts.json"


def build(
    root: Path, out: Path | None = None, variants: Sequence[str] = (), say: Callable[[str], None] = print
) -> Path:
    """Builds the package of `root`/recipe.yaml in place, or in `out`; returns its directory.

    Does nothing if the package is already there, made from the same sources with the same variants.
    """
    recipe = read_recipe(root)
    chosen = list(variants or recipe.variants)
    unknown = sorted(set(chosen) - set(VARIANTS))
    if unknown:
        raise ValueError(f"unknown variant {unknown[0]!r}; there are {', '.join(VARIANTS)}")
    directory = out or root
    fingerprint = recipe.fingerprint()
    if _is_current(directory, fingerprint, chosen):
        say(f"{directory} is up to date")
        return directory
    start = time.monotonic()

    def step(text: str) -> None:
        say(f"[{time.monotonic() - start:5.1f} s] {text}")

    # A build that is cut off leaves no manifest, so that nobody takes it for a package.
    (directory / MANIFEST).unlink(missing_ok=True)
    package = Package(directory)
    step(f"vision tower: {recipe.vision.source.title}")
    graphs = manifest.vision_graphs(chosen, int8="vision_ranges" in recipe.trained)
    tower = _vision(package, recipe, graphs.values())
    step("connector")
    base = GgufSource(recipe.base.locate())
    connector = _connector(package, recipe, tower, base.config.hidden)
    step("tokenizer and shortlist")
    package.add_file("tokenizer.json", base.tokenizer_json())
    output_ids = _output_ids(recipe, base.config.vocabulary)
    package.add_file("output_ids.bin", output_ids.astype("<i4").tobytes())
    if "drafts" in recipe.trained:
        package.add_file(DRAFTS, drafts.checked(recipe.trained["drafts"], recipe.experts))
    delta = LowRankSet.from_tensors(TensorFile(recipe.trained["base_delta"]))
    source = Merged(Limited(kept(base, recipe.layers), recipe.max_context), delta)
    adapters = _adapters(recipe, source.config.layers)
    activations = _activations(recipe, source, adapters, connector.image_tokens)
    for variant in chosen:
        step(f"language model, {variant}")
        options = DecoderOptions(variant, adapters, output_ids, connector.image_tokens, activations)
        package.add_graph(f"base.{variant}", build_decoder(package.path(f"base.{variant}.onnx"), source, options))
    step("full output head")
    package.add_graph("base.full_head", build_full_head(package.path("base.full_head.onnx"), source))
    names = [adapter.name for adapter in adapters]
    package.write_manifest(_facts(recipe, source, connector.image_tokens, graphs, names, fingerprint))
    step(f"{directory} is ready")
    return directory


def _is_current(directory: Path, fingerprint: str, variants: Sequence[str]) -> bool:
    path = directory / MANIFEST
    if not path.is_file():
        return False
    found = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    built = {variant for decoder in found["decoders"].values() for variant in decoder["variants"]}
    sizes = all(
        (directory / name).is_file() and (directory / name).stat().st_size == entry["size"]
        for name, entry in found["files"].items()
    )
    return found["provenance"]["created_from"] == fingerprint and built == set(variants) and sizes


def _vision(package: Package, recipe: Recipe, graphs: Collection[str]) -> TowerSpec:
    """Writes the tower as those graphs that the variants run."""
    tuned = recipe.trained["tower"]
    spec, weights = trained_tower(recipe.vision, tuned)
    familiarity = None
    if "familiarity" in recipe.trained:
        tensors = TensorFile(recipe.trained["familiarity"])
        familiarity = Familiarity.from_tensors(tensors, spec.head, [block.outputs for block in spec.blocks])
    for key in sorted(set(graphs)):
        int8 = None
        if key == manifest.VISION_INT8:
            ranges = read_ranges(recipe.trained["vision_ranges"], tuned)
            int8 = Int8Tower(recipe.vision.float_blocks, ranges)
        package.add_graph(key, build_tower(package.path(f"{key}.onnx"), spec, weights, familiarity, int8))
    return spec


def _connector(package: Package, recipe: Recipe, tower: TowerSpec, hidden: int) -> ProjectionSpec:
    """Writes the connector, with concept tokens if their tensors are there."""
    weights = TensorFile(recipe.trained["connector"])
    spec = ProjectionSpec(*tower.grid, tower.head, hidden, has_concepts(weights))
    package.add_graph("connector", build_projection(package.path("connector.onnx"), spec, weights))
    return spec


def _output_ids(recipe: Recipe, vocabulary: int) -> np.ndarray:
    """The shortlist, int32 ascending, checked."""
    ids = TensorFile(recipe.trained["vocabulary"])["output_ids"].astype(np.int32)
    if ids.ndim != 1 or len(ids) == 0 or (np.diff(ids) <= 0).any() or ids[0] < 0 or ids[-1] >= vocabulary:
        raise ValueError(f"{recipe.trained['vocabulary']}: output_ids must be ascending ids below {vocabulary}")
    return ids


def _adapters(recipe: Recipe, layers: int) -> list[Adapter]:
    """The router's adapter, then the experts', for a decoder of so many layers."""
    tensors = TensorFile(recipe.trained["adapters"])
    names = ([recipe.router] if recipe.router else []) + recipe.experts
    adapters = [Adapter(name, LowRankSet.from_tensors(tensors, f"{name}.")) for name in names]
    for adapter in adapters:
        if not adapter.pairs.pairs:
            raise ValueError(f"{recipe.trained['adapters']}: no tensors of adapter {adapter.name!r}")
        last = max(layer for layer, _ in adapter.pairs.pairs)
        if last >= layers:
            raise ValueError(f"{recipe.trained['adapters']}: {adapter.name} has layer {last}, the base only {layers}")
    return adapters


def _activations(
    recipe: Recipe, source: DecoderSource, adapters: Sequence[Adapter], image_tokens: int
) -> Activations | None:
    """The decoder at work on the recipe's sample, if it has one. Nothing is computed before it is asked for."""
    if "sample" not in recipe.trained:
        return None
    sample = Sample.from_tensors(TensorFile(recipe.trained["sample"]), source.config.hidden)
    if sample.images.shape[1] != image_tokens:
        raise ValueError(f"{recipe.trained['sample']}: {sample.images.shape[1]} image tokens, expected {image_tokens}")
    return Activations(source, adapters, sample)


def _facts(
    recipe: Recipe,
    source: DecoderSource,
    image_tokens: int,
    vision_graphs: Mapping[str, str],
    adapters: Sequence[str],
    fingerprint: str,
) -> dict[str, object]:
    """The manifest but for graphs and files; `vision_graphs` has the variants that were built, in their order."""
    config, vision, variants = source.config, recipe.vision, list(vision_graphs)
    router: dict[str, object] = {"kind": "fixed"}
    if recipe.router:
        router = {"kind": "generative", "decoder": "base", "adapter": recipe.router}
    familiarity, confidence = "familiarity" in recipe.trained, {}
    if "calibration" in recipe.trained:
        calibration = json.loads(recipe.trained["calibration"].read_text(encoding="utf-8"))
        confidence = {"confidence": manifest.confidence_entry(calibration)}
    named = {file: f"{file.package} {file.version}, {file.title}" for file in (recipe.base, vision.source)}
    return {
        "name": recipe.name,
        "description": recipe.description,
        "license": recipe.license,
        "provenance": manifest.provenance(named[recipe.base], named[vision.source], fingerprint),
        "ground_resolution_m": recipe.ground_resolution_m,
        "vision_encoder": manifest.vision_entry(
            vision.width,
            vision.height,
            vision.mean,
            vision.std,
            familiarity=familiarity,
            views=vision.views,
            graphs=vision_graphs,
        ),
        "connector": manifest.connector_entry("projection", image_tokens),
        "language": manifest.language_entry(config.hidden, recipe.max_context),
        "decoders": {"base": manifest.decoder_entry("base", config, variants, adapters, "output_ids.bin", True)},
        "variants": manifest.variant_choice(variants),
        "experts": manifest.experts_entry("adapter", recipe.experts, recipe.lead),
        "router": router,
        "captioner": {"decoder": "base"},
        "generation": {"max_new_tokens": recipe.max_new_tokens}
        | ({"drafts": DRAFTS} if "drafts" in recipe.trained else {}),
        **confidence,
    }
