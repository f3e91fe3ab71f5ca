"""Pictures as the vision tower takes them, before anything is normalised."""

from __future__ import annotations

import numpy as np
from PIL import Image

IMAGE_SIZE = 256


def pixels(image: Image.Image) -> np.ndarray:
    """RGB bytes [256, 256, 3] uint8, resized with PIL's antialiased bilinear filter."""
    image = image.convert("RGB")
    if image.size != (IMAGE_SIZE, IMAGE_SIZE):
        image = image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR)
    return np.asarray(image)
