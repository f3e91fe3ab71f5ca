"""Which experts stay out of a full caption."""

import pytest

from rsmoe_eval import silence
from rsmoe_eval.objects import truth
from rsmoe_eval.silence import Told


def image(confidences, references=("a river and a bridge .",)):
    texts = ["The scene is a river.", "It shows bridges.", "Ships are near a stadium."]
    return Told(texts, confidences, [True, False, False], truth(list(references), []))


@pytest.mark.parametrize(
    ("silent_below", "expected"),
    [
        (0.0, "The scene is a river. It shows bridges. Ships are near a stadium."),
        (0.6, "The scene is a river. It shows bridges."),
        (0.99, "The scene is a river. It shows bridges."),  # the lead, and the surest
    ],
)
def test_the_lead_and_the_surest_are_heard_and_the_others_if_they_are_sure_enough(silent_below, expected):
    assert image([0.5, 0.8, 0.4]).caption(silent_below) == expected


def test_the_threshold_leaves_out_what_costs_nothing_and_keeps_what_is_needed():
    # Guesses at .4 are wrong; bridges at .6 are there in one source, and would be missed above it.
    sources = {"a": [image([0.9, 0.6, 0.4])] * 4, "b": [image([0.9, 0.8, 0.4])] * 4}
    assert silence.silent_below(sources) == 0.6
    scores = silence.scores(sources["a"], 0.6)
    assert (scores["object precision"], scores["object recall"]) == (1.0, 1.0)


def test_without_anything_to_gain_every_expert_is_heard():
    right = Told(["A river.", "A bridge."], [0.9, 0.0], [True, False], truth(["a river and a bridge ."], []))
    assert silence.silent_below({"a": [right]}) == 0.0
