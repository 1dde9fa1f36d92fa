"""What is committed: no place of the machine it was built on, nothing large, no data of others."""

import re
import subprocess
from pathlib import Path

import pytest

LARGEST = 4 * 1024 * 1024
REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|download\.pytorch\.org|registry\.npmjs\.org|deb\.debian\.org"
    r"|(?<![\w-])-{2}(?:extra-)?index-url|(?<![\w-])-{2}find-links"
)


@pytest.fixture(scope="module")
def texts(tracked) -> dict[str, str]:
    found = {}
    for path in tracked:
        try:
            found[str(path)] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
    return found


def configured_hosts() -> set[str]:
    """Give the hosts that this machine's own pip and apt fetch from."""
    told = subprocess.run(
        ["python3", "-m", "pip", "config", "list"], capture_output=True, text=True
    )
    text = told.stdout
    for file in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]:
        if file.is_file():
            text += file.read_text(encoding="utf-8")
    return set(re.findall(r"https?://(?:[^/@\s'\"]*@)?([\w.-]+)", text))


def test_no_registry_is_named(texts):
    hosts = "|".join(map(re.escape, configured_hosts()))
    pattern = re.compile(f"{REGISTRIES.pattern}|{hosts}" if hosts else REGISTRIES.pattern)
    assert [name for name, text in texts.items() if pattern.search(text)] == []


def test_no_path_of_this_machine_is_written_down(texts, root):
    places = {f"{Path.home()}/", f"{root}/"} - {"//"}
    pattern = re.compile("|".join(map(re.escape, places)))
    assert [name for name, text in texts.items() if pattern.search(text)] == []


def test_no_tracked_file_is_large(tracked):
    assert [str(path) for path in tracked if path.stat().st_size > LARGEST] == []


def test_no_image_weights_or_archive_is_tracked(tracked):
    suffixes = {".dcm", ".nii", ".pt", ".pth", ".onnx", ".ckpt", ".whl", ".sqlite", ".safetensors"}
    assert [str(path) for path in tracked if path.suffix in suffixes] == []
