"""Writing between two texts: the request whose canvas is hole and suffix, and whose reply is the hole."""

import time
from collections.abc import Sequence
from dataclasses import replace

from redraft.config import BAN_BIAS, SamplingParams
from redraft.constraints.automaton import compile_tree
from redraft.constraints.infill import InfillAutomaton, InfillLayout, hole_language, lay_out
from redraft.constraints.infill_moves import InfillParts, build_infill
from redraft.constraints.limits import Limits, Meter
from redraft.constraints.spec import Free, Infill
from redraft.constraints.tree import MAX_CODE_POINT, Chars, Repeat
from redraft.engine.intake import Intake
from redraft.engine.request import Request
from redraft.engine.steering import InfillSteering
from redraft.errors import InvalidRequest


def infill_request(intake: Intake, infill: Infill, params: SamplingParams) -> tuple[Request, tuple[str, ...]]:
    """The request that fills the hole, and warnings for its reply.

    `max_tokens` (the hole's own, the caller's, or the smaller of both) and `stop` are about the hole. InvalidRequest
    where the prompt would be empty, the hole's language is, or the two do not fit the context.
    """
    if params.decoding != "diffusion":
        raise InvalidRequest(f"decoding={params.decoding!r}: an infill wants 'diffusion', which sees the text after it")
    for name in ("ignore_eos", "top_k", "top_p", "min_tokens"):
        if getattr(params, name) not in (None, False):
            raise InvalidRequest(f"{name}={getattr(params, name)!r} cannot be used with an infill: leave it out")
    canvas_length = params.canvas_length or intake.config.canvas_length
    intake.check_characters("before", infill.before)
    if intake.tokenizer.suffix_marker_id is not None:  # without one, what does not fit is left out
        intake.check_characters("after", infill.after)
    layout, warnings = _lay_out(intake, infill, canvas_length, _budget(infill, params))
    prompt_ids = [*intake.tokenizer.encode_prompt(""), *layout.prompt_ids]
    # The stop strings are in the hole's language now; the parser has no text to search.
    bare = replace(params, constraint=None, stop=None, max_tokens=layout.max_tokens)
    request = intake.request(prompt_ids, bare, num_healed=int(bool(layout.heal)), default_min_tokens=0)
    started = time.perf_counter()
    automaton = _automaton(intake, infill, layout, params, request)
    table = automaton.automaton
    stats = {
        "states": table.num_states,
        "classes": table.num_classes,
        "edges": table.num_edges,
        "compile_seconds": time.perf_counter() - started,
    }
    request.steering = InfillSteering(automaton, intake.tokenizer, stats, intake.device)
    request.rules = intake.rules(request.params, is_constrained=True)
    return request, (*warnings, *infill.warnings)


def _budget(infill: Infill, params: SamplingParams) -> int | None:
    """Tokens the hole may take; None: what keeps the scored stretch of the suffix in the first canvas."""
    own = infill.hole.max_tokens if isinstance(infill.hole, Free) else None
    return min((limit for limit in (own, params.max_tokens) if limit is not None), default=None)


def _lay_out(
    intake: Intake, infill: Infill, canvas_length: int, max_tokens: int | None
) -> tuple[InfillLayout, tuple[str, ...]]:
    most = lay_out(infill.before, infill.after, intake.tokenizer, canvas_length).max_tokens
    layout = lay_out(infill.before, infill.after, intake.tokenizer, canvas_length, max_tokens)
    warnings = []
    if layout.num_dropped:
        warnings.append(
            f"the last {layout.num_dropped} tokens of the text after the hole were left out: they do not fit the "
            "canvas, and this tokenizer has no suffix marker to put them in the prompt"
        )
    if infill.after and layout.max_tokens > most:
        warnings.append(
            f"a hole of up to {layout.max_tokens} tokens may take several canvases, and only the last of them sees "
            f"the text after it (up to {most} tokens stay in the first)"
        )
    return layout, tuple(warnings)


def _automaton(
    intake: Intake, infill: Infill, layout: InfillLayout, params: SamplingParams, request: Request
) -> InfillAutomaton:
    if isinstance(infill.hole, Free):
        anything = Repeat(Chars(((0, MAX_CODE_POINT),)), 0, None)
        hole = hole_language(anything, params.stop or ())
    else:
        hole = hole_language(infill.hole.tree, params.stop or ())
    meter = Meter(Limits())
    hole_automaton = compile_tree(hole, meter=meter)
    if hole_automaton.is_empty:
        raise InvalidRequest(f"hole={infill.hole!r}: no text fulfils it")
    parts = InfillParts(
        hole=hole_automaton,
        heal=layout.heal,
        suffix=_pieces(intake, layout.suffix_ids),
        max_tokens=layout.max_tokens,
        canvas_length=request.canvas_length,
    )
    banned = frozenset(i for i, bias in (params.logit_bias or {}).items() if bias <= BAN_BIAS)
    return build_infill(parts, intake.compiled.vocabulary, intake.end_ids(request.params), banned, meter)


def _pieces(intake: Intake, token_ids: Sequence[int]) -> tuple[bytes, ...]:
    return tuple(intake.tokenizer.bytes_of(token) or b"" for token in token_ids)
