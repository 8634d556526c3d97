import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import redraft
from redraft.constraints.automaton import compile_tree
from redraft.constraints.inference import ConstrainedRows, place, predict_constrained
from redraft.constraints.infill import SCORED_BYTES, UNSEEN_COST, clean_canvas, hole_language, lay_out
from redraft.constraints.infill_moves import InfillParts, build_infill
from redraft.constraints.limits import Limits, Meter
from redraft.constraints.tree import Chars, FreeTokens, Repeat
from redraft.constraints.vocabulary import Vocabulary
from redraft.errors import InvalidRequest
from redraft.text.tokenizer import Tokenizer

# Bytes a, b, c, d and newline alone, and some of their runs; the last id ends a document, the one before has no text.
PIECES = [b"a", b"b", b"c", b"d", b"\n", b"ab", b"bc", b"cd", b"\na", b"abc", b"b\n", None, None]
VOCABULARY = Vocabulary(PIECES)
STOP = len(PIECES) - 1
ANYTHING = FreeTokens(None)


def build(suffix, max_tokens=3, canvas_length=4, heal=b"", scored_bytes=48, stop=(), hole=None):
    parts = InfillParts(
        hole=hole or compile_tree(hole_language(ANYTHING, stop)),
        heal=heal,
        suffix=tuple(suffix),
        max_tokens=max_tokens,
        canvas_length=canvas_length,
        scored_bytes=scored_bytes,
    )
    return build_infill(parts, VOCABULARY, (STOP,), (), Meter(Limits()))


def predict(infill, logits, state=None, num_committed=0, seed=0, **options):
    lattice = infill.unroll(infill.automaton.start if state is None else state, len(logits), num_committed)
    uniforms = torch.rand(3, len(logits), generator=torch.Generator().manual_seed(seed))
    rows = ConstrainedRows(tempered=logits.clone(), placed=place(lattice), uniforms=uniforms, **options)
    return predict_constrained(rows)


def pieces_of(step):
    return [PIECES[token] for token in step.prediction.best.tolist()]


def test_weights_are_those_of_brute_force_over_texts_and_cuts():
    # Hole of at most 2 tokens, suffix "bcd" of which 2 bytes are scored, one way on from there, then the end.
    suffix, canvas_length, scored = b"bcd", 5, 2
    infill = build((b"bc", b"d"), max_tokens=2, canvas_length=canvas_length, scored_bytes=scored)
    logits = torch.randn(canvas_length, len(PIECES), generator=torch.Generator().manual_seed(3)) * 2
    logp = logits.double().log_softmax(-1)
    total, at = 0.0, np.zeros(canvas_length + 1)
    usable = [i for i, piece in enumerate(PIECES) if piece]
    continuation = {2: [3], 3: []}  # the one path from each offset: "d", then fill
    for num_hole in range(3):
        for hole in itertools.product(usable, repeat=num_hole):
            # tokens wholly in the hole, then tokens that carry suffix bytes until 2 of them are written
            weight = sum(logp[i, token] for i, token in enumerate(hole))
            stack = [(num_hole, 0, weight)]
            while stack:
                position, written, so_far = stack.pop()
                for token in usable:
                    piece = PIECES[token]
                    for inside in range(len(piece) if written == 0 else 1):
                        if written == 0 and inside and num_hole == 2:
                            continue  # a third token would begin in the hole
                        after = written + len(piece) - inside
                        if piece[inside:] != suffix[written:after]:
                            continue
                        now = so_far + logp[position, token]
                        if after < scored:
                            stack.append((position + 1, after, now))
                        elif position + 1 + len(continuation[after]) <= canvas_length:
                            total += math.exp(now)
                            at[num_hole] += math.exp(now)
    step = predict(infill, logits)
    assert step.prediction.log_z == pytest.approx(math.log(total), abs=1e-5)
    assert step.crossing == pytest.approx(at / total, abs=1e-6)


def test_the_best_path_ends_the_hole_where_that_is_most_probable():
    infill = build((b"cd", b"\n"), max_tokens=3, canvas_length=8)
    logits = torch.randn(8, len(PIECES), generator=torch.Generator().manual_seed(1))
    step = predict(infill, logits)
    is_hole = infill.is_hole[step.states]
    assert int(is_hole.sum()) - 1 == step.crossing.argmax()


