import torch

from redraft.checkpoint.names import published_places
from redraft.model.transformer import random_model


def test_published_tensors_fill_every_element_of_every_parameter_once(make_config):
    model = random_model(make_config())
    written = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    for place in published_places(model.config).values():
        place.view(written[place.parameter]).add_(1)
    assert all((count == 1).all() for count in written.values())


def test_only_sliding_layers_have_a_value_projection(make_config):
    names = published_places(make_config())
    assert [f"model.decoder.layers.{i}.self_attn.v_proj.weight" in names for i in range(4)] == [
        True,
        False,
        True,
        False,
    ]


def test_experts_have_their_published_shapes(make_config):
    model = random_model(make_config())
    parameters, places = dict(model.named_parameters()), published_places(model.config)
    shapes = {
        name: tuple(places[f"model.decoder.layers.0.experts.{name}"].view(parameters[f"layers.0.moe.{own}"]).shape)
        for name, own in (("gate_up_proj", "gate_up"), ("down_proj", "down"))
    }
    assert shapes == {"gate_up_proj": (4, 48, 32), "down_proj": (4, 32, 24)}


def test_the_encoders_layer_scalar_is_not_the_decoders(make_config):
    places = published_places(make_config())
    encoder = places["model.encoder.language_model.layers.2.layer_scalar"]
    decoder = places["model.decoder.layers.2.layer_scalar"]
    assert (encoder.parameter, encoder.rows) == ("layers.2.scalars", (0, 1))
    assert (decoder.parameter, decoder.rows) == ("layers.2.scalars", (1, 2))
