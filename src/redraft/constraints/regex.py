"""Pattern -> syntax tree: Python's `re` under fullmatch, or a search as JSON Schema's `pattern` has it.

Under fullmatch classes (\\d \\w \\s) and case-insensitivity are ASCII. What is not regular, or what the readers of a
search disagree about altogether, is refused by name and position.
"""

import re
from dataclasses import dataclass, replace

from redraft.constraints import anchors
from redraft.constraints.anchors import Branch, Branches
from redraft.constraints.character_sets import ANY, Ranges, Reader, fold
from redraft.constraints.pattern_chars import Cursor, PatternError, read_escape, read_set
from redraft.constraints.tree import Chars, Node, Repeat, Text
from redraft.errors import InvalidRequest

MAX_NESTING = 100  # groups inside one another; each costs Python stack
SHOWN = 60  # characters of a pattern in an error message
_REFUSED_GROUPS = {
    "?=": "look-ahead",
    "?!": "look-ahead",
    "?<=": "look-behind",
    "?<!": "look-behind",
    "?>": "an atomic group",
    "?(": "a conditional group",
    "?P=": "a back-reference",
    "?P>": "recursion",
}
_GROUP_NAME = re.compile(r"\?(P?)<([^>)]*)>")
_INLINE_FLAGS = re.compile(r"\?([a-zA-Z]*)(-[a-zA-Z]*)?([:)])")
_COUNTS = re.compile(r"\{([0-9]*)(,?)([0-9]*)\}")


@dataclass(frozen=True)
class _Flags:
    ignore_case: bool = False
    dot_all: bool = False
    verbose: bool = False


_FLAG_NAMES = {"i": "ignore_case", "s": "dot_all", "x": "verbose"}


def parse(pattern: str, reader: Reader = Reader.FULLMATCH) -> Node:
    """The texts the pattern matches from end to end; to a reader of searches, those it is found in.

    InvalidRequest names what is not supported and its position (from 0).
    """
    if not isinstance(pattern, str):
        raise InvalidRequest(f"pattern={pattern!r}: want a string")
    shown = repr(pattern if len(pattern) <= SHOWN else pattern[:SHOWN] + "...")
    try:
        branches = _Parser(Cursor(pattern, reader)).everything()
    except PatternError as error:
        raise InvalidRequest(f"pattern {shown}: {error} at position {error.position}") from error
    if not branches:
        raise InvalidRequest(f"pattern {shown}: matches nothing, for an anchor in it can never hold")
    return anchors.somewhere(branches) if reader.is_search else anchors.whole(branches)


