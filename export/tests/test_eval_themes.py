from rsmoe_eval.themes import is_class, names_class, theme_accuracy


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


def test_the_strict_version_wants_the_class_and_nothing_else():
    assert is_class("The scene is an airplane.", "airplane")
    assert is_class("The scene is a group of storage tanks.", "storagetanks")
    assert is_class("The scene is a dense residential area.", "denseresidential")
    assert is_class("The scene is agricultural farmland.", "agricultural")
    assert is_class("The scene is a parking lot.", "parking")
    assert not is_class("The scene is an airport with an airplane.", "airplane")
    assert not is_class("The scene is a river and a bridge.", "river")
    assert not is_class("", "river")


def test_accuracy_is_a_share():
    said = [("river", "The scene is a river."), ("airplane", "An airport with an airplane."), ("beach", "A river.")]
    assert theme_accuracy(said) == {"named": 2 / 3, "named strictly": 1 / 3}
