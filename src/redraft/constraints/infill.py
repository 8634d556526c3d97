"""Infill: the language "hole, then the text after it", in which holes of every length compete on equal terms.

States are where a token ends: inside the hole (a state of the hole's byte automaton) or so many bytes into the suffix.
The two kinds share no state, so a path is a text together with its cut; the cut may lie inside a token, so several
states may follow by one token. With 48 bytes of suffix scored:

    start --healed token--> hole <--tokens--> hole --crossing: first token with suffix bytes--> suffix 1..47
    suffix 1..47 --any tokens that spell it--> suffix 48.. --one path, weight 1--> end --fill, weight 1--> end

Every position of the hole is free and weighs about 1, every position of the suffix weighs less. So the same stretch is
scored whatever the length, and what follows it weighs 1. A path that leaves the canvas before the end of the stretch
owes the rest: each token not seen is charged as if it had weighed exp(-UNSEEN_COST).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from redraft.constraints.lattice import Lattice, Terms, unroll_with
from redraft.constraints.tokens import TokenAutomaton
from redraft.constraints.tree import MAX_CODE_POINT, Chars, Either, FreeTokens, Minus, Node, Repeat, Seq, Text
from redraft.text.tokenizer import Tokenizer

SCORED_BYTES = 48  # of the suffix, for every hole length
# Nats per token: a suffix token costs about 0 where it belongs and more than 5 where it does not. On planted canvases 4
# closes the right holes and keeps open those that go on, at the widest range of certainty (docs/log.md).
UNSEEN_COST = 4.0
NOT_SUFFIX = -1


@dataclass(frozen=True, kw_only=True)
class InfillAutomaton:
    """A nondeterministic token automaton of hole and suffix, and what it takes to unroll it and to read a path."""

    automaton: TokenAutomaton
    fill_id: int
    heal: bytes  # what the first token begins with; no part of the hole
    max_tokens: int  # tokens that may begin in the hole
    suffix_bytes: NDArray[np.int64]  # [states] bytes of the suffix written so far, NOT_SUFFIX in the hole
    hole_tokens: NDArray[np.int64]  # [states] fewest tokens that must still begin in the hole, 0 in the suffix
    stretch_tokens: NDArray[np.int64]  # [states] fewest tokens to the end of the scored stretch; all of it in the hole
    is_unscored: NDArray[np.bool_]  # [edges]
    is_crossing: NDArray[np.bool_]  # [edges]
    begins_in_hole: NDArray[np.bool_]  # [edges] counts as a token of the hole
    is_cut: NDArray[np.bool_]  # [edges] crosses with a token that begins with the suffix

    def unroll(self, state: int, canvas_length: int, num_committed: int) -> Lattice:
        """The lattice of the canvas after `num_committed` tokens, which end in `state`; it lies in the hole.

        Where the budget lets the whole stretch fit behind every hole, it must; else a path may leave the canvas in the
        hole or in the stretch. InvalidRequest where no path is left.
        """
        num_healed = int(bool(self.heal)) if num_committed == 0 else 0
        tokens_left = self.tokens_left(num_committed)
        last_cut = num_healed + tokens_left
        last_position = np.full(len(self.is_cut), canvas_length)
        last_position[self.begins_in_hole] = last_cut - 1
        last_position[self.is_cut] = last_cut
        final_weight = np.float64(-UNSEEN_COST) * self.stretch_tokens
        final_weight[self.is_hole & (self.hole_tokens > last_cut - canvas_length)] = -np.inf
        if last_cut + self.stretch_tokens[state] <= canvas_length:
            final_weight[self.stretch_tokens > 0] = -np.inf
        terms = Terms(
            final_weight=final_weight,
            last_position=last_position,
            is_unscored=self.is_unscored,
            is_crossing=self.is_crossing,
        )
        return unroll_with(self.automaton, state, canvas_length, canvas_length, self.fill_id, terms)

    @property
    def is_hole(self) -> NDArray[np.bool_]:
        """[states] whether the hole is not yet closed there."""
        return self.suffix_bytes == NOT_SUFFIX

    def tokens_left(self, num_committed: int) -> int:
        """Tokens that may still begin in the hole after so many tokens of the reply, healed one included."""
        return self.max_tokens - max(0, num_committed - bool(self.heal))

    def is_finished(self, state: int, num_committed: int) -> bool:
        """Whether the hole's text is known after so many tokens that end in `state`: closed, or its budget spent."""
        return not self.is_hole[state] or self.tokens_left(num_committed) == 0

    def hole_text(self, pieces: Sequence[bytes | None], states: Sequence[int]) -> tuple[bytes, int]:
        """The hole's bytes in a reply so far, and how many tokens begin in it; both without healed bytes and suffix.

        `pieces`: the bytes of its tokens; `states`: those along its path, one more than tokens.
        """
        text, num_tokens = b"", 0
        for piece, (before, after) in zip(pieces, pairwise(states), strict=True):
            if not self.is_hole[before]:
                break
            piece = piece or b""
            kept = piece[: len(piece) - max(0, int(self.suffix_bytes[after]))]
            text += kept
            num_tokens += bool(kept)
        return text[len(self.heal) :], num_tokens - bool(self.heal)


