import math
import shutil

import pytest

from rsmoe_eval.captions import Scorer, copies, mean_and_error, mean_length, normalised
from rsmoe_eval.cider import Corpus, sentences, words

EXACT = 1e-9  # the same arithmetic in another order
REFERENCES = [
    ["a river flows through green fields .", "there is a river beside the fields ."],
    ["many planes are parked near a terminal .", "some planes stand beside a long terminal ."],
    ["a bridge crosses a wide river .", "cars drive over the bridge ."],
]
TEXTS = ["A river flows through fields.", "Many planes are parked near a terminal.", "A road with cars."]


def test_words_drop_punctuation_and_case():
    assert words("A T-junction, with 2 cars.") == ["a", "t-junction", "with", "2", "cars"]
    assert normalised("There is a river .") == normalised("there is a River.")


def test_a_text_splits_into_sentences():
    assert sentences("The scene is a river. It shows trees.\nA bridge!") == [
        "The scene is a river.",
        "It shows trees.",
        "A bridge!",
    ]
    assert sentences(" . ") == []


def test_similarity_of_one_word_by_hand():
    # Only unigrams exist: cosine 1 in one of four orders, lengths alike.
    corpus = Corpus([["river"], ["plane"]])
    assert corpus.similarity("river", "river") == pytest.approx(10 / 4, abs=EXACT)
    assert corpus.similarity("river", "plane") == 0.0


def test_a_word_of_every_image_weighs_nothing():
    corpus = Corpus([["the river"], ["the plane"]])
    assert corpus.similarity("the", "the") == 0.0


def test_length_takes_its_term():
    # Unigram cosine of "river" with "river bank": ln 2 weights, 1 / sqrt 2; one bigram more.
    corpus = Corpus([["river bank"], ["plane"]])
    assert corpus.similarity("river", "river bank") == pytest.approx(10 / 4 / 2**0.5 * math.exp(-1 / 72), abs=EXACT)


def test_recall_of_one_sentence_is_its_cider():
    corpus = Corpus(REFERENCES)
    for text, references in zip(TEXTS, REFERENCES, strict=True):
        assert corpus.matched(text, references)[1] == pytest.approx(corpus.cider(text, references), abs=EXACT)


def test_more_sentences_never_lower_recall_and_padding_costs_precision():
    corpus = Corpus(REFERENCES)
    short = corpus.matched("A river flows through green fields.", REFERENCES[0])
    long = corpus.matched("A river flows through green fields. Nothing else matters here.", REFERENCES[0])
    assert long[1] >= short[1]
    assert long[0] == pytest.approx(short[0] / 2, abs=EXACT)
    assert long[2] < short[2]


def test_an_empty_text_scores_nothing():
    assert Corpus(REFERENCES).matched("", REFERENCES[0]) == (0.0, 0.0, 0.0)


def test_cider_is_that_of_pycocoevalcap():
    cider = pytest.importorskip("pycocoevalcap.cider.cider")
    corpus = Corpus(REFERENCES)
    told = {i: [" ".join(words(text))] for i, text in enumerate(TEXTS)}
    wanted = {i: [" ".join(words(text)) for text in many] for i, many in enumerate(REFERENCES)}
    _, each = cider.Cider().compute_score(wanted, told)
    for i, text in enumerate(TEXTS):
        assert corpus.cider(text, REFERENCES[i]) == pytest.approx(each[i], abs=EXACT)


def test_rows_are_scored_apart():
    rows = Scorer(REFERENCES).plain_cider({"mine": TEXTS, "first reference": [many[0] for many in REFERENCES]})
    assert rows["first reference"]["CIDEr"] > rows["mine"]["CIDEr"] > 0


def test_mean_and_standard_error_by_hand():
    mean, error = mean_and_error([1.0, 2.0, 3.0])
    assert (mean, error) == (2.0, pytest.approx(1 / 3**0.5, abs=EXACT))
    assert mean_and_error([4.0]) == (4.0, 0.0)


def test_copies_are_exact_matches_of_normal_forms():
    training = {normalised("There is a river .")}
    assert copies(["There is a river.", "There is a wide river."], training) == 0.5


def test_length_counts_words():
    assert mean_length(["A river.", "Two wide green rivers."]) == 3.0


def test_a_row_without_a_name_is_not_taken_for_the_references():
    pytest.importorskip("pycocoevalcap")
    if shutil.which("java") is None:
        pytest.skip("needs Java")
    found = Scorer(REFERENCES).scores({"": TEXTS, "other": TEXTS}, True)
    assert found[""]["CIDEr"] == pytest.approx(found["other"]["CIDEr"], abs=EXACT)
    assert found[""]["CIDEr"] < 10
