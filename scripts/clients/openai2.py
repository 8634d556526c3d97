"""Clients that live with openai-python 2.x, unmodified, against a running server: openai2.py BASE_URL MODEL."""

import os

os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "OPENAI_API_KEY": "x"}

import litellm
import openai
from checks import FORM, HOLE, MODEL, NAMED, SAY, TOOL, V1, has_age, is_text, run

sdk = openai.OpenAI(base_url=V1, api_key="x", max_retries=0)


def ask(**fields):
    return sdk.chat.completions.create(model=MODEL, messages=SAY, **{"max_tokens": 12, "seed": 1, **fields})


def streamed(**fields) -> str:
    chunks = ask(stream=True, **fields)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def stream_with_drafts() -> bool:
    return streamed(extra_body={"diffusion": {"draft": "tokens"}}) == ask().choices[0].message.content


def refuses() -> bool:
    try:
        ask(max_tokens=-1)
    except openai.BadRequestError:
        return True
    return False


def chat_through_litellm(provider: str, **more) -> bool:
    reply = litellm.completion(f"{provider}/{MODEL}", messages=SAY, api_base=V1, api_key="x", max_tokens=12, **more)
    return is_text(reply.choices[0].message.content)


def stream_through_litellm(provider: str) -> bool:
    reply = litellm.completion(
        f"{provider}/{MODEL}", messages=SAY, api_base=V1, api_key="x", max_tokens=12, stream=True
    )
    return is_text("".join(chunk.choices[0].delta.content or "" for chunk in reply))


def fill_through_litellm(provider: str, base: str = V1) -> bool:
    asked = {"model": f"{provider}/{MODEL}", "api_base": base, "api_key": "x", **HOLE}
    chunks = litellm.text_completion(stream=True, **asked)
    return is_text(litellm.text_completion(**asked).choices[0].text) and bool(
        "".join(chunk.choices[0].text or "" for chunk in chunks)
    )


CHECKS = {
    f"openai-python {openai.__version__} chat": lambda: ask().choices[0].message.content == streamed(),
    "openai-python 2.x stream with drafts": stream_with_drafts,
    "openai-python 2.x schema": lambda: has_age(ask(response_format=FORM, max_tokens=60).choices[0].message.content),
    "openai-python 2.x named tool": lambda: has_age(
        ask(tools=[TOOL], tool_choice=NAMED, max_tokens=60).choices[0].message.tool_calls[0].function.arguments
    ),
    "openai-python 2.x completions, suffix": lambda: is_text(
        sdk.completions.create(model=MODEL, **HOLE).choices[0].text
    ),
    "openai-python 2.x error": refuses,
    "litellm openai/": lambda: chat_through_litellm("openai"),
    "litellm openai/, schema": lambda: chat_through_litellm("openai", response_format=FORM),
    "litellm openai/, stream": lambda: stream_through_litellm("openai"),
    "litellm hosted_vllm/": lambda: chat_through_litellm("hosted_vllm"),
    "litellm inception/": lambda: chat_through_litellm("inception"),
    "litellm text-completion-openai/, stream": lambda: fill_through_litellm("text-completion-openai"),
    "litellm text-completion-inception/, stream": lambda: fill_through_litellm("text-completion-inception"),
    "litellm text-completion-codestral/, stream": lambda: fill_through_litellm(
        "text-completion-codestral", f"{V1}/fim/completions"
    ),
}
raise SystemExit(run(CHECKS))
