import pytest

from rsmoe_eval.answers import Blind, absolute_error, normal, number, same


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("twenty-two", 22),
        ("about fifty", 50),
        ("There are 12 cars.", 12),
        ("one hundred and five", 105),
        ("zero", 0),
        ("left and right", None),
        ("two or three", 2),
    ],
)
def test_numbers_are_read_from_words_and_digits(text, value):
    assert number(text) == value


def test_answers_match_up_to_case_articles_and_the_way_numbers_are_written():
    assert same("A tennis court.", "tennis court")
    assert same("22", "twenty-two")
    assert same("about thirty", "thirty")
    assert not same("left", "left and right")
    assert not same("one river", "two rivers")


def test_words_around_numbers_alone_are_no_number():
    assert normal("and") == "and"
    assert normal("") == ""


def test_the_blind_answer_is_the_commonest_of_its_kind_or_of_its_text():
    rows = [
        ("count", "How many cars?", "one"),
        ("count", "How many cars?", "one"),
        ("count", "How many boats?", "ten"),
        ("presence", "Is there a car?", "no"),
    ]
    blind = Blind.fit(rows)
    assert blind.of_kind("count") == "one"
    assert blind.of_text("count", "how many boats ?") == "ten"
    assert blind.of_text("count", "How many trees?") == "one"
    assert blind.of_kind("location") == ""


def test_ties_go_to_the_first_answer_in_the_alphabet():
    assert Blind.fit([("presence", "q", "yes"), ("presence", "q", "no")]).of_kind("presence") == "no"


def test_count_errors_by_hand():
    # |3 - 2|, |nothing said: 0 - 4|; the third truth is no number.
    assert absolute_error(["three", "many", "one"], ["two", "4", "center"]) == 2.5
    assert absolute_error(["left"], ["right"]) is None
