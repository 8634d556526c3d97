"""Is every constrained reply valid, whatever the weights? Thousands of replies, each judged without our automata.

    python -m redraft.evaluation.validity --random-weights TOKENIZER_DIR --replies 20000 --seed 0 [--schemas FILE]

Patterns, JSON schemas, templates and infills (validity_cases.py) are mixed by the seed, with budgets from the shortest
text there is to several canvases, fp32 and bf16, temperatures 0, 0.7 and 1, eight requests at a time. Schemas are the
built-in ones and those of FILE that compile: `jsonschema/dev.jsonl.gz` under REDRAFT_TEST_DATA where it exists.
"""

import argparse
import collections
import itertools
import json
import platform
import random
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import redraft
from redraft.checkpoint.save import save_model
from redraft.config import LayerConfig, ModelConfig, SamplingParams
from redraft.constraints.spec import Infill
from redraft.engine.engine import Engine
from redraft.errors import InvalidRequest, RedraftError
from redraft.evaluation.run import versions, write_results
from redraft.evaluation.schema_coverage import data_file, read_rows
from redraft.evaluation.validity_cases import SCHEMAS, Case, infill_cases, regex_cases, schema_case, template_cases
from redraft.model.transformer import random_model
from redraft.text.tokenizer import Tokenizer

SOURCES = ("Glaiveai2K", "Github_trivial", "Github_easy", "BFCL")
WEIGHTS = {"regex": 35, "schema": 35, "template": 15, "infill": 15}  # of replies, in per cent
TEMPERATURES = (0.0, 0.7, 1.0)
PROMPTS = ("x = 1", "Write an answer.\n", "日本語 naïve", '{"a": [')
BATCH = 8
POOL = 10  # schemas of a file in use at a time: with all other cases fewer than an engine keeps compiled
LONGEST = 8  # canvases a shortest text may take
SHARPNESS = 4.0  # random logits of this standard deviation: sure of nonsense


@dataclass(frozen=True)
class Draw:
    """One request."""

    case: Case
    prompt: str
    params: SamplingParams
    is_exact: bool  # the budget is that of the shortest text


def random_directory(tokenizer_directory: Path, directory: Path, seed: int = 0) -> Path:
    """`directory` with a tiny random model in it, around the tokenizer of another one."""
    tokenizer = Tokenizer.from_directory(tokenizer_directory)
    rope = {"rope_theta": 1e4, "rope_fraction": 1.0}
    sliding = LayerConfig(is_sliding=True, num_kv_heads=2, head_dim=8, shares_kv=False, **rope)
    full = LayerConfig(is_sliding=False, num_kv_heads=1, head_dim=16, shares_kv=True, **rope)
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        intermediate_size=48,
        moe_intermediate_size=16,
        num_experts=4,
        num_experts_per_token=2,
        num_heads=4,
        layers=(sliding, full),
        sliding_window=16,
        rms_norm_eps=1e-6,
        logit_softcap=30.0,
        canvas_length=32,
        max_position_embeddings=2048,
        pad_token_id=_named_id(tokenizer, "pad"),
        bos_token_id=_named_id(tokenizer, "bos"),
        eos_token_ids=(_named_id(tokenizer, "eos"),),
    )
    model = random_model(config, seed)
    model.norm.weight.data.fill_(SHARPNESS)
    save_model(model, directory)
    for file in tokenizer_directory.glob("tokenizer*.json"):
        shutil.copy(file, directory)
    return directory


def _named_id(tokenizer: Tokenizer, name: str) -> int:
    token_id = tokenizer.token_id(tokenizer.config.get(f"{name}_token", ""))
    if token_id is None:
        raise InvalidRequest(f"the tokenizer names no {name}_token: want one, a model needs it")
    return token_id


def schema_cases(file: Path | None, most: int, seed: int) -> tuple[list[Case], collections.Counter[str]]:
    """Cases of up to `most` schemas of a file that compile, in an order of the seed; and why others did not."""
    rows = [] if file is None else [row for row in read_rows(file) if row["source"] in SOURCES]
    random.Random(seed).shuffle(rows)
    cases, refused = [], collections.Counter()
    for row in rows:
        if len(cases) == most:
            break
        try:
            cases.append(schema_case(row["id"], row["schema"]))
        except InvalidRequest as error:
            refused[_reason(error)] += 1
    return cases, refused