class _Parser:
    """Recursive descent; every method reads what it is named after."""

    def __init__(self, cursor: Cursor):
        self.cursor = cursor
        self.names: set[str] = set()
        self.depth = 0

    def everything(self) -> Branches:
        flags = _Flags()
        start = _INLINE_FLAGS.match(self.cursor.pattern, 1) if self.cursor.pattern.startswith("(?") else None
        if start and start[3] == ")":
            self.cursor.position = 1
            flags = self.inline_flags(start, flags)
        branches = self.alternation(flags)
        if self.cursor.peek:
            raise self.cursor.error("unbalanced parenthesis")
        return branches

    def alternation(self, flags: _Flags) -> Branches:
        options = [self.sequence(flags)]
        while self.cursor.take("|"):
            options.append(self.sequence(flags))
        return anchors.either(options)

    def sequence(self, flags: _Flags) -> Branches:
        parts = []
        self.skip(flags)
        while self.cursor.peek not in ("", "|", ")"):
            parts.append(self.quantified(flags))
            self.skip(flags)
        return anchors.sequence(parts)

    def skip(self, flags: _Flags) -> None:
        """Past comments and, under (?x), white space."""
        while True:
            if self.cursor.next_is("(?#"):
                self.cursor.skip_past(")", missing="a comment without its )")
            elif flags.verbose and self.cursor.next_is("#"):
                self.cursor.skip_past("\n")
            elif flags.verbose and self.cursor.peek.isspace() and self.cursor.peek in " \t\n\r\f\v":
                self.cursor.position += 1
            else:
                return

    def quantified(self, flags: _Flags) -> Branches:
        start = self.cursor.position
        if self.counts():
            raise self.cursor.error("nothing to repeat", start)
        branches = self.atom(flags)
        self.skip(flags)
        before = self.cursor.position
        counts = self.counts()
        if counts is None:
            return branches
        if self.cursor.pattern[start] in "^$" or self.cursor.pattern[start : start + 2] in (r"\A", r"\Z"):
            raise self.cursor.error("nothing to repeat", before)
        self.cursor.take("?")  # lazy: the same language
        if self.cursor.next_is("+"):
            raise self.cursor.error("a possessive quantifier is not supported")
        self.skip(flags)
        if self.counts():
            raise self.cursor.error("multiple repeat")
        return anchors.repeat(branches, *counts)

    def counts(self) -> tuple[int, int | None] | None:
        """Reads a quantifier; None, and nothing read, where there is none."""
        simple = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(self.cursor.peek)
        if simple:
            self.cursor.position += 1
            return simple
        braces = _COUNTS.match(self.cursor.pattern, self.cursor.position)
        if not braces or braces[0] == "{}":
            return None
        if self.cursor.is_search and not braces[1]:
            raise self.cursor.error("{, without a number, which ECMA-262 and Python read differently, is not supported")
        if max(len(braces[1]), len(braces[3])) > 9:
            raise self.cursor.error("a repeat count of more than 9 digits is not supported")
        low = int(braces[1] or 0)
        high = low if not braces[2] else int(braces[3]) if braces[3] else None
        if high is not None and high < low:
            raise self.cursor.error("minimum repeat above maximum repeat")
        self.cursor.position = braces.end()
        return low, high

    def atom(self, flags: _Flags) -> Branches:
        start = self.cursor.position
        character = self.cursor.read()
        if character == "(":
            return self.group(flags, start)
        if character == "[":
            return anchors.plain(Chars(read_set(self.cursor, flags.ignore_case)))
        if character == ".":
            return anchors.plain(Chars(ANY if flags.dot_all else self.cursor.reader.dot))
        if self.cursor.is_search and character == "\\" and self.cursor.peek in ("A", "Z"):
            raise self.cursor.error("\\A or \\Z, letters to ECMA-262 and anchors to Python, is not supported", start)
        if character == "^" or (character == "\\" and self.cursor.take("A")):
            return (Branch(Text(""), True, at_start=True, position=start),)
        if character == "$" or (character == "\\" and self.cursor.take("Z")):
            is_strict = character == "$" and not self.cursor.is_search
            tail = Repeat(Text("\n"), 0, 1) if character == "$" and self.cursor.reader is Reader.ANY else Text("")
            return (Branch(tail, True, at_end=True, position=start, is_strict=is_strict),)
        code = ord(character)
        ranges: Ranges = read_escape(self.cursor, False, self.cursor.reader) if character == "\\" else ((code, code),)
        return _one_of(fold(ranges) if flags.ignore_case else ranges)

    def group(self, flags: _Flags, start: int) -> Branches:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise self.cursor.error(f"groups nest deeper than {MAX_NESTING}, the limit", start)
        if self.cursor.next_is("?"):
            flags = self.group_head(flags, start)
        branches = self.alternation(flags)
        if not self.cursor.take(")"):
            raise self.cursor.error("a group without its )", start)
        self.depth -= 1
        return branches

    def group_head(self, flags: _Flags, start: int) -> _Flags:
        """Reads what stands between "(?" and the group's content; returns the flags inside."""
        for head, what in _REFUSED_GROUPS.items():
            if self.cursor.next_is(head):
                raise self.cursor.error(f"{what} is not supported", start)
        name = _GROUP_NAME.match(self.cursor.pattern, self.cursor.position)
        if name and (name[1] or self.cursor.is_search):
            if not name[2].isidentifier() or name[2] in self.names:
                raise self.cursor.error(f"bad or repeated group name {name[2]!r}", start)
            self.names.add(name[2])
            self.cursor.position = name.end()
            return flags
        inline = _INLINE_FLAGS.match(self.cursor.pattern, self.cursor.position)
        if not inline:
            raise self.cursor.error("unknown extension", start)
        if inline[3] == ")":
            raise self.cursor.error("flags for the whole pattern that do not stand at its start", start)
        return self.inline_flags(inline, flags)

    def inline_flags(self, match: re.Match[str], flags: _Flags) -> _Flags:
        on, off = match[1], (match[2] or "")[1:]
        if self.cursor.is_search and on + off:
            raise self.cursor.error("a flag inside the pattern, which ECMA-262 lacks, is not supported")
        for letter in on + off:
            if letter not in _FLAG_NAMES and (letter != "a" or letter in off):
                raise self.cursor.error(f"flag {letter!r} is not supported")
        if match[2] == "-" or set(on) & set(off) or (match[2] and match[3] == ")"):
            raise self.cursor.error("bad inline flags")
        self.cursor.position = match.end()
        changes = {_FLAG_NAMES[letter]: letter in on for letter in on + off if letter != "a"}
        return replace(flags, **changes)


def _one_of(ranges: Ranges) -> Branches:
    """One character of the set; a set of one as text, so that neighbours can join (surrogates never match)."""
    (low, _), (_, high) = ranges[0], ranges[-1]
    is_text = low == high and not 0xD800 <= low <= 0xDFFF
    return anchors.plain(Text(chr(low)) if is_text else Chars(ranges))
