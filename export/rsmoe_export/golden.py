"""Golden vectors of a tiny package: inputs and expected outputs of every graph, and of whole runs, from the float64
reference.

Tensor names are documented in export/README.md, section "Golden vectors".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
from safetensors.numpy import save
from tokenizers import Tokenizer

from rsmoe_export.connector.projection import ProjectionSpec
from rsmoe_export.manifest import VISION, VISION_INT8
from rsmoe_export.package import Package
from rsmoe_export.reference import vision
from rsmoe_export.reference.decoder import ReferenceDecoder
from rsmoe_export.reference.run import ReferenceRun, RunResult
from rsmoe_export.tiny.model import TinyModel

QUESTION = "Is there a road in the image?"
#: New tokens, cache capacity, and filled slots of each row of the decoder vectors.
NEW, CAPACITY, PAST = 4, 12, (0, 2, 5)


class GoldenWriter:
    """Collects the vectors of one package. `facts` is the manifest without its file list."""

    def __init__(self, package: Package, facts: Mapping[str, object], tiny: TinyModel, variants: Sequence[str]) -> None:
        self.package, self.facts, self.tiny, self.variants = package, facts, tiny, variants
        self.random = np.random.RandomState(5)
        self.tensors: dict[str, np.ndarray] = {}
        self.tokenizer = Tokenizer.from_file(str(package.path("tokenizer.json")))

    def write(self) -> None:
        """Adds golden/golden.safetensors and golden/run.json to the package."""
        embeddings = self.connector_vectors(self.vision_vectors())
        for name, source in self.tiny.decoders.items():
            adapters = self.tiny.adapters if name == "base" else ()
            inputs = self.decoder_inputs(name, source.config, len(adapters), embeddings)
            for variant in self.variants:
                self.decoder_outputs(name, variant, inputs)
        self.full_head_vectors()
        self.package.add_file("golden/run.json", self.runs())
        rounded = {
            name: np.ascontiguousarray(tensor.astype(np.float32) if tensor.dtype == np.float64 else tensor)
            for name, tensor in sorted(self.tensors.items())
        }
        self.package.add_file("golden/golden.safetensors", save(rounded))

    def picture(self) -> np.ndarray:
        """A random picture at the encoder's size, u8 `[height, width, 3]`."""
        tower = self.tiny.tower
        return self.random.randint(0, 256, (tower.height, tower.width, 3)).astype(np.uint8)

    def pixel_values(self, picture: np.ndarray) -> np.ndarray:
        """f32 `[3, height, width]` as the manifest's preprocessing says."""
        entry = self.facts["vision_encoder"]["preprocess"]
        scaled = (picture / 255 - np.array(entry["mean"])) / np.array(entry["std"])
        return scaled.transpose(2, 0, 1).astype(np.float32)

    def look(self, pixels: np.ndarray, variant: str = "fp32") -> tuple[np.ndarray, float | None]:
        """Features `[rows, cols, channels]` and familiarity of pixel values `[3, height, width]`, as the variant's
        vision graph sees them.
        """
        int8, weights, seen = self.tiny.int8 if variant != "fp32" else None, self.tiny.familiarity, {}
        features = vision.tower(self.tiny.tower, self.tiny.tower_weights, pixels, int8, seen.__setitem__)
        return features, None if weights is None else vision.familiarity(weights, features, seen[f"b{weights.block}"])

    def connect(
        self, features: np.ndarray, ids: np.ndarray | None = None, mask: np.ndarray | None = None
    ) -> np.ndarray:
        """Image embeddings `[image_tokens, hidden]` of one image."""
        spec, weights = self.tiny.connector, self.tiny.connector_weights
        if isinstance(spec, ProjectionSpec):
            return vision.projection(spec, weights, features)
        return vision.qformer(spec, weights, features, ids, np.ones_like(ids) if mask is None else mask)

    def embed_image(self, features: np.ndarray, instruction: str) -> np.ndarray:
        """Image embeddings of features `[rows, cols, channels]` under an instruction."""
        ids = None
        if not isinstance(self.tiny.connector, ProjectionSpec):
            path = self.package.path(self.facts["connector"]["tokenizer"])
            ids = np.array(Tokenizer.from_file(str(path)).encode(instruction).ids)
        return self.connect(features, ids)

    def vision_vectors(self) -> np.ndarray:
        """Two images through the tower in each of its graphs; returns their float features."""
        pixels = np.stack([self.pixel_values(self.picture()) for _ in range(2)])
        self.tensors["vision.in.pixel_values"] = pixels
        for graph, variant in ((VISION, "fp32"), (VISION_INT8, "w8a8")):
            if graph in self.package.graphs:
                features, familiarity = zip(*(self.look(image, variant) for image in pixels), strict=True)
                self.tensors[f"{graph}.out.features"] = np.stack(features)
                if self.tiny.familiarity is not None:
                    self.tensors[f"{graph}.out.familiarity"] = np.array(familiarity)
        return self.tensors[f"{VISION}.out.features"]

    def connector_vectors(self, features: np.ndarray) -> np.ndarray:
        """Both images through the connector (the second with a padded instruction); returns the embeddings."""
        features = features.astype(np.float32)
        self.tensors["connector.in.features"] = features
        if isinstance(self.tiny.connector, ProjectionSpec):
            out = np.stack([self.connect(image) for image in features])
        else:
            ids = self.random.randint(0, self.tiny.connector.vocabulary, (2, 7)).astype(np.int64)
            mask = np.ones_like(ids)
            mask[1, 4:] = 0
            out = np.stack([self.connect(*row) for row in zip(features, ids, mask, strict=True)])
            self.tensors |= {"connector.in.instruction_ids": ids, "connector.in.instruction_mask": mask}
        self.tensors["connector.out.image_embeddings"] = out
        return out

    def decoder_inputs(self, name: str, config: object, adapters: int, embeddings: np.ndarray) -> dict[str, np.ndarray]:
        """Three rows with different pasts and adapters, tokens of both images and words; five tokens are read."""
        rows = len(PAST)
        ids = self.random.randint(0, config.vocabulary, (rows, NEW)).astype(np.int64)
        ids[:, 1] = -1
        ids[1, 2] = -embeddings.shape[1] - 2
        inputs = {
            "input_ids": ids,
            "image_embeddings": embeddings.astype(np.float32),
            "past_lengths": np.array(PAST, np.int64),
            "logits_indices": np.array([NEW - 1, NEW + 1, 2 * NEW + 2, 2 * NEW, 1], np.int64),
        }
        if adapters:
            inputs["adapter_ids"] = np.array([0, 2, adapters], np.int64)
        shape = (rows, config.key_value_heads, CAPACITY, config.head_dim)
        for layer in range(config.layers):
            for kind in ("key", "value"):
                inputs[f"past_{kind}.{layer}"] = self.random.standard_normal(shape).astype(np.float32)
        self.tensors |= {f"{name}.in.{key}": value for key, value in inputs.items()}
        return inputs

    def reference(self, name: str, variant: str) -> ReferenceDecoder:
        """The reference of one decoder graph."""
        base = name == "base"
        return ReferenceDecoder(
            self.tiny.decoders[name],
            variant,
            self.tiny.adapters if base else (),
            self.tiny.output_ids if base else None,
        )

    def decoder_outputs(self, name: str, variant: str, inputs: Mapping[str, np.ndarray]) -> None:
        """Expected outputs, row by row."""
        decoder = self.reference(name, variant)
        layers = range(decoder.config.layers)
        images = inputs["image_embeddings"].reshape(-1, decoder.config.hidden)
        outputs: dict[str, list[np.ndarray]] = {}
        states = []
        for row, past in enumerate(inputs["past_lengths"].tolist()):
            cache = decoder.empty_cache(CAPACITY)
            for layer in layers:
                cache.keys[layer], cache.values[layer] = (
                    inputs[f"past_{kind}.{layer}"][row] for kind in ("key", "value")
                )
            adapter = int(inputs["adapter_ids"][row]) if "adapter_ids" in inputs else 0
            states.append(decoder.forward(decoder.embed(inputs["input_ids"][row], images), past, cache, adapter))
            for layer in layers:
                outputs.setdefault(f"present_key.{layer}", []).append(cache.keys[layer])
                outputs.setdefault(f"present_value.{layer}", []).append(cache.values[layer])
        for hidden in np.concatenate(states)[inputs["logits_indices"]]:
            logits = decoder.logits(hidden[None])[0]
            best = int(logits.argmax())
            values = {
                "hidden": hidden,
                "logits": logits,
                "next_ids": np.int64(decoder.token(best)),
                "next_logprobs": -np.log(np.exp(logits - logits[best]).sum()),
            }
            for key, value in values.items():
                outputs.setdefault(key, []).append(value)
        self.tensors |= {f"{name}.{variant}.out.{key}": np.stack(rows) for key, rows in outputs.items()}

    def full_head_vectors(self) -> None:
        """Hidden states through the full heads that the package has."""
        for name, entry in self.facts["decoders"].items():
            if entry["full_head"] is not None:
                hidden = self.tensors[f"{name}.fp32.out.hidden"].astype(np.float32)
                self.tensors[f"{name}.full_head.in.hidden"] = hidden
                self.tensors[f"{name}.full_head.out.logits"] = self.reference(name, "fp32").full_logits(hidden)

    def runs(self) -> bytes:
        """One picture captioned and asked by every variant; ids go to the tensors, texts into the returned JSON."""
        picture = self.picture()
        pixels = self.pixel_values(picture)
        instruction = self.facts["language"]["caption_instruction"]
        self.tensors |= {"run.pixels": picture, "run.pixel_values": pixels[None]}
        document: dict[str, object] = {"instruction": instruction, "question": QUESTION, "variants": {}}
        for variant in self.variants:
            features, familiarity = self.look(pixels, variant)
            images, asked = (self.embed_image(features, text) for text in (instruction, QUESTION))
            self.tensors[f"run.{variant}.image_embeddings"] = images[None]
            if familiarity is not None:
                self.tensors[f"run.{variant}.familiarity"] = np.array([familiarity])
            decoders = {name: self.reference(name, variant) for name in self.tiny.decoders}
            result = ReferenceRun(self.facts, self.tokenizer, decoders).caption_and_ask(
                images, instruction, QUESTION, asked
            )
            for name, generated in result.generated.items():
                self.tensors[f"run.{variant}.{name}_ids"] = np.array(generated.ids, np.int64)
                self.tensors[f"run.{variant}.{name}_logprobs"] = np.array(generated.logprobs)
            document["variants"][variant] = _summary(result)
        return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _summary(result: RunResult) -> dict[str, object]:
    texts = {
        name: {"text": generated.text, "finish": generated.finish, "margin": round(generated.margin, 3)}
        for name, generated in result.generated.items()
    }
    return {"prompts": result.prompts, "generated": texts}
