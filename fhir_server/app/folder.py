"""The data folder of the settings, made where it is missing; what keeps it from being used, as a sentence."""

import os
from pathlib import Path

from fhir_server.settings import SettingsError


def usable(folder: Path) -> Path:
    """Give a folder that is there and can be written; raises SettingsError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise SettingsError(f"data: {folder} cannot be made: {fault.strerror}") from None
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise SettingsError(f"data: {folder} cannot be written")
    return folder
