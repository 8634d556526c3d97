"""Short made-up notes (meetings, orders, contacts, log lines) with the facts in them, by combining phrases.

A note is an opening and some clauses in any order, each with one slot, one of them before the opening now and then. A
template is that choice without the words, so there are far more templates than a run can see. One template in ten and
one word in eight never occur in training; the hand-written sentences under `unseen` in phrases.toml share no phrasing
with the generator.
"""

import json
import random
import tomllib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TABLES = tomllib.loads((Path(__file__).parent / "phrases.toml").read_text(encoding="utf-8"))
WORDS: dict[str, list[str]] = {name: text.split() for name, text in _TABLES["words"].items()}
PHRASES: dict[str, list[str]] = {
    name: [" ".join(phrase.split()) for phrase in text.split("|")] for name, text in _TABLES["phrases"].items()
}
DOMAINS: dict[str, dict[str, Any]] = _TABLES["domains"]
FINISHES: list[str] = _TABLES["sentences"]["finishes"]
UNSEEN_SENTENCES: list[str] = _TABLES["sentences"]["unseen"]
HELD_OUT_TEMPLATES, HELD_OUT_WORDS = 10, 8
LEAD_SHARE = 0.3  # of the notes with two clauses or more: one of them comes before the opening
CHANGED_WORDS = 0.3  # of a loose template: half of them left out, half exchanged

KEYS = {
    "person": ("name", "person", "who", "contact", "customer"),
    "day": ("date", "day", "when"),
    "time": ("time", "hour", "start"),
    "place": ("place", "city", "location", "where"),
    "topic": ("topic", "subject", "about"),
    "item": ("item", "product", "what"),
    "quantity": ("quantity", "count", "number"),
    "price": ("price", "cost"),
    "order": ("order", "id", "reference"),
    "email": ("email", "mail"),
    "phone": ("phone", "tel"),
    "company": ("company", "employer"),
    "level": ("level", "severity"),
    "service": ("service", "source"),
    "problem": ("message", "text", "error"),
    "code": ("code", "status"),
}  # fmt: skip

_INTEGERS = ("quantity", "code")


@dataclass(frozen=True)
class Note:
    """A text and the facts in it, by slot, in the order they appear."""

    text: str
    facts: dict[str, Any]
    template: str


