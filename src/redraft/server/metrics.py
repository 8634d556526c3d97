"""Figures for Prometheus. Each app has its own registry."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from redraft.engine.engine import Engine
from redraft.engine.handle import Event
from redraft.reply import Commit, Finish, Reply

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
RATIOS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128)


class EngineState(Collector):
    """What the engines hold at the time of asking: requests, pages of the KV cache, tokens its prefixes saved."""

    def __init__(self, engines: Mapping[str, Engine]):
        self._engines = engines

    def collect(self) -> Iterator[Metric]:
        requests = GaugeMetricFamily(
            "redraft_engine_requests", "Requests in the batch and before it", labels=["model", "state"]
        )
        pages = GaugeMetricFamily("redraft_cache_pages", "Pages of the KV cache", labels=["model", "layers"])
        used = GaugeMetricFamily(
            "redraft_cache_pages_used", "Pages that requests or prefixes hold", labels=["model", "layers"]
        )
        reused = CounterMetricFamily(
            "redraft_prefix_tokens", "Tokens of prompts that were in the KV cache already", labels=["model"]
        )
        for name, engine in self._engines.items():
            manager = engine._scheduler.pool.manager
            requests.add_metric([name, "running"], engine._hub.num_running)
            requests.add_metric([name, "waiting"], engine._hub.num_waiting)
            for layers, group in (("full", manager.full), ("sliding", manager.sliding)):
                pages.add_metric([name, layers], len(group))
                used.add_metric([name, layers], len(group) - group.num_free)
            reused.add_metric([name], manager.num_reused)
        yield from (requests, pages, used, reused)


class Metrics:
    """What the server counts. `queue` gives the choices that run or wait now."""

    def __init__(self, engines: Mapping[str, Engine], queue: Callable[[], int], limit: int):
        self.registry = CollectorRegistry()
        self.registry.register(EngineState(engines))
        self._requests = self._counter("requests", "HTTP requests answered", "path", "status")
        self._latency = Histogram(
            "redraft_request_seconds", "Time of a whole request", ["path"], registry=self.registry, buckets=SECONDS
        )
        self._passes = self._counter("forward_passes", "Denoising steps and commits", "model")
        self._steps = self._counter("denoising_steps", "Denoising steps", "model")
        self._canvases = self._counter("canvases", "Canvases finished", "model", "converged")
        self._committed = self._counter("tokens_committed", "Tokens of replies", "model")
        self._prompts = self._counter("prompt_tokens", "Tokens of prompts", "model")
        self._ratio = Histogram(
            "redraft_tokens_per_forward", "Tokens per forward pass", ["model"], registry=self.registry, buckets=RATIOS
        )
        self._first = Histogram(
            "redraft_time_to_first_commit_seconds", "From arrival to the first committed text", ["model"],
            registry=self.registry, buckets=SECONDS,
        )  # fmt: skip
        depth = Gauge("redraft_choices_in_flight", "Choices that run or wait", registry=self.registry)
        depth.set_function(queue)
        Gauge("redraft_choices_limit", "Choices that may run or wait", registry=self.registry).set(limit)

    def of_request(self, model: str, figures: dict[str, Any]) -> Callable[[Event | Exception], None]:
        """A listener for the events of one request, which adds up its `figures` for the log, in place."""
        started, seen = time.monotonic(), []

        def note(event: Event | Exception) -> None:
            if isinstance(event, Exception):
                figures["error"] = type(event).__name__
            if isinstance(event, Commit) and event.text and not seen:
                seen.append(event)
                figures["first_commit_seconds"] = round(time.monotonic() - started, 4)
                self._first.labels(model).observe(figures["first_commit_seconds"])
            if isinstance(event, Finish):
                self._observe(model, event.reply)
                for name in ("prompt_tokens", "completion_tokens", "forward_passes"):
                    figures[name] = figures.get(name, 0) + getattr(event.reply.usage, name)

        return note

    def done(self, path: str, status: int, seconds: float) -> None:
        """Count an answered HTTP request; `path` is the route's, so that there are few."""
        self._requests.labels(path, str(status)).inc()
        self._latency.labels(path).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def _observe(self, model: str, reply: Reply) -> None:
        """Count a finished reply."""
        usage = reply.usage
        self._passes.labels(model).inc(usage.forward_passes)
        self._steps.labels(model).inc(usage.denoising_steps)
        self._committed.labels(model).inc(usage.completion_tokens)
        self._prompts.labels(model).inc(usage.prompt_tokens)
        for has_converged in usage.converged:
            self._canvases.labels(model, str(has_converged).lower()).inc()
        if usage.completion_tokens:  # a decision commits none
            self._ratio.labels(model).observe(usage.tokens_per_forward)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"redraft_{name}", text, list(labels), registry=self.registry)
