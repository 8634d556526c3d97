"""Short made-up notes (meetings, orders, contacts, log lines) with the facts in them, by combining phrases.

A note is an opening and some clauses in any order, each with one slot; a template is that choice without the words, so
there are far more templates than a run can see. One template in ten and one word in eight never occur in training; the
hand-written sentences of UNSEEN_SENTENCES share no phrasing with the generator.
"""

import json
import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

HELD_OUT_TEMPLATES, HELD_OUT_WORDS = 10, 8

_STARTS = (
    "Ar Bel Bor Bri Cal Cor Dan Dar Del Dor El Fal Fen Gal Gor Hal Har Hel Il Jan Jor Kal Kar Kor Lan Len Lor Mar "
)
_STARTS += "Mel Mor Nal Nor Or Pal Per Ral Ren Ros Sal San Sel Sor Tal Tar Tor Ul Val Ver Vol Wal Wil Yor Zan Zel"
_MIDDLES = "a e i o u an en in on ar er or al el il ad et im ov ush"
_ENDS = "a o an en is us ek ia in or ar el ert ina ona ick ley man son wick"
_FIRST = "Ada Alan Amir Anna Ben Chloe Clara David Dmitri Elena Emma Farah Grace Hugo Ines Ivan James John Jonas Julia "
_FIRST += "Kofi Lena Lucas Maria Mark Mei Nora Omar Paul Peter Rosa Sam Sara Tom Vera"
_CITIES = "Accra Berlin Bogota Boston Cairo Delhi Dublin Geneva Hanoi Kyoto Lagos Lima Lisbon London Madrid Oslo Paris "
_CITIES += "Prague Rome Seoul Sofia Tokyo Turin Vienna Warsaw Zurich"
_TOPICS = "budget|contract|release plan|new website|test results|hiring|garden|insurance|rent|school trip|holiday|"
_TOPICS += "server move|price list|training|annual report|logo|bug list|roadmap|kitchen|car repair|tax form|database|"
_TOPICS += "security review|party|survey|quarterly numbers|workshop|translation|design|onboarding"
_ITEMS = (
    "laptops|chairs|lamps|books|pens|cables|keyboards|monitors|desks|batteries|cameras|phones|printers|bottles|cups|"
)
_ITEMS += (
    "tables|boxes|candles|shirts|bags|clocks|screws|tiles|plants|bricks|notebooks|envelopes|headphones|tickets|pizzas"
)
_ADJECTIVES = "red blue green black white small large old new cheap heavy wooden metal round soft"
_SERVICES = "auth|billing|search|mailer|gateway|cache|storage|worker|scheduler|web|payments|backup|indexer|proxy"
_PROBLEMS = "disk full|connection lost|timeout|out of memory|file not found|access denied|queue empty|slow query|"
_PROBLEMS += "invalid token|service started|user logged in|backup complete|retry failed|port in use|key expired"
_MONTHS = "January February March April May June July August September October November December"
_WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
_COMPANIES = "Ltd|Inc|Group|Labs|Foods|Systems"

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

# Per kind of note: openings, then clauses by slot. An opening may hold several slots; its clauses come in any order.
DOMAINS: dict[str, tuple[tuple[str, ...], dict[str, tuple[str, ...]]]] = {
    "meeting": (
        ("Meeting with {person}", "Lunch with {person}", "Call {person}", "Dinner with {person}",
         "{person} wants to meet",
         "I will see {person}", "Interview with {person}", "Reminder: talk to {person}", "{person} will visit us",
         "Please book a room for {person}", "We meet {person}", "Coffee with {person}", "{person} has a slot"),
        {"day": ("on {day}", "this {day}", "({day})", "next {day}", ", {day},"),
         "time": ("at {time}", "from {time}", "starting at {time}", "around {time}", ", {time},"),
         "place": ("in {place}", "near {place}", "at the office in {place}", "({place})"),
         "topic": ("about the {topic}", "to discuss the {topic}", "regarding the {topic}", "for the {topic}",
                   "; subject: {topic}")},
    ),
    "order": (
        ("{person} ordered {quantity} {item}", "Order {order}: {quantity} {item} for {person}",
         "Please send {quantity} {item} to {person}", "{quantity} {item} for {person}",
         "{person} needs {quantity} {item}", "Order {order} is {quantity} {item}",
         "We sold {quantity} {item} to {person}", "{person} returns {quantity} {item}",
         "{person} asks for {quantity} {item}", "Invoice {order} for {person}: {quantity} {item}"),
        {"price": ("at {price} each", "for {price} euros", ", price {price},", "({price} per piece)"),
         "place": ("in {place}", ", deliver to {place},", "from {place}", "(shop in {place})"),
         "day": ("by {day}", "before {day}", "on {day}", ", due {day},")},
    ),
    "contact": (
        ("{person} is a new customer", "Contact: {person}", "My name is {person}", "New guest {person}",
         "This is {person}",
         "Please add {person}", "{person} called", "Message from {person}", "{person} signed up", "Visitor {person}"),
        {"email": (", email {email}", ", write to {email}", "<{email}>", ", mail: {email}"),
         "phone": (", phone {phone}", ", call {phone}", "(tel {phone})", ", number {phone}"),
         "place": ("from {place}", ", lives in {place}", "in {place}", ", city {place}"),
         "company": (", works at {company}", ", with {company}", "of {company}", "for {company}")},
    ),
    "log": (
        ("{level} {service}: {problem}", "[{level}] {problem} in {service}", "{service} {level} {problem}",
         "{level}: {service} says {problem}", "{service} reported {problem}", "{problem} ({service}, {level})"),
        {"time": ("at {time}", "[{time}]", ", time {time}", "since {time}"),
         "code": ("code {code}", "({code})", ", status {code}", "with exit code {code}"),
         "day": ("on {day}", "[{day}]", ", {day}")},
    ),
}  # fmt: skip
_FINISHES = ("", ".", ".", ".", "!", ". Thanks.", ", please confirm.")

