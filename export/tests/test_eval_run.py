"""The whole command on a small made-up data set, with a script in the place of the `rsmoe` binary."""

import dataclasses
import json
import os
import stat
import sys
from pathlib import Path

import pytest

from rsmoe_eval import __main__ as command
from rsmoe_eval import measure_captions, measure_questions, measure_silence, splits
from rsmoe_eval.annotators import agreement
from rsmoe_eval.runtime import Runtime, require, said
from rsmoe_train import data as train_data

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script with a shebang")

RIVER = [
    "a river flows through fields .",
    "there is a river .",
    "a wide river .",
    "two bridges cross the river .",
    "a river .",
]
BEACH = ["a beach beside the sea .", "there is a beach .", "sand and sea .", "waves near a beach .", "a long beach ."]
# Says "river" and "yes" to everything; the log beside it has one line a call.
SCRIPT = """#!{python}
import json, sys
arguments = sys.argv[1:]
open({log!r}, "a").write(arguments[0] + "\\n")
if "--router" in arguments:
    at = arguments.index("--router")
    open({options!r}, "a").write(" ".join(arguments[at : at + 2]) + "\\n")
    del arguments[at : at + 2]
common = {{"confidence": 0.8, "familiarity": 0.9, "model": "stand-in@0", "ms": 1.0}}
if arguments[0] == "caption":
    full = "full" in arguments
    for path in arguments[4:arguments.index("--model")]:
        text = "The scene is a river. It shows bridges." if full else "There is a river."
        experts = [{{"name": "theme", "text": "The scene is a river.", "confidence": 0.7}}] if full else []
        print(json.dumps({{"input": path, "caption": text, "experts": experts}} | common))
else:
    for line in sys.stdin:
        asked = json.loads(line)
        choices = asked.get("choices")
        wanted = [name for name in ("river", "yes") if name in (choices or [])]
        answer = wanted[0] if wanted else "two"
        rest = len(choices or [0, 0]) - 1
        table = choices and {{name: 0.8 if name == answer else 0.2 / rest for name in choices}}
        print(json.dumps({{"input": asked["input"], "answer": answer, "choices": table}} | common))
"""


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def setup(tmp_path, monkeypatch):
    monkeypatch.setattr(train_data, "_held_back", lambda rows: {"river_1.jpg", "beach_1.jpg"})
    root = tmp_path / "data"
    images = [(f"{scene}_{i}.jpg", texts) for scene, texts in (("river", RIVER), ("beach", BEACH)) for i in range(1, 5)]
    write_lines(root / "rsicd" / "captions.jsonl", [{"image": name, "captions": texts} for name, texts in images])
    theme = {"question": "what is the theme of this picture?", "answer": "river", "source": ""}
    write_lines(root / "rsicd" / "vqa.jsonl", [{"image": "river_1.jpg"} | theme])
    rows = [{"image": f"{i}.jpg", "class": "river", "captions": RIVER} for i in range(1, 5)]
    rows += [{"image": f"{i}.jpg", "class": "beach", "captions": BEACH} for i in range(5, 9)]
    write_lines(root / "ucm" / "captions_train.jsonl", rows[1:-1])
    write_lines(root / "ucm" / "captions_val.jsonl", [rows[0], rows[-1]])
    asked = [{"image": row["image"], "question": theme["question"], "answer": row["class"]} for row in rows]
    asked += [{"image": "1.jpg", "question": "How many bridges in the picture?", "answer": "three"}]
    asked += [{"image": "2.jpg", "question": "How many bridges in the picture?", "answer": "five"}]
    asked += [{"image": "1.jpg", "question": "How many  in the picture?", "answer": "zero"}]
    write_lines(root / "ucm" / "vqa.jsonl", asked)
    binary, log = tmp_path / "rsmoe", tmp_path / "calls"
    binary.write_text(SCRIPT.format(python=sys.executable, log=str(log), options=str(tmp_path / "options")))
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    package = tmp_path / "package"
    package.mkdir()
    (package / "manifest.yaml").write_text("name: stand-in\n")
    return splits.load(root), Runtime(binary, package, tmp_path / "work"), log


