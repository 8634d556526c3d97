"""Does this machine keep the promise that a reply does not depend on its company? Asked of a loaded engine."""

import random
from dataclasses import dataclass

from redraft.config import PREFILL_CHUNK, SamplingParams
from redraft.engine.engine import Engine


@dataclass(frozen=True, kw_only=True)
class SelfTest:
    """How many replies, alone and in a batch, had the same ids and bitwise the same log-probabilities."""

    num_replies: int
    num_equal: int

    @property
    def holds(self) -> bool:
        return self.num_equal == self.num_replies


def batch_invariance(engine: Engine, num_replies: int = 8) -> SelfTest:
    """Runs prompts of random ids alone, then all at once, prefixes remembered. Seconds on a small model.

    Promised for fp32 on a CPU (docs/engine.md); elsewhere the answer is a measurement.
    """
    rng = random.Random(0)
    longest = min(engine.intake.max_context - 2 * engine.model.canvas_length, PREFILL_CHUNK + 50)
    prompts = [
        [rng.randrange(engine.model.vocab_size) for _ in range(max(1, rng.choice((20, longest))))]
        for _ in range(num_replies)
    ]
    params = [
        SamplingParams(
            max_tokens=engine.model.canvas_length + 1,
            max_denoising_steps=3 + i % 3,
            ignore_eos=True,
            logprobs=0,
            seed=i,
        )
        for i in range(num_replies)
    ]
    alone = [engine.generate(prompt, asked) for prompt, asked in zip(prompts, params, strict=True)]
    together = engine.generate(prompts, params)
    equal = [
        one.token_ids == other.token_ids and one.logprobs == other.logprobs
        for one, other in zip(alone, together, strict=True)
    ]
    return SelfTest(num_replies=num_replies, num_equal=sum(equal))
