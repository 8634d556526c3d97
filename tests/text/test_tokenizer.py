"""Text to ids and back, control tokens, the byte table."""

import json
import shutil
from importlib.resources import files
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from redraft.errors import InvalidRequest, LoadError
from redraft.text.tokenizer import Tokenizer

SUDOKU = Path(str(files("redraft"))) / "models" / "redraft-sudoku"


@pytest.fixture(scope="session", params=["byte_level_directory", "sentencepiece_directory"])
def tokenizer(request) -> Tokenizer:
    return Tokenizer.from_directory(request.getfixturevalue(request.param))


@pytest.fixture(scope="session")
def byte_level(byte_level_directory) -> Tokenizer:
    return Tokenizer.from_directory(byte_level_directory)


@pytest.fixture(scope="session")
def sentencepiece(sentencepiece_directory) -> Tokenizer:
    return Tokenizer.from_directory(sentencepiece_directory)


@pytest.fixture(scope="session")
def sudoku() -> Tokenizer:
    return Tokenizer.from_directory(SUDOKU)


@settings(max_examples=50, deadline=None)
@given(text=st.text())
def test_any_text_comes_back(tokenizer, text):
    if "▁" not in text:
        assert tokenizer.decode(tokenizer.encode_plain(text)) == text


@settings(max_examples=50, deadline=None)
@given(ids=st.lists(st.integers(0, 280), max_size=12))
def test_decode_says_what_the_tokenizers_library_says(tokenizer, byte_level_directory, sentencepiece_directory, ids):
    directory = byte_level_directory if tokenizer.token_id("Ġ") else sentencepiece_directory
    library = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    ours = tokenizer.decode([i for i in ids if i not in tokenizer.special_ids])
    if "\ufffd" not in ours:
        assert ours == library.decode([i for i in ids if i not in tokenizer.special_ids], skip_special_tokens=False)


def test_the_byte_table_holds_every_single_byte(tokenizer):
    assert {bytes([byte]) for byte in range(256)} <= set(tokenizer.token_bytes)


def test_the_byte_table_is_none_at_control_tokens_and_only_there(tokenizer):
    assert len(tokenizer.token_bytes) == tokenizer.vocab_size
    assert {i for i, piece in enumerate(tokenizer.token_bytes) if piece is None} == tokenizer.special_ids


def test_a_space_is_a_space_in_both_spellings(tokenizer):
    assert tokenizer.decode(tokenizer.encode("  return re")) == "  return re"


def test_a_prompt_gets_bos_and_plain_encoding_does_not(tokenizer):
    assert tokenizer.encode_prompt("return") == [2, *tokenizer.encode("return")]
    assert tokenizer.encode_plain("return") == tokenizer.encode("return")


def test_control_tokens_count_in_a_prompt_and_are_spelled_out_in_plain_text(tokenizer):
    text = "a<turn|>\n<|turn>a"
    assert {tokenizer.token_id("<turn|>"), tokenizer.token_id("<|turn>")} <= set(tokenizer.encode_prompt(text))
    plain = tokenizer.encode_plain(text)
    assert tokenizer.special_ids.isdisjoint(plain)
    assert tokenizer.decode(plain) == text


def test_control_tokens_have_no_text(tokenizer):
    assert tokenizer.decode(tokenizer.encode_prompt("a<turn|>b")) == "ab"


def test_a_token_that_only_the_config_names_is_a_control_token(sentencepiece):
    marker = sentencepiece.token_id("<|tool_call>")
    assert marker in sentencepiece.special_ids
    assert sentencepiece.encode("a<|tool_call>b")[1] == marker
    assert marker not in sentencepiece.encode_plain("a<|tool_call>b")


def test_a_marker_of_replies_is_a_control_token_whatever_the_files_say(tmp_path, byte_level_directory):
    layout = json.loads((byte_level_directory / "tokenizer.json").read_text())
    for token in layout["added_tokens"]:
        token["special"] = False
    (tmp_path / "tokenizer.json").write_text(json.dumps(layout))
    tokenizer = Tokenizer.from_directory(tmp_path)
    assert tokenizer.control_tokens.keys() == {"<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", '<|"|>'}


def test_an_added_token_that_is_not_special_keeps_its_text(sentencepiece):
    tag = sentencepiece.token_id("<b>")
    assert sentencepiece.encode_plain("a<b>")[-1] == tag
    assert sentencepiece.token_bytes[tag] == b"<b>"


def test_the_suffix_marker_is_known_by_name(byte_level, sudoku):
    assert byte_level.suffix_marker_id == byte_level.token_id("<|suffix|>")
    assert sudoku.suffix_marker_id is None


def test_broken_utf8_becomes_the_replacement_character(byte_level):
    first, second = byte_level.token_bytes.index(b"\xc3"), byte_level.token_bytes.index(b"\xbc")
    assert byte_level.decode([first, second]) == "ü"
    assert byte_level.decode([first]) == "\ufffd"


def test_an_id_outside_the_vocabulary_is_refused_by_number(sudoku):
    with pytest.raises(InvalidRequest, match=r"token id 16: want 0 to 15"):
        sudoku.decode([16])


def test_a_character_without_a_token_is_refused_by_name(sudoku):
    with pytest.raises(InvalidRequest, match="'x' at character 2"):
        sudoku.encode_prompt("12x4")


def test_the_unknown_token_may_be_written_out_in_a_prompt(sudoku):
    assert sudoku.encode("1<unk>") == [5, 14]
    with pytest.raises(InvalidRequest):
        sudoku.encode_plain("1<unk>")


def test_a_lone_surrogate_is_refused(byte_level):
    with pytest.raises(InvalidRequest, match="surrogate"):
        byte_level.encode("a\ud800")


def test_a_larger_model_pads_the_byte_table(byte_level_directory):
    tokenizer = Tokenizer.from_directory(byte_level_directory, vocab_size=512)
    assert len(tokenizer.token_bytes) == 512
    assert tokenizer.decode([511]) == ""


def test_a_smaller_model_is_refused(byte_level_directory):
    with pytest.raises(LoadError, match="the model has 100"):
        Tokenizer.from_directory(byte_level_directory, vocab_size=100)


def test_truncation_and_padding_of_the_file_are_switched_off(tmp_path, byte_level_directory):
    shutil.copytree(byte_level_directory, tmp_path, dirs_exist_ok=True)
    library = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    library.enable_truncation(4)
    library.enable_padding(length=64)
    library.save(str(tmp_path / "tokenizer.json"))
    text = "return first + second"
    assert Tokenizer.from_directory(tmp_path).encode(text) == Tokenizer.from_directory(byte_level_directory).encode(
        text
    )


@pytest.mark.parametrize("decoder", [None, {"type": "WordPiece", "prefix": "##", "cleanup": True}])
def test_a_decoder_that_is_no_sum_of_tokens_is_refused(tmp_path, decoder):
    layout = json.loads((SUDOKU / "tokenizer.json").read_text())
    layout["decoder"] = decoder
    (tmp_path / "tokenizer.json").write_text(json.dumps(layout))
    with pytest.raises(LoadError, match="decoder"):
        Tokenizer.from_directory(tmp_path)


@pytest.mark.parametrize("content", [None, "{", '{"model": 1}'])
def test_a_missing_or_damaged_file_is_a_load_error(tmp_path, content):
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(LoadError, match=r"tokenizer\.json"):
        Tokenizer.from_directory(tmp_path)
