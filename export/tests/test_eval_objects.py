import pytest

from rsmoe_eval.objects import object_scores, truth

EXACT = 1e-9


def test_objects_by_hand():
    truths = [
        truth(["some planes near a terminal", "an airplane on the runway"], ["airport"]),
        truth(["a river between trees"], ["are there boats in the image? yes"]),
    ]
    # Named: planes (right), bridge (nowhere); river (right), boat (a label only).
    scores = object_scores(["Planes under a bridge.", "A river with a boat."], truths)
    assert scores["objects per caption"] == 2.0
    assert scores["object precision"] == 0.5
    assert scores["object recall"] == pytest.approx(2 / 5, abs=EXACT)
    assert scores["object F1"] == pytest.approx(2 * 2 / (4 + 5), abs=EXACT)
    assert scores["hallucination rate"] == 0.25
    assert scores["hallucinations per caption"] == 0.5
    assert scores["captions with a hallucination"] == 0.5


def test_synonyms_and_plurals_are_one_object():
    scores = object_scores(["many aircraft"], [truth(["a plane"], [])])
    assert scores["object precision"] == scores["object recall"] == 1.0


def test_a_text_without_objects_invents_nothing():
    scores = object_scores(["nothing"], [truth(["a plane"], [])])
    assert scores["object precision"] == scores["hallucination rate"] == scores["object F1"] == 0.0
