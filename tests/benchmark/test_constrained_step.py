from redraft.benchmark.constrained_step import byte_vocabulary, measure
from redraft.constraints.spec import Regex


def test_a_made_up_vocabulary_has_every_byte_and_no_text_twice():
    vocabulary = byte_vocabulary(1500)
    texts = [text for text in vocabulary.token_bytes if text is not None]
    assert vocabulary.size == 1500
    assert len(set(texts)) == len(texts) == 1499
    assert {bytes([i]) for i in range(256)} <= set(texts)
    assert vocabulary == byte_vocabulary(1500)


def test_both_makers_and_every_stage_take_time(make_config):
    shape = make_config(vocab_size=600, canvas_length=16)
    figures = measure(shape, {"date": Regex(r"\d{4}-\d{2}-\d{2}")}, repeats=1, in_stages=True)
    date = figures["constraints"]["date"]
    assert figures["stack_and_head_ms"] > 0
    assert date["maker_ms"] > 0 and date["step_ratio"] > 0
    assert set(date["stages_ms"]) >= {"class statistics", "recursions", "conditioning", "soft embedding"}
