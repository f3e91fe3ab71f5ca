"""Rewards, advantages, sampling and one step of the self-critical stage on a tiny random base."""

import itertools
import random
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
tokenizers = pytest.importorskip("tokenizers")

from test_train_model import SHAPE, VOCABULARY, Ends, base_tensors, pairs  # noqa: E402

from rsmoe_eval.cider import Corpus  # noqa: E402
from rsmoe_train import data, judging, model, reward, selfcritical, targets, writer  # noqa: E402
from rsmoe_train.agreement import OBJECTS, Agreement  # noqa: E402
from rsmoe_train.data import Sample  # noqa: E402
from rsmoe_train.generate import Cache, Speaker  # noqa: E402
from rsmoe_train.language import Decoder, merge  # noqa: E402
from rsmoe_train.neighbours import Around  # noqa: E402
from rsmoe_train.packing import IMAGE_TOKENS, Segments  # noqa: E402
from rsmoe_train.sampling import Sampler  # noqa: E402

WORDS = ("many", "planes", "are", "parked", "near", "a", "runway", "green", "trees", "and", "some", "cars", "river")


def sentence(rng):
    """Random words, some of them often."""
    return " ".join(rng.choices(WORDS, [1 / (i + 1) for i in range(len(WORDS))], k=rng.randint(2, 14))) + " ."


def image(index, captions, source="rsicd", split="train"):
    """A sample without an image file."""
    return Sample(index, Path("x.jpg"), source, split, "airport", captions)


def alone(samples):
    """Images that have no neighbours."""
    return Agreement(samples, {s.index: Around([s.index], [1.0]) for s in samples})


def test_the_reward_is_the_cider_of_pycocoevalcap():
    cider = pytest.importorskip("pycocoevalcap.cider.cider")
    rng = random.Random(0)
    references = [[sentence(rng) for _ in range(rng.randint(1, 5))] for _ in range(40)]
    said = [sentence(rng) for _ in range(38)] + [references[38][0], "river ."]
    plain = {i: [c.removesuffix(" .") for c in many] for i, many in enumerate(references)}
    _, wanted = cider.Cider().compute_score(plain, {i: [c.removesuffix(" .")] for i, c in enumerate(said)})
    corpus = Corpus(references)
    found = [corpus.cider(text, many) for text, many in zip(said, references, strict=True)]
    assert np.allclose(found, wanted, atol=1e-6)
    samples = [image(i, many) for i, many in enumerate(references)] + [image(99, ["trees"], "ucm")]
    varied = [s.captions for s in samples[:-1] if data.varied(s)]
    one = next(s for s in samples if data.varied(s))
    worth = reward.Rewards(samples, alone(samples)).worth(said[3], True, one.index)
    assert worth.cider == pytest.approx(Corpus(varied).cider(said[3], one.captions), abs=1e-9)


FIVE = [
    "many planes are parked near a runway .",
    "some planes and green trees .",
    "a runway near a river .",
    "planes .",
    "there are cars .",
]


def rewards():
    """Rewards over three images that share one sentence."""
    other = ["green trees .", "a river and some trees .", "many planes are parked near a runway .", "trees .", "cars ."]
    samples = [image(0, FIVE), image(1, other), image(2, FIVE[:1], "ucm")]
    return reward.Rewards(samples, alone(samples))


def test_a_copy_is_a_sentence_of_another_training_image():
    here = image(0, FIVE)
    assert rewards().copied("Many planes are parked near a runway.", here)
    assert not rewards().copied("A runway near a river.", here)  # only its own
    assert rewards().copied("A runway near a river.", image(7, ["planes ."], split="val"))
    assert not rewards().copied("Many planes are parked.", here)


def test_copies_and_broken_sentences_cost_something():
    copy, broken = "Many planes are parked near a runway.", "Many planes are parked near a"
    worth = rewards().worth(copy, True, 0)
    assert worth.copied and worth.total == pytest.approx(worth.cider + OBJECTS["rsicd"] * worth.objects - reward.COPIED)
    assert rewards().worth(copy, False, 0).total == pytest.approx(worth.total - reward.UNFINISHED)
    assert rewards().worth(broken, True, 0).broken


def test_a_reward_is_a_mean_over_an_image_and_its_neighbours():
    samples = [image(0, FIVE), image(1, ["green trees .", "a river .", "trees and cars ."])]
    near = reward.Rewards(samples, Agreement(samples, {0: Around([0, 1], [0.25, 0.75])}))
    apart = reward.Rewards(samples, alone(samples))
    text = "Green trees near a river."
    for part in ("cider", "objects"):
        own, other = (getattr(apart.worth(text, True, row), part) for row in (0, 1))
        assert getattr(near.worth(text, True, 0), part) == pytest.approx(0.25 * own + 0.75 * other)


def test_object_f1_counts_nouns_that_any_reference_names():
    # the references name plane, runway, tree, river and car
    assert reward.object_f1(["Planes near a river."], [FIVE]) == pytest.approx(2 * 2 / (2 + 5))
    assert reward.object_f1(["Planes near a river.", "Cars."], [FIVE, ["cars ."]]) == pytest.approx(2 * 3 / (3 + 6))
    assert reward.object_f1(["It is nice."], [["nothing"]]) == 0


def test_advantages_compare_a_sample_with_the_others_of_its_image():
    rewards_of = torch.tensor([[1.0, 2.0, 6.0], [3.0, 3.0, 3.0]])
    assert reward.advantages(rewards_of).tolist() == [[-3.0, -1.5, 4.5], [0.0, 0.0, 0.0]]
    # the leave-one-out estimator is k / (k - 1) times the reward minus the mean of all
    assert torch.allclose(reward.advantages(rewards_of), 1.5 * (rewards_of - rewards_of.mean(1, keepdim=True)))