def draws(engine: Engine, cases: Sequence[Case], count: int, num_steps: int, rng: random.Random) -> Iterator[Draw]:
    """`count` requests over the cases; kinds by WEIGHTS."""
    by_kind: dict[str, list[Case]] = collections.defaultdict(list)
    for case in cases:
        by_kind[case.kind].append(case)
    for kind in rng.choices(list(WEIGHTS), list(WEIGHTS.values()), k=count):
        case = rng.choice(by_kind[kind])
        shortest, canvas = shortest_tokens(engine, case), engine.model.canvas_length
        spare = rng.choice((0, rng.randint(1, 8), rng.randint(1, canvas), rng.randint(1, 3 * canvas)))
        params = SamplingParams(
            max_tokens=shortest + spare,
            max_denoising_steps=rng.randint(1, num_steps),
            temperature=rng.choice(TEMPERATURES),
            seed=rng.getrandbits(32),
            record_trace=kind == "infill",
        )
        yield Draw(case, rng.choice(PROMPTS), replace(params, stop=list(case.stop) or None), spare == 0)


def shortest_tokens(engine: Engine, case: Case) -> int:
    """Tokens of the shortest reply; of an infill, of the shortest hole (1 where it may be empty)."""
    constraint = case.constraint.hole if isinstance(case.constraint, Infill) else case.constraint
    compiled = engine.intake.compiled.compile(constraint, engine.intake.end_ids(SamplingParams()))
    return max(1, int(compiled.automaton.distance[compiled.automaton.start]))


def judge(engine: Engine, draw: Draw) -> tuple[str, str, int]:
    """("valid" | "invalid" | "refused", why, canvases) of one request."""
    infill = isinstance(draw.case.constraint, Infill)
    try:
        reply = engine.solve(draw.case.constraint, "" if infill else draw.prompt, draw.params)
    except InvalidRequest as error:
        return "refused", _reason(error), 0
    except RedraftError as error:
        return "invalid", f"{type(error).__name__}: {error}", 0
    fault = draw.case.fault(reply, engine.tokenizer)
    if reply.finish_reason != "stop":
        fault = f"finish_reason={reply.finish_reason}"
    if len(reply.token_ids) > (draw.params.max_tokens or 0):
        fault = f"{len(reply.token_ids)} tokens"
    return ("valid", "", reply.usage.canvases) if fault is None else ("invalid", f"{fault} in {reply.text!r}", 0)


class Tally:
    """Verdicts counted so far; grows in place."""

    def __init__(self) -> None:
        self._kinds, self._notes = collections.Counter(), collections.Counter()
        self._invalid: list[dict[str, Any]] = []
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def add(self, engine: Engine, draw: Draw, verdict: str, why: str, canvases: int) -> None:
        """Count one draw."""
        self._kinds[draw.case.kind, verdict] += 1
        self._notes[f"temperature {draw.params.temperature}"] += 1
        self._notes[str(engine.model.dtype).removeprefix("torch.")] += 1
        self._notes["budget of the shortest text"] += draw.is_exact
        self._notes["several canvases"] += canvases > 1
        if verdict == "refused":
            self._notes[f"refused: {why}"] += 1
        if verdict == "invalid":
            params = {name: value for name, value in draw.params.as_dict().items() if value is not None}
            facts = {"case": draw.case.name, "prompt": draw.prompt, "params": params, "model": engine.label, "why": why}
            self._invalid.append(facts)

    def leave_out(self, count: int) -> None:
        """Count cases that were not drawn from."""
        self._notes["cases left out as too long"] += count

    @property
    def figures(self) -> dict[str, Any]:
        """All of it as plain values."""
        wall = time.perf_counter() - self._wall
        verdicts = ("valid", "invalid", "refused")
        return {
            "replies": self._kinds.total(),
            "kinds": {kind: {verdict: self._kinds[kind, verdict] for verdict in verdicts} for kind in WEIGHTS},
            "notes": dict(sorted(self._notes.items())),
            "invalid": list(self._invalid),
            "seconds": round(wall, 1),
            "cpu_seconds": round(time.process_time() - self._cpu, 1),
            "replies_per_second": round(self._kinds.total() / wall, 2),
        }


