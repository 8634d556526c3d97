"""Text <-> ids, control tokens, and the bytes every id stands for. Built on the `tokenizers` library alone."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers

from redraft.errors import InvalidRequest, LoadError

SUFFIX_MARKER = "<|suffix|>"  # goes before the part of an infill's suffix that does not fit the canvas
# Added tokens that are control tokens even where neither file says so: replies are parsed by them.
_MARKERS = frozenset(("<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", '<|"|>'))
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Tokenizer:
    """What a checkpoint's tokenizer.json and tokenizer_config.json say, with a byte table.

    A *control token* is one that tokenizer.json marks special or tokenizer_config.json names, or a marker replies are
    parsed by; it has no text.
    `token_bytes[id]` is what an id adds to the text, None for control tokens and for ids without a token.
    Safe to share between threads.
    """

    def __init__(self, file: Path, config: Mapping[str, Any], vocab_size: int | None = None):
        """From a tokenizer.json; `vocab_size` is the model's and pads the byte table with ids that have no token.

        Raises LoadError where the file is damaged, its decoder is of a kind we cannot turn into bytes, or it has more
        ids than the model.
        """
        self._file = file
        self.config = config
        try:
            layout = json.loads(file.read_text(encoding="utf-8"))
            self._tokenizer = _load(file)
        except Exception as error:  # tokenizers raises bare Exception
            raise LoadError(f"{file}: no tokenizer that can be read ({error})") from error
        vocab = self._tokenizer.get_vocab(with_added_tokens=True)
        added = {token["content"]: token["special"] for token in layout.get("added_tokens", ())}
        flagged = {name for name, is_special in added.items() if is_special}
        named = {name for name in _names(config) if name in vocab} | (_MARKERS & added.keys())
        self._unmarked = sorted(named - flagged)
        self._mark(self._tokenizer)
        self.control_tokens: dict[str, int] = {name: vocab[name] for name in sorted(named | flagged)}
        self.special_ids = frozenset(self.control_tokens.values())
        self.vocab_size = max(vocab.values()) + 1 if vocab_size is None else vocab_size
        if max(vocab.values()) >= self.vocab_size:
            raise LoadError(f"{file}: ids up to {max(vocab.values())}, but the model has {self.vocab_size}")
        self.longest_piece = max(map(len, vocab))  # characters of text that one id may stand for
        self.token_bytes = self._byte_table(vocab, _piece_rule(layout.get("decoder"), file))
        self._unknown = layout["model"].get("unk_token")

    @classmethod
    def from_directory(cls, path: str | Path, vocab_size: int | None = None) -> "Tokenizer":
        """The tokenizer of a checkpoint directory; LoadError where it has none."""
        directory = Path(path)
        file = directory / "tokenizer.json"
        if not file.is_file():
            raise LoadError(f"{directory}: no tokenizer.json")
        return cls(file, read_config(directory), vocab_size)

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; control tokens written in it count as such, none are added."""
        return self._encode(self._tokenizer, text, add_special_tokens=False)

    def encode_prompt(self, text: str) -> list[int]:
        """Ids of `text` as `encode`, with what the post-processor adds (BOS where tokenizer.json says so)."""
        return self._encode(self._tokenizer, text, add_special_tokens=True)

    def encode_plain(self, text: str) -> list[int]:
        """Ids of `text` without any control token: one typed in it is spelled out like any other text."""
        ids = self._encode(self._plain, text, add_special_tokens=False)
        if not self.special_ids.isdisjoint(ids):
            names = [name for name, i in self.control_tokens.items() if i in ids]
            raise InvalidRequest(f"the text {text[:80]!r} can only be encoded with control tokens ({names})")
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids`: control tokens have none, broken UTF-8 becomes U+FFFD."""
        return b"".join(self.bytes_of(i) or b"" for i in ids).decode("utf-8", errors="replace")

    def bytes_of(self, token_id: int) -> bytes | None:
        """What an id adds to the text (None: nothing, it is a control token); InvalidRequest outside the vocabulary."""
        if not 0 <= token_id < self.vocab_size:
            raise InvalidRequest(f"token id {token_id}: want 0 to {self.vocab_size - 1}")
        return self.token_bytes[token_id]

    def token_id(self, text: str) -> int | None:
        """Id of the token spelled `text` in tokenizer.json, None where there is none."""
        return self._tokenizer.token_to_id(text)

    @property
    def suffix_marker_id(self) -> int | None:
        """Id of the marker that precedes an infill's far suffix, None where the checkpoint has none."""
        return self.control_tokens.get(SUFFIX_MARKER)

    @cached_property
    def _plain(self) -> tokenizers.Tokenizer:
        # A second copy: the switch is a property of the whole object, and requests are encoded from several threads.
        plain = _load(self._file)
        self._mark(plain)
        plain.encode_special_tokens = True
        return plain

    def _mark(self, tokenizer: tokenizers.Tokenizer) -> None:
        """Makes control tokens, in place, of those that tokenizer.json does not mark special."""
        tokenizer.add_special_tokens(
            [tokenizers.AddedToken(name, special=True, normalized=False) for name in self._unmarked]
        )

    def _byte_table(self, vocab: Mapping[str, int], rule: Callable[[str], bytes]) -> tuple[bytes | None, ...]:
        table: list[bytes | None] = [None] * self.vocab_size
        for piece, token_id in vocab.items():
            if token_id not in self.special_ids:
                table[token_id] = rule(piece)
        return tuple(table)

    def _encode(self, tokenizer: tokenizers.Tokenizer, text: str, add_special_tokens: bool) -> list[int]:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidRequest(
                f"text has {text[error.start]!r} at character {error.start}: want no lone surrogates"
            ) from None
        # A batch of one, because `encode` holds the interpreter's lock, for seconds where the text is long.
        [encoding] = tokenizer.encode_batch([text], add_special_tokens=add_special_tokens)
        if self._unknown is not None and self._unknown in encoding.tokens:
            self._refuse_unknown(text, encoding)
        return encoding.ids

    def _refuse_unknown(self, text: str, encoding: tokenizers.Encoding) -> None:
        for token, (start, end) in zip(encoding.tokens, encoding.offsets, strict=True):
            if token == self._unknown and text[start:end] != self._unknown:
                raise InvalidRequest(
                    f"text has {text[start:end]!r} at character {start}: the model has no token for it"
                )


def read_config(directory: Path) -> dict[str, Any]:
    """tokenizer_config.json of a checkpoint, {} where it has none; LoadError where it is no JSON object."""
    file = directory / "tokenizer_config.json"
    if not file.is_file():
        return {}
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LoadError(f"{file}: not JSON ({error})") from error
    if not isinstance(config, dict):
        raise LoadError(f"{file}: want a JSON object")
    return config


def _load(file: Path) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _names(config: Mapping[str, Any]) -> set[str]:
    """Texts of the control tokens a tokenizer_config.json names, in any of the shapes in use."""
    values: list[Any] = [value for key, value in config.items() if key.endswith("_token")]
    for key in ("extra_special_tokens", "additional_special_tokens"):
        listed = config.get(key) or ()
        values.extend(listed.values() if isinstance(listed, Mapping) else listed)
    texts = (value.get("content") if isinstance(value, Mapping) else value for value in values)
    return {text for text in texts if isinstance(text, str) and text}


def _piece_rule(decoder: Mapping[str, Any] | None, file: Path) -> Callable[[str], bytes]:
    """The function from a token's spelling to its bytes, read off the decoder of tokenizer.json.

    Only decoders that treat each token on its own are accepted, so that text is the sum of its tokens' bytes.
    """
    steps = _steps(decoder)
    kinds = [step.get("type") for step in steps]
    if kinds == ["ByteLevel"]:
        return _byte_level
    replacements = []
    for step in steps:
        if step["type"] == "Replace" and "String" in step["pattern"]:
            replacements.append((step["pattern"]["String"], step["content"]))
        elif step["type"] not in ("ByteFallback", "Fuse"):
            raise LoadError(f"{file}: decoder {step}: want ByteLevel, or Replace (of a string), ByteFallback, Fuse")
    if not steps:
        raise LoadError(f"{file}: no decoder: want ByteLevel, or Replace (of a string), ByteFallback, Fuse")
    falls_back = "ByteFallback" in kinds

    def rule(piece: str) -> bytes:
        for old, new in replacements:
            piece = piece.replace(old, new)
        byte = _BYTE_TOKEN.fullmatch(piece) if falls_back else None
        return bytes([int(byte[1], 16)]) if byte else piece.encode("utf-8")

    return rule


def _steps(decoder: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    if decoder is None:
        return ()
    return decoder["decoders"] if decoder["type"] == "Sequence" else (decoder,)


def byte_alphabet() -> dict[str, int]:
    """The byte behind each of the 256 characters of byte-level BPE.

    Bytes that print in Latin-1 stand for themselves, the other 68 get the characters from U+0100 on, in order (GPT-2).
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


_ALPHABET = byte_alphabet()


def _byte_level(piece: str) -> bytes:
    try:
        return bytes(_ALPHABET[character] for character in piece)
    except KeyError:  # an added token with a character outside the alphabet: it is spelled as it is
        return piece.encode("utf-8")
