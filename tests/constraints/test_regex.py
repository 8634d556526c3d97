import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redraft.constraints.automaton import compile_tree
from redraft.constraints.character_sets import Reader
from redraft.constraints.limits import Limits
from redraft.constraints.regex import parse
from redraft.errors import InvalidRequest

ALPHABET = "aAbB1_ -]\n\té\u2028Ⅷ"
TEXTS = st.text(ALPHABET, max_size=6)


def matcher(pattern, reader=Reader.FULLMATCH):
    automaton = compile_tree(parse(pattern, reader))
    return lambda text: automaton.matches(text.encode())


PLAIN_ATOMS = ("a", "b", "1", "_", "-", "é", "[ab]", "[^a]", "[1-b]", "()", "(?:)", "ab1")
ATOMS = (
    *(*"A ", r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", ".", "[A-b]", r"[\d_]", r"[^\w\s]", "[]a]", r"\n", r"\x41"),
    *(r"\u00e9", r"\101", r"[\b\-x]", "[a-]", r"\.", "{", "{}", "a{,2}", "(?#no)"),
)


def patterns(is_plain=False):
    atoms = st.sampled_from(PLAIN_ATOMS if is_plain else PLAIN_ATOMS + ATOMS)
    quantifiers = st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{1,}", "*?", "+?", "??", "{1,2}?"])

    def extend(inner):
        options = [
            st.lists(inner, min_size=1, max_size=3).map("".join),
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: "(" + "|".join(parts) + ")"),
            st.builds("(?:{}){}".format, inner, quantifiers),
        ]
        if not is_plain:
            options += [
                st.builds("(?{}:{})".format, st.sampled_from(["i", "s", "x", "is-x", "-i"]), inner),
                inner.map("^{}$".format),
                inner.map("(?:^|b){}(?:$|a\\Z)".format),
            ]
        return st.one_of(options)

    return st.recursive(atoms, extend, max_leaves=6)


@settings(max_examples=400, deadline=None)
@given(patterns(), st.lists(TEXTS, max_size=8), st.sampled_from(["", "(?i)", "(?s)", "(?x)", "(?is)"]))
def test_fullmatch_is_that_of_re_where_a_pattern_is_taken(body, texts, flags):
    pattern = flags + body
    oracle = re.compile(pattern, re.ASCII)
    try:
        matches = matcher(pattern)
    except InvalidRequest as error:
        assert "anchor" in str(error) or "$" in str(error) or "nothing to repeat" in str(error), (pattern, error)
        return
    for text in ["", *texts, *(text.replace("é", "a") for text in texts)]:
        assert matches(text) == bool(oracle.fullmatch(text)), (pattern, text)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_texts_made_from_a_pattern_match_it(data):
    pattern = data.draw(patterns().filter(lambda p: "$" not in p and "^" not in p))
    text = data.draw(st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True).filter(lambda t: len(t) < 50))
    assert matcher(pattern)(text) == (not any(0xD800 <= ord(c) <= 0xDFFF for c in text))


