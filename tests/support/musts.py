"""The table of what standards demand of an authorisation server: each row a sentence and its check."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SMART, OIDC, OAUTH, BEARER, PKCE = "SMART 2.2", "OIDC Core", "RFC 6749", "RFC 6750", "RFC 7636"
REVOKE, ASSERTION, ASK = "RFC 7009", "RFC 7523", "RFC 7662"
JWT, ISSUER, BCP = "RFC 8725", "RFC 9207", "RFC 9700"


@dataclass(frozen=True)
class Must:
    """One demand: the standard and its section, the sentence in our own words, and what checks it."""

    standard: str
    section: str
    sentence: str
    check: Callable[..., Any]

    @property
    def id(self):
        return f"{self.standard} {self.section}: {self.check.__name__}"


class Table(list):
    """Rows in the order of their declaration."""

    def must(self, standard, section, sentence):
        """Declare that the function checks this demand; one check may serve several."""

        def declare(check):
            self.append(Must(standard, section, sentence, check))
            return check

        return declare
