"""Ids that arrive in pieces -> text: UTF-8 characters and stop strings may straddle the edges of pieces."""

import codecs
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from redraft.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Piece:
    """Text that will not change any more, and whether a stop string ended it."""

    text: str
    num_tokens: int | None = None  # of all ids pushed so far, up to the one that completed a stop string; None: no stop


class Detokenizer:
    """Turns the ids of one reply into text as they arrive.

    Text is handed on as soon as no stop string and no UTF-8 character can still change it. The first stop string to be
    complete ends the text, cut where it begins; of several that end together the longest counts. All pieces together
    are the same however the ids were split.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()):
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._matcher = StopMatcher(stop)
        self._held = ""  # the last characters, which may turn out to begin a stop string
        self._num_tokens = 0
        self.is_stopped = False

    def push(self, ids: Iterable[int]) -> Piece:
        """The text these ids settle; InvalidRequest for an id outside the vocabulary. Not to be called after a stop."""
        assert not self.is_stopped, "push after a stop string"
        settled = []
        for token_id in ids:
            self._num_tokens += 1
            settled.append(self._settle(self._decoder.decode(self._tokenizer.bytes_of(token_id) or b"")))
            if self.is_stopped:
                return Piece("".join(settled), self._num_tokens)
        return Piece("".join(settled))

    def finish(self) -> Piece:
        """The text still held back, at the end of the reply: an unfinished character becomes U+FFFD."""
        if self.is_stopped:
            return Piece("")
        text = self._settle(self._decoder.decode(b"", final=True))
        if self.is_stopped:
            return Piece(text, self._num_tokens)
        held, self._held = self._held, ""
        return Piece(text + held)

    def _settle(self, text: str) -> str:
        """What of the text held back and `text` is certain now; keeps the rest, in place."""
        length = len(self._held)
        self._held += text
        for end, character in enumerate(text, start=length + 1):
            matched = self._matcher.feed(character)
            if matched:
                self.is_stopped = True
                return self._held[: end - matched]
        cut = len(self._held) - self._matcher.depth
        settled, self._held = self._held[:cut], self._held[cut:]
        return settled


class StopMatcher:
    """Finds any of several strings in a run of characters, one character at a time (Aho and Corasick's automaton)."""

    def __init__(self, strings: Iterable[str]):
        self._children: list[dict[str, int]] = [{}]
        self._depths = [0]
        self._matches = [0]  # length of the longest string that ends in a node
        for string in strings:
            node = 0
            for depth, character in enumerate(string, start=1):
                node = self._children[node].setdefault(character, len(self._children))
                if node == len(self._children):
                    self._children.append({})
                    self._depths.append(depth)
                    self._matches.append(0)
            self._matches[node] = len(string)
        self._fallbacks = [0] * len(self._children)  # the node of the longest proper suffix
        self._link()
        self._node = 0

    @property
    def depth(self) -> int:
        """How many of the last characters begin one of the strings: the longest such run."""
        return self._depths[self._node]

    def feed(self, character: str) -> int:
        """The length of the longest string that ends with this character, 0 where none does."""
        self._node = self._next(self._node, character)
        return self._matches[self._node]

    def _next(self, node: int, character: str) -> int:
        while node and character not in self._children[node]:
            node = self._fallbacks[node]
        return self._children[node].get(character, 0)

    def _link(self) -> None:
        """Fills in the fallbacks, shallow nodes first, and hands matches of suffixes on, in place."""
        queue = deque(self._children[0].values())
        while queue:
            node = queue.popleft()
            for character, child in self._children[node].items():
                self._fallbacks[child] = self._next(self._fallbacks[node], character)
                queue.append(child)
            self._matches[node] = self._matches[node] or self._matches[self._fallbacks[node]]
