"""Checkpoints made from other checkpoints, and the manifest's confidence section."""

import numpy as np
import pytest

from rsmoe_export.decoder.weights import LowRankSet
from rsmoe_export.manifest import confidence_entry
from rsmoe_export.sources.derived import Kept, Limited, Merged, kept
from rsmoe_export.sources.random import RandomDecoder, random_low_rank
from rsmoe_export.tiny import expert_graphs


def _base() -> RandomDecoder:
    config = expert_graphs.model().decoders["base"].config
    return RandomDecoder(type(config)(**{**vars(config), "layers": 5}), 3)


def test_kept_layers_are_renumbered_in_order():
    base = _base()
    some = Limited(Kept(base, (0, 2, 4)), 16)
    assert (some.config.layers, some.config.max_positions) == (3, 16)
    for index, number in enumerate((0, 2, 4)):
        for name, weight in some.layer(index).projections.items():
            np.testing.assert_array_equal(weight, base.layer(number).projections[name])
    assert kept(base, None) is base
    np.testing.assert_array_equal(some.embedding(), base.embedding())
    np.testing.assert_array_equal(some.final_norm(), base.final_norm())


@pytest.mark.parametrize("layers", [(), (2, 1), (0, 0), (3, 5), (-1, 2)])
def test_layers_that_the_base_lacks_or_that_are_out_of_order_are_refused(layers):
    with pytest.raises(ValueError, match="expected ascending numbers below 5"):
        Kept(_base(), layers)


def test_a_delta_counts_the_kept_layers():
    some = Kept(_base(), (1, 3))
    delta = random_low_rank(some.config, 1, 2, 0.5)
    merged = Merged(some, delta)
    a, b = delta.get(1, "up")
    np.testing.assert_allclose(
        merged.layer(1).projections["up"], _base().layer(3).projections["up"] + (a @ b).T, rtol=0, atol=1e-6
    )
    with pytest.raises(ValueError, match="the delta has layer 2"):
        Merged(some, LowRankSet({(2, "q"): delta.get(0, "q")}))


def test_confidence_takes_four_numbers_in_their_ranges():
    good = {"choice_temperature": 2, "text_temperature": 0.5, "unsure_below": 0, "silent_below": 0.5}
    expected = {"temperature": {"choice": 2.0, "text": 0.5}, "unsure_below": 0.0, "silent_below": 0.5}
    assert confidence_entry(good) == expected
    for name, bad in (
        ("choice_temperature", 0),
        ("text_temperature", float("nan")),
        ("unsure_below", 1.5),
        ("silent_below", 1.0),
    ):
        with pytest.raises(ValueError, match="temperatures must be above 0, thresholds 0 <= number < 1"):
            confidence_entry(good | {name: bad})
    with pytest.raises(ValueError, match="expected choice_temperature"):
        confidence_entry({"choice_temperature": 1})
