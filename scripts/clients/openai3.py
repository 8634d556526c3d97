"""Clients that live with openai-python 3.x, unmodified, against a running server: openai3.py BASE_URL MODEL."""

import asyncio

from checks import BASE, FORM, HOLE, MODEL, SAY, SCHEMA, TOOL, V1, has_age, is_text, run
from inceptionai import Inception
from langchain_openai import ChatOpenAI, OpenAI
from pydantic import BaseModel
from typesafe_sdk import Choice, TypeSafeClient

EDIT = [{"role": "user", "content": "<|code_to_edit|>\nx = 1\n<|/code_to_edit|>"}]
ASK = {"a": {"type": "choice", "instructions": "Which?", "criteria": {"x": None, "y": "the other"}}}
inception = Inception(api_key="x", base_url=BASE)
langchain = ChatOpenAI(model=MODEL, base_url=V1, api_key="x", max_tokens=40)


class Person(BaseModel):
    age: int


def inception_text(**more) -> list[str]:
    """The deltas of a stream that say something."""
    create = inception.chat.completions.create
    chunks = create(model=MODEL, messages=SAY, max_tokens=12, temperature=0.5, stream=True, **more)
    return [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]


def instructor() -> bool:
    import instructor as client
    import openai

    wrapped = client.from_openai(openai.OpenAI(base_url=V1, api_key="x"))
    reply = wrapped.chat.completions.create(model=MODEL, messages=SAY, response_model=Person, max_tokens=60)
    return isinstance(reply.age, int)


def pydantic_ai() -> bool:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=V1, api_key="x"))
    agent = Agent(model, output_type=Person, model_settings={"max_tokens": 60})
    return isinstance(asyncio.run(agent.run("hi")).output.age, int)


def typesafe() -> bool:
    client = TypeSafeClient(api_key="x", model=MODEL, base_url=BASE)
    question = Choice(instructions="Which?", criteria={"x": None, "y": "the other"})
    return client.system_one(state="x", questions={"a": question}).answers["a"].choice in ("x", "y")


def inception_chat() -> bool:
    return is_text(
        inception.chat.completions.create(model=MODEL, messages=SAY, max_tokens=12).choices[0].message.content
    )


CHECKS = {
    "inceptionai chat": inception_chat,
    "inceptionai stream": lambda: is_text("".join(inception_text())),
    "inceptionai stream, diffusing": lambda: is_text(inception_text(diffusing=True)[-1]),
    "inceptionai fim": lambda: is_text(inception.fim.completions.create(model=MODEL, **HOLE).choices[0].text),
    "inceptionai edit": lambda: is_text(
        inception.edit.completions.create(model=MODEL, messages=EDIT).choices[0].message.content
    ),
    "inceptionai decisions": lambda: (
        inception.decisions.create(model=MODEL, state="x", questions=ASK).answers["a"].choice in ("x", "y")
    ),
    "inceptionai models": lambda: MODEL in [model.id for model in inception.models.list().data],
    "typesafe-sdk system_one": typesafe,
    "LangChain chat": lambda: is_text(langchain.invoke("hi").content),
    "LangChain stream": lambda: is_text("".join(part.content for part in langchain.stream("hi"))),
    "LangChain structured output": lambda: isinstance(
        langchain.with_structured_output(SCHEMA, method="json_schema").invoke("x")["age"], int
    ),
    "LangChain response_format": lambda: has_age(langchain.bind(response_format=FORM).invoke("x").content),
    "LangChain named tool": lambda: (
        langchain.bind_tools([TOOL], tool_choice="f").invoke("x").tool_calls[0]["name"] == "f"
    ),
    "LangChain completions": lambda: is_text(OpenAI(model=MODEL, base_url=V1, api_key="x", max_tokens=8).invoke("hi")),
    "instructor named tool": instructor,
    "pydantic-ai required tool": pydantic_ai,
}
raise SystemExit(run(CHECKS))
