"""hounsfield serve: everything in one process tree."""

from argparse import Namespace

from fhir_server.command import command, opening
from fhir_server.settings import Settings


@command("serve", "serve FHIR, DICOMweb, HL7 v2 and the pages until SIGTERM", takes="*")
def serve(given: Namespace, settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, drain, and give 0."""
    del given
    if settings.workers > 1:
        return _several(settings)
    with opening():
        return _one(settings)


def _several(settings: Settings) -> int:
    import asyncio

    from fhir_server import processes

    return asyncio.run(processes.serve(settings))


def _one(settings: Settings) -> int:
    import asyncio

    from fhir_server import listening, logs, serving
    from fhir_server.installation import Installation

    logs.configure(settings.log_level)
    with listening.bind(settings.host, settings.port) as socket_:
        place = serving.Place(socket_, listening.address(settings, socket_))

        async def answers(_: Installation) -> None:
            listening.ready(place.public_url)

        with asyncio.Runner(loop_factory=serving.loop) as runner:
            return runner.run(serving.serve(settings, place, answers))
