"""The float64 reference (and with it every golden vector) agrees with transformers and torch. Skipped where they are
not installed.
"""

import json

import numpy as np
import pytest

from rsmoe_export.decoder.weights import PROJECTIONS
from rsmoe_export.reference import vision
from rsmoe_export.reference.decoder import ReferenceDecoder
from rsmoe_export.sources.derived import Kept
from rsmoe_export.sources.huggingface import HuggingFaceSource
from rsmoe_export.tiny import adapter, common, expert_graphs
from rsmoe_export.vision.vit import VitSpec
from rsmoe_export.vision.vit import tensor_shapes as vit_shapes

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

#: float64 against torch in float64; what is left is the float32 rotary table of transformers.
TOLERANCE = 1e-5
_MODULES = dict(
    zip(
        PROJECTIONS,
        (
            "self_attn.q_proj",
            "self_attn.k_proj",
            "self_attn.v_proj",
            "self_attn.o_proj",
            "mlp.gate_proj",
            "mlp.up_proj",
            "mlp.down_proj",
        ),
        strict=True,
    )
)


def _model(source, kind):
    """A transformers model with the weights of a decoder source, float64."""
    config = source.config
    build, configure = {
        "llama": (transformers.LlamaForCausalLM, transformers.LlamaConfig),
        "qwen2": (transformers.Qwen2ForCausalLM, transformers.Qwen2Config),
    }[kind]
    facts = {
        "vocab_size": config.vocabulary,
        "hidden_size": config.hidden,
        "intermediate_size": config.intermediate,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.key_value_heads,
        "rms_norm_eps": config.rms_epsilon,
        "rope_theta": config.rope_theta,
        "max_position_embeddings": config.max_positions,
        "tie_word_embeddings": False,
    }
    if kind == "llama":
        facts["head_dim"] = config.head_dim
    model = build(configure(**facts)).double().eval()
    state = {
        "model.embed_tokens.weight": source.embedding(),
        "lm_head.weight": source.head(),
        "model.norm.weight": source.final_norm(),
    }
    for index in range(config.layers):
        layer = source.layer(index)
        prefix = f"model.layers.{index}"
        state[f"{prefix}.input_layernorm.weight"] = layer.input_norm
        state[f"{prefix}.post_attention_layernorm.weight"] = layer.post_norm
        for name, module in _MODULES.items():
            state[f"{prefix}.{module}.weight"] = layer.projections[name]
            if name in layer.biases:
                state[f"{prefix}.{module}.bias"] = layer.biases[name]
    model.load_state_dict({name: torch.from_numpy(np.array(value)).double() for name, value in state.items()})
    return model


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (adapter.model().decoders["base"], "llama"),
        *((item, "qwen2") for item in expert_graphs.model().decoders.values()),
    ],
)
def test_the_decoder_reference_equals_transformers_on_prefill_and_decode_steps(source, kind):
    model, ours = _model(source, kind), ReferenceDecoder(source)
    ids = np.random.RandomState(1).randint(0, source.config.vocabulary, 24)
    with torch.no_grad():
        theirs = model(torch.from_numpy(ids)[None]).logits[0].numpy()
    cache = ours.empty_cache(24)
    images = np.zeros((1, source.config.hidden))
    hidden = [ours.forward(ours.embed(ids[:8], images), 0, cache)]
    hidden += [ours.forward(ours.embed(ids[i : i + 1], images), i, cache) for i in range(8, 24)]
    np.testing.assert_allclose(ours.full_logits(np.concatenate(hidden)), theirs, rtol=0, atol=TOLERANCE)


def test_an_adapter_equals_transformers_with_its_weights_merged_after_the_prefix():
    tiny = adapter.model()
    source = tiny.decoders["base"]
    ours, model = ReferenceDecoder(source, adapters=tiny.adapters), _model(source, "llama")
    ids = np.random.RandomState(2).randint(0, source.config.vocabulary, 12)
    cache, images = ours.empty_cache(12), np.zeros((1, source.config.hidden))
    ours.forward(ours.embed(ids[:7], images), 0, cache)
    found = ours.full_logits(ours.forward(ours.embed(ids[7:], images), 7, cache, adapter=3))
    with torch.no_grad():
        past = model(torch.from_numpy(ids[:7])[None], use_cache=True).past_key_values
        for (layer, name), (a, b) in tiny.adapters[2].pairs.pairs.items():
            module = model.get_submodule(f"model.layers.{layer}.{_MODULES[name]}")
            module.weight += (torch.from_numpy(a).double() @ torch.from_numpy(b).double()).T
        theirs = model(torch.from_numpy(ids[7:])[None], past_key_values=past).logits[0].numpy()
    np.testing.assert_allclose(found, theirs, rtol=0, atol=TOLERANCE)


