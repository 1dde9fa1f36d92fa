"""hounsfield model."""

import json

import pytest

from ai_observations import registry


@pytest.fixture
def cache(tmp_path, monkeypatch, hounsfield):
    """An empty cache of models."""
    del hounsfield
    monkeypatch.setenv("HOUNSFIELD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def weights():
    """The first declared file of weights."""
    return next(w for model in registry.discover().values() for w in model.weights)


def test_every_model_is_listed_with_what_it_lacks(hounsfield, cache, weights):
    listed = json.loads(hounsfield("model", "list", "--json").out)
    assert {one["id"] for one in listed} == set(registry.discover())
    installed = {one["id"]: one["installed"] for one in listed}
    assert installed["iq-classical"]
    (lacking,) = [one for one in listed if weights.name in one["reason"]]
    assert not lacking["installed"]
    plain = hounsfield("model", "list")
    assert plain.status == 0
    assert plain.out.count("\n") == len(listed)
    assert "make install" in plain.out


def test_verify_fails_while_a_file_is_missing_or_another_one(hounsfield, cache, weights):
    missing = hounsfield("model", "verify")
    assert missing.status == 1
    assert "ok: iq-classical/1.0.0 has no weights" in missing.out
    assert weights.sha256 in missing.out
    path = registry.weights_path(weights, cache)
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(weights.size))
    changed = hounsfield("model", "verify")
    assert changed.status == 1
    assert f"the weights {weights.name} is not the declared one" in changed.out


def test_verify_is_content_with_the_declared_files(hounsfield, cache, monkeypatch):
    monkeypatch.setattr(registry, "verified", lambda weights, _: cache / weights.name)
    ran = hounsfield("model", "verify")
    assert ran.status == 0
    assert all(line.startswith("ok: ") for line in ran.out.splitlines())
