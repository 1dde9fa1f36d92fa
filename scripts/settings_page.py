"""Write docs/settings.md from the declarations in fhir_server/settings.py."""

from pathlib import Path

from fhir_server.settings import SETTINGS, Setting, shown

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"
HEAD = """\
# Settings

Every setting is a flag of `hounsfield serve`, a variable, and a line in `hounsfield.toml`; the first of
them that is given counts, in this order. The file is read from the folder that the command runs in.
`hounsfield settings` prints the values in force and where each came from. A value that cannot be, or a
line that is no setting, stops the start with a sentence that says what is wanted.

This page is written by `python scripts/settings_page.py` from `fhir_server/settings.py`.

| Flag | Variable | In the file | Values | Default | |
|---|---|---|---|---|---|
"""


def page() -> str:
    """Give the whole page."""
    return HEAD + "".join(map(_row, SETTINGS))


def _row(setting: Setting) -> str:
    default = (
        "off" if "off" in setting.values and setting.default is None else shown(setting.default)
    )
    names = (setting.flag, setting.variable, setting.name, setting.values, default)
    cells = [f"`{name}`".replace("|", "\\|") if name else "" for name in names]
    return f"| {' | '.join(cells)} | {setting.help} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
