"""Products of routed experts: the plain reference and faster versions behind one signature.

Every version takes rows [T, D], the chosen experts and their weights [T, K], gate_up [E, 2F, D] (gate first) and down
[E, F, D], and gives the weighted sum [T, D] of the chosen experts' outputs.
"""

import torch
import torch.nn.functional as F

from redraft.shapes import Float, Int, Tensor

# The last bits of a product may depend on how many rows it has: one, two or three rows over a multiple of four can take
# another path (measured, fp32 on CPU with 1 to 64 threads: never at multiples of 16, up to 123 rows otherwise).
ROW_MULTIPLE = 16


# Up to this many multiplications per row wasted on experts a row did not choose, running them all costs less than
# sorting the rows. On a CPU 9 thousand ran 1.4 times as fast as sorting, 442 thousand 1.3 times as slow (measured);
# on a GPU products this small cost little but their launches (not measured).
DENSE_UP_TO = {"cpu": 2**16, "cuda": 2**20}


def padded_rows(num_rows: int) -> int:
    """The number of rows a product is given for `num_rows`, so that a row's result does not depend on its company."""
    return -(-num_rows // ROW_MULTIPLE) * ROW_MULTIPLE


def experts(
    x: Float[Tensor, "T D"],
    expert_ids: Int[Tensor, "T K"],
    weights: Float[Tensor, "T K"],
    gate_up: Float[Tensor, "E F2 D"],
    down: Float[Tensor, "E F D"],
) -> Float[Tensor, "T D"]:
    """The sum, by whichever version is the fastest for these sizes and can do what is asked of it."""
    E, F_, D = down.shape
    learns = torch.is_grad_enabled() and (x.requires_grad or gate_up.requires_grad)
    if (E - expert_ids.shape[1]) * F_ * D <= DENSE_UP_TO[x.device.type]:
        run = experts_dense
    elif learns:
        run = experts_plain
    else:
        run = experts_ragged if x.is_cuda and x.dtype == torch.bfloat16 else experts_grouped
    return run(x, expert_ids, weights, gate_up, down)


def experts_plain(
    x: Float[Tensor, "T D"],
    expert_ids: Int[Tensor, "T K"],
    weights: Float[Tensor, "T K"],
    gate_up: Float[Tensor, "E F2 D"],
    down: Float[Tensor, "E F D"],
) -> Float[Tensor, "T D"]:
    """The sum, expert after expert, each over its own rows (zeros added)."""
    mixed = torch.zeros_like(x)
    for expert in range(gate_up.shape[0]):
        rows, choice = torch.where(expert_ids == expert)
        if rows.numel() == 0:
            continue
        chosen = F.pad(x[rows], (0, 0, 0, padded_rows(rows.numel()) - rows.numel()))
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
    gate, up = F.linear(x, gate_up.flatten(0, 1)).view(-1, E, 2, F2 // 2).unbind(2)
    hidden = F.gelu(gate, approximate="tanh") * up * shares[:, :, None]
    return hidden.view(-1, E * F2 // 2) @ down.view(-1, D)


def experts_grouped(
    x: Float[Tensor, "T D"],
    expert_ids: Int[Tensor, "T K"],
    weights: Float[Tensor, "T K"],
    gate_up: Float[Tensor, "E F2 D"],
    down: Float[Tensor, "E F D"],
) -> Float[Tensor, "T D"]:
    """The sum with rows sorted by expert once: one gather, one activation, products written in place.

    The spare rows of each expert's group repeat row 0 and are never read. No gradients. Reads the group sizes back from
    the device.
    """
    E, F2, D = gate_up.shape
    T, K = expert_ids.shape
    chosen, order = expert_ids.flatten().sort(stable=True)
    sizes = torch.bincount(chosen, minlength=E).tolist()
    groups, moved, first, stop = [], [], 0, 0
    for expert, size in enumerate(sizes):
        moved.append(stop - first)  # how far the group moves to make room for the spare rows before it
        if size:
            groups.append((expert, slice(stop, stop + padded_rows(size))))
        first, stop = first + size, stop + padded_rows(size)
    slots = torch.arange(T * K, device=x.device) + torch.tensor(moved, device=x.device)[chosen]
    slot_of_choice = torch.empty_like(order).scatter_(0, order, slots)
    rows = order.new_zeros(stop).scatter_(0, slots, order // K)
    gathered, hidden, out = x.index_select(0, rows), x.new_empty(stop, F2), x.new_empty(stop, D)
    for expert, group in groups:
        torch.mm(gathered[group], gate_up[expert].t(), out=hidden[group])
    gate, up = hidden.chunk(2, dim=-1)
    activated = F.gelu(gate, approximate="tanh").mul_(up)
    for expert, group in groups:
        torch.mm(activated[group], down[expert], out=out[group])
    return torch.bmm(weights[:, None], out.index_select(0, slot_of_choice).view(T, K, D)).squeeze(1)


def experts_ragged(
    x: Float[Tensor, "T D"],
    expert_ids: Int[Tensor, "T K"],
    weights: Float[Tensor, "T K"],
    gate_up: Float[Tensor, "E F2 D"],
    down: Float[Tensor, "E F D"],
) -> Float[Tensor, "T D"]:
    """The sum with rows sorted by expert and torch's own grouped products, which take the groups' ends as a tensor.

    Nothing is read back from the device where these are one kernel: bf16 on compute capability 9 and 10; elsewhere
    torch loops over the groups and waits. On a CPU a row's last bits depend on its company, so it is not used there.
    No gradients.
    """
    T, K = expert_ids.shape
    chosen, order = expert_ids.flatten().sort(stable=True)
    experts_in_order = torch.arange(gate_up.shape[0], device=x.device)
    ends = torch.searchsorted(chosen, experts_in_order, right=True, out_int32=True)
    gate, up = F.grouped_mm(x.index_select(0, order // K), gate_up.transpose(1, 2), offs=ends).chunk(2, dim=-1)
    out = F.grouped_mm(F.gelu(gate, approximate="tanh").mul_(up), down, offs=ends)
    by_row = torch.empty_like(out).index_copy_(0, order, out)
    return torch.bmm(weights[:, None], by_row.view(T, K, -1)).squeeze(1)
