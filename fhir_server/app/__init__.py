"""The composition root: settings to services to what runs. Its modules are the ones that know everything."""

from fhir_server.app.opening import installation

__all__ = ["installation"]
