"""Logits and caches against transformers on random small models, within five times its own eager-against-SDPA gap."""

import random
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from redraft.checkpoint.load import load_model

transformers = pytest.importorskip("transformers")

SEEDS = range(10)


def random_config(rng: random.Random) -> "transformers.DiffusionGemmaConfig":
    sliding, full = "sliding_attention", "full_attention"
    num_heads = rng.choice([2, 4, 6])
    layer_types = [rng.choice([sliding, full]) for _ in range(rng.choice([2, 3, 4]))] + [full]
    text = transformers.DiffusionGemmaTextConfig(
        vocab_size=rng.choice([83, 130, 257]),
        hidden_size=rng.choice([24, 40, 64]),
        intermediate_size=rng.choice([32, 72]),
        num_hidden_layers=len(layer_types),
        layer_types=layer_types,
        num_attention_heads=num_heads,
        num_key_value_heads=rng.choice([k for k in (1, 2, 3) if num_heads % k == 0]),
        head_dim=rng.choice([8, 12, 16]),
        global_head_dim=rng.choice([16, 24]),
        num_global_key_value_heads=rng.choice([1, 2]),
        sliding_window=rng.choice([5, 12, 48]),
        num_experts=rng.choice([3, 8]),
        top_k_experts=rng.choice([1, 2, 3]),
        moe_intermediate_size=rng.choice([12, 20]),
        final_logit_softcapping=rng.choice([30.0, 8.0]),
        rms_norm_eps=rng.choice([1e-6, 1e-3]),
        rope_parameters={
            sliding: {"rope_type": "default", "rope_theta": rng.choice([100.0, 1e4])},
            full: {
                "rope_type": "proportional",
                "partial_rotary_factor": rng.choice([0.25, 0.5, 1.0]),
                "rope_theta": rng.choice([100.0, 1e6]),
            },
        },
        use_bidirectional_attention="vision",
    )
    vision = transformers.Gemma4VisionConfig(
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=8,
        position_embedding_size=8,
    )
    return transformers.DiffusionGemmaConfig(
        text_config=text, vision_config=vision, canvas_length=rng.choice([7, 16, 33])
    )


def write_checkpoint(directory: Path, rng: random.Random) -> None:
    """Random weights with norms and scales away from 1, and layer scalars that differ between encoder and decoder."""
    model = transformers.DiffusionGemmaForBlockDiffusion(random_config(rng)).eval()
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if name.endswith("layer_scalar"):
            tensor.data.fill_(rng.uniform(0.5, 1.0))
        elif "decoder" in name and tensor.ndim >= 2:
            tensor.data.normal_(std=tensor.shape[-1] ** -0.5)
        elif "decoder" in name and ("norm" in name or "scale" in name):
            tensor.data.uniform_(0.7, 1.3)
    model.save_pretrained(directory)


@dataclass(frozen=True)
class Inputs:
    prompt: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    signal: torch.Tensor


def their_run(model, inputs: Inputs) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Logits of every call and all cached keys and values, from transformers with a dynamic cache."""
    cap = model.final_logit_softcapping
    cache = transformers.DynamicCache(config=model.config.get_text_config(decoder=True))

    def encode(ids):
        positions = torch.arange(cache.get_seq_length(), cache.get_seq_length() + ids.shape[1])[None]
        out = model.model.encoder(input_ids=ids, past_key_values=cache, position_ids=positions)
        return torch.tanh(model.lm_head(out.last_hidden_state).float() / cap) * cap

    def denoise(canvas, signal=None):
        return model(past_key_values=cache, decoder_input_ids=canvas, self_conditioning_logits=signal).logits

    logits = run(encode, denoise, inputs)
    return logits, [part for layer in cache.layers for part in (layer.keys, layer.values)]


def our_run(model, inputs: Inputs) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    cache = model.new_cache(batch_size=inputs.prompt.shape[0])
    logits = run(lambda ids: model.encode(ids, cache), lambda c, s=None: model.denoise(c, cache, s), inputs)
    held = []
    for index, layer in enumerate(model.config.layers):
        nothing = torch.empty(inputs.prompt.shape[0], 0, layer.num_kv_heads, layer.head_dim, dtype=model.dtype)
        held += [part.transpose(1, 2) for part in cache.put(index, nothing, nothing)]
    return logits, held


def run(encode, denoise, inputs: Inputs) -> list[torch.Tensor]:
    """A prompt, a canvas denoised twice, committed, and the canvas after it denoised twice."""
    return [
        encode(inputs.prompt),
        denoise(inputs.first),
        denoise(inputs.first, inputs.signal),
        encode(inputs.second),
        denoise(inputs.first),
        denoise(inputs.second, inputs.signal),
    ]


def gap(a: list[torch.Tensor], b: list[torch.Tensor]) -> float:
    return max((x.float() - y.float()).abs().max().item() for x, y in zip(a, b, strict=True))


def three_runs(seed: int, directory: Path, dtype: str):
    rng = random.Random(seed)
    torch.manual_seed(seed)
    write_checkpoint(directory, rng)
    theirs = {
        kind: transformers.DiffusionGemmaForBlockDiffusion.from_pretrained(
            directory, dtype=getattr(torch, dtype), attn_implementation=kind, experts_implementation="eager"
        ).eval()
        for kind in ("eager", "sdpa")
    }
    ours = load_model(directory, dtype=dtype)
    batch, length, (C, V) = rng.choice([1, 2]), rng.randint(1, 90), (ours.canvas_length, ours.vocab_size)
    inputs = Inputs(
        torch.randint(V, (batch, length)),
        torch.randint(V, (batch, C)),
        torch.randint(V, (batch, C)),
        torch.randn(batch, C, V) * 3,
    )
    with torch.no_grad():
        return their_run(theirs["eager"], inputs), their_run(theirs["sdpa"], inputs), our_run(ours, inputs)


@pytest.mark.parametrize("seed", SEEDS)
def test_logits_and_caches_equal_those_of_transformers(seed, tmp_path):
    (logits, held), (sdpa_logits, sdpa_held), (our_logits, our_held) = three_runs(seed, tmp_path, "float32")
    assert gap(our_logits, logits) <= 5 * gap(sdpa_logits, logits)
    assert gap(our_held, held) <= 5 * gap(sdpa_held, held)


@pytest.mark.parametrize("seed", [0, 1])
def test_bf16_logits_are_as_near_as_its_own_kernels_are(seed, tmp_path):
    (logits, _), (sdpa_logits, _), (our_logits, _) = three_runs(seed, tmp_path, "bfloat16")
    assert gap(our_logits, logits) <= 5 * gap(sdpa_logits, logits)
