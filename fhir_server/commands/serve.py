"""hounsfield serve: everything in one process tree."""

from argparse import Namespace

from fhir_server.command import command
from fhir_server.settings import Settings


@command("serve", "serve FHIR, DICOMweb, HL7 v2 and the pages until SIGTERM", takes="*")
def serve(given: Namespace, settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, drain, and give 0."""
    import asyncio

    from fhir_server import serving

    del given
    with asyncio.Runner(loop_factory=serving.loop) as runner:
        return runner.run(serving.serve(settings))
