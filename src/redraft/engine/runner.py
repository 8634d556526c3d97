"""Runs one batch: asks each request's family for work, runs it in one forward, hands the rows back."""

from collections.abc import Sequence

import torch

from redraft.engine.batch import pack
from redraft.engine.model_state import ModelFamily, Outcome, Work
from redraft.engine.request import Request
from redraft.errors import RedraftError
from redraft.model.transformer import DiffusionTransformer


class Runner:
    """One model and the families that use it, by the name of `SamplingParams.decoding`."""

    def __init__(self, model: DiffusionTransformer, families: dict[str, ModelFamily]):
        self.model = model
        self.families = families

    @torch.inference_mode()
    def run(self, requests: Sequence[Request]) -> list[Outcome | RedraftError]:
        """One engine step; the error in place of the outcome of a request that failed."""
        runs: list[tuple[int, Request, Work]] = []
        outcomes: list[Outcome | RedraftError] = [Outcome()] * len(requests)
        for index, request in enumerate(requests):
            try:
                runs.append((index, request, self._family(request).next_work(request)))
            except RedraftError as error:
                outcomes[index] = error
        if not runs:
            return outcomes
        batch = pack([(request, work) for _, request, work in runs])
        hidden = self.model.hidden(batch)
        for (index, request, work), segment in zip(runs, batch.segments, strict=True):
            try:
                outcomes[index] = self._family(request).absorb(request, work, hidden[segment.start : segment.stop])
            except RedraftError as error:
                outcomes[index] = error
        return outcomes

    def _family(self, request: Request) -> ModelFamily:
        return self.families[request.params.decoding]
