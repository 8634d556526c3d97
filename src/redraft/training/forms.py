"""Records such as orders, people and log lines, written as JSON, as forms or as Python literals; all made up here."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

_FIRST, _LAST, _CITIES, _STREETS, _ITEMS, _WORDS, _LEVELS, _STATUS, _COLOURS = (
    tuple(line.split())
    for line in (
        "Ada Alan Amir Anna Ben Chloe Dmitri Elena Farah Grace Hugo Ines Ivan Jonas Kofi Lena Maria Mei Nora Omar",
        "Adams Brown Costa Dubois Evans Fischer Garcia Haddad Ito Jensen Kaur Lopez Moreau Novak Okafor Park Rossi",
        "Accra Berlin Bogota Boston Cairo Delhi Dublin Geneva Hanoi Kyoto Lagos Lima Lisbon London Madrid Oslo Paris",
        "Bridge Church Garden Harbour High Hill Lake Market Mill Park River School Station Victoria",
        "adapter battery book cable camera chair desk keyboard lamp laptop monitor mouse paper pen phone printer",
        "account address amount answer change check customer date delivery email error file first group invoice item "
        "last line list message name note number order page payment please price question reply report request result "
        "service status task team test text ticket time title total update user value week",
        "debug info warning error",
        "open closed pending shipped paid failed done new",
        "red green blue black white yellow grey",
    )
)


def documents(seed: int) -> Iterator[str]:
    """An endless, seeded run of short documents."""
    rng = random.Random(seed)
    records = (_person, _order, _log, _event, _schema, _product, _measurement)
    while True:
        record = rng.choice(records)(rng)
        yield rng.choice(_WRITERS)(record, rng)


def _sentence(rng: random.Random, most: int = 9) -> str:
    words = rng.choices(_WORDS, k=rng.randint(2, most))
    return " ".join(words).capitalize() + rng.choice(("", ".", ".", "?"))


def _date(rng: random.Random) -> str:
    return f"{rng.randint(1990, 2030)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


def _time(rng: random.Random) -> str:
    return f"{_date(rng)}T{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}Z"


def _person(rng: random.Random) -> dict[str, Any]:
    first, last = rng.choice(_FIRST), rng.choice(_LAST)
    return {
        "name": f"{first} {last}",
        "age": rng.randint(1, 99),
        "email": f"{first}.{last}@example.{rng.choice(('com', 'org', 'net'))}".lower(),
        "phone": f"+{rng.randint(1, 99)} {rng.randint(100, 999)} {rng.randint(1000, 9999)}",
        "active": rng.random() < 0.5,
        "address": _address(rng),
        "notes": rng.choice((None, _sentence(rng))),
    }


def _address(rng: random.Random) -> dict[str, Any]:
    street = f"{rng.randint(1, 200)} {rng.choice(_STREETS)} {rng.choice(('Street', 'Road', 'Lane'))}"
    return {"street": street, "city": rng.choice(_CITIES), "zip": f"{rng.randint(10000, 99999)}"}


def _order(rng: random.Random) -> dict[str, Any]:
    items = [
        {"item": rng.choice(_ITEMS), "quantity": rng.randint(1, 20), "price": round(rng.uniform(1, 900), 2)}
        for _ in range(rng.randint(1, 3))
    ]
    total = round(sum(item["quantity"] * item["price"] for item in items), 2)
    return {
        "id": rng.randint(1, 10**6),
        "date": _date(rng),
        "status": rng.choice(_STATUS),
        "items": items,
        "total": total,
    }


def _log(rng: random.Random) -> dict[str, Any]:
    return {
        "timestamp": _time(rng),
        "level": rng.choice(_LEVELS),
        "message": _sentence(rng),
        "code": rng.choice((200, 201, 400, 404, 500, None)),
    }


def _event(rng: random.Random) -> dict[str, Any]:
    people = [rng.choice(_FIRST) for _ in range(rng.randint(1, 4))]
    return {"title": _sentence(rng, 5), "start": _time(rng), "location": rng.choice(_CITIES), "attendees": people}


def _schema(rng: random.Random) -> dict[str, Any]:
    types = ("string", "integer", "boolean", "number")
    names = rng.sample(_WORDS, 3)
    return {
        "type": "object",
        "properties": {name: {"type": rng.choice(types)} for name in names},
        "required": names[:2],
        "additionalProperties": False,
    }


def _product(rng: random.Random) -> dict[str, Any]:
    return {
        "product": rng.choice(_ITEMS),
        "description": _sentence(rng, 14),
        "colour": rng.choice(_COLOURS),
        "price": round(rng.uniform(1, 900), 2),
        "tags": rng.sample(_WORDS, rng.randint(0, 3)),
        "in_stock": rng.random() < 0.5,
    }


def _measurement(rng: random.Random) -> dict[str, Any]:
    return {
        "sensor": f"{rng.choice(_CITIES).lower()}-{rng.randint(1, 99)}",
        "temperature": round(rng.gauss(15, 10), 1),
        "position": {"latitude": round(rng.uniform(-90, 90), 4), "longitude": round(rng.uniform(-180, 180), 4)},
        "values": [round(rng.gauss(0, 1), 2) for _ in range(rng.randint(2, 5))],
    }


def _as_form(record: dict[str, Any], rng: random.Random) -> str:
    lines = [f"{key.replace('_', ' ').capitalize()}: {_plain(value)}" for key, value in record.items()]
    return "\n".join(lines) + "\n"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(_plain(item) for item in value.values())
    if isinstance(value, list):
        return "; ".join(_plain(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


_WRITERS: tuple[Callable[[dict[str, Any], random.Random], str], ...] = (
    lambda record, rng: json.dumps(record),
    lambda record, rng: json.dumps(record, separators=(",", ":")),
    lambda record, rng: json.dumps(record, indent=rng.choice((2, 4))),
    lambda record, rng: repr(record),
    _as_form,
)
