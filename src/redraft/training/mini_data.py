"""Examples of redraft-mini: forms, infill and continuation of Python, as fixed arrays with a manifest.

A prompt shorter than the arrays is padded on the left, before BOS: its rows are there for shape alone, and so that the
model learns to look past them.
"""

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from redraft.constraints.infill import clean_canvas, lay_out
from redraft.errors import InvalidRequest
from redraft.text.chat import ChatTemplate
from redraft.text.tokenizer import Tokenizer
from redraft.training.corpus import texts
from redraft.training.data import Group, read_arrays
from redraft.training.notes import Form, forms

PAD, EOS, BOS, TURN_END = 0, 1, 2, 6
PROMPT_LENGTH, CANVAS_LENGTH, SHORT_CANVAS = 72, 64, 48
MAX_HOLE = 24  # tokens
CHUNK = 16  # batches whose examples are dealt out by length
SPARE = 3  # end fill behind the longest reply of a trimmed group
SCHEMA_SHARE, CHAT_SHARE, LOOSE_SHARE = 0.12, 0.35, 0.35  # of the forms


@dataclass(frozen=True)
class Example:
    """Ids as they are served: prompt with BOS, and the reply with what ends it; no padding, no fill."""

    prompt: list[int]
    reply: list[int]
    fixed_from: int | None = None  # the canvas from here on is given (suffix of an infill)


def form_example(form: Form, style: str, tokenizer: Tokenizer, chat: ChatTemplate | None = None) -> Example:
    """A form as a plain prompt that ends in EOS, or as the one user turn of a chat that ends in the turn's end."""
    reply = tokenizer.encode_plain(form.text)
    if chat is None:
        return Example([BOS, *tokenizer.encode_plain(form.prompt(style))], [*reply, EOS])
    prompt = chat.encode([{"role": "user", "content": form.prompt(style).strip()}])
    return Example(list(prompt), [*reply, TURN_END])


def form_examples(seed: int, tokenizer: Tokenizer, chat: ChatTemplate) -> Iterator[Example]:
    """Endless: forms as the mixture has them."""
    rng = random.Random(f"styles {seed}")
    plain, loose = forms(seed), forms(seed, "loose")
    while True:
        form = next(loose if rng.random() < LOOSE_SHARE else plain)
        style = "schema" if rng.random() < SCHEMA_SHARE else "form"
        yield form_example(form, style, tokenizer, chat if rng.random() < CHAT_SHARE else None)


def windows(seed: int, files: list[str]) -> Iterator[str]:
    """Endless short documents: 3 to 12 lines of a file, from a line that is not indented if there is one."""
    files = [text for text in files if text.strip()]
    rng = random.Random(f"windows {seed}")
    while True:
        lines = rng.choice(files).splitlines(keepends=True)
        starts = [i for i, line in enumerate(lines) if line[0].isalpha() or line[0] in "@_"] or [0]
        start = rng.choice(starts) if rng.random() < 0.8 else rng.randrange(len(lines))
        text = "".join(lines[start : start + rng.randint(3, 12)])
        if text.strip() and len(text) < 900:
            yield text


def cut(text: str, rng: random.Random) -> tuple[int, int]:
    """Begin and end of a hole within one line: a whole line after its indentation, what follows an operator, or any."""
    starts = [0, *(i + 1 for i, c in enumerate(text) if c == "\n" and i + 1 < len(text))]
    begin = rng.choice(starts)
    end = text.find("\n", begin)
    end = len(text) if end < 0 else end
    line = text[begin:end]
    indent = len(line) - len(line.lstrip())
    kind = rng.choice(("line", "expression", "span"))
    if kind == "expression":
        places = [i + len(mark) for mark in (" = ", "return ", "(", " in ", ", ") if (i := line.find(mark)) >= 0]
        if places:
            return begin + rng.choice(places), end
    if kind == "span" and len(line) - indent > 4:
        first = rng.randint(indent, len(line) - 2)
        return begin + first, begin + rng.randint(first + 1, min(len(line), first + 30))
    return begin + indent, end


