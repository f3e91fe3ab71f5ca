"""The `projection` connector: the 8 x 8 feature grid becomes 16 image embeddings, and two more say what was recognised.

The last two are concept tokens: the scene classes and the caption words that the vision stage's heads find, each as a
mixture of learned embeddings that start as those of the words themselves. The heads stay as the vision stage left them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .tower import FEATURE_SHAPE
from .vision import Heads

GRID_TOKENS, CONCEPT_TOKENS = (FEATURE_SHAPE[0] // 2) * (FEATURE_SHAPE[1] // 2), 2
IMAGE_TOKENS = GRID_TOKENS + CONCEPT_TOKENS
MERGED = 4 * FEATURE_SHAPE[2]


def merge_grid(features: Tensor) -> Tensor:
    """[n, 8, 8, 1280] NHWC -> [n, 16, 5120]: 2 x 2 blocks in row-major order, each tl, tr, bl, br."""
    n, size, _, channels = features.shape
    blocks = features.reshape(n, size // 2, 2, size // 2, 2, channels).permute(0, 1, 3, 2, 4, 5)
    return blocks.reshape(n, (size // 2) ** 2, 4 * channels)


@dataclass(frozen=True)
class Start:
    """What the connector starts from: f32 [classes, hidden] and [words, hidden] in units of the embedding's scale."""

    class_table: Tensor
    word_table: Tensor


class Connector(nn.Module):
    """LayerNorm, linear, GELU (erf), linear, plus a learned position; then the concept tokens. All times `scale`, which
    is folded in on saving.
    """

    def __init__(self, width: int = 512, hidden: int = 576, scale: float = 0.1) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(MERGED, eps=1e-5)
        self.fc1 = nn.Linear(MERGED, width)
        self.fc2 = nn.Linear(width, hidden)
        self.position = nn.Parameter(torch.randn(GRID_TOKENS, hidden) * 0.3)
        heads = Heads().requires_grad_(False)
        self.classes, self.words = heads.classes, heads.words
        self.class_table = nn.Parameter(torch.zeros(heads.classes.out_features, hidden))
        self.word_table = nn.Parameter(torch.zeros(heads.words.out_features, hidden))
        self.concept_position = nn.Parameter(torch.randn(CONCEPT_TOKENS, hidden) * 0.3)
        self.scale = scale
        nn.init.normal_(self.fc1.weight, std=MERGED**-0.5)
        nn.init.normal_(self.fc2.weight, std=1.5 * width**-0.5)
        nn.init.zeros_(self.fc1.bias)
        nn.init.zeros_(self.fc2.bias)

    @torch.no_grad()
    def begin(self, heads: Heads, start: Start) -> None:
        """Takes over the vision stage's heads and the words' own embeddings."""
        self.classes.load_state_dict(heads.classes.state_dict())
        self.words.load_state_dict(heads.words.state_dict())
        self.class_table.copy_(start.class_table)
        self.word_table.copy_(start.word_table)

    def forward(self, features: Tensor) -> Tensor:
        """[n, 8, 8, 1280] -> image embeddings [n, 18, hidden]."""
        features = features.float()
        x = functional.gelu(self.fc1(self.norm(merge_grid(features))))
        grid = self.fc2(x) + self.position
        pooled = features.mean((1, 2))
        known = self.classes(pooled).softmax(-1) @ self.class_table
        named = self.words(pooled).sigmoid() @ self.word_table
        concepts = torch.stack((known, named), 1) + self.concept_position
        return torch.cat((grid, concepts), 1) * self.scale

    def tuned(self) -> list[nn.Parameter]:
        """All parameters but the heads'."""
        return [p for p in self.parameters() if p.requires_grad]

    def folded(self) -> dict[str, Tensor]:
        """The weight file's tensors, `scale` folded into the last ones."""
        state = {name: value.detach().clone() for name, value in self.state_dict().items()}
        for name in ("fc2.weight", "fc2.bias", "position", "class_table", "word_table", "concept_position"):
            state[name] *= self.scale
        return state
