"""The axis letters and tensor aliases used everywhere.

B requests, C canvas, T packed tokens (rows of all requests of one forward), S cached tokens, D model width, F hidden
width, N query heads, G key-value heads, H head dimension, E experts, K experts per token, V vocabulary.
"""

from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["Bool", "Float", "Int", "Tensor"]