@pytest.mark.parametrize(
    "pattern",
    [
        r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}",
        r"([A-Z][a-z]+ ){2,5}end",
        r"(foo|bar|naïve)+é",
        r"[^\n]{0,90}\n",
        r"((a|ab)(c|bcd)(d*))+",
        r"[0-9]+(\.[0-9]+)?",
        r"(?P<year>\d+)-(?P<month>\d+)",
        r"(?x) a +  # letters" "\n" r" \  [ ]  b",
        r"(?i:straße)|[\x00-\x1f]|\U0001F600",
    ],
)
def test_known_patterns_agree_with_re(pattern):
    matches, oracle = matcher(pattern), re.compile(pattern, re.ASCII)
    samples = ["2024-01-02T03:04", "Ab Cd end", "foonaïveé", "x" * 90 + "\n", "x" * 91 + "\n", "abcdab", "abcdabcddd"]
    samples += ["1.5", "15", "1.", "٣", "2024-1", "aaa  b", "a  b", "STRAßE", "\x1f", "😀", "", "a\n"]
    for text in samples:
        assert matches(text) == bool(oracle.fullmatch(text)), text


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("foo", ["foo", "xfoox", "\nfoo\n"], ["fo", "fo o"]),
        ("^foo", ["foo", "foox"], ["xfoo"]),
        ("foo$", ["foo", "xfoo"], ["foox", "foo\n"]),
        ("^a|b$", ["a", "ax", "xb", "b"], ["xa", "bx"]),
        ("^(a|b)$", ["a", "b"], ["ab", "xa"]),
        ("(^|,)a(,|$)", ["a", "b,a", "a,b", "x,a,y"], ["ba", "ab", "xa,"]),
        ("^$", [""], ["a"]),
        ("$^", [""], ["a"]),
        ("", ["", "anything"], []),
        ("^a?^b", ["b", "bx"], ["ab"]),
        (r"^\S+$", ["a", "é"], ["a b", "\u00a0", "\ufeff", "\x1f", "\u0085", ""]),
        (r"^\s+$", [" \t\u00a0\u3000"], ["\ufeff", "\x1f", ""]),
        (r"^[\w\s]+$", ["a_1\u2003"], ["é", "\ufeff", "٣"]),
        (r"^[^\w]+$", ["-→"], ["a", "é", "_"]),
        (r"^\W\D$", ["--", "→é"], ["é-", "-٣"]),
        (r"^[^\W]$", ["a"], ["é", "-"]),
        ("^.$", ["a", "é"], ["\n", "\r", "\u2028"]),
        (r"^[\w-.]+$", ["a-b.c"], ["a b"]),
        (r"^\/\cJ\u{1F600}\uD83D\uDE00$", ["/\n😀😀"], ["/"]),
        (r"^(?<year>\d{4})$", ["2024"], ["٢٠٢٤"]),
        (r"\d+", ["x1y"], ["x"]),
    ],
)
def test_a_search_takes_what_ecma_and_python_both_find(pattern, yes, no):
    matches = matcher(pattern, Reader.ALL)
    assert [text for text in yes if not matches(text)] == []
    assert [text for text in no if matches(text)] == []


@pytest.mark.parametrize(
    ("pattern", "found", "not_found"),
    [
        (r"^\S$", ["a", "\x1f", "\u0085", "\ufeff"], [" ", "\u00a0"]),
        (r"^\s$", [" ", "\x1f", "\ufeff"], ["a"]),
        (r"^\w+$", ["aé٣_"], ["-"]),
        (r"^[^\w]$", ["é", "-"], ["a"]),
        (r"^\d$", ["1", "٣"], ["Ⅷ", "a"]),
        ("^a.$", ["ab", "a\r", "ab\n"], ["a\n"]),
        ("a$", ["a", "a\n"], ["a\n\n", "ab"]),
        ("^(a|b$)", ["ax", "b", "b\n"], ["bx"]),
    ],
)
def test_a_doubtful_search_takes_what_ecma_or_python_finds(pattern, found, not_found):
    matches = matcher(pattern, Reader.ANY)
    assert [text for text in found if not matches(text)] == []
    assert [text for text in not_found if matches(text)] == []


@settings(max_examples=150, deadline=None)
@given(patterns(), st.lists(st.text(ALPHABET + "\r\x1f\ufeff\u0085٣", max_size=5), max_size=8))
def test_what_all_readers_find_python_finds_and_what_python_finds_any_does(pattern, texts):
    try:
        to_all, to_any, oracle = matcher(pattern, Reader.ALL), matcher(pattern, Reader.ANY), re.compile(pattern)
    except (InvalidRequest, re.error):
        return
    for text in texts:
        assert to_all(text) <= bool(oracle.search(text)) <= to_any(text), text


@settings(max_examples=60, deadline=None)
@given(patterns(is_plain=True), st.lists(st.text("ab1_-é\n", max_size=6)))
def test_search_finds_what_re_finds(pattern, texts):
    matches = matcher(pattern, Reader.ALL)
    for text in texts:
        assert matches(text) == bool(re.search(pattern, text, re.ASCII)), text