def infill_examples(seed: int, tokenizer: Tokenizer, files: list[str]) -> Iterator[Example]:
    """Endless: one hole per short document, laid out as `constraints.infill` serves it."""
    rng = random.Random(f"infill {seed}")
    for text in windows(seed, files):
        begin, end = cut(text, rng)
        before, hole, after = text[:begin], text[begin:end], text[end:]
        num_hole = len(tokenizer.encode_plain(hole))
        if not hole.strip() or num_hole > MAX_HOLE:
            continue
        layout = lay_out(before, after, tokenizer, CANVAS_LENGTH)
        canvas = [*clean_canvas(layout, hole, after, tokenizer), EOS]
        num_suffix = min(len(layout.suffix_ids), len(canvas) - 1)
        fixed_from = min(CANVAS_LENGTH, len(canvas) - 1 - num_suffix + 1) if rng.random() < 0.5 else None
        yield Example([BOS, *layout.prompt_ids], canvas[:CANVAS_LENGTH], fixed_from)


def continuation_examples(seed: int, tokenizer: Tokenizer, files: list[str]) -> Iterator[Example]:
    """Endless: the beginning of a short document, and how it goes on."""
    rng = random.Random(f"continuation {seed}")
    for text in windows(seed + 1, files):
        ids = tokenizer.encode_plain(text)
        if len(ids) < 16:
            continue
        first = rng.randint(4, min(len(ids) - 4, PROMPT_LENGTH - 1))
        yield Example([BOS, *ids[:first]], [*ids[first:], EOS][:CANVAS_LENGTH])


def to_arrays(examples: Iterator[Example], count: int, canvas_length: int) -> dict[str, NDArray[np.uint16]]:
    """The first `count` examples that fit: prompts [n, PROMPT_LENGTH], canvases [n, canvas_length], fixed_from [n]."""
    fitting = (e for e in examples if len(e.prompt) <= PROMPT_LENGTH and len(e.reply) <= canvas_length)
    chosen = list(islice(fitting, count))
    prompts = [[PAD] * (PROMPT_LENGTH - len(e.prompt)) + e.prompt for e in chosen]
    canvases = [e.reply + [EOS] * (canvas_length - len(e.reply)) for e in chosen]
    fixed = [canvas_length if e.fixed_from is None else e.fixed_from for e in chosen]
    return {
        "prompts": np.array(prompts, np.uint16),
        "canvases": np.array(canvases, np.uint16),
        "fixed_from": np.array(fixed, np.uint16),
    }