def hole_language(hole: Node, stop: Sequence[str]) -> Node:
    """The hole's texts that hold none of the stop strings; a free hole's tokens are not counted (`max_tokens` does)."""
    if isinstance(hole, FreeTokens):
        return FreeTokens(None, (*hole.without, *stop))
    if not stop:
        return hole
    anything = Repeat(Chars(((0, MAX_CODE_POINT),)), 0, None)
    return Minus(hole, Seq((anything, Either(tuple(map(Text, stop))), anything)))


@dataclass(frozen=True, kw_only=True)
class InfillLayout:
    """Where the parts of an infill go; the same at training and when serving."""

    prompt_ids: tuple[
        int, ...
    ]  # after the tokenizer's own BOS: marker and far suffix where needed, then the text before
    heal: bytes  # text of the last token before the hole, taken out of the prompt; b"" where it has none
    suffix_ids: tuple[int, ...]  # the text after the hole
    max_tokens: int  # budget of the hole
    num_dropped: int  # suffix tokens that neither fit the canvas nor, for want of a marker, the prompt


def lay_out(
    before: str, after: str, tokenizer: Tokenizer, canvas_length: int, max_tokens: int | None = None
) -> InfillLayout:
    """The layout for a hole of at most `max_tokens` tokens (None: the most that keep the scored stretch in the canvas).

    What is left of the canvas behind the largest hole is the suffix that surely fits; the rest goes to the prompt.
    """
    before_ids, suffix_ids = tokenizer.encode(before), tokenizer.encode_plain(after)
    heal = _healed_text(before_ids, tokenizer)
    if heal:
        before_ids = before_ids[:-1]
    room = canvas_length - bool(heal)
    if max_tokens is None:
        ends = np.cumsum([len(tokenizer.bytes_of(i) or b"") for i in suffix_ids])
        num_stretch = int((ends < SCORED_BYTES).sum()) + 1  # the token that completes it, or the end of the document
        max_tokens = max(1, room - num_stretch)
    far = suffix_ids[max(0, room - max_tokens) :]
    marker = tokenizer.suffix_marker_id
    prompt = before_ids if marker is None or not far else [marker, *far, *before_ids]
    return InfillLayout(
        prompt_ids=tuple(prompt),
        heal=heal,
        suffix_ids=tuple(suffix_ids),
        max_tokens=max_tokens,
        num_dropped=len(far) if marker is None else 0,
    )


def clean_canvas(layout: InfillLayout, hole: str, after: str, tokenizer: Tokenizer) -> list[int]:
    """Ids a model is trained to put after the prompt: healed text, hole and suffix tokenized as one; cut or fill it."""
    return tokenizer.encode_plain(layout.heal.decode() + hole + after)


def _healed_text(token_ids: Sequence[int], tokenizer: Tokenizer) -> bytes:
    """Text of the last token where it may move into the canvas: not a control token, no part of a character."""
    piece = (tokenizer.bytes_of(token_ids[-1]) or b"") if token_ids else b""
    try:
        piece.decode()
    except UnicodeDecodeError:
        return b""
    return piece
