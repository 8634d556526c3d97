"""Other engines on the same checkpoint, for comparison. The one place of this package where transformers is imported.

transformers is no dependency: where it is not installed, the benchmark says so and runs without it.
"""

import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def has_transformers() -> bool:
    """Whether transformers can be imported; imports nothing."""
    return find_spec("transformers") is not None


class Transformers:
    """transformers' own model and `generate`, as it comes: default attention, default cache."""

    def __init__(self, directory: Path, dtype: str, device: str):
        import torch
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.version = transformers.__version__
        self._device = device
        kind: Any = transformers.DiffusionGemmaForBlockDiffusion
        self._model = kind.from_pretrained(directory, dtype=getattr(torch, dtype)).to(device).eval()

    def seconds(self, prompt_ids: Sequence[int], num_steps: int) -> float:
        """Wall time of one canvas with exactly `num_steps` denoising steps, prefill included.

        A stability threshold of all steps and a confidence nothing falls under keep its stop rule from acting.
        """
        import torch

        input_ids = torch.tensor([list(prompt_ids)], device=self._device)
        start = time.perf_counter()
        with torch.inference_mode():
            result = self._model.generate(
                input_ids,
                max_new_tokens=self._model.config.canvas_length,
                max_denoising_steps=num_steps,
                stability_threshold=num_steps,
                confidence_threshold=1e-30,
                pad_token_id=None,
            )
        if input_ids.is_cuda:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        num_tokens = result.sequences.shape[1] - input_ids.shape[1]
        num_run = round(num_tokens / result.tokens_per_forward.item())
        assert num_run == num_steps, f"transformers ran {num_run} denoising steps: want {num_steps}"
        return seconds
