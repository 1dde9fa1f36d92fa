"""The command line as a whole: quick to start, strict about what it is given."""

import subprocess
import sys

import pytest

from fhir_server.cli import main

HEAVY = ("apsw", "asyncio", "fhir_server.app", "httpx", "joserfc", "msgspec", "numpy", "rich")


def test_help_loads_nothing_that_only_a_running_command_needs():
    program = (
        "import sys\nfrom fhir_server.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stderr.strip() == "[]"
    assert "translate" in ran.stdout


@pytest.mark.parametrize("command", ["client", "user", "tenant", "model"])
def test_an_action_must_be_given(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command])
    assert ended.value.code == 2
    assert "ACTION" in capsys.readouterr().err
