"""Products of routed experts: the plain reference and the faster version behind one signature.

Every version takes rows [T, D], the chosen experts and their weights [T, K], gate_up [E, 2F, D] (gate first) and down
[E, F, D], and gives the weighted sum [T, D] of the chosen experts' outputs.
"""

import torch
import torch.nn.functional as F

from redraft.shapes import Float, Int, Tensor


def experts_plain(
    x: Float[Tensor, "T D"],
    expert_ids: Int[Tensor, "T K"],
    weights: Float[Tensor, "T K"],
    gate_up: Float[Tensor, "E F2 D"],
    down: Float[Tensor, "E F D"],
) -> Float[Tensor, "T D"]:
    """The sum, expert after expert, each over its own rows (at least 32 of them, zeros added)."""
    mixed = torch.zeros_like(x)
    for expert in range(gate_up.shape[0]):
        rows, choice = torch.where(expert_ids == expert)
        if rows.numel() == 0:
            continue
        chosen = F.pad(x[rows], (0, 0, 0, max(0, 32 - rows.numel())))
        gate, up = F.linear(chosen, gate_up[expert]).chunk(2, dim=-1)
        out = ((F.gelu(gate, approximate="tanh") * up) @ down[expert])[: rows.numel()]
        mixed = mixed.index_add(0, rows, out * weights[rows, choice, None])
    return mixed


def experts_dense(
    x: Float[Tensor, "T D"],
    expert_ids: Int[Tensor, "T K"],
    weights: Float[Tensor, "T K"],
    gate_up: Float[Tensor, "E F2 D"],
    down: Float[Tensor, "E F D"],
) -> Float[Tensor, "T D"]:
    """The sum by running every expert on every row with weight 0 where it was not chosen: two products, no gathers."""
    E, F2, D = gate_up.shape
    shares = weights.new_zeros(x.shape[0], E).scatter(1, expert_ids, weights)
    gate, up = F.linear(x, gate_up.view(E * F2, D)).view(-1, E, 2, F2 // 2).unbind(2)
    hidden = F.gelu(gate, approximate="tanh") * up * shares[:, :, None]
    return hidden.view(-1, E * F2 // 2) @ down.view(-1, D)
