"""The training model on a tiny random base: packing, adapters, kernels, connector, greedy decoding."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rsmoe_train import fused, kernels, precision, save  # noqa: E402
from rsmoe_train.base import LINEARS, Shape  # noqa: E402
from rsmoe_train.connector import Connector, merge_grid  # noqa: E402
from rsmoe_train.generate import Cache, Speaker  # noqa: E402
from rsmoe_train.language import Decoder, Pairs, merge  # noqa: E402
from rsmoe_train.packing import Node, pack  # noqa: E402
from rsmoe_train.stage2 import rank_mask  # noqa: E402

SHAPE = Shape(layers=2, hidden=32, heads=4, kv_heads=2, intermediate=48, rope_base=1e4, epsilon=1e-5)
VOCABULARY = 40
COLUMNS = np.arange(VOCABULARY)


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", {"_is_avx512_bf16_supported"}, torch.bfloat16),
        ("x86_64", {"_is_amx_tile_supported"}, torch.bfloat16),
        ("x86_64", set(), torch.float32),
        ("aarch64", {"_is_mkldnn_bf16_supported"}, torch.bfloat16),
        ("aarch64", set(), torch.float32),
    ],
)
def test_products_are_in_bf16_only_where_the_processor_has_instructions_for_it(monkeypatch, machine, flags, expected):
    monkeypatch.setattr(precision.platform, "machine", lambda: machine)
    for place, name in (
        (torch.cpu, "_is_avx512_bf16_supported"),
        (torch.cpu, "_is_amx_tile_supported"),
        (torch.ops.mkldnn, "_is_mkldnn_bf16_supported"),
    ):
        monkeypatch.setattr(place, name, lambda name=name: name in flags)
    assert precision.products() == expected
    assert Decoder(SHAPE, base_tensors()).dtype == expected


def base_tensors():
    """Random fp32 base."""
    torch.manual_seed(0)
    tensors = {"embedding": torch.randn(VOCABULARY, SHAPE.hidden), "norm": torch.rand(SHAPE.hidden) + 0.5}
    for i in range(SHAPE.layers):
        for norm in ("norm1", "norm2"):
            tensors[f"layers.{i}.{norm}"] = torch.rand(SHAPE.hidden) + 0.5
        for name in LINEARS:
            width, out = SHAPE.linear(name)
            tensors[f"layers.{i}.{name}"] = torch.randn(out, width) / width**0.5
    return tensors


def pairs(rank):
    """Random low-rank pairs."""
    made = Pairs(SHAPE, rank)
    for value in made.values.values():
        torch.nn.init.normal_(value, std=0.2)
    return made


def hidden_of(decoder, tree, low=None, masked=False):
    """Hidden states [tokens, hidden] of one packed tree."""
    batch = pack([tree], COLUMNS, 0, multiple=1)
    mask = rank_mask(batch.adapter) if masked else None
    with torch.no_grad():
        return decoder(decoder.embed(batch.ids, None, 0), batch.positions, batch.visible, low, mask)[0]


ROOT, SHARED = [1, 2, 3], [4, 5]
BRANCHES = [[6, 7, 8], [9, 10], [11, 12, 13, 14]]


def test_a_packed_tree_equals_separate_sequences():
    decoder, low = Decoder(SHAPE, base_tensors(), torch.float32), pairs(3)
    tree = [Node(-1, ROOT), Node(0, SHARED), Node(1, BRANCHES[0]), Node(1, BRANCHES[1]), Node(0, BRANCHES[2])]
    packed = hidden_of(decoder, tree, low)
    for start, length, line in (
        (5, 3, [*ROOT, *SHARED, *BRANCHES[0]]),
        (8, 2, [*ROOT, *SHARED, *BRANCHES[1]]),
        (10, 4, [*ROOT, *BRANCHES[2]]),
    ):
        alone = hidden_of(decoder, [Node(-1, line)], low)
        assert torch.allclose(packed[start : start + length], alone[-length:], atol=1e-5)


def test_learnt_tokens_are_predicted_by_the_token_before_them_in_the_branch():
    tree = [Node(-1, ROOT), Node(0, BRANCHES[0], learnt_from=0, weight=2.0), Node(0, BRANCHES[1], learnt_from=1)]
    batch = pack([tree], COLUMNS, 0, multiple=1)
    assert batch.rows.tolist() == [2, 3, 4, 6]
    assert batch.targets.tolist() == [6, 7, 8, 10]
    assert batch.weights.tolist() == [2, 2, 2, 1]
    assert batch.positions.tolist() == [[0, 1, 2, 3, 4, 5, 3, 4]]


def test_adapters_leave_the_prefix_untouched_and_each_other_alone():
    decoder = Decoder(SHAPE, base_tensors(), torch.float32)
    stacked = pairs(save.ADAPTER_RANK * len(save.ADAPTERS))
    tree = [Node(-1, ROOT), *[Node(0, branch, adapter=k) for k, branch in enumerate(BRANCHES)]]
    bare = [Node(-1, ROOT), *[Node(0, branch) for branch in BRANCHES]]
    adapted, plain = hidden_of(decoder, tree, stacked, True), hidden_of(decoder, bare)
    assert torch.allclose(adapted[:3], plain[:3], atol=1e-6)
    assert not torch.allclose(adapted[3:], plain[3:], atol=1e-2)
    for key, value in stacked.values.items():  # wiping adapter 2 changes nothing for adapter 1
        wiped = value.detach().clone()
        columns = slice(2 * save.ADAPTER_RANK, 3 * save.ADAPTER_RANK)
        wiped[:, columns] = 0 if key.endswith("a") else wiped[:, columns]
        value.data = wiped
    again = hidden_of(decoder, tree, stacked, True)
    assert torch.allclose(adapted[:8], again[:8], atol=1e-6)
    assert not torch.allclose(adapted[8:], again[8:], atol=1e-2)


def test_a_merged_delta_equals_a_delta_on_the_side():
    tensors, low = base_tensors(), pairs(3)
    merged = Decoder(SHAPE, merge(SHAPE, tensors, low.named()), torch.float32)
    tree = [Node(-1, ROOT), Node(0, BRANCHES[0])]
    side = hidden_of(Decoder(SHAPE, tensors, torch.float32), tree, low)
    assert torch.allclose(hidden_of(merged, tree), side, atol=1e-4)


def test_stacked_adapters_split_into_the_files_layout():
    stacked = pairs(save.ADAPTER_RANK * len(save.ADAPTERS))
    split = save.split_adapters(stacked.named())
    a, b = stacked.values["layers_1_up_a"], stacked.values["layers_1_up_b"]
    k = save.ADAPTERS.index("objects")
    part = slice(k * save.ADAPTER_RANK, (k + 1) * save.ADAPTER_RANK)
    assert torch.equal(split["objects.layers.1.up.a"], a[:, part])
    assert torch.equal(split["objects.layers.1.up.b"], b[part])


def test_gradients_of_the_kernels_are_right():
    def values(*shape):
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    torch.manual_seed(1)
    mask = torch.randint(0, 2, (5, 3)).double()
    weight, norm = torch.randn(7, 4, dtype=torch.float64), torch.rand(4, dtype=torch.float64)
    angles = torch.randn(2, 3, 1, 2, dtype=torch.float64).repeat(1, 1, 1, 2)
    bias = torch.zeros(2, 1, 3, 3, dtype=torch.float64).masked_fill(~torch.ones(3, 3, dtype=torch.bool).tril(), -1e4)
    check = torch.autograd.gradcheck
    assert check(lambda x: kernels.Normalise.apply(x, 1e-5), (values(4, 6),))
    inputs = (values(5, 4), values(4, 3), values(3, 7), values(5, 7))
    assert check(lambda y, a, b, r: kernels.LowRankLinear.apply(y, weight, a, b, mask, r), inputs)
    assert check(lambda x: kernels.Attend.apply(x, angles.cos(), angles.sin(), bias, 4), (values(2, 3, 8, 4),))
    assert check(lambda x: kernels.GatedUnit.apply(x), (values(3, 8),))
    pairs_of_two = (values(4, 2), values(4, 3), values(2, 5), values(3, 1))
    assert check(lambda *p: kernels.SideBySide.apply(norm, torch.float64, *p), pairs_of_two)


def test_grid_cells_are_merged_two_by_two_in_row_major_order():
    grid = torch.arange(1.0, 65.0).view(1, 8, 8, 1)
    blocks = merge_grid(grid)[0]
    assert blocks.shape == (16, 4)
    assert blocks[0].tolist() == [1, 2, 9, 10]
    assert blocks[15].tolist() == [55, 56, 63, 64]


def test_compiled_kernels_round_where_plain_ones_do():
    """bf16 has 8 significant bits: a result may differ by 2^-7 of the largest value that enters its sum."""
    torch.manual_seed(3)

    def arguments(n, t):
        def values(*shape):
            return torch.randn(*shape).bfloat16()

        angles = torch.randn(n, t, 1, 4).repeat(1, 1, 1, 2)
        cos, sin = angles.cos().bfloat16(), angles.sin().bfloat16()
        bias = torch.zeros(n, 1, t, t).masked_fill(~torch.ones(t, t, dtype=torch.bool).tril(), -1e4).bfloat16()
        heads, kv = values(n, 4, t, 8), values(n, 2, t, 8)
        return {
            fused.normalise: (values(n * t, 32), 1e-5),
            fused.normalise_back: (values(n * t, 32), values(n * t, 32), torch.rand(n * t, 1), values(n * t, 32)),
            fused.gate: (values(n * t, 64),),
            fused.gate_back: (values(n * t, 64), values(n * t, 32)),
            fused.split_heads: (values(n, t, 8, 8), cos, sin, 4),
            fused.split_heads_back: (heads, kv, kv, cos.transpose(1, 2), sin.transpose(1, 2)),
            fused.soften: (values(n, 4, t, t), bias, 0.3),
            fused.soften_back: (values(n, 4, t, t), values(n, 4, t, t).softmax(-1), 0.3),
        }

    for sizes in ((3, 16), (2, 24)):  # the second sizes run the same kernels
        for kernel, given in arguments(*sizes).items():
            found = kernel(*given)
            if fused.Fused.available is False:
                pytest.skip("nothing can be compiled here")
            wide = kernel.body(*[v.float() if isinstance(v, torch.Tensor) else v for v in given])
            for one, other in zip(*((r if isinstance(r, tuple) else (r,)) for r in (found, wide)), strict=True):
                assert torch.allclose(one.float(), other, atol=other.abs().max().item() / 128), kernel.body.__name__


def test_without_a_compiler_kernels_run_as_written_and_say_so(monkeypatch, capsys):
    def refuse(*_, **__):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(fused.Fused, "available", None)
    monkeypatch.setattr(torch, "compile", refuse)
    double = fused.Fused(lambda x: 2 * x, (0,))
    x = torch.ones(3).bfloat16()
    assert torch.equal(double(x), 2 * x) and torch.equal(double(x), 2 * x)
    assert capsys.readouterr().out.count("no C++ compiler") == 1


def test_folding_the_scale_does_not_change_the_connector():
    torch.manual_seed(2)
    connector, grid = Connector(16, 32, 0.1), torch.randn(2, 8, 8, 1280)
    folded = Connector(16, 32, 1.0)
    folded.load_state_dict(connector.folded())
    with torch.no_grad():
        assert torch.allclose(connector(grid), folded(grid), atol=1e-6)


class Ends:
    """The two token numbers that greedy decoding asks for; -1 is never written."""

    end, pad = -1, 0


def speaker():
    """A tiny package without tower and connector."""
    adapters = pairs(save.ADAPTER_RANK * len(save.ADAPTERS))
    trained = save.Trained(SHAPE, base_tensors(), None, None, adapters, torch.arange(VOCABULARY))
    return Speaker(trained, Ends())


@pytest.mark.parametrize("adapter", [None, 2])
def test_a_batch_writes_what_each_row_writes_alone(adapter):
    one = speaker()
    prompts = [[3, 4, 5, 6], [7], [8, 9], [30, 31, 32]]

    def write(rows):
        cache = Cache()
        one.append(cache, [ROOT] * len(rows), None)
        return one.finish(cache, one.append(cache, rows, adapter), adapter, 20)

    one.segments.end = write(prompts)[0][0]  # the first row ends at once, others later or never
    together = write(prompts)
    assert together[0] == []
    assert together == [write([prompt])[0] for prompt in prompts]
    assert any(together)


def test_decoding_with_a_cache_equals_the_training_pass():
    one = speaker()
    cache = Cache()
    one.append(cache, [ROOT], None)
    logits = one.append(cache, [BRANCHES[2]], 1)[0]
    tree = [Node(-1, ROOT), Node(0, BRANCHES[2], adapter=1)]
    hidden = hidden_of(one.decoder, tree, one.trained.adapters, True)[-1]
    assert torch.allclose(logits, hidden @ one.decoder.embedding.T, atol=1e-3)