def test_captions_stand_beside_their_templates(setup):
    data, runtime, _ = setup
    result = measure_captions.measure(data, runtime, java=False)
    rows = result["ucm"]["rows"]
    assert result["ucm"]["images"] == 2
    assert result["ucm"]["themes"] == {"named": 0.5, "named strictly": 0.5, "chosen": 0.5, "images": 2}
    assert rows["brief"]["copies"] == rows["template, true class"]["copies"] == 1.0
    assert rows["template, true class"]["CIDEr"] > rows["template, classifier"]["CIDEr"]
    assert rows["full"]["object precision"] == 0.5  # river and bridge: right once, wrong once


def test_people_are_scored_against_each_other(setup):
    data, runtime, _ = setup
    rows = measure_captions.measure(data, runtime, java=False)["ucm"]["annotators"]
    assert list(rows) == ["annotators", "brief", "full"]
    assert rows["brief"]["object precision"] == 0.5  # river, whichever sentence is left out; the beach has none


def test_a_noun_that_only_the_sentence_left_out_has_is_nobodys(setup):
    data, _, _ = setup
    sample = dataclasses.replace(data.chosen["ucm"][0], captions=["a river .", "a river and a bridge ."])
    rows = agreement(data, [sample], {"brief": ["There is a bridge."]})
    # "river" against both nouns, then both against "river"; "bridge" against both, then against "river"
    assert (rows["annotators"]["object precision"], rows["annotators"]["object recall"]) == (0.75, 0.75)
    assert (rows["brief"]["object precision"], rows["brief"]["object recall"]) == (0.5, 0.25)


def test_one_sentence_agrees_with_nobody(setup):
    data, _, _ = setup
    sample = dataclasses.replace(data.chosen["ucm"][0], captions=["a river ."])
    assert agreement(data, [sample], {"brief": ["There is a bridge."]}) == {}


def test_images_of_a_known_class_are_scored_apart_too(setup):
    data, runtime, _ = setup
    assert "known class" not in measure_captions.measure(data, runtime, java=False)["ucm"]  # all are known
    data.chosen["ucm"][1].scene = None
    result = measure_captions.measure(data, runtime, java=False)["ucm"]
    assert (result["images"], result["known class"]["images"]) == (2, 1)
    assert result["known class"]["rows"]["brief"]["object precision"] == 1.0  # the other image shows no river
    assert result["rows"]["brief"]["object precision"] == 0.5


def test_questions_stand_beside_their_blind_baselines(setup):
    data, runtime, _ = setup
    result = measure_questions.measure(data, runtime, frozenset({"theme", "presence"}))
    human = result["groups"]["ucm rsivqa"]
    assert human["theme"]["questions"] == 2
    assert human["theme"]["right"] == 0.5
    assert human["count"]["questions"] == 1  # the row without its object is dropped
    assert (human["count"]["error"], human["count"]["blind error, by text"]) == (1.0, 2.0)
    assert result["groups"]["rsicd rsivqa"]["theme"]["blind, by kind"] == 0.5
    assert result["reliability"]["all"]["bins"][0]["confidence"] == pytest.approx(0.8)


def test_scoring_again_calls_nothing(setup):
    data, runtime, log = setup
    first = measure_captions.measure(data, runtime, java=False)
    calls = log.read_text()
    assert measure_captions.measure(data, runtime, java=False) == first
    assert log.read_text() == calls


def test_a_binary_in_the_current_directory_is_found(setup, monkeypatch):
    data, runtime, _ = setup
    monkeypatch.chdir(runtime.binary.parent)
    here = dataclasses.replace(runtime, binary=Path(runtime.binary.name))
    assert here.captions([data.chosen["ucm"][0].path], "brief")[0]["caption"]


