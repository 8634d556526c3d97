"""Fine-tuning data: lines of chats, or of prompts and completions, as prompts and answers; only answers are learned.

{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}], "tools": [...]}
{"prompt": "...", "completion": "..."}
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from redraft.checkpoint.config import read_config, read_generation_defaults
from redraft.config import ModelConfig
from redraft.errors import InvalidRequest, LoadError
from redraft.text.chat import ChatTemplate
from redraft.text.tokenizer import Tokenizer
from redraft.training.data import Group


class Example(NamedTuple):
    """Ids as they are served: the prompt, and the answer with the id that ends it."""

    prompt: list[int]
    answer: list[int]


@dataclass(frozen=True)
class ExampleReader:
    """Turns lines into examples with a checkpoint's tokenizer and chat template."""

    tokenizer: Tokenizer
    template: ChatTemplate
    config: ModelConfig
    stop_ids: tuple[int, ...]  # the first fills a canvas after the answer

    @classmethod
    def from_directory(cls, path: Path) -> "ExampleReader":
        """The reader of a checkpoint directory."""
        config = read_config(path)
        tokenizer = Tokenizer.from_directory(path, config.vocab_size)
        stop_ids = read_generation_defaults(path).eos_token_ids or config.eos_token_ids
        return cls(tokenizer, ChatTemplate.from_directory(path, tokenizer), config, stop_ids)

    def file(self, path: str | Path) -> list[Example]:
        """The examples of a JSONL file; blank lines count for nothing. LoadError names the line that is wrong."""
        examples: list[Example] = []
        try:
            lines = Path(path).read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeError) as error:
            raise LoadError(f"{path} cannot be read: {error}") from error
        for number, line in enumerate(lines, 1):
            try:
                examples.extend(self.line(line))
            except InvalidRequest as error:
                raise LoadError(f"{path}, line {number}: {error}") from error
        if not examples:
            raise LoadError(f"{path} has no lines: want one example per line")
        return examples

    def line(self, text: str) -> Iterator[Example]:
        """The examples of one line: one per answer of an assistant, or the one completion."""
        if not text.strip():
            return
        try:
            value = json.loads(text)
        except ValueError as error:
            raise InvalidRequest(f"no JSON ({error})") from error
        keys = set(value) if isinstance(value, dict) else set()
        if keys == {"prompt", "completion"}:
            examples = [self._completion(value["prompt"], value["completion"])]
        elif {"messages"} <= keys <= {"messages", "tools"}:
            examples = list(self._answers(value))
        else:
            raise InvalidRequest(f"{text[:80]!r}: want the keys prompt and completion, or messages and perhaps tools")
        for example in examples:
            self._check(example)
            yield example

    def _completion(self, prompt: Any, completion: Any) -> Example:
        for name, value in (("prompt", prompt), ("completion", completion)):
            if not isinstance(value, str):
                raise InvalidRequest(f"{name}={value!r}: want text")
        if not completion:
            raise InvalidRequest("completion='': want text")
        return Example(self.tokenizer.encode_prompt(prompt), self._ended(self.tokenizer.encode(completion)))

    def _answers(self, value: Mapping[str, Any]) -> Iterator[Example]:
        messages = value["messages"]
        if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
            raise InvalidRequest("messages: want a list of objects with role and content")
        ends = [i for i, m in enumerate(messages) if m.get("role") == "assistant" and m.get("weight", 1) != 0]
        if not ends:
            raise InvalidRequest("messages: want at least one of an assistant (with a weight other than 0)")
        for end in ends:
            prompt, answer = self.template.encode_answer(messages[: end + 1], value.get("tools"))
            yield Example(prompt, self._ended(answer))

    def _ended(self, answer: list[int]) -> list[int]:
        """The answer to its first stop id, which is put after it where it has none."""
        end = next((i for i, token in enumerate(answer) if token in self.stop_ids), None)
        return [*answer, self.stop_ids[0]] if end is None else answer[: end + 1]

    def _check(self, example: Example) -> None:
        C = self.config.canvas_length
        needed = len(example.prompt) + -(-len(example.answer) // C) * C
        if not example.prompt:
            raise InvalidRequest("the prompt has no tokens: want at least one")
        if needed > self.config.max_position_embeddings:
            raise InvalidRequest(
                f"prompt of {len(example.prompt)} tokens and answer of {len(example.answer)} (canvases of {C}) take "
                f"{needed} tokens of context: want at most {self.config.max_position_embeddings}"
            )


@dataclass(frozen=True)
class ExampleSource:
    """Batches of examples, in a new order each time through; of an answer of several canvases one is drawn.

    What is before the drawn canvas belongs to the prompt. Prompts are not padded: a group holds equally long ones.
    """

    examples: tuple[Example, ...]
    canvas_length: int
    fill_id: int
    seed: int = 0

    def batch(self, index: int, size: int) -> tuple[Group, ...]:
        """Batch `index`: the examples from number `index * size` on, one group per length of prompt."""
        draws = np.random.default_rng((self.seed, 1, index)).random(size)
        rows: dict[int, list[tuple[list[int], list[int]]]] = {}
        for example, draw in zip(self._examples(index * size, size), draws, strict=True):
            prompt, canvas = self._row(example, draw)
            rows.setdefault(len(prompt), []).append((prompt, canvas))
        groups = (zip(*rows[length], strict=True) for length in sorted(rows))
        return tuple(Group(torch.tensor(prompts), torch.tensor(canvases)) for prompts, canvases in groups)

    def describe(self) -> dict[str, Any]:
        digest = hashlib.sha256(json.dumps(self.examples).encode()).hexdigest()
        return {"kind": "examples", "examples": len(self.examples), "sha256": digest, "seed": self.seed}

    def _examples(self, first: int, count: int) -> Iterator[Example]:
        """`count` examples from number `first` on, counted through all passes over the data."""
        N = len(self.examples)
        for epoch in range(first // N, (first + count - 1) // N + 1):
            order = np.random.default_rng((self.seed, 0, epoch)).permutation(N)
            places = range(max(first - epoch * N, 0), min(first + count - epoch * N, N))
            yield from (self.examples[order[place]] for place in places)

    def _row(self, example: Example, draw: float) -> tuple[list[int], list[int]]:
        prompt, answer = example
        C = self.canvas_length
        start = C * int(draw * -(-len(answer) // C))
        canvas = answer[start : start + C]
        return prompt + answer[:start], canvas + [self.fill_id] * (C - len(canvas))
