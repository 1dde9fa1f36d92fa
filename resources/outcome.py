"""Errors as values of one tree, and the OperationOutcome that tells them (FHIR R4 operationoutcome.html)."""

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec


class Issue(msgspec.Struct, frozen=True):
    """One issue of an OperationOutcome: severity and code from the required value sets."""

    severity: str
    code: str
    diagnostics: str
    expression: str | None = None

    def json(self) -> dict[str, Any]:
        """Give the issue as an OperationOutcome.issue element."""
        value: dict[str, Any] = {
            "severity": self.severity,
            "code": self.code,
            "diagnostics": self.diagnostics,
        }
        if self.expression:
            value["expression"] = [self.expression]
        return value


class FhirError(Exception):
    """A refusal that reaches the caller as an OperationOutcome with an HTTP status."""

    status: ClassVar[int] = 500
    issue: ClassVar[str] = "exception"

    def __init__(
        self,
        diagnostics: str,
        *,
        issue: str | None = None,
        expression: str | None = None,
        issues: Sequence[Issue] = (),
    ) -> None:
        super().__init__(diagnostics)
        first = Issue("error", issue or self.issue, diagnostics, expression)
        self.issues: tuple[Issue, ...] = tuple(issues) or (first,)


class Invalid(FhirError):
    """The request is malformed or its content is wrong: 400."""

    status = 400
    issue = "invalid"


class Unauthorised(FhirError):
    """No valid token came with the request: 401; `error` is what is wrong with the one that did."""

    status = 401
    issue = "login"

    def __init__(self, diagnostics: str, *, error: str = "") -> None:
        super().__init__(diagnostics)
        self._error = error

    def challenge(self, realm: str) -> str:
        """Give the challenge of WWW-Authenticate; without an error where no token came (RFC 6750 3)."""
        return f'Bearer realm="{realm}"' + (f', error="{self._error}"' if self._error else "")


class Forbidden(FhirError):
    """The token does not allow this: 403."""

    status = 403
    issue = "forbidden"


class NotFound(FhirError):
    """Nothing is there, or nothing that this caller may know of: 404."""

    status = 404
    issue = "not-found"


class MethodNotAllowed(FhirError):
    """The place exists and this method does not apply to it: 405; `allow` names those that do."""

    status = 405
    issue = "not-supported"

    def __init__(self, diagnostics: str, *, allow: str) -> None:
        super().__init__(diagnostics)
        self.allow = allow


class NotAcceptable(FhirError):
    """None of the formats asked for can be given: 406."""

    status = 406
    issue = "not-supported"


class Conflict(FhirError):
    """The change clashes with the state of the store: 409."""

    status = 409
    issue = "conflict"


class Gone(FhirError):
    """It was there and is deleted: 410."""

    status = 410
    issue = "deleted"


class PreconditionFailed(FhirError):
    """If-Match, or a conditional URL with several matches: 412."""

    status = 412
    issue = "conflict"


class TooLarge(FhirError):
    """The body is over the limit: 413."""

    status = 413
    issue = "too-long"


class UnsupportedMediaType(FhirError):
    """The body's format is not one that is read here: 415; `reads` are the header fields that name those.

    Accept (RFC 9110 12.5.1), Accept-Encoding (12.5.3), Accept-Patch (RFC 5789 3.1).
    """

    status = 415
    issue = "not-supported"

    def __init__(self, diagnostics: str, **reads: str) -> None:
        super().__init__(diagnostics)
        self.reads = {name.replace("_", "-").title(): value for name, value in reads.items()}


class Unprocessable(FhirError):
    """The resource breaks a rule of its definition: 422."""

    status = 422
    issue = "invariant"


class TooCostly(FhirError):
    """The answer would cost more than is allowed: 400 with issue type too-costly."""

    status = 400
    issue = "too-costly"


class NotSupported(FhirError):
    """It is understood and not offered here: 400 with issue type not-supported."""

    status = 400
    issue = "not-supported"


class Unavailable(FhirError):
    """The server cannot serve it now; a later try may succeed: 503."""

    status = 503
    issue = "transient"


def operation_outcome(issues: Sequence[Issue]) -> dict[str, Any]:
    """Give an OperationOutcome resource that holds the issues, in their order."""
    return {"resourceType": "OperationOutcome", "issue": [issue.json() for issue in issues]}


def information(text: str) -> dict[str, Any]:
    """Give an OperationOutcome with one informational issue."""
    return operation_outcome((Issue("information", "informational", text),))
