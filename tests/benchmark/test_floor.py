import torch
from torch.utils.flop_counter import FlopCounterMode

from redraft.benchmark.floor import products, run_products
from redraft.config import LayerConfig, ModelConfig

ROPE = {"rope_theta": 100.0, "rope_fraction": 1.0}
SLIDING = LayerConfig(is_sliding=True, num_kv_heads=2, head_dim=8, shares_kv=False, **ROPE)
FULL = LayerConfig(is_sliding=False, num_kv_heads=1, head_dim=16, shares_kv=True, **ROPE)


def config(layers):
    return ModelConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=40,
        moe_intermediate_size=12,
        num_experts=4,
        num_experts_per_token=2,
        num_heads=4,
        layers=layers,
        sliding_window=64,
        rms_norm_eps=1e-6,
        logit_softcap=30.0,
        canvas_length=16,
        max_position_embeddings=256,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_ids=(1,),
    )


def flops(layers, context=24):
    listed = products(config(layers), 16, context, torch.float32, torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        run_products(listed)
    return counter.get_total_flops()


def layer_flops(num_projected, head_dim, C=16, S=40, D=32, N=4):
    projections = C * D * num_projected * head_dim + C * N * head_dim * D
    attention = 2 * N * C * S * head_dim
    dense = C * D * 2 * 40 + C * 40 * D
    experts = 2 * C * (D * 2 * 12 + 12 * D)  # every row goes through two of them
    return 2 * (projections + attention + dense + experts)


ENDS = 2 * (2 * 16 * 50 * 32 + 16 * 32 * 2 * 40 + 16 * 40 * 32)  # head and soft embedding; self-conditioning's MLP


def test_a_sliding_layer_counts_queries_keys_values_and_its_two_mlps():
    assert flops((SLIDING,)) == ENDS + layer_flops(num_projected=4 + 2 * 2, head_dim=8)


def test_a_layer_that_shares_keys_and_values_projects_them_once():
    assert flops((FULL,)) == ENDS + layer_flops(num_projected=4 + 1, head_dim=16)


def test_layers_add_up():
    assert flops((SLIDING, FULL)) == flops((SLIDING,)) + flops((FULL,)) - ENDS


def test_the_products_of_every_component_take_time():
    taken = run_products(products(config((SLIDING,)), 16, 8, torch.bfloat16, torch.device("cpu")))
    assert list(taken) == ["projections", "attention", "dense MLPs", "experts", "head", "soft embedding"]
    assert all(seconds > 0 for seconds in taken.values())
