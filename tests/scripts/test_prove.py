"""docs/proof.md: what ran, what it showed, on which commit and machine."""

import subprocess
import sys

import pytest
from lxml import etree

from scripts import prove

REPORT = b"""<testsuites><testsuite>
<testcase classname="tests.store.test_crash" name="test_kill" time="12.5"><properties>
<property name="proof" value="20 rounds of kill -9: 0 acknowledged lost"/>
<property name="other" value="no"/></properties></testcase>
<testcase classname="tests.store.test_crash" name="test_open" time="0.5"><failure/></testcase>
<testcase classname="tests.search.test_match" name="test_a" time="1"><skipped/></testcase>
</testsuite></testsuites>"""


def test_the_page_counts_by_suite_and_tells_what_was_shown():
    page = prove.page(etree.fromstring(REPORT))
    assert "| tests.store.test_crash | 2 | 1 | 0 | 13.0 |" in page
    assert "| tests.search.test_match | 1 | 0 | 1 | 1.0 |" in page
    assert "| `test_kill` | 20 rounds of kill -9: 0 acknowledged lost |" in page
    assert "no |" not in page


SHOWS = """
def test_that_shows(record_property):
    record_property("proof", "3 of 3 hold")
    assert {holds}
"""


@pytest.mark.parametrize(
    ("holds", "failed", "told"), [(True, 0, "3 of 3 hold"), (False, 1, "**failed:** 3 of 3 hold")]
)
def test_what_a_test_showed_under_the_projects_own_configuration_stands_in_the_page(
    tmp_path, holds, failed, told
):
    (tmp_path / "test_shown.py").write_text(SHOWS.format(holds=holds))
    report = tmp_path / "junit.xml"
    options = ["-c", str(prove.ROOT / "pyproject.toml"), "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, f"--junitxml={report}", str(tmp_path)]
    ran = subprocess.run(command, cwd=prove.ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == failed, ran.stdout
    page = prove.page(etree.parse(report).getroot())
    assert f"| `test_that_shows` | {told} |" in page
    assert f"test_shown | 1 | {failed} | 0 |" in page


def test_the_page_tells_the_machine_without_naming_it():
    page = prove.page(etree.fromstring(REPORT))
    assert "cores," in page
    assert "GiB memory" in page
