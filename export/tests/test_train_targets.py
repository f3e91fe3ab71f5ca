"""Training targets derived from captions and scene classes. Pure Python: no torch."""

from pathlib import Path

from rsmoe_train import data, questions, targets
from rsmoe_train.data import Question, Sample

AIRPORT = [
    "many planes are parked next to a long building in an airport .",
    "many planes are parked next to a terminal .",
    "some planes are parked near a runway .",
    "there are two airplanes and a runway .",
    "it is a big airport .",
]


def sample(scene="airport", source="rsicd", captions=AIRPORT, split="train", rows=()):
    """A sample without an image file."""
    return Sample(0, Path("x.jpg"), source, split, scene, list(captions), list(rows))


def test_a_caption_becomes_a_sentence():
    assert targets.tidy("there is a piece of farmland .") == "There is a piece of farmland."
    assert targets.tidy("a house , surounded by trees .") == "A house, surrounded by trees."
    assert targets.tidy("trees ,plants and a road") == "Trees, plants and a road."


def test_every_noun_of_the_lexicon_is_found_in_its_own_forms():
    for form, (noun, several) in targets.lexicon().forms.items():
        found = targets.mentions(f"near {form} .")
        assert noun in found, form
        assert found[noun] is several or noun.plural is None


def test_the_longest_form_wins():
    names = {noun.name for noun in targets.mentions("two tennis courts and a swimming pool beside a parking lot")}
    assert names == {"tennis court", "swimming pool", "parking lot"}
    assert {noun.name for noun in targets.mentions("many cars are parked .")} == {"car"}


def test_objects_are_those_that_captions_agree_on():
    seen = {s.noun.name: s for s in targets.seen_objects(AIRPORT)}
    assert set(seen) == {"plane", "runway"}
    assert seen["plane"].several and not seen["runway"].several
    assert targets.objects_text(list(seen.values())) == "It shows planes and a runway."
    assert targets.objects_text([]) is None


def test_places_are_objects_only_when_nothing_else_is():
    (forest,) = targets.seen_objects(["it is a forest .", "this is a dense forest ."])
    assert forest.phrase == "a forest"
    assert targets.seen_objects(["nothing to see"]) == []


def test_themes_read_well_and_hold_the_name_that_rsivqa_uses():
    assert targets.theme_text(sample()) == "The scene is an airport."
    assert targets.theme_text(sample("storagetanks")) == "The scene is a group of storage tanks."
    assert targets.theme_text(sample(None)) is None
    for scene, name in data.UCM_CLASSES.items():
        text = targets.theme_text(sample(scene, "ucm"))
        assert name.removesuffix(" area") in text, text


def lines(image):
    """The router's lines by the image's own captions."""
    return targets.router_lines(image, targets.seen_objects(image.captions))


def test_the_router_writes_one_line_for_each_expert():
    assert targets.router_text(lines(sample())).split("\n") == [
        "Name the scene with planes and a runway.",
        "List the objects of this airport.",
        "Describe how planes and a runway are arranged.",
    ]


def test_the_theme_prompt_never_names_the_class():
    river = sample("river", captions=["a river near trees .", "trees beside a river ."])
    assert lines(river)["theme"] == "Name the scene with trees."
    bridge = sample("bridge", captions=["it is a bridge .", "a bridge ."])
    assert lines(bridge)["theme"] == targets.FIXED_PROMPTS["theme"]


def test_an_image_without_a_class_or_objects_gets_the_fixed_prompts():
    assert lines(sample(None, captions=["nothing", "nothing"])) == targets.FIXED_PROMPTS


def test_texts_about_directions_forbid_turning_the_image():
    assert targets.oriented("a house in the upper left corner")
    assert targets.oriented("trees to the north")
    assert not targets.oriented("trees beside a road")


def test_rows_without_an_object_are_no_questions():
    assert not questions.usable(Question("How many  in the picture?", "two"))
    assert questions.usable(Question("How many cars in the picture?", "two"))


def test_counts_need_two_captions_that_agree():
    two = sample(captions=["two bridges over a river .", "there are two large bridges .", "three boats ."])
    assert questions.count_questions(two) == [Question("How many bridges are in the image?", "two")]


def test_presence_questions_are_true():
    import random

    airport, desert = sample(), sample("desert", captions=["it is a desert with sand ."] * 5)
    many = [sample() for _ in range(60)] + [
        sample("desert", captions=["a yellow desert with sand ."] * 5) for _ in range(60)
    ]
    for index, one in enumerate([*many, airport, desert]):
        one.index = index
    presence = questions.Presence([*many, airport, desert])
    rng = random.Random(0)
    asked = [q for q in (presence.ask(desert, rng) for _ in range(200)) if q is not None]
    assert {q.answer for q in asked} == {"yes", "no"}
    assert all(("sand" in q.text) == (q.answer == "yes") for q in asked)


def test_class_names_are_complete():
    assert len(data.RSICD_CLASSES) == 30
    assert len(data.UCM_CLASSES) == 21
    assert sample("airport").label == 0
    assert sample(None).label == -100
