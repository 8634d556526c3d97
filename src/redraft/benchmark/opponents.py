"""Other engines on the same checkpoint, for comparison. The one place of this package where transformers is imported.

transformers is no dependency: where it is not installed, the benchmark says so and runs without it.
"""

import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

_ATTENTION = ("sdpa", "eager")
_EXPERTS = ("grouped_mm", "eager", "batched_mm")
_HOPELESS = 3.0  # times the fastest so far: not tried a second time


def transformers_version() -> str | None:
    """The version that is installed, if one is; imports nothing."""
    try:
        return metadata.version("transformers")
    except metadata.PackageNotFoundError:
        return None


class Transformers:
    """transformers' own model and `generate` with its dynamic cache, in the fastest of its own implementations.

    (Its static cache gives wrong results once the context reaches the sliding window.)
    """

    def __init__(self, directory: Path, dtype: str, device: str):
        import torch
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.implementation = ""  # "attention, experts", once chosen
        self.tried: Mapping[str, float] = {}  # milliseconds per denoising step of each implementation
        self._device = device
        kind: Any = transformers.DiffusionGemmaForBlockDiffusion
        self._model = kind.from_pretrained(directory, dtype=getattr(torch, dtype)).to(device).eval()

    def choose_fastest(self, prompt_ids: Sequence[int], num_steps: int = 2) -> None:
        """Times every pair of attention and experts implementation and stays with the fastest, in place."""
        tried: dict[str, float] = {}
        for experts in _EXPERTS:
            for attention in _ATTENTION:
                self._use(attention, experts)
                taken = self.seconds(prompt_ids, num_steps)
                best = min(tried.values(), default=taken)
                if taken < _HOPELESS * best:
                    taken = min(taken, self.seconds(prompt_ids, num_steps))
                tried[self.implementation] = taken
        self.tried = {name: seconds / num_steps * 1e3 for name, seconds in tried.items()}
        self._use(*min(tried, key=lambda name: tried[name]).split(", "))

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

    def _use(self, attention: str, experts: str) -> None:
        self._model.set_attn_implementation(attention)
        self._model.set_experts_implementation(experts)
        self.implementation = f"{attention}, {experts}"
