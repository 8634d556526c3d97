"""Two-way table between the published tensor names and places in our parameters.

We keep queries, keys and values in one matrix, gate and up in one, experts' down projections as [E, F, D] and the two
layer scalars of a layer together; the published layout keeps them apart. The text encoder's weights and the head are
the decoder's own and are not stored, except the encoder's layer scalars.
"""

from dataclasses import dataclass

from redraft.config import ModelConfig
from redraft.shapes import Tensor

# Image tower and its projection: known by name, never loaded.
VISION_PREFIXES = ("model.encoder.vision_tower.", "model.encoder.embed_vision.")

_LAYER_NORMS = {
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "attention_post_norm",
    "pre_feedforward_layernorm": "mlp_norm",
    "post_feedforward_layernorm_1": "mlp_post_norm",
    "pre_feedforward_layernorm_2": "moe_norm",
    "post_feedforward_layernorm_2": "moe_post_norm",
    "post_feedforward_layernorm": "post_norm",
}


@dataclass(frozen=True)
class Place:
    """Where a published tensor lives: a parameter of ours, or some of its rows."""

    parameter: str
    rows: tuple[int, int] | None = None  # first and one past the last; None: all
    is_transposed: bool = False  # last two axes swapped

    def view(self, parameter: Tensor) -> Tensor:
        """The part of our parameter that holds the tensor, in the published shape; writing to it writes to ours."""
        part = parameter if self.rows is None else parameter[slice(*self.rows)]
        return part.transpose(-1, -2) if self.is_transposed else part


def published_places(config: ModelConfig) -> dict[str, Place]:
    """Every published name of a checkpoint's text part with its place; together they fill our parameters exactly."""
    places = {
        "model.decoder.embed_tokens.weight": Place("embedding.weight"),
        "model.decoder.norm.weight": Place("norm.weight"),
        "model.decoder.self_conditioning.pre_norm.weight": Place("self_conditioning.norm.weight"),
        **_gated_mlp("model.decoder.self_conditioning.", "self_conditioning.mlp.", config.intermediate_size),
    }
    for index, layer in enumerate(config.layers):
        theirs, ours = f"model.decoder.layers.{index}.", f"layers.{index}."
        places |= {f"{theirs}{name}.weight": Place(f"{ours}{own}.weight") for name, own in _LAYER_NORMS.items()}
        num_query, num_key = config.num_heads * layer.head_dim, layer.num_kv_heads * layer.head_dim
        parts = {"q_proj": (0, num_query), "k_proj": (num_query, num_query + num_key)}
        if not layer.shares_kv:
            parts["v_proj"] = (num_query + num_key, num_query + 2 * num_key)
        for name, rows in parts.items():
            places[f"{theirs}self_attn.{name}.weight"] = Place(f"{ours}attention.qkv.weight", rows)
        places |= {
            f"{theirs}self_attn.o_proj.weight": Place(f"{ours}attention.out.weight"),
            f"{theirs}self_attn.q_norm.weight": Place(f"{ours}attention.query_scale"),
            f"{theirs}self_attn.k_norm.weight": Place(f"{ours}attention.key_scale"),
            **_gated_mlp(f"{theirs}mlp.", f"{ours}mlp.", config.intermediate_size),
            f"{theirs}experts.gate_up_proj": Place(f"{ours}moe.gate_up"),
            f"{theirs}experts.down_proj": Place(f"{ours}moe.down", is_transposed=True),
            f"{theirs}router.proj.weight": Place(f"{ours}moe.router.proj.weight"),
            f"{theirs}router.scale": Place(f"{ours}moe.router.scale"),
            f"{theirs}router.per_expert_scale": Place(f"{ours}moe.router.expert_scale"),
            f"{theirs}layer_scalar": Place(f"{ours}scalars", (1, 2)),
            f"model.encoder.language_model.layers.{index}.layer_scalar": Place(f"{ours}scalars", (0, 1)),
        }
    return places


def _gated_mlp(theirs: str, ours: str, hidden_size: int) -> dict[str, Place]:
    return {
        f"{theirs}gate_proj.weight": Place(f"{ours}gate_up.weight", (0, hidden_size)),
        f"{theirs}up_proj.weight": Place(f"{ours}gate_up.weight", (hidden_size, 2 * hidden_size)),
        f"{theirs}down_proj.weight": Place(f"{ours}down.weight"),
    }
