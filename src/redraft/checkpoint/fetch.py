"""From a model's name to its directory: shipped, local or on the hub. The only code that touches the network."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from redraft.errors import LoadError

_SHIPPED = Path(__file__).parents[1] / "models"
_HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+?)(@(?P<revision>[\w./-]+))?")
_FILES = ("*.json", "*.safetensors", "*.jinja")  # everything of the published layout that we read


def shipped_models() -> list[str]:
    """Names of the models inside the package, sorted."""
    return sorted(path.parent.name for path in _SHIPPED.glob("*/config.json"))


def resolve(model: str | os.PathLike[str], only: Sequence[str] = _FILES) -> Path:
    """The directory of a shipped model, a local directory, or a hub id with an optional revision (`org/name@main`).

    Looked up in that order. A hub id is downloaded (an interrupted download goes on where it stopped) into the hub
    cache; HF_TOKEN, HF_HOME, HF_HUB_CACHE and HF_HUB_OFFLINE are honoured. Raises LoadError; what the hub says, such as
    a licence to accept first, is passed on. `only` names the files to download, with wildcards.
    """
    name = os.fspath(model)
    if name in shipped_models():
        return _SHIPPED / name
    path = Path(name).expanduser()
    if name and path.is_dir():
        return path
    match = _HUB_ID.fullmatch(name)
    if path.exists() or match is None or name.startswith((".", "/", "~")):
        raise LoadError(
            f"model {name!r}: want a directory, a shipped model ({', '.join(shipped_models()) or 'none here'}), "
            "or a hub id such as 'google/diffusiongemma-26B-A4B-it'"
        )
    return _download(match["repo"], match["revision"], only)


def _download(repo: str, revision: str | None, only: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        HTTPError,  # pyright: ignore[reportPrivateImportUsage] (the client library differs between versions)
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name = repo if revision is None else f"{repo}@{revision}"
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=list(only)))
    except GatedRepoError as error:
        raise LoadError(f"model {name!r}: its licence must be accepted on the hub first. {error}") from error
    except RevisionNotFoundError as error:
        raise LoadError(f"model {name!r}: no such revision on the hub. {error}") from error
    except RepositoryNotFoundError as error:
        raise LoadError(
            f"model {name!r}: no such directory, and no such model on the hub (or no access). {error}"
        ) from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise LoadError(f"model {name!r}: not in the hub cache, and the hub cannot be reached. {error}") from error
    except (HTTPError, HFValidationError, OSError) as error:
        raise LoadError(f"model {name!r}: the download failed. {error}") from error
