"""From languages of decoded strings to languages of JSON text, escapes included.

Two alphabets. Free strings take every escape JSON has. Strings that a schema says more about (a pattern, a length, a
key, an enum) are spelled as json.dumps spells them: quotes, backslashes and control characters escaped, the rest as it
is, and non-ASCII characters also as `\\uXXXX`, which is what `ensure_ascii` makes of them. A decoded string has its own
set of spellings, disjoint from every other string's, so spelling commutes with union, intersection and difference.
"""

from redraft.constraints.combine import NOTHING, digits_between, either, hex_digits, sequence
from redraft.constraints.tree import MAX_CODE_POINT, Both, Chars, Either, Minus, Node, Repeat, Seq, Text

Ranges = tuple[tuple[int, int], ...]

ANY_CHARACTER = Chars(((0, MAX_CODE_POINT),))
ANY_STRING = Repeat(ANY_CHARACTER, 0, None)

_SHORT = {0x08: "b", 0x09: "t", 0x0A: "n", 0x0C: "f", 0x0D: "r", 0x22: '"', 0x5C: "\\"}
_AS_IS: Ranges = ((0x20, 0x21), (0x23, 0x5B), (0x5D, MAX_CODE_POINT))
_CONTROLS: Ranges = ((0x00, 0x1F),)
_BASIC: Ranges = ((0x7F, 0xD7FF), (0xE000, 0xFFFF))  # DEL is one that json.dumps escapes
_ASTRAL: Ranges = ((0x10000, MAX_CODE_POINT),)


class Speller:
    """Turns trees over decoded characters into trees over JSON text; shared nodes stay shared.

    `ascii_too`: non-ASCII characters also as `\\uXXXX`.
    """

    def __init__(self, ascii_too: bool = True):
        self._ascii_too = ascii_too
        self._done: dict[int, tuple[Node, Node]] = {}  # by identity of the decoded node, kept alive here
        self._characters: dict[Ranges, Node] = {}

    def quoted(self, node: Node) -> Node:
        """The JSON texts of the decoded strings of a tree, with their quotes."""
        return sequence(Text('"'), self.spell(node), Text('"'))

    def spell(self, node: Node) -> Node:
        """The JSON texts of the decoded strings of a tree, without quotes."""
        if id(node) not in self._done:
            self._done[id(node)] = (node, self._spell(node))
        return self._done[id(node)][1]

    def _spell(self, node: Node) -> Node:
        match node:
            case Text(text):
                return self._text(text)
            case Chars(ranges):
                return self._chars(ranges)
            case Seq(parts):
                return Seq(tuple(map(self.spell, parts)))
            case Either(options):
                return Either(tuple(map(self.spell, options)))
            case Repeat(inner, low, high):
                return Repeat(self.spell(inner), low, high)
            case Both(first, second):
                return Both(self.spell(first), self.spell(second))
            case Minus(first, second):
                return Minus(self.spell(first), self.spell(second))
        raise AssertionError(f"{type(node).__name__} has no decoded characters")

    def _text(self, text: str) -> Node:
        if all(character.isascii() and _inside(ord(character), _AS_IS) for character in text):
            return Text(text)
        return sequence(*(self._chars(((ord(character), ord(character)),)) for character in text))

    def _chars(self, ranges: Ranges) -> Node:
        if ranges not in self._characters:
            short = tuple(Text("\\" + _SHORT[code]) for code in _SHORT if _inside(code, ranges))
            escaped = _common(ranges, _CONTROLS + (_BASIC + _ASTRAL if self._ascii_too else ()))
            as_is = _common(ranges, _AS_IS)
            self._characters[ranges] = either(Chars(as_is) if as_is else NOTHING, *short, unicode_escapes(escaped))
        return self._characters[ranges]


def unicode_escapes(ranges: Ranges) -> Node:
    """`\\uXXXX` for every character of the set, with a surrogate pair where it takes two."""
    options = [_hexadecimal(low, high) for low, high in _common(ranges, ((0, 0xFFFF),))]
    for low, high in _common(ranges, _ASTRAL):
        options.extend(_pairs(low, high))
    return either(*options)


def _pairs(low: int, high: int) -> list[Node]:
    (first, low_tail), (last, high_tail) = (divmod(code - 0x10000, 0x400) for code in (low, high))
    first, last = first + 0xD800, last + 0xD800
    if first == last:
        return [sequence(_hexadecimal(first, first), _hexadecimal(0xDC00 + low_tail, 0xDC00 + high_tail))]
    cuts = [(first, first, low_tail, 0x3FF)] if low_tail else []
    cuts.append((first + bool(low_tail), last - (high_tail < 0x3FF), 0, 0x3FF))
    cuts += [(last, last, 0, high_tail)] if high_tail < 0x3FF else []
    return [sequence(_hexadecimal(a, b), _hexadecimal(0xDC00 + c, 0xDC00 + d)) for a, b, c, d in cuts if a <= b]


def _hexadecimal(low: int, high: int) -> Node:
    first, last = ([code >> shift & 15 for shift in (12, 8, 4, 0)] for code in (low, high))
    return sequence(Text("\\u"), digits_between(first, last, hex_digits, 15))


def _common(first: Ranges, second: Ranges) -> Ranges:
    """The characters in both sets."""
    both = ((max(a, c), min(b, d)) for a, b in first for c, d in second)
    return tuple(sorted((low, high) for low, high in both if low <= high))


def _inside(code: int, ranges: Ranges) -> bool:
    return any(low <= code <= high for low, high in ranges)


FREE_STRING = sequence(
    Text('"'),
    Repeat(
        either(
            Chars(_AS_IS),
            *(Text("\\" + letter) for letter in '"\\/bfnrt'),
            unicode_escapes(((0, 0xD7FF), *_BASIC[1:], *_ASTRAL)),
        ),
        0,
        None,
    ),
    Text('"'),
)
"""Every JSON string that decodes to valid Unicode."""
