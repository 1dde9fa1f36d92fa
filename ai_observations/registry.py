"""The models there are, and whether their weights are here and are the declared ones."""

import hashlib
import os
from importlib import resources as package_files
from pathlib import Path

from msgspec import Struct

from ai_observations import models
from ai_observations.model import ImagingModel, NotInstalled, WeightsFile
from fhir_server import registry
from resources import outcome

GROUP = "ai_observations.models"
_READING = tuple(f"ai_observations.{name}" for name in ("volume", "geometry", "frames"))


class ModelState(Struct, frozen=True):
    """Whether a model can run here; where it cannot, why and how to get what it lacks."""

    model_id: str
    version: str
    title: str
    installed: bool
    reason: str = ""


def discover() -> dict[str, ImagingModel]:
    """Give every declared model by id, plug-ins included; refuses two declarations of one id."""
    found: dict[str, ImagingModel] = {}
    for model in registry.discover(models, ImagingModel, GROUP):
        if model.id in found:
            raise ValueError(f"two models are declared with the id {model.id}")
        found[model.id] = model
    return dict(sorted(found.items()))


def find(model_id: str) -> ImagingModel:
    """Give the model of an id; raises NotFound that names the ids there are."""
    found = discover()
    if model_id not in found:
        raise outcome.NotFound(f"There is no such model; there are {', '.join(found)}")
    return found[model_id]


def default_cache() -> Path:
    """Give the folder of fetched models and images: HOUNSFIELD_CACHE, the checkout's, or the user's."""
    named = os.environ.get("HOUNSFIELD_CACHE")
    if named:
        return Path(named)
    root = Path(__file__).resolve().parents[1]
    if (root / "pyproject.toml").is_file():
        return root / ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hounsfield"


def weights_path(weights: WeightsFile, cache: Path) -> Path:
    """Give where a file of weights lies in a cache: by its hash, whatever its name was."""
    return cache / "models" / "sha256" / weights.sha256


def locate(model: ImagingModel, cache: Path) -> dict[str, Path]:
    """Give the paths of a model's weights by name, each verified now; raises NotInstalled."""
    return {weights.name: verified(weights, cache) for weights in model.weights}


def verified(weights: WeightsFile, cache: Path) -> Path:
    """Give the path of one file whose size and SHA-256 are the declared ones; raises NotInstalled."""
    path = weights_path(weights, cache)
    if not path.is_file():
        raise NotInstalled(f"The weights {weights.name} are not installed. {_how(weights)}")
    if path.stat().st_size != weights.size or file_sha256(path) != weights.sha256:
        raise NotInstalled(
            f"The file found for the weights {weights.name} is not the declared one "
            f"(SHA-256 differs) and is not loaded. {_how(weights)}"
        )
    return path


def _how(weights: WeightsFile) -> str:
    """Say how to get a file of weights."""
    return (
        "`make install` fetches it, or scripts/fetch_models.py does: it is the file "
        f"{weights.path} of the Python package {weights.package} {weights.version} "
        f"({weights.licence}, {weights.size} bytes, SHA-256 {weights.sha256})."
    )


def state(model: ImagingModel, cache: Path) -> ModelState:
    """Say whether a model's weights are here and right, without loading them."""
    try:
        locate(model, cache)
    except NotInstalled as missing:
        return ModelState(
            model.id, model.version, model.title, installed=False, reason=str(missing)
        )
    return ModelState(model.id, model.version, model.title, installed=True)


def digests(model: ImagingModel) -> dict[str, str]:
    """Give SHA-256 (hexadecimal) of the source that decides a model's result, and of each weights file."""
    modules = (model.function.__module__, *model.algorithm, *_READING)
    source = hashlib.sha256(b"".join(_source(module) for module in modules)).hexdigest()
    return {"source": source} | {weights.name: weights.sha256 for weights in model.weights}


def _source(module: str) -> bytes:
    package, _, name = module.rpartition(".")
    return package_files.files(package).joinpath(f"{name}.py").read_bytes()


def file_sha256(path: Path) -> str:
    """Give the SHA-256 of a file in hexadecimal, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
