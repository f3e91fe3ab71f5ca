"""The calibration sample is made of what the runtime feeds to the decoder, and of training images alone."""

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

pytest.importorskip("torch")
from rsmoe_export import manifest
from rsmoe_export.recipe import read_recipe
from rsmoe_export.reference.run import ReferenceRun
from rsmoe_export.sources.gguf_file import GgufSource
from rsmoe_train import base, data, sample, save, targets
from rsmoe_train.agreement import Agreement
from rsmoe_train.data import Sample
from rsmoe_train.goals import Goals
from rsmoe_train.neighbours import Around
from rsmoe_train.packing import IMAGE_TOKENS, Segments

CAPTIONS = ["many planes are parked next to a terminal .", "some planes are parked near a runway ."]


def _image(number: int, source: str, split: str = "train", scene: str | None = "airport") -> Sample:
    return Sample(number, Path(f"{number}.jpg"), source, split, scene, CAPTIONS)


def _goals(image: Sample) -> Goals:
    """Of an image that stands alone."""
    other = Sample(1, Path("other.jpg"), image.source, "train", None, ["a river .", "it is a river .", "trees ."])
    return Goals([image, other], Agreement([image, other], {0: Around([0], [1.0])}))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_str(GgufSource(base.gguf_path()).tokenizer_json().decode())


def test_sequences_follow_the_templates_of_the_manifest(tokenizer):
    segments, image = Segments(tokenizer), _image(0, "rsicd")
    run = ReferenceRun({"language": manifest.language_entry(576, 192)}, tokenizer, {})
    head = run.segment("prefix", IMAGE_TOKENS) + run.segment("instruction", 0, instruction=manifest.CAPTION_INSTRUCTION)
    goals = _goals(image)
    lines, said = goals.lines(0), goals.experts(0)
    texts = {
        "caption": (run.segment("answer", 0), targets.tidy(CAPTIONS[0])),
        "router": (run.segment("router", 0), "\n".join(lines.values())),
        "theme": (run.segment("expert", 0, prompt=lines["theme"]), "The scene is an airport."),
        "objects": (run.segment("expert", 0, prompt=lines["objects"]), "It shows planes, a runway and a terminal."),
        "relationship": (run.segment("expert", 0, prompt=lines["relationship"]), said["relationship"]),
    }
    stop = tokenizer.token_to_id(manifest.STOP_TOKENS[0])
    for kind, (prompt, text) in texts.items():
        (start, bare), (tail, adapter) = sample.sequence(segments, image, goals, kind)
        assert (start.tolist(), bare) == (head, 0)
        assert tail.tolist() == [*prompt, *tokenizer.encode(text, add_special_tokens=False).ids, stop]
        assert adapter == (0 if kind == "caption" else 1 + save.ADAPTERS.index(kind))


def test_a_text_that_nobody_can_know_gives_way_to_the_caption(tokenizer):
    nameless = _image(0, "rsicd", scene=None)
    (_, _), (_, adapter) = sample.sequence(Segments(tokenizer), nameless, _goals(nameless), "theme")
    assert adapter == 0


def test_adapters_have_the_numbers_of_the_package():
    recipe = read_recipe(base.PACKAGE)
    assert [recipe.router, *recipe.experts] == list(save.ADAPTERS)


def test_only_training_images_are_taken_evenly_from_both_sources():
    images = [_image(n, "rsicd", "val" if n % 3 == 0 else "train") for n in range(90)]
    images += [_image(90 + n, "ucm", "val" if n > 40 else "train") for n in range(60)]
    found = data.evenly_spread(images, 20)
    assert {s.split for s in found} == {"train"}
    assert [s.source for s in found] == ["rsicd", "ucm"] * 10
    assert np.ptp([s.index for s in found if s.source == "rsicd"]) > 60