def test_the_fixed_router_is_asked_for_full_captions_only_and_kept_apart(setup):
    data, runtime, _ = setup
    fixed = dataclasses.replace(runtime, router="fixed")
    assert fixed.key != runtime.key
    path = data.chosen["ucm"][0].path
    assert "river" in fixed.captions([path], "brief")[0]["caption"]
    assert "bridges" in fixed.captions([path], "full")[0]["caption"]
    assert "--router fixed" in (runtime.binary.parent / "options").read_text()


def test_another_package_is_asked_anew(setup):
    _, runtime, _ = setup
    key = runtime.key
    (runtime.package / "manifest.yaml").write_text("name: other\n")
    assert dataclasses.replace(runtime).key != key


def test_a_package_that_changes_during_the_run_is_an_error(setup):
    data, runtime, _ = setup
    assert runtime.key
    (runtime.package / "manifest.yaml").write_text("name: other\n")
    with pytest.raises(SystemExit, match="changed during the run"):
        runtime.captions([data.chosen["ucm"][0].path], "brief")


def test_calibration_writes_the_facts_of_a_package(setup, monkeypatch):
    data, runtime, _ = setup
    fitted, held = measure_questions.FITTED, measure_questions.HELD
    monkeypatch.setattr(measure_questions, "half", lambda row: fitted if row.sample.source == "ucm" else held)
    found, figures = measure_questions.calibrate(data, runtime, frozenset({"theme", "presence"}))
    assert set(found) == {"choice_temperature", "text_temperature", "unsure_below"}
    assert 0 <= found["unsure_below"] <= 1
    assert set(figures["calibrated"]) == {fitted, held}
    threshold, rows = measure_silence.fit(data, runtime, found["text_temperature"])
    assert threshold == 0.99  # the only expert is the surest: nothing is lost
    assert rows["ucm, fitted half, silent below 0.0"] == rows["ucm, fitted half, silent below 0.99"]


def test_calibration_without_questions_says_so(setup, monkeypatch):
    data, runtime, _ = setup
    monkeypatch.setattr(measure_questions, "half", lambda row: measure_questions.HELD)
    with pytest.raises(SystemExit, match="no scored choices"):
        measure_questions.calibrate(data, runtime, frozenset({"theme", "presence"}))


def test_the_command_writes_a_table_and_json(setup, tmp_path, monkeypatch, capsys):
    pytest.importorskip("PIL")
    data, runtime, _ = setup
    (tmp_path / "foreign" / "black").mkdir(parents=True)
    (tmp_path / "foreign" / "black" / "0.png").write_bytes(b"")
    out = tmp_path / "figures.json"
    arguments = ["run", "--rsmoe", runtime.binary, "--model", runtime.package, "--data", data.root]
    arguments += ["--work", runtime.work]
    arguments += ["--foreign", tmp_path / "foreign", "--no-java", "--json", out, "--variants", "fp32"]
    monkeypatch.setattr(sys, "argv", ["rsmoe_eval", *map(str, arguments)])
    command.main()
    figures = json.loads(out.read_text())
    assert set(figures) >= {"model", "variant", "captions", "questions", "honesty", "variants"}
    assert figures["honesty"]["AUROC"]["brief confidence"] == {"black": 0.5, "all generated": 0.5, "all": 0.5}
    printed = capsys.readouterr().out
    assert "template, true class" in printed
    assert "| ucm: fp32" in printed


def test_a_failed_input_is_named():
    with pytest.raises(SystemExit, match=r"1 of 2 captions failed.*bad\.png"):
        require([{"caption": ""}, {"input": "bad.png", "error": {}}], "captions")


def test_what_would_have_been_said_is_scored_apart():
    assert said({"answer": "not sure", "said": "yes"}) == "yes"
    assert said({"answer": "no"}) == "no"
