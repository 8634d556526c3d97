"""Runs one batch: asks each request's family for work, runs it in one forward, hands the rows back."""

from collections.abc import Sequence

import torch

from redraft.engine.batch import pack
from redraft.engine.model_state import ModelFamily, Outcome, Run, Work
from redraft.engine.request import Request
from redraft.errors import RedraftError
from redraft.model.transformer import DiffusionTransformer


class Runner:
    """One model and the families that use it, by the name that `Request.family` gives."""

    def __init__(self, model: DiffusionTransformer, families: dict[str, ModelFamily]):
        self.model = model
        self.families = families

    @torch.inference_mode()
    def run(self, requests: Sequence[Request]) -> list[Outcome | RedraftError]:
        """One engine step; the error in place of the outcome of a request that failed."""
        outcomes: dict[Request, Outcome | RedraftError] = {}
        works: list[tuple[Request, Work]] = []
        for request in requests:
            try:
                works.append((request, self._family(request).next_work(request)))
            except RedraftError as error:
                outcomes[request] = error
        if works:
            batch = pack(works)
            hidden = self.model.hidden(batch)
            runs = [
                Run(request, work, hidden[segment.start : segment.stop])
                for (request, work), segment in zip(works, batch.segments, strict=True)
            ]
            for name, family in self.families.items():
                own = [run for run in runs if run.request.family == name]
                for run, outcome in zip(own, family.absorb(own), strict=True):
                    outcomes[run.request] = outcome
        return [outcomes[request] for request in requests]

    def _family(self, request: Request) -> ModelFamily:
        return self.families[request.family]
