"""The cases of the reference validator, read from the corpus, and the verdict of any check on them."""

import json
import zipfile
from dataclasses import dataclass

from resources.model import parse
from resources.outcome import FhirError
from resources.xml import from_xml

REFUSING = frozenset(("error", "fatal"))


@dataclass(frozen=True)
class Case:
    """One case: a file, the manifest entry that says how it was validated, and whether it has errors."""

    name: str
    file: str
    kind: str
    manifest: dict
    expected: tuple
    folder: zipfile.Path

    @property
    def wrong(self):
        """Whether the reference validator finds an error."""
        return any(issue["severity"] in REFUSING for issue in self.expected)

    def read(self, name):
        """The bytes of a file that the case names."""
        return (self.folder / name).read_bytes()

    def resource(self):
        """The resource; raises FhirError where it cannot be read."""
        raw = self.read(self.file)
        return parse(raw) if self.file.endswith(".json") else from_xml(raw)


def cases(corpus, *kinds):
    """Every case of some kinds whose file is there, in the order of the manifest."""
    archive = zipfile.ZipFile(corpus / "r4" / "validator-cases-dev.zip")
    folder = zipfile.Path(archive, "files/")
    held = set(archive.namelist())
    for case in json.loads(archive.read("cases.json")):
        if case["kind"] in kinds and f"files/{case['file']}" in held:
            yield Case(
                case["name"],
                case["file"],
                case["kind"],
                case["manifest"],
                tuple(case["expected_issues"]),
                folder,
            )


def errors(case, check):
    """The errors that a check finds; what cannot be read is one."""
    try:
        resource = case.resource()
    except FhirError as fault:
        return fault.issues
    return tuple(issue for issue in check(resource) if issue.severity in REFUSING)


def disagreements(found, check):
    """The cases whose verdict is another than the reference validator's; `check` takes case and resource."""
    return [
        case for case in found if bool(errors(case, lambda r, c=case: check(c, r))) != case.wrong
    ]