def measure(
    engines: Sequence[Engine], cases: Sequence[Case], extra: Sequence[Case], options: Any
) -> Iterator[dict[str, Any]]:
    """Figures, again and again until all draws are made.

    Engines take turns, each with `cases` and POOL of the `extra` ones at a time.
    """
    rng, tally, done = random.Random(options.seed), Tally(), 0
    pools = [extra[i : i + POOL] for i in range(0, len(extra), POOL)] or [[]]
    pools *= -(-len(engines) // len(pools))  # every engine gets one
    for turn, pool in enumerate(pools):
        engine = engines[turn % len(engines)]
        limit = LONGEST * engine.model.canvas_length
        fitting = [case for case in [*cases, *pool] if shortest_tokens(engine, case) <= limit]
        tally.leave_out(len(cases) + len(pool) - len(fitting))
        share = options.replies * (turn + 1) // len(pools) - done
        asked = list(draws(engine, fitting, share, options.steps, rng))
        with ThreadPoolExecutor(BATCH) as threads:
            verdicts = threads.map(judge, itertools.repeat(engine), asked)
            for draw, verdict in zip(asked, verdicts, strict=True):
                tally.add(engine, draw, *verdict)
        done += share
        yield tally.figures


def _reason(error: Exception) -> str:
    """An error's message without what differs from case to case."""
    return re.sub(r"\d+", "n", re.sub(r"#\S*", "#", str(error)))[:120]


def measured(options: Any, command: str) -> Iterator[dict[str, Any]]:
    """Results, again and again until all replies are judged; `options` as `main` parses them."""
    file = options.schemas or (data_file() if data_file().is_file() else None)
    extra, refused = schema_cases(file, options.distinct, options.seed)
    cases = [*regex_cases(), *template_cases(), *infill_cases()]
    cases += [schema_case(name, schema) for name, schema in SCHEMAS.items()]
    facts = {
        "command": command,
        "seed": options.seed,
        "asked": options.replies,
        "model": options.model or f"random weights, tokenizer of {options.random_weights.name}",
        "versions": versions(),
        "machine": platform.machine(),
        "schemas": {"built in": len(SCHEMAS), "of the file": len(extra), "refused": dict(refused.most_common())},
    }
    with tempfile.TemporaryDirectory() as directory:
        name = options.model or str(random_directory(options.random_weights, Path(directory)))
        engines = [redraft.load(name, dtype=dtype, max_batch=BATCH) for dtype in ("float32", "bfloat16")]
        for figures in measure(engines, cases, extra, options):
            yield facts | figures
        for engine in engines:
            engine.close()


def main(arguments: list[str] | None = None) -> int:
    """Prints the figures as JSON; 1 where a reply was not valid."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--model", help="a shipped model's name or a checkpoint directory")
    model.add_argument("--random-weights", type=Path, metavar="DIR", help="a tiny random model around DIR's tokenizer")
    parser.add_argument("--replies", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=3, help="most denoising steps of a canvas")
    parser.add_argument("--schemas", type=Path, help="file of labelled schemas; default the test data's, if there")
    parser.add_argument("--distinct", type=int, default=150, help="most schemas taken from that file")
    parser.add_argument("--out", type=Path, help="also write the JSON there")
    options = parser.parse_args(arguments)
    command = shlex.join(["python", "-m", "redraft.evaluation.validity", *(arguments or sys.argv[1:])])
    results: dict[str, Any] = {}
    for results in measured(options, command):
        sys.stderr.write(f"{results['replies']} replies, {len(results['invalid'])} invalid\n")
        if options.out:
            write_results(results, options.out)
    sys.stdout.write(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    return int(bool(results["invalid"]))


if __name__ == "__main__":
    sys.exit(main())
