"""The /dicom-web service over HTTP, and clients of it."""

import dicomweb
import httpx
import pytest
from dicomweb_client.api import DICOMwebClient


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with dicomweb.serving(tmp_path_factory.mktemp("served"), largest=5_000_000) as served:
        yield served


@pytest.fixture
def served(server):
    """A server on which earlier tests have left nothing but what the same test puts there again."""
    server.fhir.fault = None
    server.tokens.known = {"all": server.tokens.known["all"]}
    server.seen = {}
    return server


@pytest.fixture
def http(served):
    with httpx.Client(base_url=served.url, timeout=30) as client:
        yield client


@pytest.fixture
def client(served):
    return DICOMwebClient(served.url)
