"""The page about constraints under transformers' generate: its code, run as printed, gives valid replies."""

import json
import re
from pathlib import Path

import pytest
import torch

import redraft

PAGE = Path(__file__).parents[2] / "docs" / "with-transformers.md"
TOKENIZER = Path(redraft.__file__).parent / "models" / "redraft-mini"


@pytest.fixture(scope="module")
def model():
    from transformers import (
        DiffusionGemmaConfig,
        DiffusionGemmaForBlockDiffusion,
        DiffusionGemmaTextConfig,
        Gemma4VisionConfig,
    )

    text = DiffusionGemmaTextConfig(
        vocab_size=4096,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        global_head_dim=16,
        num_global_key_value_heads=1,
        sliding_window=64,
        layer_types=["sliding_attention", "full_attention"],
        num_experts=4,
        top_k_experts=2,
        moe_intermediate_size=16,
        max_position_embeddings=512,
        use_bidirectional_attention="vision",
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
    )
    vision = Gemma4VisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
    )
    ids = {"boi_token_id": 90, "eoi_token_id": 91, "image_token_id": 92}
    torch.manual_seed(0)
    model = DiffusionGemmaForBlockDiffusion(
        DiffusionGemmaConfig(text_config=text, vision_config=vision, canvas_length=16, **ids)
    )
    return model.eval().float()


def test_code_of_the_page_gives_valid_replies_on_random_weights(model):
    names = {"model": model, "directory": TOKENIZER}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, PAGE.name, "exec"), names)
    prompt = torch.tensor([[2, 300, 301]])
    for seed in range(4):
        torch.manual_seed(seed)
        for max_new_tokens in (16, 48):
            reply = json.loads(names["constrained"](prompt, max_new_tokens, steps=4))
            assert list(reply) == ["n"]
            assert isinstance(reply["n"], int)
