"""A resource looked at by itself: whatever needs another one is not met, so that limits fail closed."""

from fhir_server.search.match import Candidate


class Alone:
    """No other resources; satisfies Find."""

    def referring(self, type: str, atom: str, target: Candidate) -> tuple[Candidate, ...]:
        """Give nothing."""
        del type, atom, target
        return ()

    def get(self, type: str, id: str) -> Candidate | None:
        """Give nothing."""
        del type, id
        return None


ALONE = Alone()