def test_a_text_is_hole_suffix_and_fill_for_any_logits():
    rng = np.random.default_rng(0)
    for seed in range(24):
        heal, stop = (b"", b"ab", b"\n")[seed % 3], ("ca",) if seed % 2 else ()
        suffix = (b"bc", b"d", b"\na")[: seed % 4]
        infill = build(suffix, max_tokens=3, canvas_length=12, heal=heal, scored_bytes=(2, 48)[seed % 2], stop=stop)
        logits = torch.from_numpy(rng.normal(0, 10, (12, len(PIECES)))).float()
        for temperature in (0.0, 1.0):
            step = predict(infill, logits, seed=seed, draw_temperature=temperature)
            pieces = [PIECES[token] or b"" for token in step.prediction.sample.tolist()]
            whole = b"".join(pieces)
            assert whole.startswith(heal) and whole.endswith(b"".join(suffix))
            hole = whole[len(heal) : len(whole) - len(b"".join(suffix))]
            assert not any(s.encode() in hole for s in stop)
            assert step.prediction.sample[-1] == STOP
        best, num_tokens = infill.hole_text(pieces_of(step), step.states.tolist())
        assert heal + best + b"".join(suffix) == b"".join(piece or b"" for piece in pieces_of(step))
        assert num_tokens <= 3 and infill.is_finished(int(step.states[-1]), 12)


def test_a_healed_token_may_run_into_the_hole_and_counts_as_no_token_of_it():
    infill = build((b"d",), max_tokens=1, canvas_length=4, heal=b"a")
    logits = torch.zeros(4, len(PIECES))
    for ids, text, num_tokens in (([9, 2, 3], b"bcc", 1), ([0, 2, 3], b"c", 1), ([0, 3, STOP], b"", 0)):
        pushed = logits.clone()
        pushed[range(3), ids] = 30
        step = predict(infill, pushed)
        assert step.prediction.best.tolist()[:3] == ids
        assert infill.hole_text(pieces_of(step), step.states.tolist()) == (text, num_tokens)


def test_a_token_may_straddle_the_end_of_the_hole():
    infill = build((b"\n",), max_tokens=2, canvas_length=4)
    logits = torch.zeros(4, len(PIECES))
    logits[[0, 1], [3, 10]] = 30  # "d", "b\n"
    step = predict(infill, logits)
    assert infill.hole_text(pieces_of(step), step.states.tolist()) == (b"db", 2)


def test_after_the_scored_stretch_the_tokenizers_own_tokens_follow():
    infill = build((b"a", b"bc", b"d", b"ab"), max_tokens=1, canvas_length=8, scored_bytes=1)
    for seed in range(5):
        step = predict(infill, torch.randn(8, len(PIECES), generator=torch.Generator().manual_seed(seed)))
        pieces = [piece or b"" for piece in pieces_of(step)]
        text = b"".join(pieces)
        start = len(text) - len(b"abcdab")
        ends = set(itertools.accumulate(map(len, pieces)))
        # After the token that holds the scored "a": at the next boundary of the tokenizer, then at each of them.
        first = min(end for end in ends if end > start)
        assert {end for end in ends if end > first} == {start + k for k in (3, 4, 6) if start + k > first}


def test_later_suffix_and_fill_weigh_one_whatever_the_model_says():
    only_a = compile_tree(Repeat(Chars(((97, 97),)), 0, None))
    infill = build((b"ab", b"cd"), max_tokens=2, canvas_length=7, scored_bytes=1, hole=only_a)
    logits = torch.randn(7, len(PIECES), generator=torch.Generator().manual_seed(5))
    p = logits.softmax(-1)
    p[:, 11] += 0.9 * (p[:, 7] + p[:, STOP])  # from "cd" and the end to an id that is never used
    p[:, [7, STOP]] *= 0.1
    step, other = predict(infill, logits), predict(infill, p.log())
    assert other.crossing == pytest.approx(step.crossing, rel=1e-5)
    assert other.prediction.log_z == pytest.approx(step.prediction.log_z, abs=1e-5)
    assert {7, STOP} <= set(step.prediction.best.tolist())


def test_a_hole_runs_over_several_canvases_until_its_budget():
    infill = build((b"d",), max_tokens=7, canvas_length=4, heal=b"a")
    logits = torch.zeros(4, len(PIECES))
    logits[:, 2] = 60  # "c" again and again
    first = torch.where(torch.arange(4)[:, None] == 0, torch.nn.functional.one_hot(torch.tensor(0), 13) * 60.0, logits)
    state, committed, ids, states = infill.automaton.start, 0, [], [infill.automaton.start]
    for canvas in (first, logits, logits):
        if infill.is_finished(state, committed):
            break
        step = predict(infill, canvas, state, committed)
        ids += step.prediction.best.tolist()
        states += step.states.tolist()[1:]
        state, committed = int(step.states[-1]), committed + 4
    assert committed == 8 and infill.tokens_left(committed) == 0
    assert infill.hole_text([PIECES[i] for i in ids], states) == (b"c" * 7, 7)


