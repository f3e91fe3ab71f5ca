"""A whole caption run through ONNX Runtime writes the golden token ids, for both layouts and all variants."""

import numpy as np
import pytest
from export_support import NAMES, PACKAGES, TOLERANCE, decoder, golden, manifest, run_graph, run_texts, vision_graph
from tokenizers import Tokenizer

from rsmoe_export.decoder.products import VARIANTS
from rsmoe_export.reference.run import ReferenceRun


def _image_embeddings(name: str, variant: str, text: str) -> np.ndarray:
    root, facts = PACKAGES / name, manifest(name)
    pixels = golden(name)["run.pixel_values"]
    inputs = {"features": run_graph(vision_graph(name, variant), {"pixel_values": pixels})["features"]}
    if facts["connector"]["kind"] == "qformer":
        ids = np.array([Tokenizer.from_file(str(root / facts["connector"]["tokenizer"])).encode(text).ids])
        inputs |= {"instruction_ids": ids, "instruction_mask": np.ones_like(ids)}
    return run_graph(root / "connector.onnx", inputs)["image_embeddings"]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", NAMES)
def test_a_caption_run_writes_the_golden_ids(name, variant):
    facts, texts = manifest(name), run_texts(name)
    tokenizer = Tokenizer.from_file(str(PACKAGES / name / "tokenizer.json"))
    segments = ReferenceRun(facts, tokenizer, {})
    stops = {tokenizer.token_to_id(token) for token in facts["language"]["stop_tokens"]}
    images = _image_embeddings(name, variant, texts["instruction"])
    np.testing.assert_allclose(images, golden(name)[f"run.{variant}.image_embeddings"], rtol=0, atol=1e-4)
    asked = _image_embeddings(name, variant, texts["question"])
    run = texts["variants"][variant]
    limits = facts["generation"]["max_new_tokens"]
    answer = segments.segment("answer", 0)
    branches = [("brief", texts["instruction"], answer, facts["captioner"], limits["caption"], images)]
    branches += [
        ("router", texts["instruction"], segments.segment("router", 0), facts["router"], limits["router"], images)
    ]
    for expert, prompt in zip(facts["experts"]["list"], run["prompts"], strict=True):
        tail = segments.segment("expert", 0, prompt=prompt)
        branches.append((expert["name"], texts["instruction"], tail, expert, limits["expert"], images))
    branches.append(("answer", texts["question"], answer, facts["captioner"], limits["answer"], asked))
    for branch, instruction, tail, role, limit, embeddings in branches:
        head = segments.segment("prefix", embeddings.shape[1]) + segments.segment(
            "instruction", 0, instruction=instruction
        )
        session = decoder(name, f"{role['decoder']}.{variant}", 1)
        names = facts["decoders"][role["decoder"]]["adapters"]
        adapters = np.array([names.index(role["adapter"]) + 1 if role.get("adapter") else 0])
        session.run(np.array([head]), np.zeros(1), images=embeddings)
        out = session.run(np.array([tail]), np.array([len(head)]), adapters=adapters)
        ids, logprobs = [], []
        while len(ids) < limit:
            logprobs.append(out["next_logprobs"][0])
            if out["next_ids"][0] in stops:
                break
            ids.append(int(out["next_ids"][0]))
            past = np.array([len(head) + len(tail) + len(ids) - 1])
            out = session.run(out["next_ids"][:, None], past, adapters=adapters)
        assert ids == golden(name)[f"run.{variant}.{branch}_ids"].tolist(), branch
        expected = golden(name)[f"run.{variant}.{branch}_logprobs"]
        np.testing.assert_allclose(logprobs, expected, rtol=0, atol=TOLERANCE[variant])
        assert tokenizer.decode(ids, skip_special_tokens=True) == run["generated"][branch]["text"]


def test_prompts_follow_the_routers_lines():
    for name in NAMES:
        for run in run_texts(name)["variants"].values():
            lines = [line.strip() for line in run["generated"]["router"]["text"].split("\n")]
            for number, (expert, prompt) in enumerate(
                zip(manifest(name)["experts"]["list"], run["prompts"], strict=True)
            ):
                written = lines[number] if number < len(lines) else ""
                assert prompt == (written or expert["prompt"])
