"""The tokenizers of the shipped models, made from nothing but this file (and a corpus for redraft-mini).

from redraft.training.tokenizers import write_mini
write_mini(Path("src/redraft/models/redraft-mini"), Path("corpus"))
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from redraft.training.corpus import texts
from redraft.training.forms import documents

# Ids are positions in this list. "." is a blank cell.
SUDOKU_TOKENS = ("<pad>", "<eos>", "<bos>", "<|turn>", ".", *"123456789", "<unk>", "<|unused>")
# Ids 0 to 17 of redraft-mini: Gemma's names, then our marker of an infill's far suffix.
MINI_TOKENS = (
    "<pad>",
    "<eos>",
    "<bos>",
    "<unk>",
    "<mask>",
    "<|turn>",
    "<turn|>",
    "<|channel>",
    "<channel|>",
    "<|think|>",
    "<|tool>",
    "<tool|>",
    "<|tool_call>",
    "<tool_call|>",
    "<|tool_response>",
    "<tool_response|>",
    '<|"|>',
    "<|suffix|>",
)
MINI_VOCAB_SIZE = 4096
FORM_SHARE = 0.1  # of the bytes redraft-mini's merges are learnt from
# A digit; line breaks with the indentation after them; a word with the character before it; signs; other white space.
_MINI_PATTERN = r"\p{N}|[\r\n]+[ \t]*|[^\r\n\p{L}\p{N}]?\p{L}+| ?[^\s\p{L}\p{N}]+|[ \t]+(?!\S)|\s+"


def sudoku_tokenizer() -> Tokenizer:
    """One token per cell: digits 1 to 9 and "." for a blank; "0" reads as a blank, whitespace is dropped.

    So a board pasted as nine lines, with spaces or without, gives the same ids as 81 characters in a row.
    Any other character becomes <unk>, which `redraft.text` refuses by name. BOS goes before a prompt, <|turn> after.
    """
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(SUDOKU_TOKENS)}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Replace(Regex(r"\s"), ""), normalizers.Replace("0", ".")])
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <|turn>",
        special_tokens=[(token, SUDOKU_TOKENS.index(token)) for token in ("<bos>", "<|turn>")],
    )
    tokenizer.add_special_tokens(_control_tokens(token for token in SUDOKU_TOKENS if len(token) > 1))
    return tokenizer


def write_sudoku(directory: Path) -> None:
    """Writes tokenizer.json and tokenizer_config.json of redraft-sudoku into `directory`."""
    _write(directory, sudoku_tokenizer(), {"model_max_length": 256})


def mini_tokenizer(corpus: Iterable[str]) -> Tokenizer:
    """Byte-level BPE of exactly 4,096 ids: the control tokens, all 256 bytes, and merges learnt from `corpus`.

    Digits stay single. BOS goes before a prompt. The same texts give the same tokenizer. Raises ValueError where the
    corpus is too small to learn as many merges.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_MINI_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=MINI_VOCAB_SIZE,
        special_tokens=_control_tokens(MINI_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=20,
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    if tokenizer.get_vocab_size() != MINI_VOCAB_SIZE:
        raise ValueError(f"corpus: enough for {tokenizer.get_vocab_size()} ids, want {MINI_VOCAB_SIZE}")
    return tokenizer


def mini_corpus(corpus: Path, seed: int = 0) -> Iterator[str]:
    """The train split of a gathered corpus, then made-up forms until they are FORM_SHARE of all bytes."""
    num_bytes = 0
    for text in texts(corpus):
        num_bytes += len(text.encode())
        yield text
    wanted = num_bytes * FORM_SHARE / (1 - FORM_SHARE)
    for text in documents(seed):
        if wanted <= 0:
            return
        wanted -= len(text)
        yield text


def write_mini(directory: Path, corpus: Path) -> None:
    """Writes tokenizer.json and tokenizer_config.json of redraft-mini into `directory`, from a gathered corpus."""
    named = {
        "mask_token": "<mask>",
        "sot_token": "<|turn>",
        "eot_token": "<turn|>",
        "soc_token": "<|channel>",
        "eoc_token": "<channel|>",
        "think_token": "<|think|>",
        "std_token": "<|tool>",
        "etd_token": "<tool|>",
        "stc_token": "<|tool_call>",
        "etc_token": "<tool_call|>",
        "str_token": "<|tool_response>",
        "etr_token": "<tool_response|>",
        "escape_token": '<|"|>',
        "suffix_token": "<|suffix|>",
    }
    _write(directory, mini_tokenizer(mini_corpus(corpus)), {"model_max_length": 4096, **named})


def _control_tokens(names) -> list[AddedToken]:
    return [AddedToken(name, special=True, normalized=False) for name in names]


def _write(directory: Path, tokenizer: Tokenizer, extra: dict) -> None:
    config = {
        "bos_token": "<bos>",
        "clean_up_tokenization_spaces": False,
        "eos_token": "<eos>",
        "pad_token": "<pad>",
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "<unk>",
    }
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "tokenizer.json").write_text(tokenizer.to_str(pretty=True) + "\n", encoding="utf-8")
    config = json.dumps({**config, **extra}, indent=2, sort_keys=True, ensure_ascii=False)
    (directory / "tokenizer_config.json").write_text(config + "\n", encoding="utf-8")
