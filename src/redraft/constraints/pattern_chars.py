"""Reading a pattern's characters: escapes and [...] sets -> code-point ranges."""

import re
from dataclasses import dataclass

from redraft.constraints.character_sets import Ranges, Reader, complement, fold, union
from redraft.constraints.tree import MAX_CODE_POINT

_SIMPLE = {"t": 0x09, "n": 0x0A, "r": 0x0D, "f": 0x0C, "v": 0x0B}
_HEX_DIGITS = {letter: re.compile(rf"([0-9A-Fa-f]{{{n}}})") for letter, n in (("x", 2), ("u", 4), ("U", 8))}
_BRACED = re.compile(r"\{([0-9A-Fa-f]{1,6})\}")
_LOW_SURROGATE = re.compile(r"\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})")
_OCTAL = re.compile(r"[0-7]{1,3}")
_REFUSED = {
    "b": "a word boundary (\\b)",
    "B": "a word boundary (\\B)",
    "A": "\\A in a set",
    "Z": "\\Z in a set",
    "k": "a back-reference",
    "p": "a Unicode property",
    "P": "a Unicode property",
    "N": "a character by name",
}


class PatternError(Exception):
    """What is wrong with a pattern, and at which position (from 0)."""

    def __init__(self, reason: str, position: int):
        super().__init__(reason)
        self.position = position


@dataclass
class Cursor:
    """A pattern and the position of the next character to read."""

    pattern: str
    reader: Reader
    position: int = 0

    @property
    def is_search(self) -> bool:
        """Whether the pattern is JSON Schema's, written for ECMA-262."""
        return self.reader.is_search

    @property
    def peek(self) -> str:
        """The next character, "" at the end."""
        return self.pattern[self.position : self.position + 1]

    def next_is(self, text: str) -> bool:
        return self.pattern.startswith(text, self.position)

    def take(self, text: str) -> bool:
        """Whether the text comes next; if so it is read."""
        found = self.next_is(text)
        self.position += len(text) if found else 0
        return found

    def read(self) -> str:
        """The next character; PatternError at the end."""
        if not self.peek:
            raise self.error("the pattern ends too early")
        self.position += 1
        return self.pattern[self.position - 1]

    def skip_past(self, text: str, missing: str | None = None) -> None:
        """Moves behind the text where it comes next; where it never does, to the end, or raises what is `missing`."""
        found = self.pattern.find(text, self.position)
        if found < 0 and missing:
            raise self.error(missing)
        self.position = len(self.pattern) if found < 0 else found + len(text)

    def error(self, reason: str, position: int | None = None) -> PatternError:
        return PatternError(reason, self.position if position is None else position)


def read_escape(cursor: Cursor, in_set: bool, reader: Reader) -> Ranges:
    """The characters, to a reader, of the escape whose backslash has been read."""
    start = cursor.position - 1
    letter = cursor.read()
    if letter in ("d", "D", "w", "W", "s", "S"):
        return reader.escaped_class(letter)
    code = _code_point(cursor, letter, start, in_set)
    return ((code, code),)


def _code_point(cursor: Cursor, letter: str, start: int, in_set: bool) -> int:
    if in_set and letter == "b":
        return 0x08
    if letter in _REFUSED:
        raise cursor.error(f"{_REFUSED[letter]} is not supported", start)
    if letter in _SIMPLE:
        return _SIMPLE[letter]
    if letter in _HEX_DIGITS and not (cursor.is_search and letter == "U"):
        return _hexadecimal(cursor, letter, start)
    if letter.isdecimal() and letter.isascii():
        return _octal(cursor, start, in_set)
    if letter == "a" and not cursor.is_search:
        return 0x07
    if letter == "c" and cursor.is_search:
        control = cursor.read()
        if control.isascii() and control.isalpha():
            return ord(control) % 32
    if letter.isascii() and letter.isalpha():
        raise cursor.error(f"unknown escape \\{letter}", start)
    return ord(letter)


def _hexadecimal(cursor: Cursor, letter: str, start: int) -> int:
    """The code point of \\xhh, \\uhhhh or \\Uhhhhhhhh; in searches also of \\u{h...} and of a surrogate pair."""
    digits = _HEX_DIGITS[letter].match(cursor.pattern, cursor.position)
    if letter == "u" and cursor.is_search and not digits:
        digits = _BRACED.match(cursor.pattern, cursor.position)
    code = int(digits[1], 16) if digits else -1
    if not digits or code > MAX_CODE_POINT:
        raise cursor.error("bad hexadecimal escape", start)
    cursor.position = digits.end()
    low = _LOW_SURROGATE.match(cursor.pattern, cursor.position) if cursor.is_search else None
    if low and 0xD800 <= code <= 0xDBFF:
        cursor.position = low.end()
        return 0x10000 + (code - 0xD800) * 0x400 + int(low[1], 16) - 0xDC00
    return code


def _octal(cursor: Cursor, start: int, in_set: bool) -> int:
    """The code point of an octal escape, by Python's rule for telling it from a back-reference."""
    digits = _OCTAL.match(cursor.pattern, start + 1)
    is_octal = digits and (in_set or digits[0][0] == "0" or len(digits[0]) == 3)
    if not digits or not is_octal or int(digits[0], 8) > 0o377 or (cursor.is_search and digits[0] != "0"):
        raise cursor.error("a bad octal escape" if in_set else "a back-reference is not supported", start)
    cursor.position = digits.end()
    return int(digits[0], 8)


def read_set(cursor: Cursor, ignore_case: bool) -> Ranges:
    """The characters of the set whose "[" has been read."""
    start = cursor.position - 1
    is_negated = cursor.take("^")
    reader = cursor.reader.opposite if is_negated else cursor.reader
    found: list[tuple[int, int]] = []
    if cursor.is_search and cursor.next_is("]"):
        raise cursor.error("a ] first in a set, which ECMA-262 and Python read differently, is not supported")
    is_first = True  # Python reads a "]" in first place as itself
    while is_first or not cursor.take("]"):
        is_first = False
        low = _member(cursor, start, reader)
        if not cursor.next_is("-") or cursor.pattern[cursor.position + 1 : cursor.position + 2] in ("]", ""):
            found.extend(low)
            continue
        dash, cursor.position = cursor.position, cursor.position + 1
        high = _member(cursor, start, reader)
        if not _is_one(low, high) and cursor.is_search:
            found.extend([*low, (ord("-"), ord("-")), *high])
        elif not _is_one(low, high) or low > high:
            raise cursor.error("a bad character range", dash)
        else:
            found.append((low[0][0], high[0][0]))
    ranges = fold(union(found)) if ignore_case else union(found)
    return complement(ranges) if is_negated else ranges


def _is_one(*members: Ranges) -> bool:
    return all(len(ranges) == 1 and ranges[0][0] == ranges[0][1] for ranges in members)


def _member(cursor: Cursor, start: int, reader: Reader) -> Ranges:
    if not cursor.peek:
        raise cursor.error("a set without its ]", start)
    character = cursor.read()
    return read_escape(cursor, True, reader) if character == "\\" else ((ord(character), ord(character)),)
