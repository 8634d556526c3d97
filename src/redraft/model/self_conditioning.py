"""Mixes the last prediction into the canvas input."""

from torch import nn

from redraft.kernels.suite import PLAIN, Kernels
from redraft.model.layers import GatedMLP, RMSNorm
from redraft.shapes import Float, Tensor


class SelfConditioning(nn.Module):
    """Canvas input: embedding plus a gated MLP of the signal, normalised without a weight.

    There are no biases, so a zero signal adds exactly zero; the normalisation applies all the same.
    """

    def __init__(self, size: int, hidden_size: int, eps: float):
        super().__init__()
        self.eps = eps
        self.norm = RMSNorm(size, eps)
        self.mlp = GatedMLP(size, hidden_size)

    def forward(
        self, embedded: Float[Tensor, "T D"], signal: Float[Tensor, "T D"] | None = None, kernels: Kernels = PLAIN
    ) -> Float[Tensor, "T D"]:
        """signal: soft embedding of the last prediction; None is the same as zeros."""
        if signal is not None:
            embedded = embedded + self.mlp(self.norm(signal, kernels), kernels)
        return kernels.norm(embedded, None, self.eps)
