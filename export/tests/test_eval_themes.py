from rsmoe_eval.themes import names_class, theme_accuracy


def test_a_theme_text_names_its_class_in_readable_words():
    assert names_class("The scene is a baseball diamond.", "baseballdiamond")
    assert names_class("The scene is storage tanks.", "storagetanks")
    assert names_class("The scene is farmland.", "agricultural")
    assert names_class("The scene is an overpass.", "overpass")


def test_another_class_does_not_count():
    assert not names_class("The scene is a dense residential area.", "mediumresidential")
    assert not names_class("The scene is a runway.", "freeway")
    assert not names_class("", "river")
    assert not names_class("The scene is an airport.", "port")


def test_accuracy_is_a_share():
    said = [("river", "The scene is a river."), ("beach", "The scene is a river.")]
    assert theme_accuracy(said) == {"theme accuracy": 0.5}
