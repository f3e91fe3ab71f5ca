"""Checkpoints made of published weight files: writing them again gives the same files."""

import pytest

torch = pytest.importorskip("torch")

from rsmoe_train import restore, save  # noqa: E402
from rsmoe_train.base import Shape  # noqa: E402
from rsmoe_train.connector import Connector  # noqa: E402
from rsmoe_train.language import Pairs  # noqa: E402

SHAPE = Shape(layers=2, hidden=32, heads=4, kv_heads=2, intermediate=48, rope_base=1e4, epsilon=1e-5)
DELTA_RANK = 3
DONE = {"step": 5, "images": 80, "used": 12.5}
FILES = ("tower", "connector", "base_delta", "vocabulary", "familiarity")


def pairs(rank):
    made = Pairs(SHAPE, rank)
    for value in made.values.values():
        torch.nn.init.normal_(value, std=0.2)
    return made


@pytest.fixture
def published(tmp_path):
    """Weight files of a random model of a tiny shape."""
    torch.manual_seed(3)
    connector = Connector(width=16, hidden=SHAPE.hidden)
    torch.nn.init.normal_(connector.class_table)
    parts = save.Parts(
        tower={"_conv_stem.weight": torch.randn(4, 3, 3, 3), "_bn0.running_var": torch.rand(4) * 1e-9},
        connector=connector,
        delta=pairs(DELTA_RANK),
        adapters=save.split_adapters(pairs(save.ADAPTER_RANK * len(save.ADAPTERS)).named()),
        output_ids=torch.arange(7),
        familiarity={"block": torch.tensor([4]), "mean": torch.randn(6), "centres": torch.randn(2, 6)},
    )
    out = tmp_path / "published"
    save.write_parts(parts, out, {"vision": DONE, "stage1": DONE, "selfcritical": DONE, "stage2": DONE})
    return out


def test_a_restored_model_is_written_as_the_same_files(published, tmp_path):
    work, again = tmp_path / "work", tmp_path / "again"
    restore.checkpoints(work, published, SHAPE)
    save.write(work, again, SHAPE)
    for name in FILES:
        path = f"{name}.safetensors"
        assert (again / path).read_bytes() == (published / path).read_bytes(), name


def test_what_is_restored_stands_before_stage_2_and_replaces_no_checkpoint(published, tmp_path):
    work = tmp_path / "work"
    restore.checkpoints(work, published, SHAPE)
    _, stages = save.gather(work, SHAPE)
    assert stages == {"vision": DONE, "stage1": DONE, "selfcritical": DONE, "stage2": None}
    with pytest.raises(SystemExit, match="empty directory"):
        restore.checkpoints(work, published, SHAPE)