def prepare(
    out: Path,
    corpus: Path | None,
    model: Path,
    num_forms: int,
    num_texts: int = 0,
    seed: int = 0,
    max_files: int = 6000,
) -> dict[str, Any]:
    """Writes forms.npz, long_forms.npz, infill.npz, continuation.npz and manifest.json into `out`.

    `corpus` is a folder of `corpus.gather`, None where num_texts is 0: then forms alone. `model` is a directory with
    tokenizer and chat template. The same arguments and corpus give the same arrays; returns the manifest, which has
    their hashes.
    """
    tokenizer = Tokenizer.from_directory(model)
    chat = ChatTemplate.from_directory(model, tokenizer)
    if corpus is None and num_texts:
        raise InvalidRequest(f"num_texts={num_texts}: want a corpus for infill and continuation")
    files = list(islice(texts(corpus), max_files)) if corpus else []
    makers: dict[str, Callable[[], dict[str, NDArray[np.uint16]]]] = {
        "forms": lambda: to_arrays(form_examples(seed, tokenizer, chat), num_forms, SHORT_CANVAS),
        "long_forms": lambda: to_arrays(form_examples(seed + 1, tokenizer, chat), num_forms // 8, CANVAS_LENGTH),
    }
    if num_texts:
        makers |= {
            "infill": lambda: to_arrays(infill_examples(seed, tokenizer, files), num_texts, CANVAS_LENGTH),
            "continuation": lambda: to_arrays(
                continuation_examples(seed, tokenizer, files), num_texts // 3, CANVAS_LENGTH
            ),
        }
    out.mkdir(parents=True, exist_ok=True)
    manifest: dict[str, Any] = {"seed": seed}
    if corpus is not None:
        manifest["corpus"] = json.loads((corpus / "manifest.json").read_text())["splits"]
    for name, make in makers.items():
        arrays = make()
        np.savez_compressed(out / f"{name}.npz", allow_pickle=False, **arrays)
        manifest[name] = {"examples": len(arrays["prompts"]), "sha256": digest(arrays)}
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest


def digest(arrays: dict[str, NDArray[np.uint16]]) -> str:
    """The hash of arrays and their names."""
    state = hashlib.sha256()
    for name in sorted(arrays):
        state.update(name.encode() + arrays[name].tobytes())
    return state.hexdigest()


@dataclass(frozen=True)
class MiniSource:
    """Batches of two groups: forms on canvases just long enough; a few forms, infills and continuations on whole ones.

    Examples come in the order of the files, over and over, but those of CHUNK batches are dealt out by length, and
    every group is trimmed to its longest prompt (and, for forms, reply), so little is spent on padding.
    """

    parts: dict[str, dict[str, NDArray[np.uint16]]]
    mix: dict[str, int]  # part -> share of a batch, in 32nds

    @classmethod
    def from_folder(cls, folder: str | Path, mix: dict[str, int]) -> "MiniSource":
        """The arrays `prepare` wrote."""
        if sum(mix.values()) != 32:
            raise InvalidRequest(f"mix={mix}: want shares that sum to 32")
        parts = {}
        for name in mix:
            parts[name] = read_arrays(Path(folder) / f"{name}.npz", "prompts", "canvases", "fixed_from")
        return cls(parts, mix)

    def batch(self, index: int, size: int) -> tuple[Group, ...]:
        """Batch `index`: forms first, if the mix has any, then the others."""
        if any(size * share % 32 for share in self.mix.values()):
            raise InvalidRequest(f"batch_size={size} with mix={self.mix}, in 32nds: want whole shares of a batch")
        chosen = {name: self._rows(name, index, size * share // 32) for name, share in self.mix.items() if share}
        short = [rows for name, rows in chosen.items() if name == "forms"]
        whole = [rows for name, rows in chosen.items() if name != "forms"]
        return tuple(_group(rows, rows is short) for rows in (short, whole) if rows)

    def describe(self) -> dict[str, Any]:
        return {"kind": "mini", "mix": self.mix, "sha256": {name: digest(part) for name, part in self.parts.items()}}

    def _rows(self, name: str, index: int, count: int) -> dict[str, NDArray[np.uint16]]:
        part = self.parts[name]
        chunk, place = divmod(index, CHUNK)
        rows = (chunk * CHUNK * count + np.arange(CHUNK * count)) % len(part["prompts"])
        lengths = (part["prompts"][rows] != PAD).sum(1) + (part["canvases"][rows] != EOS).sum(1)
        dealt = rows[lengths.argsort(kind="stable")].reshape(CHUNK, count)
        place = np.random.default_rng(chunk).permutation(CHUNK)[place]  # short and long batches in turn
        return {key: array[dealt[place]] for key, array in part.items()}


def _group(parts: list[dict[str, NDArray[np.uint16]]], is_trimmed: bool) -> Group:
    joined = {key: torch.from_numpy(np.concatenate([p[key] for p in parts]).astype(np.int64)) for key in parts[0]}
    prompts, canvases = joined["prompts"], joined["canvases"]
    num_padded = int((prompts == PAD).sum(1).min())
    num_used = int((canvases != EOS).sum(1).max()) + SPARE if is_trimmed else canvases.shape[1]
    canvases = canvases[:, :num_used]
    is_fixed = torch.arange(canvases.shape[1]) >= joined["fixed_from"][:, None]
    return Group(prompts[:, num_padded:], canvases, is_fixed)
