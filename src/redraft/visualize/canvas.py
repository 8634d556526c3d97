"""What a viewer shows of a canvas after each denoising step: a text and a look per position. Draws nothing."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from redraft.reply import Draft


class Look(Enum):
    """How settled a position is."""

    OPEN = "open"  # noise goes in here next: the best id is a guess, often gibberish
    FADED = "faded"  # the same id was accepted before and is not now
    KEPT = "kept"  # accepted, and so it was one denoising step earlier
    FRESH = "fresh"  # accepted with an id that was not accepted there one denoising step earlier


@dataclass(frozen=True)
class Cell:
    """One position of a canvas."""

    token_id: int
    text: str  # "" for a special token
    look: Look


class CanvasView:
    """Follows the drafts of one reply; `text_of` gives the text of a token id.

    A draft may be missing (a slow reader loses frames): looks then compare with the last one seen.
    """

    def __init__(self, text_of: Callable[[int], str]):
        self._text_of = text_of
        self._texts: dict[int, str] = {}
        self._canvas_index = -1
        self._accepted: dict[int, int] = {}  # position: id at the last draft
        self._ever: dict[int, int] = {}  # position: id it was last accepted with

    def cells(self, draft: Draft) -> tuple[Cell, ...]:
        """The cells of a draft; the draft is remembered."""
        if draft.canvas_index != self._canvas_index:
            self._canvas_index, self._accepted, self._ever = draft.canvas_index, {}, {}
        accepted = {position: draft.token_ids[position] for position in draft.accepted}
        cells = tuple(
            Cell(token_id, self._text(token_id), self._look(position, token_id, position in accepted))
            for position, token_id in enumerate(draft.token_ids)
        )
        self._accepted = accepted
        self._ever |= accepted
        return cells

    def _look(self, position: int, token_id: int, is_accepted: bool) -> Look:
        if is_accepted:
            return Look.KEPT if self._accepted.get(position) == token_id else Look.FRESH
        return Look.FADED if self._ever.get(position) == token_id else Look.OPEN

    def _text(self, token_id: int) -> str:
        if token_id not in self._texts:
            self._texts[token_id] = self._text_of(token_id)
        return self._texts[token_id]


def texts_in(events: Iterable[object]) -> Callable[[int], str]:
    """`text_of` for a trace read without its tokenizer: drafts carry the text of an id when it first appears."""
    texts = {
        draft.token_ids[position]: text
        for draft in events
        if isinstance(draft, Draft)
        for position, text, _ in draft.changed
    }
    return lambda token_id: texts.get(token_id, "")
