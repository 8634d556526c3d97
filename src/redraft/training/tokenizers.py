"""The tokenizers of the shipped models, made from nothing but this file (and a corpus for redraft-mini)."""

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

# Ids are positions in this list. "." is a blank cell.
SUDOKU_TOKENS = ("<pad>", "<eos>", "<bos>", "<|turn>", ".", *"123456789", "<unk>", "<|unused>")


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