@dataclass(frozen=True)
class Form:
    """A note, the keys asked for with their types, and the object that answers."""

    note: Note
    keys: dict[str, str]  # key -> slot
    answer: dict[str, Any]

    @property
    def text(self) -> str:
        """The answer as json.dumps writes it."""
        return json.dumps(self.answer, ensure_ascii=False)

    def empty(self) -> str:
        """The form as it stands in a prompt: "" for a text, 0 for a number."""
        return json.dumps({key: "" if isinstance(value, str) else 0 for key, value in self.answer.items()})

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the answer."""
        kinds = {key: _kind(value) for key, value in self.answer.items()}
        return {
            "type": "object",
            "properties": {key: {"type": kind} for key, kind in kinds.items()},
            "required": list(kinds),
        }

    def prompt(self, style: str) -> str:
        """The note, a line break, what is asked for ("form": the empty form, "schema": its schema), a line break."""
        if style == "form":
            return f"{self.note.text}\n{self.empty()}\n"
        return f"{self.note.text}\n{json.dumps({'properties': self.schema()['properties']})}\n"


def is_held_out(kind: int, name: str) -> bool:
    """Whether one name in `kind` falls on this one; hangs on the name only."""
    return zlib.crc32(name.encode()) % kind == 0


def notes(seed: int, templates: str = "train", words: str = "train") -> Iterator[Note]:
    """An endless seeded run of notes. templates: "train", "loose" (the same with some words left out or exchanged),
    "held_out" (new combinations) or "unseen" (new phrasing); words: "train" or "held_out"."""
    rng = random.Random(f"notes {seed} {templates} {words}")
    while True:
        template = rng.choice(UNSEEN_SENTENCES) if templates == "unseen" else _template(rng)
        if templates == "loose":
            template = _loosened(template, rng)
        if templates == "unseen" or is_held_out(HELD_OUT_TEMPLATES, template) == (templates == "held_out"):
            yield _filled(template, rng, words == "held_out")


def forms(seed: int, templates: str = "train", words: str = "train", most: int = 4) -> Iterator[Form]:
    """An endless seeded run of forms that ask for one to `most` facts of a note, in any order and under any name."""
    rng = random.Random(f"forms {seed}")
    for note in notes(seed, templates, words):
        slots = rng.sample(sorted(note.facts), rng.randint(min(2, len(note.facts)), min(most, len(note.facts))))
        keys = {rng.choice(KEYS[slot]): slot for slot in slots}
        yield Form(note, keys, {key: note.facts[slot] for key, slot in keys.items()})


def _template(rng: random.Random) -> str:
    domain = DOMAINS[rng.choice(sorted(DOMAINS))]
    text, clauses = rng.choice(domain["openings"]), domain["clauses"]
    free = [slot for slot in sorted(clauses) if f"{{{slot}}}" not in text]
    chosen = rng.sample(free, rng.randint(1, min(3, len(free))))
    first = chosen.pop() if len(chosen) > 1 and rng.random() < LEAD_SHARE else None
    for slot in chosen:
        clause = rng.choice(clauses[slot])
        text += clause if clause[0] in ",;" else " " + clause
    if first is not None:
        lead = rng.choice(clauses[first]).strip(" ,;-|")
        text = f"{lead[0].upper()}{lead[1:]}{rng.choice((',', ':', ' -'))} {text}"
    return text.replace(",,", ",").rstrip(",") + rng.choice(FINISHES)


def _loosened(template: str, rng: random.Random) -> str:
    """The template with some of its own words left out, others exchanged for any word: what is asked for is told by
    what it looks like and by the words that are left."""
    words = []
    for word in template.split(" "):
        fate = rng.random() if word.isalpha() else 1.0
        if fate < CHANGED_WORDS / 2:
            continue
        words.append(_word(WORDS["things"], rng, held_out=False) if fate < CHANGED_WORDS else word)
    return " ".join(words)


def _filled(template: str, rng: random.Random, held_out: bool) -> Note:
    slots = [piece.split("}")[0] for piece in template.split("{")[1:]]
    facts = {slot: _value(slot, rng, held_out) for slot in slots}
    text = template.format(**{slot: f"{value}" for slot, value in facts.items()})
    return Note(text, facts, template)


def _value(slot: str, rng: random.Random, held_out: bool) -> Any:
    if slot == "quantity":
        return rng.randint(2, 999)
    if slot == "code":
        return rng.choice((rng.randint(1, 255), rng.randint(400, 599)))
    makers = {
        "person": _person, "day": _day, "time": _time, "place": _place, "item": _item, "email": _email,
        "topic": _topic,
        "price": lambda r, h: f"{r.randint(1, 400)}.{r.randint(0, 99):02}",
        "order": lambda r, h: f"{r.choice('ABCDEFGHKLMNPRSTX')}{r.choice(('-', ''))}{r.randint(100, 99999)}",
        "phone": lambda r, h: f"{r.choice(('0', '+'))}{r.randint(10, 999)} {r.randint(1000, 999999)}",
        "company": lambda r, h: f"{_invented(r, h)} {r.choice(WORDS['companies'])}",
        "level": lambda r, h: r.choice(WORDS["levels"]),
        "service": lambda r, h: _word(WORDS["services"] if r.random() < 0.6 else WORDS["things"], r, h),
        "problem": _problem,
    }  # fmt: skip
    return makers[slot](rng, held_out)


def _word(words: Sequence[str], rng: random.Random, held_out: bool) -> str:
    return rng.choice([word for word in words if is_held_out(HELD_OUT_WORDS, word) == held_out] or words)


def _invented(rng: random.Random, held_out: bool) -> str:
    """A name of two or three syllables."""
    while True:
        middle = rng.choice(WORDS["middles"]) if rng.random() < 0.4 else ""
        word = rng.choice(WORDS["starts"]) + middle + rng.choice(WORDS["ends"])
        if is_held_out(HELD_OUT_WORDS, word) == held_out:
            return word


def _person(rng: random.Random, held_out: bool) -> str:
    first = _word(WORDS["first_names"], rng, held_out) if rng.random() < 0.4 else _invented(rng, held_out)
    return first if rng.random() < 0.5 else f"{first} {_invented(rng, held_out)}"


def _place(rng: random.Random, held_out: bool) -> str:
    return _word(WORDS["cities"], rng, held_out) if rng.random() < 0.4 else _invented(rng, held_out)


def _item(rng: random.Random, held_out: bool) -> str:
    """A thing in the plural, of one or two words."""
    kind = rng.random()
    if kind < 0.6:
        item = _word(WORDS["items"], rng, held_out)
    else:
        item = (_word(WORDS["things"], rng, held_out) if kind < 0.85 else _invented(rng, held_out).lower()) + "s"
    return item if rng.random() < 0.6 else f"{_word(WORDS['adjectives'], rng, held_out)} {item}"


def _topic(rng: random.Random, held_out: bool) -> str:
    if rng.random() < 0.3:
        return _word(PHRASES["topics"], rng, held_out)
    first, last = (WORDS[name] if rng.random() < 0.75 else WORDS["things"] for name in ("topic_firsts", "topic_lasts"))
    return f"{_word(first, rng, held_out)} {_word(last, rng, held_out)}"


def _problem(rng: random.Random, held_out: bool) -> str:
    if rng.random() < 0.6:
        return _word(PHRASES["problems"], rng, held_out)
    return f"{_word(WORDS['things'], rng, held_out)} {_word(WORDS['states'], rng, held_out)}"


def _day(rng: random.Random, held_out: bool) -> str:
    month, weekday = rng.choice(WORDS["months"]), rng.choice(WORDS["weekdays"])
    iso = f"{rng.randint(2020, 2030)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    return rng.choice((weekday, weekday, f"{rng.randint(1, 28)} {month}", f"{month} {rng.randint(1, 28)}", iso))


def _time(rng: random.Random, held_out: bool) -> str:
    clock = f"{rng.randint(0, 23)}:{rng.randint(0, 59):02}"
    return rng.choice((clock, clock, f"{rng.randint(1, 12)} {rng.choice(('am', 'pm'))}"))


def _email(rng: random.Random, held_out: bool) -> str:
    return f"{_invented(rng, held_out)}@{_invented(rng, held_out)}.{rng.choice(('com', 'org', 'net'))}".lower()


def _kind(value: Any) -> str:
    return "integer" if isinstance(value, int) else "string"
