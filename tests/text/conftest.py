"""Two tiny tokenizers in the published layout: byte-level BPE, and Gemma's way (U+2581 for a space, byte fallback)."""

import json
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CONTROL = [
    "<pad>", "<eos>", "<bos>", "<unk>", "<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>", "<|tool>",
    "<tool|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>", '<|"|>', "<|suffix|>",
]  # fmt: skip
SAMPLE = [
    "def add(first, second):\n    return first + second\n",
    'call:get_weather{city:"Zürich",days:3} thought answer',
] * 4


def _write(directory: Path, tokenizer: Tokenizer, flagged: list[str]) -> Path:
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in flagged])
    tokenizer.save(str(directory / "tokenizer.json"))
    config = {"bos_token": "<bos>", "eos_token": {"content": "<eos>"}, "stc_token": "<|tool_call>"}
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    return directory


@pytest.fixture(scope="session")
def byte_level_directory(tmp_path_factory) -> Path:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=CONTROL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SAMPLE, trainer)
    return _write(tmp_path_factory.mktemp("byte_level"), tokenizer, CONTROL)


@pytest.fixture(scope="session")
def sentencepiece_directory(tmp_path_factory) -> Path:
    """Control tokens by name only for <|tool_call>; "<b>" is an added token that is ordinary text."""
    pieces = [
        *CONTROL,
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *"▁abcdeflnortuw<>|_{}:\n",
        "▁▁",
        "re",
        "▁re",
        "turn",
    ]
    merges = [("▁", "▁"), ("r", "e"), ("▁", "re"), ("t", "u"), ("r", "n"), ("tu", "rn")]
    pieces += ["tu", "rn"]
    model = models.BPE(
        {piece: i for i, piece in enumerate(pieces)}, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_tokens([AddedToken("<b>", special=False, normalized=False)])
    return _write(
        tmp_path_factory.mktemp("sentencepiece"), tokenizer, [name for name in CONTROL if name != "<|tool_call>"]
    )
