"""Syntax tree -> nondeterministic network over the symbols of a machine: UTF-8 bytes, control tokens, token marks."""

from collections import defaultdict
from collections.abc import Callable, Iterable

from redraft.constraints.limits import Meter
from redraft.constraints.machine import FIRST_SPECIAL, Machine
from redraft.constraints.sharing import SharingPlan
from redraft.constraints.tree import (
    MAX_CODE_POINT,
    Both,
    Chars,
    Either,
    FreeTokens,
    Minus,
    Node,
    Repeat,
    Seq,
    Special,
    Text,
)
from redraft.constraints.utf8 import ACCEPT, Utf8Shapes
from redraft.errors import InvalidRequest

DROPPED = -1  # what the mark makes of a hole state whose tokens are used up
ANY_TEXT = Repeat(Chars(((0, MAX_CODE_POINT),)), 0, None)


class Network:
    """States are numbers; `edges` read a symbol of the mask, `jumps` read nothing; one `start`, one `end`.

    `hole_place` maps a state inside a counted hole to (place, tokens so far): two states of equal place differ only in
    the count, and the lower count can do all that the higher can. `marked` is where MARK leads from such a state.
    """

    def __init__(self):
        self.edges: list[list[tuple[int, int]]] = []
        self.jumps: list[list[int]] = []
        self.hole_place: dict[int, tuple[tuple[int, int], int]] = {}
        self.marked: dict[int, int] = {}
        self.specials: list[int] = []
        self.start = self.add_state()
        self.end = self.add_state()

    def add_state(self) -> int:
        self.edges.append([])
        self.jumps.append([])
        return len(self.edges) - 1

    def add_special(self, token_id: int) -> int:
        """The symbol (bit) of a control token."""
        if token_id not in self.specials:
            self.specials.append(token_id)
        return FIRST_SPECIAL + self.specials.index(token_id)


