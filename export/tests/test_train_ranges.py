"""Ranges are recorded over what the runtime shows the tower, without torch."""

import subprocess
import sys

import numpy as np
from PIL import Image

from rsmoe_export.recipe import vision_facts
from rsmoe_train import PACKAGE, ranges
from rsmoe_train.pixels import IMAGE_SIZE


def test_an_image_is_shown_in_all_four_quarter_turns(tmp_path):
    facts = vision_facts(PACKAGE)
    assert facts.views == "quarter_turns"
    rgb = np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    rgb[: IMAGE_SIZE // 2, :, 0] = 255
    Image.fromarray(rgb).save(tmp_path / "red-above.png")
    views = list(ranges.views(tmp_path / "red-above.png", facts))
    assert [view.shape for view in views] == [(3, facts.height, facts.width)] * 4
    red, black = ((np.array([level, 0, 0]) / 255 - facts.mean) / facts.std for level in (255, 0))
    for view, (row, column) in zip(views, [(0, 128), (128, 0), (255, 128), (128, 255)], strict=True):
        np.testing.assert_allclose(view[:, row, column], red, rtol=1e-6)
        np.testing.assert_allclose(view[:, 255 - row, 255 - column], black, rtol=1e-6)


def test_the_command_needs_no_torch():
    script = "import sys; sys.modules['torch'] = None; import rsmoe_train.__main__"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
