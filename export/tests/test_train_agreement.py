"""Neighbours of images, and what they agree on."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from rsmoe_train import neighbours
from rsmoe_train.agreement import OBJECTS, Agreement
from rsmoe_train.data import Sample
from rsmoe_train.goals import Goals
from rsmoe_train.neighbours import Around, Reach

PORT = ["two boats are in a port near a road .", "two boats are near a pier .", "there are two boats ."]
OTHER = ["many boats are in a port .", "many boats are in a port near buildings .", "boats ."]
THIRD = ["many boats are in a port .", "a port with boats near buildings .", "three boats near a port and buildings ."]
FAR = ["it is a desert .", "a yellow desert .", "sand ."]


def image(row, captions, scene="port"):
    """A training image of RSICD without its file."""
    return Sample(row, Path(f"{row}.jpg"), "rsicd", "train", scene, captions)


@pytest.fixture
def samples():
    return [image(0, PORT), image(1, OTHER), image(2, THIRD), image(3, FAR, "desert")]


@pytest.fixture
def agreement(samples):
    return Agreement(samples, {0: Around([0, 1, 2], [0.3, 0.35, 0.35]), 3: Around([3], [1.0])})


def test_the_nearest_known_images_come_first_weigh_most_and_never_are_the_image_itself():
    features = np.random.default_rng(0).normal(size=(12, 6))
    features[5] = features[2] * 1.01
    known = list(range(0, 12, 1))
    similar = neighbours.cosines(features, features[known])
    assert similar.shape == (12, 12) and np.allclose(np.diag(similar), 1, atol=1e-5)
    found = neighbours.nearest(known, known, similar, Reach(4, 8.0))
    assert found[2].rows[:2] == [2, 5] and found[5].rows[:2] == [5, 2]
    for row, around in enumerate(found):
        assert around.rows[0] == row and row not in around.rows[1:] and len(around.rows) == 5
        assert around.weights[0] == neighbours.OWN and sum(around.weights) == pytest.approx(1)
        assert around.weights[1:] == sorted(around.weights[1:], reverse=True)


def test_an_image_that_is_not_known_has_as_many_neighbours():
    features = np.random.default_rng(1).normal(size=(6, 4))
    (found,) = neighbours.nearest([0], [1, 2, 3, 4, 5], neighbours.cosines(features[:1], features[1:]), Reach(3, 1.0))
    assert len(found.rows) == 4


def test_captions_count_as_their_images_do(agreement):
    said = dict(agreement.said(0))
    assert sum(said.values()) == pytest.approx(1)
    assert said[PORT[0]] == pytest.approx(0.3 / 3)
    assert said["many boats are in a port ."] == pytest.approx(0.7 / 3)  # of two images


def test_a_sentence_is_worth_what_all_of_them_say(agreement):
    text = "many boats are in a port near buildings ."
    assert agreement.worth(text, 0) == pytest.approx(
        agreement.cider(text, 0) + OBJECTS["rsicd"] * agreement.objects(text, 0)
    )
    assert agreement.worth(text, 0) > agreement.worth("two boats are near a pier .", 0)
    assert agreement.objects("it is a desert .", 0) == 0


def test_the_sentence_agreed_on_counts_only_what_the_image_s_own_captions_count(agreement):
    assert agreement.sentence(3) in FAR  # it has no neighbours
    assert agreement.sentence(0) in {*PORT, *OTHER, *THIRD} - {"three boats near a port and buildings ."}


def test_objects_are_those_that_most_of_them_name(agreement):
    shares = {noun.name: share for noun, share in agreement.shares(0).items()}
    assert shares["boat"] == pytest.approx(1) and shares["building"] == pytest.approx(0.7)
    assert shares["road"] == pytest.approx(0.3)
    seen = agreement.seen(0)
    assert [s.phrase for s in seen] == ["boats", "buildings"]  # the port is a place
    assert [s.phrase for s in agreement.seen(3)] == ["a desert"] or [s.noun.name for s in agreement.seen(3)] == ["sand"]


def test_the_related_sentence_has_a_spatial_relation_and_names_nothing_doubtful(agreement):
    assert agreement.related(0) in {"many boats are in a port near buildings .", "a port with boats near buildings ."}
    assert agreement.related(3) in FAR  # none of them has a relation


def test_goals_are_made_of_what_is_agreed_on(samples, agreement):
    goals = Goals(samples, agreement)
    said = goals.experts(0)
    assert said["theme"] == "The scene is a port." and said["objects"] == "It shows boats and buildings."
    assert "near buildings." in said["relationship"]
    assert goals.lines(0)["relationship"] == "Describe how boats and buildings are arranged."