@pytest.mark.parametrize(
    ("pattern", "what", "position"),
    [
        ("a(?=b)", "look-ahead", 1),
        ("(?!b)", "look-ahead", 0),
        ("ab(?<=b)", "look-behind", 2),
        ("(?<!b)", "look-behind", 0),
        (r"(a)\1", "back-reference", 3),
        (r"(?P<x>a)(?P=x)", "back-reference", 8),
        (r"\bword", "word boundary", 0),
        (r"x\B", "word boundary", 1),
        ("a*+", "possessive", 2),
        ("a{2}+", "possessive", 4),
        ("(?>a)", "atomic", 0),
        ("(a)(?(1)b|c)", "conditional", 3),
        (r"\p{L}", "Unicode property", 0),
        (r"\N{DASH}", "character by name", 0),
        ("(?m)a", "flag 'm'", 1),
        ("(?u:a)", "flag 'u'", 1),
        ("a$b", r"a \$ that something follows", 1),
        ("(^a|b)*", "anchor inside a repeat", 1),
        ("a(?i)b", "flags for the whole pattern", 1),
        ("*a", "nothing to repeat", 0),
        ("a**", "multiple repeat", 3),
        ("^*", "nothing to repeat", 1),
        ("a{3,2}", "minimum repeat above maximum", 1),
        ("a{1,9999999999}", "9 digits", 1),
        ("[a", "set without its ]", 0),
        ("[b-a]", "bad character range", 2),
        (r"[\d-z]", "bad character range", 3),
        ("(a", r"a group without its \)", 0),
        ("a)", "unbalanced", 1),
        ("a\\", "ends too early", 2),
        (r"\xg1", "hexadecimal", 0),
        (r"\y", r"unknown escape \\y", 0),
        ("(?P<1>a)", "group name", 0),
        ("(?P<a>a)(?P<a>b)", "group name", 8),
        ("(?#", "comment", 0),
        ("(?'a')", "unknown extension", 0),
        ("(" * 5000 + ")" * 5000, "nest deeper than 100", 100),
    ],
)
def test_refused_by_name_and_position(pattern, what, position):
    with pytest.raises(InvalidRequest, match=f"{what}.* at position {position}$"):
        parse(pattern)


def test_what_can_never_hold_may_be_repeated_no_times():
    assert [matcher("(?:b^){,2}c")(text) for text in ("c", "bc")] == [True, False]
    assert [matcher(r"(?:b\A|b^)*")(text) for text in ("", "b")] == [True, False]
    with pytest.raises(InvalidRequest, match="can never hold"):
        parse("(?:b^)+")


def test_an_anchor_that_never_holds_is_refused():
    with pytest.raises(InvalidRequest, match="can never hold"):
        parse("a^b")
    with pytest.raises(InvalidRequest, match="can never hold"):
        parse("a$b", Reader.ALL)
    with pytest.raises(InvalidRequest, match="want a string"):
        parse(3)  # type: ignore


@pytest.mark.parametrize("pattern", ["[]a]", "[^]", "a{,2}", "(?i)a", "(?s:.)", r"\Aa", r"a\Z"])
def test_what_ecma_and_python_read_differently_is_refused(pattern):
    with pytest.raises(InvalidRequest, match="ECMA-262"):
        parse(pattern, Reader.ALL)


NASTY = (
    *(
        "(a{1,200}){1,200}",
        "(.*a){20}",
        "(a|aa)+" * 20,
        "(a*)*" * 50,
        ".*a.{25}",
        "((a{0,99}){0,99}){0,99}",
        "(x+x+)+y",
    ),
    *("a{0,999999999}", "(?:[a-z]?){300}" + "[a-z]" * 300, "|".join(f"w{i}x*" for i in range(3000))),
)


@pytest.mark.parametrize("pattern", NASTY)
def test_nasty_patterns_end_soon(pattern):
    started = time.thread_time()
    try:
        compile_tree(parse(pattern), Limits(states=5000, seconds=5))
    except InvalidRequest as error:
        assert re.search(r"limit", str(error))
    assert time.thread_time() - started < 10
