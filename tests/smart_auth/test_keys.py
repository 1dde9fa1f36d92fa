"""Signing keys on disk."""

import pytest
from joserfc.jwk import RSAKey

from smart_auth.keys import KeyRing, UnsafeKeys


def test_a_key_is_made_at_first_start_and_found_at_the_next(tmp_path):
    first = KeyRing(tmp_path / "keys")
    assert KeyRing(tmp_path / "keys").kid == first.kid
    assert KeyRing(tmp_path / "keys").access.kid == first.access.kid
    assert len(list((tmp_path / "keys").iterdir())) == 2


def test_keys_and_secrets_are_for_the_owner_alone(tmp_path):
    ring = KeyRing(tmp_path / "keys")
    ring.secret("forms")
    ring.rotate()
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()} == {0o600}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_that_others_may_read_is_refused(tmp_path, mode):
    KeyRing(tmp_path)
    path = min(tmp_path.glob("*.pem"))
    path.chmod(mode)
    with pytest.raises(UnsafeKeys, match="chmod 600"):
        KeyRing(tmp_path)


def test_a_broken_key_is_refused_with_its_name(tmp_path):
    KeyRing(tmp_path)
    path = min(tmp_path.glob("*.pem"))
    path.write_text("nothing")
    with pytest.raises(UnsafeKeys, match=path.name):
        KeyRing(tmp_path)


def test_rotation_keeps_the_public_half_of_the_old_key(tmp_path):
    ring = KeyRing(tmp_path)
    old = ring.kid
    new = ring.rotate()
    assert ring.kid == new != old
    assert len(list(tmp_path.glob("*.pem"))) == 2
    again = KeyRing(tmp_path)
    assert again.kid == new
    assert again.public(old) is not None
    assert not again.public(old).is_private
    assert [key["kid"] for key in again.jwks()["keys"] if key["alg"] == "RS256"] == [new, old]


def test_the_public_set_holds_no_private_part(tmp_path):
    ring = KeyRing(tmp_path)
    key, curve = ring.jwks()["keys"]
    assert set(curve) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert (curve["alg"], curve["crv"]) == ("ES256", "P-256")
    assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}
    assert key["alg"] == "RS256"
    assert RSAKey.import_key(key).public_key.key_size == 2048


def test_an_unknown_key_id_is_looked_for_on_disk_at_most_once_a_second(tmp_path):
    time = [1_000_000]
    ring = KeyRing(tmp_path, lambda: time[0])
    other = KeyRing(tmp_path, lambda: time[0])
    new = other.rotate()
    assert ring.public(new) is None
    time[0] += 1_000
    assert ring.public(new) is not None


def test_a_clock_that_went_back_does_not_bring_an_old_key_back(tmp_path):
    KeyRing(tmp_path, lambda: 2_000)
    ring = KeyRing(tmp_path, lambda: 1_000)
    new = ring.rotate()
    assert KeyRing(tmp_path, lambda: 1_000).kid == new


def test_a_secret_stays_the_same(tmp_path):
    ring = KeyRing(tmp_path)
    assert ring.secret("forms") == KeyRing(tmp_path).secret("forms")
    assert ring.secret("forms") != ring.secret("cursors")
    assert len(ring.secret("forms")) == 32


def test_a_key_is_replaced_once_it_is_old_enough(tmp_path):
    time = [1_800_000_000_000]
    ring = KeyRing(tmp_path, lambda: time[0])
    first, access = ring.kid, ring.access.kid
    assert ring.rotate_older(1_000) is None
    time[0] += 1_000
    assert ring.rotate_older(1_000) == ring.kid != first
    assert ring.access.kid != access
    assert ring.access.public(access) is not None
    assert set(ring.ages) >= {first, access, ring.kid, ring.access.kid}


def test_a_retired_key_is_dropped_once_no_token_can_need_it(tmp_path):
    import time

    now = [time.time_ns() // 1_000_000]
    ring = KeyRing(tmp_path, lambda: now[0])
    first = ring.kid
    ring.rotate()
    now[0] += 399 * 24 * 3_600 * 1_000
    ring.rotate_older(10**15)
    assert KeyRing(tmp_path).public(first) is not None
    now[0] += 2 * 24 * 3_600 * 1_000
    ring.rotate_older(10**15)
    assert KeyRing(tmp_path).public(first) is None


def test_a_key_that_another_process_made_signs_within_a_second(tmp_path):
    time = [1_000_000]
    ring, other = (KeyRing(tmp_path, lambda: time[0]) for _ in range(2))
    new = other.rotate()
    time[0] += 1_000
    assert ring.kid == new
    assert ring.access.kid == other.access.kid
