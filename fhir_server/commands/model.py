"""hounsfield model: the imaging models there are, and whether they can run here."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fhir_server.command import Actions, command
from fhir_server.settings import Settings

if TYPE_CHECKING:
    from ai_observations.model import ImagingModel


def _arguments(parser: ArgumentParser) -> None:
    actions = Actions(parser)
    listed = actions.add("list", "list the models and whether they are installed", takes="")
    listed.add_argument("--json", action="store_true", help="print JSON")
    actions.add("verify", "check each model's weights against their SHA-256", takes="")


@command("model", "list or verify the imaging models", configure=_arguments)
def model(given: Namespace, settings: Settings) -> int:
    """Do the action; `verify` gives 1 if any file of weights is missing or another one."""
    from ai_observations import registry

    del settings
    models = list(registry.discover().values())
    cache = registry.default_cache()
    if given.action == "verify":
        return _verify(models, cache)
    states = [registry.state(one, cache) for one in models]
    if given.json:
        print(
            json.dumps(
                [
                    {
                        "id": one.model_id,
                        "version": one.version,
                        "title": one.title,
                        "installed": one.installed,
                        "reason": one.reason,
                        "modality": declared.accepts.modality,
                    }
                    for one, declared in zip(states, models, strict=True)
                ]
            )
        )
        return 0
    for one in states:
        installed = "installed" if one.installed else f"not installed: {one.reason}"
        print(f"{one.model_id}  {one.version}  {one.title}  {installed}")
    return 0


def _verify(models: "list[ImagingModel]", cache: Path) -> int:
    faults = 0
    for line, right in (found for one in models for found in _verified(one, cache)):
        print(line)
        faults += not right
    return int(bool(faults))


def _verified(model: "ImagingModel", cache: Path) -> Iterator[tuple[str, bool]]:
    """Give a line for each file of a model's weights, and whether it is the declared one."""
    from ai_observations import registry
    from ai_observations.model import NotInstalled

    if not model.weights:
        yield f"ok: {model.name} has no weights", True
    for weights in model.weights:
        try:
            registry.verified(weights, cache)
        except NotInstalled as fault:
            yield f"missing: {model.name}: {fault}", False
        else:
            yield f"ok: {model.name} {weights.name} sha256 {weights.sha256}", True
