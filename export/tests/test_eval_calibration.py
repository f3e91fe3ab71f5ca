import math

import pytest

from rsmoe_eval import calibration
from rsmoe_eval.calibration import Scored, Written
from rsmoe_eval.honesty import auroc, separation

EXACT = 1e-9
SEARCH = 1e-3  # of golden-section search, rounded to 4 decimals


def test_auroc_by_hand():
    assert auroc([0.9, 0.8], [0.1, 0.2]) == 1.0
    assert auroc([0.1], [0.9]) == 0.0
    assert auroc([0.5, 0.5], [0.5]) == 0.5
    assert auroc([0.9, 0.3], [0.5, 0.1]) == 0.75


def test_separation_lists_each_kind_and_both_sums():
    table = separation([0.9], {"black": [0.1], "photo": [0.95]})
    assert table == {"black": 1.0, "photo": 0.0, "all generated": 1.0, "all": 0.5}


def test_calibration_error_by_hand():
    # Bin [0.9, 1]: confidence .95, right 1/2; bin [0.6, 0.7): confidence .6, right 1.
    outcomes = [(0.95, True), (0.95, False), (0.6, True)]
    table = calibration.equal_width(outcomes)
    assert [row["count"] for row in table] == [1, 2]
    assert calibration.calibration_error(table) == pytest.approx((0.4 + 2 * 0.45) / 3, abs=EXACT)


def test_a_confidence_of_one_is_in_the_last_bin():
    assert calibration.equal_width([(1.0, True), (0.95, True)])[-1]["count"] == 2


def test_bins_of_equal_mass_differ_by_one_at_most():
    table = calibration.equal_mass([(i / 25, True) for i in range(25)])
    assert sum(row["count"] for row in table) == 25
    assert {row["count"] for row in table} == {2, 3}


def test_few_answers_make_few_bins():
    assert calibration.calibration_error(calibration.equal_mass([(0.5, True)])) == 0.5
    assert calibration.reliability([])["ECE"] == 0.0


@pytest.mark.parametrize("familiarity", [None, 1.0, 0.4])
def test_reading_a_record_undoes_familiarity_and_temperature(familiarity):
    f = 1.0 if familiarity is None else familiarity
    raw, now = [math.log(0.7), math.log(0.2), math.log(0.1)], 2.0
    softened = [math.exp(score / now) for score in raw]
    printed = {name: f * p / sum(softened) + (1 - f) / 3 for name, p in zip("abc", softened, strict=True)}
    row = Scored.read(printed, familiarity, "b", now)
    assert row is not None
    assert row.true == 1
    expected = [f * p + (1 - f) / 3 for p in (0.7, 0.2, 0.1)]
    assert row.probabilities(1.0) == pytest.approx(expected, abs=EXACT)
    assert row.outcome(1.0) == (pytest.approx(expected[0], abs=EXACT), False)


def test_a_truth_outside_the_choices_is_no_row():
    assert Scored.read({"yes": 1.0, "no": 0.0}, None, "maybe", 1.0) is None


def test_the_temperature_of_choices_is_the_one_that_made_them():
    # Of 10 answers printed with p = .9, 7 are right: the best temperature prints .7.
    rows = [Scored.read({"yes": 0.9, "no": 0.1}, None, "yes" if i < 7 else "no", 1.0) for i in range(10)]
    found = calibration.best_temperature(lambda t: calibration.choice_loss(rows, t))
    assert found == pytest.approx(math.log(0.9 / 0.1) / math.log(0.7 / 0.3), abs=SEARCH)
    assert rows[0].outcome(found)[0] == pytest.approx(0.7, abs=SEARCH)


def test_the_temperature_of_texts_makes_confidence_the_share_of_right():
    rows = [Written.read(0.9, None, i < 5, 1.0) for i in range(10)]
    found = calibration.best_temperature(lambda t: calibration.text_loss(rows, t))
    assert found == pytest.approx(math.log(0.9) / math.log(0.5), abs=SEARCH)
    assert rows[0].outcome(found)[0] == pytest.approx(0.5, abs=SEARCH)


def test_a_texts_confidence_is_scaled_by_familiarity():
    row = Written.read(0.36, 0.5, True, 2.0)  # 0.36 = 0.5 * sqrt(p)
    assert row.outcome(1.0)[0] == pytest.approx(0.5 * 0.72**2, abs=EXACT)


def test_the_threshold_keeps_back_few_right_answers():
    outcomes = [(i / 100, True) for i in range(100)] + [(0.01, False)] * 50
    threshold = calibration.unsure_below(outcomes)
    assert threshold == pytest.approx(0.05, abs=EXACT)
    assert sum(confidence < threshold for confidence, right in outcomes if right) <= 5
    assert calibration.unsure_below([]) == 0.0


def test_a_likelier_temperature_is_kept_only_where_it_lowers_the_calibration_error():
    right, wrong = [(0.9, True)] * 8, [(0.9, False)] * 2

    def outcomes(temperature):
        shift = {1.0: 0.0, 0.5: 0.05, 2.0: -0.15}[temperature]
        return [(confidence + shift, hit) for confidence, hit in right + wrong]

    assert calibration.where_it_helps(0.5, outcomes) == 1.0
    assert calibration.where_it_helps(2.0, outcomes) == 2.0
