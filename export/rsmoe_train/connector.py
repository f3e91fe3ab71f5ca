"""The `projection` connector: the 7 x 7 feature grid becomes 16 image embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

GRID, MERGED, IMAGE_TOKENS = 7, 5120, 16


def merge_grid(features: Tensor) -> Tensor:
    """[n, 7, 7, 1280] NHWC -> [n, 16, 5120]: zero row and column at bottom and right, then 2 x 2 blocks in row-major
    order, each tl, tr, bl, br.
    """
    padded = functional.pad(features, (0, 0, 0, 1, 0, 1))
    n, size, _, channels = padded.shape
    blocks = padded.view(n, size // 2, 2, size // 2, 2, channels).permute(0, 1, 3, 2, 4, 5)
    return blocks.reshape(n, (size // 2) ** 2, 4 * channels)


class Connector(nn.Module):
    """LayerNorm, linear, GELU (erf), linear, plus a learned position; times `scale`, which is folded in on saving."""

    def __init__(self, width: int = 512, hidden: int = 576, scale: float = 0.1) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(MERGED, eps=1e-5)
        self.fc1 = nn.Linear(MERGED, width)
        self.fc2 = nn.Linear(width, hidden)
        self.position = nn.Parameter(torch.randn(IMAGE_TOKENS, hidden) * 0.3)
        self.scale = scale
        nn.init.normal_(self.fc1.weight, std=MERGED**-0.5)
        nn.init.normal_(self.fc2.weight, std=1.5 * width**-0.5)
        nn.init.zeros_(self.fc1.bias)
        nn.init.zeros_(self.fc2.bias)

    def forward(self, features: Tensor) -> Tensor:
        """[n, 7, 7, 1280] -> image embeddings [n, 16, hidden]."""
        x = functional.gelu(self.fc1(self.norm(merge_grid(features).float())))
        return (self.fc2(x) + self.position) * self.scale

    def folded(self) -> dict[str, Tensor]:
        """The weight file's tensors, `scale` folded into the last ones."""
        state = {name: value.detach().clone() for name, value in self.state_dict().items()}
        for name in ("fc2.weight", "fc2.bias", "position"):
            state[name] *= self.scale
        return state
