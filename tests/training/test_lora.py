"""Adapters: exact zero at first, merged as applied, read by PEFT on transformers with equal logits."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from redraft.checkpoint.adapter import CONFIG_FILE, WEIGHTS_FILE, merge_adapter
from redraft.checkpoint.load import load_model
from redraft.checkpoint.save import save_model
from redraft.errors import InvalidRequest, LoadError
from redraft.training.data import Group
from redraft.training.lora import TARGETS, LoraConfig, attach, num_factors, save
from redraft.training.objective import Objective, training_loss

PARTS = [tuple(TARGETS), ("experts",), ("attention", "self_conditioning"), ("dense",)]
PROMPT, CANVAS = torch.arange(1, 22)[None], torch.arange(30, 42)[None]
FEEDBACK = torch.randn(1, 12, 61, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def base(make_model, tmp_path_factory):
    return save_model(make_model(seed=1), tmp_path_factory.mktemp("base"))


def logits(model):
    cache = model.new_cache()
    with torch.no_grad():
        model.encode(PROMPT, cache, logits=False)
        return model.denoise(CANVAS, cache, FEEDBACK)


def adapted(base, lora, seed=0):
    """A model with factors that are not zero."""
    model = load_model(base)
    attach(model, lora, seed)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.normal_(0, 0.3, generator=generator)
    return model


@pytest.fixture
def written(base, tmp_path):
    """An adapter of everything, as it is on disk."""
    lora = LoraConfig(rank=3, alpha=7.0)
    model = adapted(base, lora)
    return save(model.config, lora, dict(model.named_parameters()), tmp_path / "adapter", "base")


def edit(directory, change):
    tensors = load_file(directory / WEIGHTS_FILE)
    change(tensors)
    save_file(tensors, directory / WEIGHTS_FILE)


@pytest.mark.parametrize("targets", PARTS)
def test_a_fresh_adapter_changes_nothing_and_trains_its_factors_alone(base, targets):
    lora = LoraConfig(rank=3, targets=targets)
    model, plain = (load_model(base, kernels="torch") for _ in range(2))
    attach(model, lora)
    assert torch.equal(logits(model), logits(plain))
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert all(".parametrizations." in name for name in trained)
    assert sum(p.numel() for p in trained.values()) == num_factors(model.config, lora)


def test_every_factor_gets_a_gradient_and_the_base_none(base):
    model = adapted(base, LoraConfig(rank=2))
    objective = Objective(self_conditioning=1.0, autoregressive=1.0)
    training_loss(model, [Group(PROMPT, CANVAS)], objective, torch.Generator().manual_seed(0)).total.backward()
    for name, parameter in model.named_parameters():
        is_factor = name.split(".")[-2] in ("a", "b")
        assert (parameter.grad is not None and parameter.grad.abs().sum() > 0) == is_factor, name


@pytest.mark.parametrize("targets", PARTS)
def test_a_saved_adapter_merges_into_what_was_trained(base, targets, tmp_path):
    lora = LoraConfig(rank=3, alpha=7.0, targets=targets)
    model = adapted(base, lora)
    directory = save(model.config, lora, dict(model.named_parameters()), tmp_path, "base")
    for kernels, tolerance in (("torch", 1e-5), ("auto", 1e-4)):
        merged = load_model(base, kernels=kernels)
        before = logits(merged)
        merge_adapter(merged, directory)
        assert (logits(merged) - logits(model)).abs().max() < tolerance
        assert (logits(merged) - before).abs().max() > 0.1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("targets", PARTS)
def test_peft_applies_an_adapter_to_transformers_with_the_same_logits(base, targets, tmp_path):
    transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    lora = LoraConfig(rank=3, alpha=7.0, targets=targets)
    model = adapted(base, lora)
    directory = save(model.config, lora, dict(model.named_parameters()), tmp_path, str(base))
    theirs = transformers.DiffusionGemmaForBlockDiffusion.from_pretrained(base, dtype=torch.float32).eval()
    wrapped = peft.PeftModel.from_pretrained(theirs, directory).eval()
    assert all(p.abs().sum() > 0 for n, p in wrapped.named_parameters() if ".lora_" in n), "every factor was loaded"
    cache = transformers.DynamicCache(config=theirs.config.get_text_config(decoder=True))
    with torch.no_grad():
        theirs.model.encoder(input_ids=PROMPT, past_key_values=cache)
        found = theirs(past_key_values=cache, decoder_input_ids=CANVAS, self_conditioning_logits=FEEDBACK).logits
    assert (found - logits(model)).abs().max() < 5e-5


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("use_rslora", [False, True])
def test_an_adapter_that_peft_wrote_is_read(base, use_rslora, tmp_path):
    transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    theirs = transformers.DiffusionGemmaForBlockDiffusion.from_pretrained(base, dtype=torch.float32).eval()
    config = peft.LoraConfig(
        r=2,
        lora_alpha=5,
        use_rslora=use_rslora,
        target_modules=r".*(decoder|language_model)\.layers\.\d+\.(self_attn\.[qo]_proj|mlp\.up_proj)",
        target_parameters=["experts.down_proj"],
    )
    wrapped = peft.get_peft_model(theirs, config)
    generator = torch.Generator().manual_seed(0)
    values = {}
    for name, parameter in wrapped.named_parameters():
        if ".lora_" in name:  # the same in both trees, which is the only kind of adapter that can be merged
            key = name.replace("encoder.language_model.", "decoder.")
            values.setdefault(key, torch.randn(parameter.shape, generator=generator) * 0.3)
            parameter.data.copy_(values[key])
    wrapped.save_pretrained(tmp_path)
    cache = transformers.DynamicCache(config=theirs.config.get_text_config(decoder=True))
    with torch.no_grad():
        theirs.model.encoder(input_ids=PROMPT, past_key_values=cache)
        wanted = theirs(past_key_values=cache, decoder_input_ids=CANVAS, self_conditioning_logits=FEEDBACK).logits
    model = load_model(base, kernels="torch")
    merge_adapter(model, tmp_path)
    assert (logits(model) - wanted).abs().max() < 5e-5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"use_dora": True}, "use_dora is True"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"rank_pattern": {"q_proj": 4}}, "rank_pattern"),
        ({"bias": "all"}, "bias is 'all'"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa'"),
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"r": 0}, "r is 0"),
    ],
)
def test_more_than_plain_lora_is_refused_by_name(base, written, change, said):
    file = written / CONFIG_FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(LoadError, match=said):
        merge_adapter(load_model(base), written)


def test_an_update_of_one_role_alone_is_refused(base, written):
    key = "base_model.model.model.encoder.language_model.layers.1.mlp.up_proj.lora_B.weight"
    edit(written, lambda tensors: tensors[key].add_(1))
    with pytest.raises(LoadError, match=r"encoder and decoder share their weights"):
        merge_adapter(load_model(base), written)
    edit(written, lambda tensors: [tensors.pop(key), tensors.pop(key.replace("lora_B", "lora_A"))])
    with pytest.raises(LoadError, match=r"want equal factors A and B"):
        merge_adapter(load_model(base), written)


def test_tensors_that_fit_nothing_are_refused(base, written, make_model, tmp_path):
    key = "base_model.model.model.decoder.layers.0.self_attn.q_proj.lora_A.weight"
    other = save_model(make_model(hidden_size=40), tmp_path / "other")
    with pytest.raises(LoadError, match=r"the factors of .* make no update of shape"):
        merge_adapter(load_model(other), written)
    edit(written, lambda tensors: tensors.update({key.replace("q_proj", "z_proj"): torch.ones(1)}))
    with pytest.raises(LoadError, match=r"1 tensors fit nothing here.*z_proj"):
        merge_adapter(load_model(base), written)


def test_a_truncated_file_and_an_empty_directory_are_refused(base, written, tmp_path):
    file = written / WEIGHTS_FILE
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(LoadError, match=r"adapter_model\.safetensors cannot be read"):
        merge_adapter(load_model(base), written)
    with pytest.raises(LoadError, match=r"no adapter_config\.json"):
        merge_adapter(load_model(base), tmp_path)


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"alpha": 0.0}, {"targets": ()}, {"targets": ("attention", "heads")}])
def test_an_adapter_of_nothing_is_refused(wrong):
    with pytest.raises(InvalidRequest, match=next(iter(wrong))):
        LoraConfig(**wrong)
