"""Requests to /dicom-web by hand: bodies of STOW-RS, and the parts of an answer (PS3.18 8.6, 10.5)."""

import dicomweb

from dicomweb_bridge import multipart

STUDY = f"{dicomweb.ROOT}.1"
SERIES = f"{STUDY}.1"
INSTANCE = f"{SERIES}.1"
PLACE = f"/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"
MULTIPART = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=B'}


def body(*files):
    """Give the body of a request that stores files."""
    parts = [b"--B\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n" for file in files]
    return b"".join(parts) + b"--B--"


def send(http, *files, path="/studies", **headers):
    """Store files."""
    return http.post(path, content=body(*files), headers={**MULTIPART, **headers})


def contents(response):
    """Give the parts of a multipart response."""
    boundary = (
        multipart.media_type(response.headers["content-type"]).parameters["boundary"].encode()
    )
    pieces = response.content.split(b"--" + boundary)[1:-1]
    return [piece.partition(b"\r\n\r\n")[2][:-2] for piece in pieces]
