"""No page is leaked, whatever ends a request."""

import random

import redraft
from redraft import SamplingParams


def test_two_thousand_requests_leave_no_page_behind(tiny_directory):
    rng = random.Random(3)
    outcomes = {"reply": 0, "cancelled": 0, "late": 0, "waited": 0}
    with redraft.load(str(tiny_directory), max_batch=6, cache_memory=150_000) as engine:
        for _ in range(100):
            handles = [_start(engine, rng) for _ in range(20)]
            outcomes["waited"] += engine.figures.num_waiting > 0
            for handle in handles:
                if rng.random() < 0.3:
                    handle.cancel()
            for handle in handles:
                try:
                    handle.reply()
                    outcomes["reply"] += 1
                except redraft.Cancelled:
                    outcomes["cancelled"] += 1
                except redraft.DeadlineExceeded:
                    outcomes["late"] += 1
        figures, pages = engine.figures, engine._scheduler.pool.manager
        assert (figures.num_running, figures.num_waiting) == (0, 0)
        assert pages._open == []
        assert len(pages.full) - pages.full.num_free == figures.num_prefixes * 4, "only remembered chunks hold pages"
        pages.index.make_room(full=len(pages.full), sliding=len(pages.sliding))
        assert (pages.full.num_free, pages.sliding.num_free) == (len(pages.full), len(pages.sliding))
    assert sum(outcomes.values()) - outcomes["waited"] == 2000
    assert min(outcomes.values()) > 10, outcomes


def _start(engine, rng: random.Random):
    prompt = [3 + i % 11 for i in range(rng.choice((3, 30, 280, 300)))] + [rng.randrange(16)]
    params = SamplingParams(
        max_tokens=rng.randint(1, 24),
        max_denoising_steps=None if (is_left_to_right := rng.random() < 0.2) else rng.randint(1, 3),
        decoding="autoregressive" if is_left_to_right else "diffusion",
        deadline=0.01 if rng.random() < 0.1 else None,
        seed=rng.randrange(99),
    )
    return engine._start(prompt, params)
