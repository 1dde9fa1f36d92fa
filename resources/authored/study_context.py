"""What a study says that everything authored about it repeats: subject, order, reference, time."""

from typing import Any

from msgspec import Struct

from resources.model import Resource


class StudyContext(Struct, frozen=True):
    """An ImagingStudy's reference, subject, orders and start, as elements ready to be repeated."""

    study: dict[str, Any]
    subject: dict[str, Any]
    based_on: tuple[dict[str, Any], ...] = ()
    started: str | None = None

    @classmethod
    def of(cls, study: Resource) -> "StudyContext":
        """Read the context off a stored ImagingStudy; only orders (ServiceRequest) are carried on."""
        orders = tuple(
            reference
            for reference in study.get("basedOn", ())
            if reference.get("type") == "ServiceRequest"
            or "ServiceRequest/" in reference.get("reference", "")
        )
        return cls(
            study={"reference": f"ImagingStudy/{study['id']}"},
            subject=study["subject"],
            based_on=orders,
            started=study.get("started"),
        )

    def elements(self) -> dict[str, Any]:
        """Give subject, basedOn and effectiveDateTime, those that there are."""
        found: dict[str, Any] = {"subject": self.subject}
        if self.based_on:
            found["basedOn"] = list(self.based_on)
        if self.started:
            found["effectiveDateTime"] = self.started
        return found