def test_a_path_that_leaves_the_canvas_owes_the_unseen_stretch():
    infill = build((b"d",), max_tokens=9, canvas_length=2)
    logits = torch.zeros(2, len(PIECES))
    step = predict(infill, logits)
    p = 1 / len(PIECES)
    usable = sum(piece is not None for piece in PIECES)
    ends_in_d = 1  # "cd" alone straddles
    crossing_now = p + ends_in_d * p  # then the end, scored
    stay = usable * p
    weights = [
        crossing_now * p,
        stay * crossing_now * math.exp(-UNSEEN_COST),  # "d" seen, the end unseen
        stay * stay * math.exp(-2 * UNSEEN_COST),
    ]
    assert step.crossing == pytest.approx(np.array(weights) / sum(weights), abs=1e-6)


def test_no_hole_of_the_language_within_the_budget_is_refused():
    with pytest.raises(InvalidRequest, match="max_tokens=1: want at least 2"):
        parts = InfillParts(
            hole=compile_tree(Repeat(Chars(((100, 100),)), 2, 2)),
            heal=b"",
            suffix=(b"a",),
            max_tokens=1,
            canvas_length=8,
        )
        build_infill(parts, VOCABULARY, (STOP,), (), Meter(Limits()))


def test_without_equal_terms_free_positions_make_long_holes_win():
    # Suffix tokens are equally likely wherever they may stand: no length is better than another.
    infill = build((b"a", b"b", b"c", b"d"), max_tokens=20, canvas_length=30)
    probabilities = torch.full((30, len(PIECES)), 0.01 / 9)
    probabilities[:, :4] = 0.99 / 4
    logits = probabilities.log()
    fair = predict(infill, logits).crossing
    everything = np.zeros_like(infill.is_unscored)
    unfair = predict(replace(infill, is_unscored=everything), logits).crossing
    assert fair[:21].max() / fair[:21].min() < 1.1
    assert unfair.argmax() == 20 and unfair[20] > 0.9


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_directory(Path(redraft.__file__).parent / "models" / "redraft-mini")


BEFORE, HOLE, AFTER = "def naïve(x):\n    return ", "x + 1", "\n\n\ndef other(y):\n" + "    y = y * 2\n" * 40


def test_the_far_suffix_goes_before_the_text_before_and_the_last_token_into_the_canvas(tokenizer):
    layout = lay_out(BEFORE, AFTER, tokenizer, 64, max_tokens=20)
    before = tokenizer.encode(BEFORE)
    far = layout.suffix_ids[64 - 1 - 20 :]
    assert layout.prompt_ids == (tokenizer.suffix_marker_id, *far, *before[:-1])
    assert layout.heal == tokenizer.bytes_of(before[-1]) and layout.num_dropped == 0
    assert lay_out(BEFORE, "\n", tokenizer, 64, max_tokens=20).prompt_ids == tuple(before[:-1])


def test_the_default_budget_keeps_the_scored_stretch_in_the_canvas(tokenizer):
    layout = lay_out(BEFORE, AFTER, tokenizer, 64)
    stretch = 64 - 1 - layout.max_tokens
    pieces = [tokenizer.bytes_of(token) or b"" for token in layout.suffix_ids]
    assert len(b"".join(pieces[: stretch - 1])) < SCORED_BYTES <= len(b"".join(pieces[:stretch]))
    assert lay_out("", "", tokenizer, 64).max_tokens == 63  # one position for the end


def test_a_control_token_before_the_hole_stays_in_the_prompt(tokenizer):
    marker = next(name for name, i in tokenizer.control_tokens.items() if i == tokenizer.suffix_marker_id)
    layout = lay_out("a" + marker, "", tokenizer, 64)
    assert layout.heal == b"" and layout.prompt_ids[-1] == tokenizer.suffix_marker_id


@pytest.mark.parametrize(("hole", "after"), [(HOLE, AFTER), ("", AFTER), ("é", "é\n"), ("x", ""), (" or ï", "\nï")])
def test_the_canvas_of_training_is_a_path_of_the_automaton_that_serves(tokenizer, hole, after):
    layout = lay_out(BEFORE, after, tokenizer, 64)
    end = tokenizer.control_tokens["<eos>"]
    ids = [*clean_canvas(layout, hole, after, tokenizer), *[end] * 64][:64]
    parts = InfillParts(
        hole=compile_tree(FreeTokens(None)),
        heal=layout.heal,
        suffix=tuple(tokenizer.bytes_of(token) or b"" for token in layout.suffix_ids),
        max_tokens=layout.max_tokens,
        canvas_length=64,
    )
    infill = build_infill(parts, Vocabulary(tokenizer.token_bytes), (end,), (), Meter(Limits()))
    logits = torch.zeros(64, tokenizer.vocab_size)
    logits[range(64), ids] = 20
    step = predict(infill, logits)
    assert step.prediction.best.tolist() == ids
    pieces = [tokenizer.bytes_of(token) for token in ids]
    assert infill.hole_text(pieces, step.states.tolist())[0].decode() == hole
