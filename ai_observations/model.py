"""How an imaging model is declared: what it accepts, its weights, its coded outputs, its use."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, structs

from ai_observations.coding import OWN, Coding
from ai_observations.result import AbsentReason, Mask, Value
from resources import outcome

if TYPE_CHECKING:
    from ai_observations.volume import Volume

Kind = Literal["quantity", "integer", "boolean", "string"]


class NotInstalled(outcome.Unprocessable):
    """The model's weights are missing or are not the declared ones; the text says how to get them."""

    issue = "not-supported"


class Unsuitable(outcome.Unprocessable):
    """The study has no series that the model is made for; the text says what it lacks."""

    issue = "business-rule"


class Selection(Struct, frozen=True):
    """Which series a model is made for; anything else it refuses.

    `body_part` holds values of Body Part Examined (0018,0015) and is not asked where a series does
    not state it; `excludes` is searched in the series description; `complete` demands evenly spaced
    slices without gaps; `min_age` is in years and is not asked where the age is not known.
    """

    modality: tuple[str, ...]
    body_part: tuple[str, ...] = ()
    min_slices: int = 1
    complete: bool = False
    excludes: str = ""
    min_age: int = 0

    def refuses(self, modality: str, body_part: str, description: str) -> str:
        """Say why a series of this kind is not accepted; empty where it is."""
        if modality not in self.modality:
            return f"its modality is not {' or '.join(self.modality)}"
        if self.body_part and body_part and body_part.upper() not in self.body_part:
            return f"its body part is not {' or '.join(self.body_part)}"
        if self.excludes and re.search(self.excludes, description, re.IGNORECASE):
            return "its description names a kind of image that the model is not made for"
        return ""


class WeightsFile(Struct, frozen=True):
    """One file of weights: the package that ships it, its path in there, its hash and its terms."""

    name: str
    package: str
    version: str
    path: str
    sha256: str
    size: int
    licence: str


class Output(Struct, frozen=True):
    """One declared measure: its codes, kind, UCUM unit, body site and how its value is judged.

    `normal` is the closed range outside which the value is abnormal (`expected` for booleans);
    `plausible` is the closed range outside which the value is given with a warning.
    """

    key: str
    display: str
    kind: Kind = "quantity"
    standard: Coding | None = None
    unit: str = ""
    unit_text: str = ""
    body_site: Coding | None = None
    decimals: int = 0
    normal: tuple[float, float] | None = None
    expected: bool | None = None
    plausible: tuple[float, float] | None = None

    @property
    def codings(self) -> tuple[Coding, ...]:
        """Give the standard's code where there is one, then our own, which tells outputs apart."""
        own = Coding(OWN, self.key, self.display)
        return (self.standard, own) if self.standard else (own,)


class Measured(Struct):
    """What a model's function gives: values by output key, reasons for absent ones, mask, notes."""

    values: dict[str, Value]
    absent: dict[str, AbsentReason] = {}
    mask: Mask | None = None
    notes: tuple[str, ...] = ()
    device: str = "cpu"


Function = Callable[["Volume", Mapping[str, Path]], Measured]


class ModelCard(Struct, frozen=True, kw_only=True):
    """What is said of one version of a model.

    `algorithm` names the modules that compute the result, `network` marks a trained model.
    """

    id: str
    version: str
    title: str
    accepts: Selection
    outputs: tuple[Output, ...]
    intended_use: str
    method: str
    algorithm: tuple[str, ...]
    weights: tuple[WeightsFile, ...] = ()
    network: bool = False

    @property
    def name(self) -> str:
        """Give id and version, by which results and the device are identified."""
        return f"{self.id}/{self.version}"


class ImagingModel(ModelCard, frozen=True, kw_only=True):
    """A model as declared in one module of `ai_observations.models`: its card and its function.

    Calling it runs the function on a volume with the verified weights by name.
    """

    function: Function

    def __call__(self, volume: "Volume", weights: Mapping[str, Path]) -> Measured:
        """Measure one volume; raises Unsuitable where the pixels are not what the model needs."""
        return self.function(volume, weights)


def imaging_model(card: ModelCard) -> Callable[[Function], ImagingModel]:
    """Declare the decorated function as the model of a card; refuses one key for two outputs."""
    keys = [output.key for output in card.outputs]
    if len(set(keys)) != len(keys):
        raise ValueError(f"{card.name} declares one output twice")

    def declare(function: Function) -> ImagingModel:
        return ImagingModel(**structs.asdict(card), function=function)

    return declare
