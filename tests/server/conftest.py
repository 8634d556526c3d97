"""A tiny chat model (random weights around redraft-mini's tokenizer) behind the application."""

import json
import shutil
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

import redraft
from redraft.checkpoint.save import save_model
from redraft.config import GenerationDefaults
from redraft.model.transformer import random_model

MINI = Path(redraft.__file__).parent / "models" / "redraft-mini"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
BASE = "http://127.0.0.1"


@pytest.fixture(scope="session")
def chat_directory(tmp_path_factory, make_config) -> Path:
    directory = tmp_path_factory.mktemp("chat")
    config = make_config(vocab_size=4096, canvas_length=32, max_position_embeddings=2048, eos_token_ids=(1, 6))
    save_model(
        random_model(config, seed=1),
        directory,
        generation=GenerationDefaults(max_tokens=32, max_denoising_steps=6),
    )
    for name in TOKENIZER_FILES:
        shutil.copy(MINI / name, directory)
    return directory


@pytest.fixture(scope="session")
def chat_engine(chat_directory):
    with redraft.load(str(chat_directory), device="cpu", dtype="float32", max_batch=4) as engine:
        yield engine


@pytest.fixture(scope="session")
def make_client(chat_engine):
    """make_client(**settings) -> a client of an application over the tiny model; the engine stays open."""
    from starlette.testclient import TestClient

    from redraft.server.app import make_app
    from redraft.server.service import Service
    from redraft.server.settings import Settings

    def make(**settings):
        return TestClient(make_app(Service({"tiny": chat_engine}, Settings(**settings))), base_url=BASE)

    return make


@pytest.fixture(scope="session")
def client(make_client):
    return make_client()


@pytest.fixture(scope="session")
def chat(client):
    """chat(**fields) -> the response to a chat request for "hi"."""

    def post(**fields):
        body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 12, "seed": 1, **fields}
        return client.post("/v1/chat/completions", json=body)

    return post


@pytest.fixture(scope="session")
def events():
    """events(response) -> the data of its server-sent events, parsed, without the end mark."""

    def parse(response):
        blocks = [block for block in response.text.split("\n\n") if block.startswith("data: ")]
        assert blocks[-1] == "data: [DONE]", blocks[-1]
        return [json.loads(block.removeprefix("data: ")) for block in blocks[:-1]]

    return parse


@pytest.fixture(scope="session")
def run_server():
    """run_server(engines, **settings) -> a context manager: a real server on a free port, with its `url`."""
    from redraft.server.run import listen, make_server
    from redraft.server.settings import Settings

    @contextmanager
    def run(engines, **values):
        settings = Settings(port=0, **values)
        listener = listen(settings)
        server = make_server(engines, settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        host, port = listener.getsockname()

        def stop():
            server.should_exit = True

        connections = server.server_state.connections
        yield SimpleNamespace(url=f"{BASE}:{port}", address=(host, port), connections=connections, stop=stop)
        stop()
        thread.join(10)

    return run


@pytest.fixture(scope="session")
def served(chat_engine, run_server):
    """The URL of a real server over the tiny model."""
    with run_server({"tiny": chat_engine}) as server:
        yield server.url
