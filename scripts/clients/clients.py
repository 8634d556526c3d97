"""Python clients, unmodified, against a running server: clients.py BASE_URL MODEL. One line each; 1 where one fails."""

import asyncio
import json
import sys
from collections.abc import Callable

BASE, MODEL = sys.argv[1:]
V1 = f"{BASE}/v1"
SAY = [{"role": "user", "content": "hi"}]
SCHEMA = {"title": "person", "type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
failed = []


def check(name: str, run: Callable[[], bool]) -> None:
    try:
        result = "passes" if run() else "fails: another result"
    except ImportError as error:
        result = f"not run: {error}"
    except Exception as error:
        result = f"fails: {type(error).__name__} {str(error)[:200]}"
    if result.startswith("fails"):
        failed.append(name)
    print(f"{name:44}{result}", flush=True)


def inception():
    from inceptionai import Inception

    return Inception(api_key="x", base_url=BASE)


def diffusing() -> bool:
    """Each delta replaces the one before, so the last is the whole reply."""
    create = inception().chat.completions.create
    chunks = list(create(model=MODEL, messages=SAY, max_tokens=12, temperature=0.5, stream=True, diffusing=True))
    return isinstance([chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content][-1], str)


def langchain():
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model=MODEL, base_url=V1, api_key="x", max_tokens=40)


def langchain_text() -> bool:
    from langchain_openai import OpenAI

    return isinstance(OpenAI(model=MODEL, base_url=V1, api_key="x", max_tokens=8).invoke("hi"), str)


def instructed() -> bool:
    import instructor
    import openai
    from pydantic import BaseModel

    class Person(BaseModel):
        age: int

    client = instructor.from_openai(openai.OpenAI(base_url=V1, api_key="x"))
    reply = client.chat.completions.create(model=MODEL, messages=SAY, response_model=Person, max_tokens=60)
    return isinstance(reply.age, int)


def pydantic_ai() -> bool:
    from pydantic import BaseModel
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    class Person(BaseModel):
        age: int

    model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=V1, api_key="x"))
    agent = Agent(model, output_type=Person, model_settings={"max_tokens": 60})
    return isinstance(asyncio.run(agent.run("hi")).output.age, int)


def litellm(model: str) -> bool:
    import litellm as client

    reply = client.completion(f"{model}/{MODEL}", messages=SAY, api_base=V1, api_key="x", max_tokens=12)
    return isinstance(reply.choices[0].message.content, str)


EDIT = [{"role": "user", "content": "<|code_to_edit|>\nx = 1\n<|/code_to_edit|>"}]
ASK = {"a": {"type": "choice", "instructions": "Which?", "criteria": {"x": None, "y": "the other"}}}
HOLE = {"prompt": "def f(x):\n    y = ", "suffix": "\n    return y\n", "max_tokens": 8}

check("inceptionai chat", lambda: bool(inception().chat.completions.create(model=MODEL, messages=SAY, max_tokens=12)))
check("inceptionai stream, diffusing", diffusing)
check(
    "inceptionai fim", lambda: isinstance(inception().fim.completions.create(model=MODEL, **HOLE).choices[0].text, str)
)
check(
    "inceptionai edit", lambda: bool(inception().edit.completions.create(model=MODEL, messages=EDIT).choices[0].message)
)
check("inceptionai decisions", lambda: inception().decisions.create(model=MODEL, state="x", questions=ASK).answers["a"].choice in ("x", "y"))  # fmt: skip  # noqa: E501
check("LangChain chat", lambda: isinstance(langchain().invoke("hi").content, str))
check("LangChain stream", lambda: isinstance("".join(part.content for part in langchain().stream("hi")), str))
check("LangChain structured output", lambda: isinstance(langchain().with_structured_output(SCHEMA, method="json_schema").invoke("x")["age"], int))  # fmt: skip  # noqa: E501
check("LangChain named tool", lambda: langchain().bind_tools([TOOL], tool_choice="f").invoke("x").tool_calls[0]["name"] == "f")  # fmt: skip  # noqa: E501
check("LangChain completions", langchain_text)
check("instructor", instructed)
check("pydantic-ai", pydantic_ai)
check("litellm openai/", lambda: litellm("openai"))
check("litellm hosted_vllm/", lambda: litellm("hosted_vllm"))
print(json.dumps({"failed": failed}))
raise SystemExit(bool(failed))
