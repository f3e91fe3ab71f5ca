import json

import pytest

from rsmoe_train import data

SPORT = ["A large playground near buildings .", "two playgrounds .", "a playground .", "a football field .", "trees ."]


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "HELD_BACK_RSICD", {})

    def scene(image, answer, captions):
        rows = {
            "rsicd/captions.jsonl": {"image": image, "captions": captions},
            "rsicd/vqa.jsonl": {"image": image, "question": "", "answer": answer},
            "ucm/vqa.jsonl": None,
            "ucm/captions_train.jsonl": None,
            "ucm/captions_val.jsonl": None,
        }
        for name, row in rows.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(row) if row else "", encoding="utf-8")
        return data.load(tmp_path)[0].theme

    return scene


def test_a_file_name_says_the_class_whatever_the_answer(load):
    assert load("storagetanks_12.jpg", "playfields", SPORT) == "storage tanks"


def test_a_numbered_file_takes_the_answer(load):
    assert load("00012.jpg", "storagetanks", SPORT) == "storage tanks"


def test_a_playfield_is_a_playground_if_most_captions_say_so(load):
    assert load("00012.jpg", "playfields", SPORT) == "playground"
    assert load("00012.jpg", "playfields", [*SPORT[1:], "two courts ."]) is None


def test_an_answer_that_is_no_class_is_none(load):
    assert load("00012.jpg", "ruins", SPORT) is None


def test_a_pass_has_the_training_part_in_its_order_and_images_of_ucm_several_times():
    def sample(index, source, split, scene="beach", caption="It is a beach ."):
        return data.Sample(index, None, source, split, scene, [caption])

    samples = [
        sample(0, "rsicd", "train"),
        sample(1, "rsicd", "val"),
        sample(2, "ucm", "train"),
        sample(3, "ucm", "train", caption="It is a piece of farmland ."),  # mislabelled
        sample(4, "rsicd", "train"),
    ]
    assert data.training_rows(samples, ucm_repeats=3) == [0, 2, 2, 2, 4]
