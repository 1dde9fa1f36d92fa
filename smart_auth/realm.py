"""The addresses of one tenant's authorisation server: issuer, audience and what hangs below them."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from fhir_server import tenancy


@dataclass(frozen=True, slots=True)
class Realm:
    """A tenant with its issuer identifier and the absolute URL of its FHIR API, which is the audience.

    Each tenant is an issuer of its own, so a token of one is foreign to every other.
    """

    tenant: str
    issuer: str

    @property
    def fhir_url(self) -> str:
        """Give the FHIR base URL, which `aud` must name (SMART App Launch 2.2 §2.0.9)."""
        return f"{self.issuer}/fhir"

    @property
    def images_url(self) -> str:
        """Give the DICOMweb base URL, which is the audience of image tokens."""
        return f"{self.issuer}/dicom-web"

    @property
    def operator(self) -> str:
        """Give issuer and audience of tokens that an operator signs without knowing the public URL."""
        return f"urn:hounsfield:tenant:{self.tenant}"

    @property
    def path(self) -> str:
        """Give the path of the issuer, empty at the root; never with a trailing slash."""
        return urlsplit(self.issuer).path

    @property
    def secure(self) -> bool:
        """Tell whether browsers reach this realm over https."""
        return self.issuer.startswith("https://")

    def url(self, name: str) -> str:
        """Give the absolute URL of a place under /auth, e.g. token."""
        return f"{self.issuer}/auth/{name}"

    def local(self, name: str) -> str:
        """Give the path of a place under /auth, for forms and redirects within our pages."""
        return f"{self.path}/auth/{name}"

    def hears(self, audience: str) -> bool:
        """Tell whether `aud` names this realm's FHIR API; a trailing slash does not matter."""
        return audience.removesuffix("/") in tenancy.bases(self.tenant, self.fhir_url)


def realm(public_url: str, tenant: str) -> Realm:
    """Give the realm of a tenant below the public URL; raises ValueError for an impossible name."""
    if not tenancy.well_formed(tenant):
        raise ValueError("A tenant's name is lower-case letters, digits and hyphens, at most 63")
    return Realm(tenant, public_url.rstrip("/") + tenancy.path(tenant))