def test_a_model_with_some_layers_kept_equals_transformers_with_the_others_removed():
    from rsmoe_export.reference.transformers_model import Continuation, keep_layers

    base = expert_graphs.model().decoders["base"]
    model, ours = _model(base, "qwen2"), ReferenceDecoder(Kept(base, (1,)))
    keep_layers(model, (1,))
    ids = np.random.RandomState(4).randint(0, base.config.vocabulary, 9)
    cache = ours.empty_cache(9)
    hidden = ours.forward(ours.embed(ids, np.zeros((1, base.config.hidden))), 0, cache)
    run = Continuation(model)
    run.feed(ids[:6])
    np.testing.assert_allclose(ours.full_logits(hidden[-1:])[0], run.feed(ids[6:]), rtol=0, atol=TOLERANCE)


def test_the_q_former_equals_transformers():
    tiny = expert_graphs.model()
    spec = tiny.connector
    config = transformers.InstructBlipQFormerConfig(
        vocab_size=spec.vocabulary,
        hidden_size=spec.width,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        intermediate_size=spec.intermediate,
        max_position_embeddings=spec.max_positions,
        cross_attention_frequency=spec.cross_attention_frequency,
        encoder_hidden_size=spec.channels,
        layer_norm_eps=spec.epsilon,
    )
    model = transformers.InstructBlipQFormerModel(config).double().eval()
    weights = {name: torch.from_numpy(value).double() for name, value in tiny.connector_weights.items()}
    query_tokens = weights.pop("query_tokens")
    weight, bias = weights.pop("language_projection.weight"), weights.pop("language_projection.bias")
    model.load_state_dict(weights)
    random = np.random.RandomState(3)
    features = random.standard_normal((2, *spec.cells, spec.channels))
    ids = random.randint(0, spec.vocabulary, (2, 9))
    mask = np.ones_like(ids)
    mask[1, 5:] = 0
    full_mask = torch.from_numpy(np.concatenate([np.ones((2, spec.queries), int), mask], axis=1))
    with torch.no_grad():
        out = model(
            torch.from_numpy(ids),
            attention_mask=full_mask,
            query_embeds=query_tokens.expand(2, -1, -1),
            encoder_hidden_states=torch.from_numpy(features).flatten(1, 2),
        ).last_hidden_state[:, : spec.queries]
        theirs = (out @ weight.T + bias).numpy()
    for row in range(2):
        ours = vision.qformer(spec, tiny.connector_weights, features[row], ids[row], mask[row])
        np.testing.assert_allclose(ours, theirs[row], rtol=0, atol=TOLERANCE)


def test_the_vision_transformer_equals_transformers():
    spec = VitSpec(side=42, patch=14, width=32, heads=4, layers=3, intermediate=48)
    config = transformers.InstructBlipVisionConfig(
        image_size=spec.side,
        patch_size=spec.patch,
        hidden_size=spec.width,
        num_attention_heads=spec.heads,
        num_hidden_layers=spec.layers,
        intermediate_size=spec.intermediate,
        hidden_act="gelu",
        layer_norm_eps=spec.epsilon,
    )
    model = transformers.InstructBlipVisionModel(config).double().eval()
    weights = common.random_tensors(vit_shapes(spec), 11)
    model.load_state_dict({name: torch.from_numpy(value).double() for name, value in weights.items()})
    pixels = np.random.RandomState(5).standard_normal((1, 3, spec.side, spec.side))
    with torch.no_grad():
        theirs = model(torch.from_numpy(pixels)).last_hidden_state[0].numpy()
    np.testing.assert_allclose(vision.vit(spec, weights, pixels[0]), theirs, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_a_saved_checkpoint_is_read_back_with_its_rope_scaling_and_shards(kind, tmp_path):
    source = adapter.model().decoders["base"] if kind == "llama" else expert_graphs.model().decoders["base"]
    model = _model(source, kind).float()
    if kind == "llama":
        scaling = {
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        }
        model.config.rope_parameters = scaling
        fresh = transformers.LlamaForCausalLM(model.config)
        fresh.load_state_dict(model.state_dict())
        model = fresh.eval()
    model.save_pretrained(tmp_path, max_shard_size="40KB")
    assert json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    read = HuggingFaceSource(tmp_path)
    ids = np.random.RandomState(4).randint(0, read.config.vocabulary, 20)
    with torch.no_grad():
        theirs = model.double()(torch.from_numpy(ids)[None]).logits[0].numpy()
    ours = ReferenceDecoder(read)
    hidden = ours.forward(ours.embed(ids, np.zeros((1, read.config.hidden))), 0, ours.empty_cache(20))
    np.testing.assert_allclose(ours.logits(hidden), theirs, rtol=0, atol=1e-4)


def test_the_tower_equals_the_public_implementation():
    package = pytest.importorskip("efficientnet_lite_pytorch")
    from rsmoe_export.vision.efficientnet import lite, tensor_shapes

    spec = lite("lite2", 64, 64)
    model = package.EfficientNet.from_name("efficientnet-lite2", image_size=64).double().eval()
    shapes = tensor_shapes(spec)
    state = {name: value.numpy() for name, value in model.state_dict().items() if name in shapes}
    assert {name: value.shape for name, value in state.items()} == shapes
    pixels = np.random.RandomState(5).standard_normal((1, 3, 64, 64))
    with torch.no_grad():
        theirs = model.extract_features(torch.from_numpy(pixels))[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(vision.tower(spec, state, pixels[0]), theirs, rtol=0, atol=TOLERANCE)
