"""hounsfield keys."""


def signing(listed):
    return [line.split()[0] for line in listed.out.splitlines() if line.endswith("signs")]


def test_keys_are_listed_and_rotated(hounsfield):
    hounsfield("keys", "rotate")
    before = signing(hounsfield("keys", "list"))
    assert len(before) == 2
    rotated = hounsfield("keys", "rotate")
    assert rotated.status == 0
    listed = hounsfield("keys", "list")
    assert rotated.out.strip() in signing(listed)
    assert not set(before) & set(signing(listed))
    assert all(kid in listed.out for kid in before)


def test_keys_that_others_can_read_are_refused(hounsfield, tmp_path):
    hounsfield("keys", "rotate")
    min((tmp_path / "hounsfield-data/keys").glob("*.pem")).chmod(0o644)
    ran = hounsfield("keys", "list")
    assert ran.status == 1
    assert "chmod 600" in ran.err