class NetworkBuilder:
    """Builds the network of one tree by a work list, so depth costs no recursion.

    Every fragment adds only edges out of its start and into its end (Thompson's rule): fragments can share those two.
    A node that stands in several places is built once per end. `compile_part` gives the minimal machine of a subtree;
    intersections, differences, holes, and the large nodes that the plan names are put in as machines.
    """

    def __init__(self, compile_part: Callable[[Node], Machine], plan: SharingPlan, meter: Meter):
        self.network = Network()
        self._compile_part = compile_part
        self._plan = plan
        self._meter = meter
        self._utf8 = Utf8Shapes()
        self._entries: dict[int, dict[int, int]] = defaultdict(dict)  # identity of a node -> end -> entry
        self._num_holes = 0
        self._tree: Node | None = None
        self._work: list[tuple[Node, int, int]] = []

    def build(self, tree: Node) -> Network:
        """The network of a tree; once per builder."""
        handlers = {
            Text: self._text,
            Chars: self._chars,
            Seq: self._shared,
            Either: self._shared,
            Repeat: self._shared,
            Both: self._part,
            Minus: self._part,
            Special: self._special,
            FreeTokens: self._free_tokens,
        }
        self._tree = tree
        self._plan.add(tree)
        self._work.append((tree, self.network.start, self.network.end))
        while self._work:
            node, start, end = self._work.pop()
            handlers[type(node)](node, start, end)
        self._meter.check_time()
        return self.network

    def _state(self) -> int:
        state = self.network.add_state()
        if state % 1024 == 0:
            self._meter.check_network(state)
            self._meter.check_time()
        return state

    def _text(self, node: Text, start: int, end: int) -> None:
        self._literals([node.text], start, end)

    def _literals(self, texts: Iterable[str], start: int, end: int) -> None:
        """All the texts as one trie."""
        edges = self.network.edges
        children: dict[tuple[int, int], int] = {}
        for text in set(texts):
            state, data = start, utf8_bytes(text)
            for byte in data[:-1]:
                following = children.get((state, byte))
                if following is None:
                    following = children[state, byte] = self._state()
                    edges[state].append((1 << byte, following))
                state = following
            if data:
                edges[state].append((1 << data[-1], end))
            else:
                self.network.jumps[start].append(end)

    def _chars(self, node: Chars, start: int, end: int) -> None:
        places: dict[int, int] = {ACCEPT: end}
        todo = [(start, self._utf8.root(node.ranges))]
        while todo:
            state, shape = todo.pop()
            for mask, child in self._utf8.edges(shape):
                if child not in places:
                    places[child] = self._state()
                    todo.append((places[child], child))
                self.network.edges[state].append((mask, places[child]))

    def _shared(self, node: Seq | Either | Repeat, start: int, end: int) -> None:
        entries = self._entries[id(node)]
        if end not in entries and node is not self._tree and self._plan.is_part(node, has_other_end=bool(entries)):
            self._part(node, start, end)
            return
        if end not in entries:
            entries[end] = self._state()
            handlers = {Seq: self._seq, Either: self._either, Repeat: self._repeat}
            handlers[type(node)](node, entries[end], end)
        self.network.jumps[start].append(entries[end])

    def _seq(self, node: Seq, start: int, end: int) -> None:
        if not node.parts:
            self.network.jumps[start].append(end)
            return
        for part in node.parts[:-1]:
            following = self._state()
            self._work.append((part, start, following))
            start = following
        self._work.append((node.parts[-1], start, end))

    def _either(self, node: Either, start: int, end: int) -> None:
        self._literals((option.text for option in node.options if isinstance(option, Text)), start, end)
        self._work.extend((option, start, end) for option in node.options if not isinstance(option, Text))

    def _repeat(self, node: Repeat, start: int, end: int) -> None:
        for _ in range(node.low):
            start = self._append(node.node, start)
        if node.high is None:
            loop = self._state()
            self.network.jumps[start].append(loop)
            self._work.append((node.node, loop, loop))
            start = loop
        else:
            for _ in range(node.high - node.low):
                self.network.jumps[start].append(end)
                start = self._append(node.node, start)
        self.network.jumps[start].append(end)

    def _append(self, node: Node, start: int) -> int:
        end = self._state()
        self._work.append((node, start, end))
        return end

    def _part(self, node: Node, start: int, end: int) -> None:
        self._embed(self._compile_part(node), start, end)

    def _embed(self, machine: Machine, start: int, end: int) -> list[int]:
        """Copies a machine in; returns the new states in the machine's order."""
        states = [self._state() for _ in machine.edges]
        self.network.jumps[start].append(states[0])
        for state, edges, accepts in zip(states, machine.edges, machine.accepting, strict=True):
            self.network.edges[state].extend((mask, states[target]) for mask, target in edges)
            if accepts:
                self.network.jumps[state].append(end)
        return states

    def _special(self, node: Special, start: int, end: int) -> None:
        self.network.edges[start].append((1 << self.network.add_special(node.token_id), end))

    def _free_tokens(self, node: FreeTokens, start: int, end: int) -> None:
        body = ANY_TEXT
        if node.without:
            body = Minus(ANY_TEXT, Seq((ANY_TEXT, Either(tuple(map(Text, node.without))), ANY_TEXT)))
        machine = self._compile_part(body)
        if node.max_tokens is None:
            self._embed(machine, start, end)
            return
        hole, self._num_holes = self._num_holes, self._num_holes + 1
        # One copy of the text per number of tokens begun; only the first can be entered from outside.
        outside = self._state()
        copies = [self._embed(machine, outside if count else start, end) for count in range(node.max_tokens + 1)]
        for count, copy in enumerate(copies):
            after = copies[count + 1] if count < node.max_tokens else [DROPPED] * len(copy)
            for place, (state, following) in enumerate(zip(copy, after, strict=True)):
                self.network.hole_place[state] = ((hole, place), count)
                self.network.marked[state] = following


def utf8_bytes(text: str) -> bytes:
    """The text in UTF-8; InvalidRequest where it holds a lone surrogate, which no valid text does."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"text {text!r}: a lone surrogate at index {error.start} is not valid Unicode") from error
