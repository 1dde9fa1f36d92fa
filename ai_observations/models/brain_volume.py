"""brain-volume: brain mask and volume on a T1-weighted MR of an adult head, by deepbet's networks."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ai_observations import coding
from ai_observations.model import (
    Measured,
    ModelCard,
    Output,
    Selection,
    WeightsFile,
    imaging_model,
)
from ai_observations.result import Mask

if TYPE_CHECKING:
    from ai_observations.volume import Volume

CARD = ModelCard(
    id="brain-volume",
    version="1.0.0",
    title="Brain volume on T1 MR",
    accepts=Selection(
        modality=("MR",),
        body_part=("BRAIN", "HEAD", "SKULL", "HEADNECK"),
        min_slices=60,
        complete=True,
        excludes=r"\b(t2|flair|dwi|adc|swi|pd|dti|bold|asl|perf\w*|loc\w*|scout|angio\w*|tof)\b",
        min_age=18,
    ),
    intended_use=(
        "Volume of the brain with the fluid inside its mask on a 3D T1-weighted MR of an adult head "
        "that is covered whole, for review by a radiologist. Not for children, for heads after "
        "surgery or with large lesions."
    ),
    method="3D convolutional networks (deepbet)",
    algorithm=("ai_observations.pixels.brain", "ai_observations.runtime"),
    network=True,
    outputs=(
        Output(
            "brain-volume",
            "Brain volume",
            standard=coding.VOLUME,
            body_site=coding.BRAIN,
            unit="cm3",
            unit_text="cm³",
            plausible=(900, 2200),
        ),
    ),
    weights=(
        WeightsFile(
            name="bbox_model.pt",
            package="deepbet",
            version="1.0.2",
            path="data/models/bbox_model.pt",
            sha256="39a7b2b5f799faa1391ea97bfcdc0b9299f20d84f2316a4ff8918dc4685e40aa",
            size=8701922,
            licence="MIT",
        ),
        WeightsFile(
            name="model.pt",
            package="deepbet",
            version="1.0.2",
            path="data/models/model.pt",
            sha256="de8ee7c69654d0dd3935dc4a5d84571d8ecf4637a6bfc01df399c4c2bc86e0fd",
            size=8698000,
            licence="MIT",
        ),
    ),
)


@imaging_model(CARD)
def brain_volume(volume: "Volume", weights: Mapping[str, Path]) -> Measured:
    """Draw the brain and measure it; on the CPU, and saying so, where the GPU's memory is short."""
    import numpy as np  # noqa: PLC0415 - heavy, only when the model runs

    from ai_observations import runtime  # noqa: PLC0415 - loads torch, only when the model runs
    from ai_observations.pixels import anatomical, brain  # noqa: PLC0415 - heavy, as above

    turn = anatomical.turn(volume)
    head = turn.there(volume.values)[:, ::-1, ::-1].transpose(2, 1, 0)
    drawn, device, notes = runtime.on_best_device(
        lambda load: brain.mask(head, load(weights["bbox_model.pt"]), load(weights["model.pt"]))
    )
    labels = turn.back(drawn.transpose(2, 1, 0)[:, ::-1, ::-1].astype(np.uint8))
    return Measured(
        values={"brain-volume": int(np.count_nonzero(drawn)) * volume.voxel_ml},
        mask=Mask.of(labels, {1: "Brain"}),
        notes=notes,
        device=device,
    )
