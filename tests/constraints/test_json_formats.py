"""Formats against their standards and against validators."""

import datetime
import ipaddress
import random

import pytest

from redraft.constraints.automaton import ByteAutomaton, compile_tree
from redraft.constraints.json_formats import FORMATS, format_language

GOOD = {
    "date": ["2024-02-29", "2000-02-29", "0001-01-01", "9999-12-31"],
    "time": ["00:00:00Z", "23:59:59.123456789+23:59", "12:30:00-07:00"],
    "date-time": ["2024-02-29T12:00:00Z", "1985-04-12T23:20:50.52Z"],
    "duration": ["P1Y", "P1Y2M3DT4H5M6S", "PT36H", "P4W", "P2DT1M"],
    "uuid": ["123e4567-e89b-12d3-a456-426614174000", "00000000-0000-0000-0000-00000000000F"],
    "email": ["a@b", "jane.doe+tag@example.co.uk", "x" * 64 + "@example.com", "o'neil@ex-ample.org"],
    "ipv4": ["0.0.0.0", "255.255.255.255", "192.168.1.10"],
    "ipv6": ["::", "::1", "1::", "2001:db8::ff00:42:8329", "::ffff:192.0.2.1", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::"],
    "hostname": [
        "localhost",
        "a.b-c.example",
        "a" * 63 + ".com",
        ".".join(["a" * 63] * 3 + ["a" * 61]),
        "a.b.c.d.e.f.g.h",
    ],
    "uri": ["http://a", "urn:isbn:0451450523", "mailto:a@b.c", "ftp://u:p@h:21/x?q#f", "http://[::1]:80/", "a:"],
    "uri-reference": ["", "#", "a/b", "../x?y=1", "//host/p", "./a:b", "http://example.com/%20"],
}
BAD = {
    "date": ["2023-02-29", "1900-02-29", "0000-01-01", "2024-13-01", "2024-04-31", "24-01-01", "2024-1-1"],
    "time": ["12:00:00", "24:00:00Z", "12:60:00Z", "12:00:60Z", "12:00Z", "12:00:00.Z", "12:00:00+24:00"],
    "date-time": ["2024-02-29 12:00:00Z", "2024-02-29", "2023-02-29T12:00:00Z", "2024-02-29T12:00:00Z+01:00"],
    "duration": ["P", "PT", "P1", "1Y", "P1Y2D", "P1W2D", "P1S", "PT1D", "PT1H2S", "P1YT"],
    "uuid": [
        "123e4567e89b12d3a456426614174000",
        "{123e4567-e89b-12d3-a456-426614174000}",
        "123e4567-e89b-12d3-a456-42661417400g",
    ],
    "email": [
        "a",
        "@b",
        "a@",
        "a b@c",
        ".a@b",
        "a.@b",
        "a..b@c",
        "a@-b",
        "a@b-",
        "x" * 65 + "@b",
        "a@b@c",
        "a@" + "b" * 64,
    ],
    "ipv4": ["256.0.0.0", "1.2.3", "01.2.3.4", "1.2.3.4.5", "1.2.3.4 "],
    "ipv6": [":", "1:2:3:4:5:6:7", "1::2::3", "12345::", "::1%eth0", "1:2:3:4:5:6:7:8::", ":::", "::256.0.0.1"],
    "hostname": ["", "-a", "a-", "a..b", "a.", "a_b", "a" * 64, ".".join(["a" * 63] * 4), "ab--c", "a b"],
    "uri": ["", "a", "//host", "1a:b", "http://a b", "http://[::1", "a:%zz", "http://h:65536/", "http://é"],
    "uri-reference": ["a b", "1:b", "\\", "%", "a:b c", "é", "http://[zz]/"],
}


@pytest.fixture(scope="module")
def automata() -> dict[str, ByteAutomaton]:
    return {name: compile_tree(format_language(name)) for name in FORMATS}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_format_takes_what_its_standard_takes(name, automata):
    assert [text for text in GOOD[name] if not automata[name].matches(text.encode())] == []


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_format_refuses_what_its_standard_refuses(name, automata):
    assert [text for text in BAD[name] if automata[name].matches(text.encode())] == []


def test_dates_are_those_of_the_calendar(automata):
    for year in (1, 4, 100, 400, 1900, 2000, 2023, 2024, 9999):
        for month in range(14):
            for day in range(33):
                text = f"{year:04d}-{month:02d}-{day:02d}"
                try:
                    is_date = bool(datetime.date.fromisoformat(text))
                except ValueError:
                    is_date = False
                assert automata["date"].matches(text.encode()) == is_date, text


def test_addresses_are_those_of_ipaddress(automata):
    rng = random.Random(3)
    for _ in range(3000):
        groups = [
            rng.choice(["", "0", "1", "ff", "abcd", "12345", "1.2.3.4", "1.2.3.256"]) for _ in range(rng.randint(1, 9))
        ]
        text = rng.choice([":", "::", "."]).join(groups)
        for name, parse in (("ipv4", ipaddress.IPv4Address), ("ipv6", ipaddress.IPv6Address)):
            try:
                is_address = bool(str(parse(text)))
            except ValueError:
                is_address = False
            assert automata[name].matches(text.encode()) == is_address, text