def test_equal_samples_share_a_branch_and_add_up():
    nodes = selfcritical.grown([[5, 6], [7, 8], [5, 6]], torch.tensor([1.0, -3.0, 2.0]))
    assert [(n.ids, n.weight) for n in nodes] == [([5, 6], 3.0), ([7, 8], -3.0)]
    assert selfcritical.grown([[5], [5]], torch.tensor([0.0, 0.0])) == []


PROMPTS = torch.tensor([[1, 2, 3, 4, 5], [9, 8, 7, 6, 5], [3, 3, 1, 2, 0]])


def test_greedy_sampling_writes_what_the_speaker_writes():
    tensors, low = base_tensors(), pairs(3)
    decoder = Decoder(SHAPE, tensors, torch.float32)
    shortlist = torch.arange(0, VOCABULARY, 2)
    from rsmoe_train import save

    adapters = pairs(save.ADAPTER_RANK * len(save.ADAPTERS))
    speaker = Speaker(save.Trained(SHAPE, merge(SHAPE, tensors, low.named()), None, None, adapters, shortlist), Ends())
    cache = Cache()
    wanted = speaker.finish(cache, speaker.append(cache, PROMPTS.tolist(), None), None, 12)
    sampler = Sampler(decoder, shortlist, Ends.end)
    sampler.refresh(low)
    found = sampler.write(decoder.embed(PROMPTS, None, 0), 2, 12, 0.0)
    assert found == [[ids, ids] for ids in wanted]
    end = wanted[0][3]
    cut = Sampler(decoder, shortlist, end)
    cut.refresh(low)
    (first, _), *_ = cut.write(decoder.embed(PROMPTS, None, 0), 2, 12, 0.0)
    assert first == wanted[0][: wanted[0].index(end) + 1]


def test_samples_follow_the_models_probabilities():
    decoder = Decoder(SHAPE, base_tensors(), torch.float32)
    sampler = Sampler(decoder, torch.arange(VOCABULARY), -1)
    sampler.refresh(pairs(1))
    x = decoder.embed(PROMPTS[:1], None, 0)
    _, logits = sampler._read(x)
    drawn = sampler.write(x, 4000, 1, 3.0, torch.Generator().manual_seed(0))[0]
    shares = torch.bincount(torch.tensor(drawn).flatten(), minlength=VOCABULARY) / len(drawn)
    assert torch.allclose(shares, (logits[0] / 3.0).softmax(-1), atol=0.03)  # four standard errors of a share of .3


class Connected(torch.nn.Module):
    """A connector from numbers of images to embeddings."""

    def __init__(self, width):
        super().__init__()
        self.table = torch.nn.Parameter(torch.randn(4, IMAGE_TOKENS, width) * 0.5)

    def forward(self, rows):
        return self.table[rows]


@pytest.fixture
def learner(monkeypatch):
    """A tiny random captioner of four images, the last of which has an agreed caption."""
    torch.manual_seed(0)
    texts = [targets.CAPTION_INSTRUCTION, "user", "assistant", *WORDS, "yes", "no", "."]
    pieces = sorted({piece for text in texts for piece in text.lower().replace(".", " .").split()})
    vocabulary = {word: i for i, word in enumerate(["<|im_end|>", "<|im_start|>", "[UNK]", *pieces])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, "[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    assert len(vocabulary) <= VOCABULARY
    shortlist = torch.arange(len(vocabulary))
    columns = np.arange(VOCABULARY)
    language = model.Language(SHAPE, base_tensors(), Segments(tokenizer), shortlist, columns)
    samples = [image(i, [f"{a} {b} .", f"{b} .", f"{a} ."]) for i, (a, b) in enumerate(itertools.pairwise(WORDS[:5]))]
    delta, connector = pairs(2), Connected(SHAPE.hidden)
    decoder = Decoder(SHAPE, language.tensors, torch.float32)
    monkeypatch.setattr(writer, "LONGEST", 6)
    agreed = {3: samples[3].captions[0]}
    return selfcritical.Learner(samples, language, decoder, delta, connector, alone(samples), agreed)


def test_steps_make_rewarded_samples_likelier(learner):
    optimiser = torch.optim.Adam([*learner.delta.parameters(), *learner.connector.parameters()], lr=1e-2)
    draw, seen = random.Random(0), []
    for _ in range(25):
        plans = [learner.plan(i, i < 3, draw) for i in range(4)]
        loss, weight, shown = learner.loss(plans, torch.arange(4))
        optimiser.zero_grad()
        (loss / weight).backward()
        optimiser.step()
        seen.append(shown["reward"][0] / shown["reward"][1])
    assert sum(seen[-5:]) > sum(seen[:5]) + 1.0
    written = learner.writer.greedy(learner.connector(torch.arange(4)))
    assert len(written) == 4 and all(isinstance(text, str) for text, _ in written)
    assert set(judging.figures(learner.rewards, learner.samples, written)) >= {"CIDEr", "copies", "broken"}


def test_an_agreed_image_learns_one_caption_and_keeps_its_questions(learner):
    draw = random.Random(0)
    sampled, agreed = learner.plan(0, True, draw), learner.plan(3, False, draw)
    assert sampled.sampled and agreed.changed and not agreed.sampled
    captions = [node for node in agreed.nodes[2:] if node.parent]
    assert [node.weight for node in captions] == [selfcritical.AGREED_WEIGHT / selfcritical.HUMAN_WEIGHT]
    assert not [node for node in sampled.nodes[2:] if node.parent]
