r"""redraft as a model of lm-eval, by the name "redraft" once this module is imported. Needs `pip install lm-eval`.

    python -m redraft.evaluation.lm_eval_model run --model redraft --model_args model=redraft-mini \
        --device cpu --batch_size 8 --tasks TASKS

Without --device the harness asks for cuda:0, without --batch_size for requests one by one.
From Python: `lm_eval.simple_evaluate(model=RedraftLM("redraft-mini"), tasks=[...])`.
"""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from typing import Any

from lm_eval.api.model import LM  # pyright: ignore[reportMissingImports]
from lm_eval.api.registry import register_model  # pyright: ignore[reportMissingImports]
from tqdm import tqdm

import redraft
from redraft.config import EngineConfig, SamplingParams
from redraft.errors import InvalidRequest
from redraft.evaluation.run import NUM_ASKED

_LENGTHS = (
    "max_gen_toks",
    "max_new_tokens",
    "max_tokens",
    "max_completion_tokens",
)  # the harness's names for one thing


class ChatPrompt(str):
    """Chat messages as JSON: a context that goes through the checkpoint's chat template."""


@register_model("redraft")
class RedraftLM(LM):
    """An engine behind lm-eval's interface, for tasks that generate (`output_type: generate_until`).

    Further arguments are fields of `EngineConfig`, the adapter, or fields of `SamplingParams`, such as dtype, seed or
    max_denoising_steps; a task's own generation arguments win over them. An unknown name raises InvalidRequest.
    """

    def __init__(self, model: str = "redraft-mini", batch_size: int | str = 8, **options: Any):
        super().__init__()
        known = {field.name for field in fields(EngineConfig)} | {"adapter"}
        loading = {name: value for name, value in options.items() if name in known}
        self.params = SamplingParams.from_dict({name: options[name] for name in options if name not in known})
        self.engine = redraft.load(model, max_batch=int(batch_size), **loading)

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """The reply to each request's context, cut at its `until` strings, which are no part of it."""
        asked = [(request.args[0], request_params(self.params, request.args[1])) for request in requests]
        with ThreadPoolExecutor(NUM_ASKED) as threads:
            texts = threads.map(lambda item: self._reply(*item), asked)
            replies = list(tqdm(texts, total=len(asked), disable=disable_tqdm))
        for request, text in zip(requests, replies, strict=True):
            self.cache_hook.add_partial("generate_until", request.args, text)
        return replies

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> Any:
        """Refused."""
        raise InvalidRequest(
            "loglikelihood: a canvas is denoised in parallel, so its text has no probability token by token; "
            "want tasks with output_type generate_until"
        )

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> Any:
        """Refused."""
        raise InvalidRequest(
            "loglikelihood_rolling: a diffusion model gives no exact perplexity; "
            "want tasks with output_type generate_until, or redraft eval for the denoising cross-entropy"
        )

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> ChatPrompt:
        """The messages, to be put through the checkpoint's template when they are asked."""
        if not add_generation_prompt:
            raise InvalidRequest("add_generation_prompt=False: a reply cannot be begun for the model, want True")
        return ChatPrompt(json.dumps(chat_history))

    def chat_template(self, chat_template: bool | str = False) -> str:
        """The checkpoint's template, which the harness records."""
        if isinstance(chat_template, str):
            raise InvalidRequest(f"chat_template={chat_template!r}: want the checkpoint's only one, by no name")
        path = self.engine.path / "chat_template.jinja"
        return path.read_text(encoding="utf-8") if chat_template and path.is_file() else ""

    @property
    def tokenizer_name(self) -> str:
        """What the harness keys its cache of prompts with."""
        return self.engine.name

    def _reply(self, context: str, params: SamplingParams) -> str:
        if isinstance(context, ChatPrompt):
            return self.engine.chat(json.loads(context), params).text
        return self.engine.generate(context, params).text


def request_params(params: SamplingParams, gen_kwargs: Mapping[str, Any]) -> SamplingParams:
    """Params of one request: the harness decodes greedily unless a task samples; here that is temperature 0."""
    given = dict(gen_kwargs)
    until = given.pop("until", None)
    changes: dict[str, Any] = {"stop": (until,) if isinstance(until, str) else tuple(until or ())}
    lengths = [value for name in _LENGTHS if (value := given.pop(name, None)) is not None]
    if lengths:
        changes["max_tokens"] = lengths[0]
    temperature = given.pop("temperature", None)
    is_greedy = not given.pop("do_sample", temperature)
    changes["temperature"] = 0.0 if is_greedy else temperature
    changes |= {name: given.pop(name) for name in ("top_p", "top_k") if name in given}
    if given:
        raise InvalidRequest(
            f"generation argument {next(iter(given))!r}: want until, {', '.join(_LENGTHS)}, do_sample, temperature, "
            "top_p or top_k"
        )
    return replace(params, **changes)


def main() -> None:
    """lm-eval's own command line, with this model registered."""
    from lm_eval.__main__ import cli_evaluate  # pyright: ignore[reportMissingImports]

    cli_evaluate()


if __name__ == "__main__":
    main()
