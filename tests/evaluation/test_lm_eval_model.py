"""Against the real lm-eval, where it is installed: here, or by scripts/clients/install."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from redraft.config import SamplingParams
from redraft.errors import InvalidRequest
from redraft.evaluation.sudoku import PUZZLES

# The environment of its own that scripts/clients/install makes; what is installed here comes first.
sys.path += map(str, (Path(__file__).parents[2] / "build/clients/ci/lib").glob("python*/site-packages"))
lm_eval = pytest.importorskip("lm_eval", reason="no lm-eval: scripts/clients/install")

from redraft.evaluation.lm_eval_model import RedraftLM, request_params  # noqa: E402


@pytest.fixture(scope="module")
def lm():
    lm = RedraftLM("redraft-sudoku", seed=3)
    yield lm
    lm.engine.close()


def asked(context, **gen_kwargs):
    return SimpleNamespace(args=(context, gen_kwargs))


def test_the_harness_finds_it_by_name():
    from lm_eval.api.registry import get_model

    assert get_model("redraft") is RedraftLM


def test_model_args_reach_engine_and_sampler():
    lm = RedraftLM.create_from_arg_string(
        "model=redraft-sudoku,max_denoising_steps=4,dtype=bfloat16", {"batch_size": "2", "device": "cpu"}
    )
    assert lm.params == SamplingParams(max_denoising_steps=4)
    assert "bfloat16" in lm.engine.label
    lm.engine.close()


def test_an_unknown_model_arg_is_refused():
    with pytest.raises(InvalidRequest, match="pretrained"):
        RedraftLM(pretrained="x")


def test_replies_are_those_of_the_engine(lm):
    replies = lm.generate_until([asked(puzzle, do_sample=False) for puzzle in PUZZLES[:3]], disable_tqdm=True)
    alone = [lm.engine.generate(puzzle, SamplingParams(seed=3, temperature=0)).text for puzzle in PUZZLES[:3]]
    assert replies == alone


def test_a_reply_is_cut_before_its_until_string(lm):
    whole, cut = lm.generate_until([asked(PUZZLES[0]), asked(PUZZLES[0], until=["9", "8"])], disable_tqdm=True)
    assert cut and whole.startswith(cut) and whole[len(cut)] in "89"


def test_greedy_is_temperature_0_and_sampling_is_as_asked():
    base = SamplingParams(seed=1)
    assert request_params(base, {}).temperature == 0
    assert request_params(base, {"do_sample": False, "temperature": 0.7}).temperature == 0
    assert request_params(base, {"temperature": 0.7}).temperature == 0.7
    sampled = request_params(base, {"do_sample": True, "temperature": 0.7, "top_p": 0.9, "max_gen_toks": 8})
    assert sampled == SamplingParams(seed=1, temperature=0.7, top_p=0.9, max_tokens=8)
    assert request_params(base, {"until": "\n\n"}).stop == ("\n\n",)


def test_a_generation_argument_without_effect_is_refused():
    with pytest.raises(InvalidRequest, match="num_beams"):
        request_params(SamplingParams(), {"num_beams": 4})


def test_likelihoods_are_refused_with_the_reason(lm):
    with pytest.raises(InvalidRequest, match="generate_until"):
        lm.loglikelihood([asked("a")])
    with pytest.raises(InvalidRequest, match="perplexity"):
        lm.loglikelihood_rolling([asked("a")])


def test_the_harness_evaluates_a_task_with_it(lm, tmp_path):
    answer = lm.engine.generate(PUZZLES[0], SamplingParams(seed=3, temperature=0)).text
    assert replies_in_harness(lm, PUZZLES[0], tmp_path) == [answer]


def test_chat_messages_go_through_the_checkpoint_template(tmp_path):
    lm = RedraftLM("redraft-mini", seed=1)
    text = 'Lunch with Maria in Oslo.\n{"name": "", "city": ""}'
    answer = lm.engine.chat([{"role": "user", "content": text}], SamplingParams(seed=1, temperature=0)).text
    assert replies_in_harness(lm, text, tmp_path, apply_chat_template=True) == [answer.partition("\n")[0]]
    lm.engine.close()


def replies_in_harness(lm, text, folder, **options):
    """What the harness hears of a task of one question."""
    data = folder / "data.jsonl"
    data.write_text(json.dumps({"question": text}))
    task = {
        "task": "here",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "",
        "generation_kwargs": {"until": ["\n"], "do_sample": False},
        "metric_list": [{"metric": "bypass"}],
    }
    results = lm_eval.simple_evaluate(model=lm, tasks=[task], log_samples=True, **options)
    return results["samples"]["here"][0]["resps"][0]
