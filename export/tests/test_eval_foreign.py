import numpy as np
import pytest

pytest.importorskip("PIL")

from rsmoe_eval import foreign
from rsmoe_eval.foreign_kinds import KINDS, SIZE


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_pictures_that_depend_on_the_seed_only(kind):
    def make(number):
        return KINDS[kind](foreign.generator(3, kind, number))

    image = make(1)
    assert image.shape == (SIZE, SIZE, 3)
    assert image.dtype == np.uint8
    assert np.array_equal(image, make(1))
    assert any(not np.array_equal(image, make(number)) for number in range(2, 6))


def test_the_set_is_listed_by_kind_with_its_photographs(tmp_path):
    source, out = tmp_path / "photos", tmp_path / "set"
    source.mkdir()
    assert foreign.generate(out, each=1) == len(KINDS)
    (source / "cat.PNG").write_bytes((out / "black" / "000.png").read_bytes())
    (source / "notes.txt").write_text("no picture")
    assert foreign.gather(out, [source]) == 1
    kinds = foreign.listed(out)
    assert set(kinds) == {*KINDS, "photo"}
    assert [path.name for path in kinds["photo"]] == ["000.png"]


def test_an_empty_directory_says_what_to_do(tmp_path):
    with pytest.raises(SystemExit, match="rsmoe_eval foreign"):
        foreign.listed(tmp_path)
