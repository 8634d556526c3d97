"""Runs one batch: asks each request's family for work, runs it in one forward, hands the rows back."""

from collections.abc import Sequence
from itertools import islice

import torch

from redraft.engine.batch import pack
from redraft.engine.model_state import ModelFamily, Outcome, Run, Work
from redraft.engine.request import Request
from redraft.errors import RedraftError
from redraft.model.transformer import DiffusionTransformer
from redraft.shapes import Int, Tensor


class Runner:
    """One model and the families that use it, by the name that `Request.family` gives."""

    def __init__(self, model: DiffusionTransformer, families: dict[str, ModelFamily]):
        self.model = model
        self.families = families

    @torch.inference_mode()
    def run(self, requests: Sequence[Request]) -> dict[Request, Outcome | RedraftError]:
        """One engine step: what happened to each request, or the error that it failed with."""
        outcomes: dict[Request, Outcome | RedraftError] = {}
        asked: list[tuple[Request, tuple[Work, ...]]] = []
        for request in requests:
            try:
                asked.append((request, tuple(self._family(request).next_work(request))))
            except RedraftError as error:
                outcomes[request] = error
        if asked:
            batch = pack(asked)
            rows = iter(self.model.hidden(batch).split([segment.length for segment in batch.segments]))
            runs = [Run(request, works, tuple(islice(rows, len(works)))) for request, works in asked]
            for name, family in self.families.items():
                own = [run for run in runs if run.request.family == name]
                for run, outcome in zip(own, family.absorb(own), strict=True):
                    outcomes[run.request] = outcome
        return outcomes

    def tensor(self, token_ids: Sequence[int]) -> Int[Tensor, "T"]:
        """Ids on the model's device."""
        return torch.tensor(token_ids, device=self.model.device)

    def _family(self, request: Request) -> ModelFamily:
        return self.families[request.family]
