"""hounsfield settings: every setting, its value, and where it came from."""

import os
from argparse import Namespace

from fhir_server.command import command, flags
from fhir_server.settings import SETTINGS, Settings, load, shown


@command("settings", "print every setting with its value and where it came from", takes="*")
def settings(given: Namespace, current: Settings) -> int:
    """Print the table."""
    _, origins = load(flags(given), os.environ, given.config)
    width = max(len(setting.name) for setting in SETTINGS)
    for setting in SETTINGS:
        value = shown(getattr(current, setting.name))
        print(f"{setting.name:<{width}}  {value:<40}  {origins[setting.name]}")
    return 0
