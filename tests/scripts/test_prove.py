"""docs/proof.md: what ran, what it showed, on which commit and machine."""

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


def test_the_page_tells_the_machine_without_naming_it():
    page = prove.page(etree.fromstring(REPORT))
    assert "cores," in page
    assert "GiB memory" in page
