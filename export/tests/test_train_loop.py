"""The loop that all stages share, and the ablation's trees and masks."""

import pytest

torch = pytest.importorskip("torch")

from rsmoe_train import ablation, save  # noqa: E402
from rsmoe_train.loop import Group, Limit, Loop  # noqa: E402
from rsmoe_train.packing import Node  # noqa: E402
from rsmoe_train.parallel import Team  # noqa: E402


def stage(path, module, limit):
    return Loop(Team(), path, {"module": module}, [Group(module.parameters(), 0.1)], limit, batch=1)


def run(loop, module, most=100):
    """Steps until the loop is over; returns how many."""
    steps = 0
    while not loop.over and steps < most:
        loop.update(module(torch.ones(1, 2)).square().sum(), 1.0, {"loss": (1.0, 1.0)})
        steps += 1
    return steps


def test_a_limit_in_steps_is_kept_over_interruptions(tmp_path):
    torch.manual_seed(0)
    module = torch.nn.Linear(2, 1)
    first = stage(tmp_path / "stage.pt", module, Limit(steps=5))
    assert run(first, module, most=2) == 2
    first.save({"note": 7}, now=True)
    kept = module.weight.detach().clone()
    again = torch.nn.Linear(2, 1)
    second = stage(tmp_path / "stage.pt", again, Limit(steps=5))
    assert torch.equal(again.weight, kept)
    assert second.state["note"] == 7
    assert run(second, again) == 3


def test_a_finished_stage_makes_no_step_more(tmp_path):
    module = torch.nn.Linear(2, 1)
    loop = stage(tmp_path / "stage.pt", module, Limit(steps=1))
    assert run(loop, module) == 1
    loop.save({}, now=True)
    assert stage(tmp_path / "stage.pt", module, Limit(steps=1)).over


def test_the_single_expert_has_all_experts_ranks_and_the_router_its_own():
    mask = ablation.rank_mask(torch.tensor([[-1, 0, 2, ablation.WHOLE]]), always=3)[0]
    rank, count = save.ADAPTER_RANK, len(save.ADAPTERS)
    assert mask.shape == (4, 3 + rank * count)
    assert (mask[:, :3] == 1).all()
    assert mask[0, 3:].sum() == 0
    assert mask[1, 3 : 3 + rank].sum() == rank == mask[1, 3:].sum()
    assert mask[2, 3 + 2 * rank : 3 + 3 * rank].sum() == rank == mask[2, 3:].sum()
    assert mask[3, 3 : 3 + rank].sum() == 0 and mask[3, 3 + rank :].sum() == rank * (count - 1)


def test_ordinary_adapters_see_every_token_of_their_own_tree():
    nodes = [Node(-1, [1, 2]), Node(0, [3]), Node(1, [4], adapter=0), Node(1, [5], adapter=2)]
    forest = ablation.forest("ordinary", nodes, None, None)
    assert [[node.adapter for node in tree] for tree in forest] == [[0, 0, 0], [2, 2, 2]]
    assert [[node.ids for node in tree] for tree in forest] == [[[1, 2], [3], [4]], [[1, 2], [3], [5]]]
    assert ablation.forest("three", nodes, None, None) == [nodes]
