"""String formats as languages, over decoded characters.

Each is the format's grammar or a part of it: never a string that the format's standard refuses. Left out: leap seconds
and lower-case `t` and `z` in times, more than 9 digits in a number of a duration or a fraction of a second, quoted
names and address literals in e-mail addresses, host names beyond the sizes below (in e-mail addresses five labels of
40) or in Punycode, zone ids in IPv6 addresses, ports above 65535.
"""

from redraft.constraints.combine import sequence
from redraft.constraints.json_strings import ANY_CHARACTER
from redraft.constraints.regex import parse
from redraft.constraints.tree import Both, Node, Repeat

_YEAR = r"(?:[1-9]\d{3}|0[1-9]\d{2}|00[1-9]\d|000[1-9])"
_LEAP_YEAR = r"(?:\d{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DATE = (
    rf"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))"
    rf"|{_LEAP_YEAR}-02-29)"
)
_HOURS_MINUTES = r"(?:[01]\d|2[0-3]):[0-5]\d"
_TIME = rf"{_HOURS_MINUTES}:[0-5]\d(?:\.\d{{1,9}})?(?:Z|[+-]{_HOURS_MINUTES})"

_N = r"\d{1,9}"
_CLOCK = rf"T(?:{_N}H(?:{_N}M(?:{_N}S)?)?|{_N}M(?:{_N}S)?|{_N}S)"
_CALENDAR = rf"(?:{_N}Y(?:{_N}M(?:{_N}D)?)?|{_N}M(?:{_N}D)?|{_N}D)"
_DURATION = rf"P(?:{_CALENDAR}(?:{_CLOCK})?|{_CLOCK}|{_N}W)"

_OCTET = r"(?:\d|[1-9]\d|1\d{2}|2[0-4]\d|25[0-5])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_GROUP = r"[0-9A-Fa-f]{1,4}"
_LAST_32_BITS = rf"(?:{_GROUP}:{_GROUP}|{_IPV4})"
_IPV6 = "|".join(
    [
        rf"(?:{_GROUP}:){{6}}{_LAST_32_BITS}",
        rf"::(?:{_GROUP}:){{5}}{_LAST_32_BITS}",
        *(
            rf"(?:(?:{_GROUP}:){{0,{before}}}{_GROUP})?::(?:{_GROUP}:){{{4 - before}}}{_LAST_32_BITS}"
            for before in range(5)
        ),
        rf"(?:(?:{_GROUP}:){{0,5}}{_GROUP})?::{_GROUP}",
        rf"(?:(?:{_GROUP}:){{0,6}}{_GROUP})?::",
    ]
)


_A, _H = r"[0-9A-Za-z]", r"[0-9A-Za-z-]"


def _label(most: int) -> str:
    """A label of a host name, of at most so many characters; `--` in third place is reserved (RFC 5891)."""
    return rf"{_A}(?:{_A}|{_H}{_A}|{_H}{_H}{_A}|{_H}(?:{_A}{_H}|-{_A}){_H}{{0,{most - 5}}}{_A})?"


# At most 253 characters: four labels of the full 63 (the last of 61), or eight of 30.
_HOSTNAME = rf"(?:(?:{_label(63)}\.){{0,3}}{_label(61)}|(?:{_label(30)}\.){{4,7}}{_label(30)})"
_ATOM = r"[0-9A-Za-z!#$%&'*+/=?^_`{|}~-]+"

_PORT = r"(?:0|[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d{2}|655[0-2]\d|6553[0-5])"
_ESCAPED = r"%[0-9A-Fa-f]{2}"
_UNRESERVED = r"\-0-9A-Za-z._~!$&'()*+,;="
_PCHAR = rf"(?:[{_UNRESERVED}:@]|{_ESCAPED})"
_SEGMENTS = rf"(?:/{_PCHAR}*)*"
_HOST = rf"(?:\[(?:{_IPV6})\]|(?:[{_UNRESERVED}]|{_ESCAPED})*)"
_AUTHORITY = rf"//(?:(?:[{_UNRESERVED}:]|{_ESCAPED})*@)?{_HOST}(?::{_PORT}?)?"
_ABSOLUTE_PATH = rf"/(?:{_PCHAR}+{_SEGMENTS})?"
_TAIL = rf"(?:\?(?:{_PCHAR}|[/?])*)?(?:#(?:{_PCHAR}|[/?])*)?"
_URI = rf"[A-Za-z][0-9A-Za-z+.-]*:(?:{_AUTHORITY}{_SEGMENTS}|{_ABSOLUTE_PATH}|{_PCHAR}+{_SEGMENTS}|){_TAIL}"
_FIRST_SEGMENT = rf"(?:[{_UNRESERVED}@]|{_ESCAPED})+"
_RELATIVE = rf"(?:{_AUTHORITY}{_SEGMENTS}|{_ABSOLUTE_PATH}|{_FIRST_SEGMENT}{_SEGMENTS}|){_TAIL}"

_PATTERNS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": rf"{_DATE}T{_TIME}",
    "duration": _DURATION,
    "uuid": r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "hostname": _HOSTNAME,
    "uri": _URI,
    "uri-reference": rf"{_URI}|{_RELATIVE}",
}
FORMATS = frozenset({*_PATTERNS, "email"})
"""Formats that are enforced; others are annotations."""


def format_language(name: str) -> Node:
    """The strings of a format of FORMATS."""
    if name != "email":
        return parse(_PATTERNS[name])
    local_part = Both(parse(rf"{_ATOM}(?:\.{_ATOM})*"), Repeat(ANY_CHARACTER, 1, 64))
    return sequence(local_part, parse(rf"@(?:{_label(40)}\.){{0,4}}{_label(40)}"))
