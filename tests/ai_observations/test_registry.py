import shutil
import subprocess
import sys

import pytest

from ai_observations import registry, worker
from ai_observations.model import NotInstalled
from resources import outcome


def test_the_three_models_are_found():
    assert list(registry.discover()) == ["brain-volume", "ct-lung-measures", "iq-classical"]


def test_an_unknown_model_is_not_found_and_the_known_ones_are_named():
    with pytest.raises(outcome.NotFound, match="brain-volume"):
        registry.find("cure-all")


def test_missing_weights_are_not_installed_and_the_text_says_how_to_get_them(tmp_path):
    state = registry.state(registry.find("brain-volume"), tmp_path)
    assert not state.installed
    assert "make install" in state.reason
    assert "deepbet 1.0.2" in state.reason
    assert registry.state(registry.find("iq-classical"), tmp_path).installed


def test_weights_with_another_hash_are_refused_and_never_loaded(cache, tmp_path, brain_t1):
    shutil.copytree(cache / "models", tmp_path / "models")
    model = registry.find("brain-volume")
    assert registry.state(model, tmp_path).installed
    path = registry.weights_path(model.weights[1], tmp_path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert not registry.state(model, tmp_path).installed
    with pytest.raises(NotInstalled, match="SHA-256 differs"):
        worker.run_model("brain-volume", brain_t1[:1], tmp_path)


def test_digests_tell_the_source_and_every_file_of_weights():
    model = registry.find("brain-volume")
    found = registry.digests(model)
    assert list(found) == ["source", "bbox_model.pt", "model.pt"]
    assert all(len(digest) == 64 for digest in found.values())
    assert found["source"] != registry.digests(registry.find("iq-classical"))["source"]


def test_the_cache_is_the_named_one_before_the_checkouts(monkeypatch, tmp_path):
    monkeypatch.delenv("HOUNSFIELD_CACHE", raising=False)
    assert registry.default_cache().name == ".cache"
    monkeypatch.setenv("HOUNSFIELD_CACHE", str(tmp_path))
    assert registry.default_cache() == tmp_path


def test_listing_models_loads_neither_torch_nor_numpy():
    code = (
        "import sys; from ai_observations import observation, registry, worker; "
        "assert len(registry.discover()) == 3; "
        "print([m for m in ('torch', 'numpy', 'scipy', 'pydicom', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