UNSEEN_SENTENCES = (
    "Don't forget that {person} expects us in {place} when it is {time}.",
    "It is settled: {day}, {time} sharp, and {person} brings the {topic} papers.",
    "You asked who is coming to {place}: it will be {person}, on {day}.",
    "{time} works for me, {day} as well, so tell {person}.",
    "Got {quantity} {item} left; {person} pays {price} for one.",
    "The parcel with {quantity} {item} leaves {place} on {day} under {order}.",
    "If {person} does not pick up {phone}, try {email} instead.",
    "Someone called {person} moved to {place} and can be found under {phone}.",
    "At {time} the {service} service gave up: {problem}.",
    "We saw {code} from {service} because of {problem}.",
)
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
    """An endless seeded run of notes. templates: "train", "held_out" (new combinations) or "unseen" (new phrasing);
    words: "train" or "held_out"."""
    rng = random.Random(f"notes {seed} {templates} {words}")
    while True:
        template = rng.choice(UNSEEN_SENTENCES) if templates == "unseen" else _template(rng)
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
    openings, clauses = DOMAINS[rng.choice(sorted(DOMAINS))]
    chosen = rng.sample(sorted(clauses), rng.randint(1, min(3, len(clauses))))
    text = rng.choice(openings)
    for slot in chosen:
        clause = rng.choice(clauses[slot])
        text += clause if clause[0] in ",;" else " " + clause
    return text.replace(",,", ",").rstrip(",") + rng.choice(_FINISHES)


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
        "topic": lambda r, h: _word(_TOPICS.split("|"), r, h),
        "price": lambda r, h: f"{r.randint(1, 400)}.{r.randint(0, 99):02}",
        "order": lambda r, h: f"{r.choice('ABCDEFGHKLMNPRSTX')}{r.choice(('-', ''))}{r.randint(100, 99999)}",
        "phone": lambda r, h: f"{r.choice(('0', '+'))}{r.randint(10, 999)} {r.randint(1000, 999999)}",
        "company": lambda r, h: f"{_invented(r, h)} {r.choice(_COMPANIES.split('|'))}",
        "level": lambda r, h: r.choice(("ERROR", "WARNING", "INFO", "DEBUG", "error", "warning", "info", "FATAL")),
        "service": lambda r, h: _word(_SERVICES.split("|"), r, h),
        "problem": lambda r, h: _word(_PROBLEMS.split("|"), r, h),
    }  # fmt: skip
    return makers[slot](rng, held_out)


def _word(words: Sequence[str], rng: random.Random, held_out: bool) -> str:
    return rng.choice([word for word in words if is_held_out(HELD_OUT_WORDS, word) == held_out] or words)


def _invented(rng: random.Random, held_out: bool) -> str:
    while True:
        middle = rng.choice(_MIDDLES.split()) if rng.random() < 0.4 else ""
        word = rng.choice(_STARTS.split()) + middle + rng.choice(_ENDS.split())
        if is_held_out(HELD_OUT_WORDS, word) == held_out:
            return word


def _person(rng: random.Random, held_out: bool) -> str:
    first = _word(_FIRST.split(), rng, held_out) if rng.random() < 0.4 else _invented(rng, held_out)
    return first if rng.random() < 0.5 else f"{first} {_invented(rng, held_out)}"


def _place(rng: random.Random, held_out: bool) -> str:
    return _word(_CITIES.split(), rng, held_out) if rng.random() < 0.4 else _invented(rng, held_out)


def _item(rng: random.Random, held_out: bool) -> str:
    item = _word(_ITEMS.split("|"), rng, held_out)
    return item if rng.random() < 0.6 else f"{_word(_ADJECTIVES.split(), rng, held_out)} {item}"


def _day(rng: random.Random, held_out: bool) -> str:
    month, weekday = rng.choice(_MONTHS.split()), rng.choice(_WEEKDAYS.split())
    iso = f"{rng.randint(2020, 2030)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    return rng.choice((weekday, weekday, f"{rng.randint(1, 28)} {month}", f"{month} {rng.randint(1, 28)}", iso))


def _time(rng: random.Random, held_out: bool) -> str:
    clock = f"{rng.randint(0, 23)}:{rng.randint(0, 59):02}"
    return rng.choice((clock, clock, f"{rng.randint(1, 12)} {rng.choice(('am', 'pm'))}"))


def _email(rng: random.Random, held_out: bool) -> str:
    return f"{_invented(rng, held_out)}@{_invented(rng, held_out)}.{rng.choice(('com', 'org', 'net'))}".lower()


def _kind(value: Any) -> str:
    return "integer" if isinstance(value, int) else "string"
