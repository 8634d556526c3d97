"""Streams safetensors into an empty model; refuses missing, extra and misshaped tensors."""

import logging
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from redraft.checkpoint.config import MODEL_TYPE, read_config
from redraft.checkpoint.fetch import resolve
from redraft.checkpoint.names import VISION_PREFIXES, Place, published_places
from redraft.checkpoint.reader import read_json
from redraft.config import check_kernels
from redraft.errors import InvalidRequest, LoadError
from redraft.kernels.native import choose_kernels
from redraft.model.transformer import DiffusionTransformer
from redraft.shapes import Tensor

INDEX_FILE = "model.safetensors.index.json"
SINGLE_FILE = "model.safetensors"
_STORED_DTYPES = ("F32", "BF16", "F16")
_log = logging.getLogger(__name__)


def load_model(
    path: str | os.PathLike[str],
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = "float32",
    kernels: str = "auto",
) -> DiffusionTransformer:
    """The model of a checkpoint (directory, shipped name or hub id), in eval mode, without gradients.

    Tensors are read one at a time, cast and copied into place, so no second copy of the weights is ever held. kernels:
    "auto", "native" or "torch", as an engine has them; while gradients are enabled all run plain torch. Raises
    LoadError naming the file, key or tensor at fault.
    """
    dtype, device = _dtype(dtype), _device(device)
    check_kernels(kernels)
    directory = resolve(path)
    config = read_config(directory)
    with torch.device("meta"):
        model = DiffusionTransformer(config)
    model = model.to(dtype).to_empty(device=device)
    load_weights(model, directory)
    model.use(choose_kernels(device, kernels))
    return model.eval().requires_grad_(False)


def load_weights(model: DiffusionTransformer, directory: Path) -> None:
    """Fill the model's parameters in place from a directory's safetensors files, cast to the model's dtype."""
    places = published_places(model.config)
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    loaded: set[str] = set()
    skipped = 0
    for file in weight_files(directory):
        try:
            skipped += _load_file(file, places, parameters, loaded)
        except (SafetensorError, OSError) as error:
            raise LoadError(f"{file} cannot be read, it may be truncated: {error}") from error
    missing = [name for name in places if name not in loaded]
    if missing:
        raise LoadError(f"{directory}: {len(missing)} tensors are missing, the first of them {missing[:3]}")
    if skipped:
        _log.info("%s: skipped %d tensors of the image tower (text only)", directory, skipped)


def weight_files(directory: Path) -> list[Path]:
    """The safetensors files of a checkpoint: those its index names, else the single one."""
    index = directory / INDEX_FILE
    if not index.is_file():
        single = directory / SINGLE_FILE
        if not single.is_file():
            raise LoadError(f"{directory} has neither {INDEX_FILE} nor {SINGLE_FILE}: want a checkpoint's weights")
        return [single]
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(map(_is_file_name, weight_map.values())):
        raise LoadError(f"{index}: weight_map is {str(weight_map)[:80]}: want tensor names with file names beside it")
    files = [directory / name for name in sorted(set(weight_map.values()))]
    for file in files:
        if not file.is_file():
            raise LoadError(f"{file} is missing, and {INDEX_FILE} names it")
    return files


def _is_file_name(value: Any) -> bool:
    return isinstance(value, str) and Path(value).name == value


def _load_file(file: Path, places: dict[str, Place], parameters: dict[str, Tensor], loaded: set[str]) -> int:
    """How many tensors were skipped; copies the others to the parameters and adds their names to `loaded`, in place."""
    skipped = 0
    with safe_open(file, framework="pt", device="cpu") as opened:
        for name in opened.keys():  # noqa: SIM118 (no mapping: it cannot be iterated)
            if name.startswith(VISION_PREFIXES):
                skipped += 1
                continue
            place = places.get(name)
            if place is None:
                raise LoadError(f"{file}: tensor {name!r} is no part of a {MODEL_TYPE} model: want known tensors only")
            if name in loaded:
                raise LoadError(f"{file}: tensor {name!r} is in another file of the checkpoint too: want it once")
            target = place.view(parameters[place.parameter])
            header = opened.get_slice(name)
            if list(header.get_shape()) != list(target.shape):
                raise LoadError(f"{file}: tensor {name!r} has shape {header.get_shape()}: want {list(target.shape)}")
            if header.get_dtype() not in _STORED_DTYPES:
                stored, wanted = header.get_dtype(), ", ".join(_STORED_DTYPES)
                raise LoadError(f"{file}: tensor {name!r} is stored as {stored}: want one of {wanted}")
            target.copy_(opened.get_tensor(name))
            loaded.add(name)
    return skipped


def _dtype(dtype: str | torch.dtype) -> torch.dtype:
    for wanted in (torch.float32, torch.bfloat16):
        if dtype in (wanted, str(wanted).removeprefix("torch.")):
            return wanted
    raise InvalidRequest(f"dtype={dtype!r}: want 'float32' or 'bfloat16'")


def _device(device: str | torch.device) -> torch.device:
    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InvalidRequest(f"device={device!r}: want 'cpu' or 'cuda'") from error
    if wanted.type not in ("cpu", "cuda"):
        raise InvalidRequest(f"device={device!r}: want 'cpu' or 'cuda'")
    if wanted.type == "cuda" and not torch.cuda.is_available():
        raise InvalidRequest(f"device={device!r}: torch {torch.__version__} sees no CUDA device")
    return wanted
