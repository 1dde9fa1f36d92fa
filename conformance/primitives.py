"""The lexical rules of R4's primitive types as patterns (FHIR R4 datatypes.html#primitive).

The patterns are those of the definitions, made stricter where R4's prose is: dates exist in the
calendar, base64 is padded at its end only, strings hold no control characters.
"""

from typing import Any

from resources.definitions import Definitions

_YEAR = "(?:[0-9](?:[0-9](?:[0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)"
_LEAP_YEAR = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_MONTH = "(?:0[1-9]|1[0-2])"
_DAY_OF_YEAR = (
    "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_DAY = f"(?:{_YEAR}-{_DAY_OF_YEAR}|{_LEAP_YEAR}-02-29)"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = "(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_TEXT = r"[^\x00-\x08\x0B\x0C\x0E-\x1F]+"
# what begins with urn:uuid: is one; the other branches spell out "does not begin with urn:uuid:"
_URI = (
    r"(?:urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|(?:[^u\s]|u[^r\s]|ur[^n\s]|urn[^:\s]|urn:[^u\s]|urn:u[^u\s]|urn:uu[^i\s]|urn:uui[^d\s]"
    r"|urn:uuid[^:\s])\S*|u|ur|urn|urn:|urn:u|urn:uu|urn:uui|urn:uuid)"
)

_STRICTER = {
    "string": _TEXT,
    "markdown": _TEXT,
    "date": f"(?:{_DAY}|{_YEAR}(?:-{_MONTH})?)",
    "dateTime": f"(?:{_DAY}(?:T{_TIME}{_ZONE})?|{_YEAR}(?:-{_MONTH})?)",
    "instant": f"{_DAY}T{_TIME}{_ZONE}",
    "base64Binary": (
        r"(?:[ \t\r\n]*[0-9A-Za-z+/]{4})*"
        r"(?:[ \t\r\n]*(?:[0-9A-Za-z+/]{4}|[0-9A-Za-z+/]{3}=|[0-9A-Za-z+/]{2}==))[ \t\r\n]*"
    ),
    "uri": _URI,
    "url": _URI,
    "canonical": _URI,
}

EXPECTED = {
    "base64Binary": "base64 text (RFC 4648), padded to a multiple of four characters",
    "boolean": "true or false",
    "canonical": "a canonical URL without white space",
    "code": "a code: no white space but single spaces between its words",
    "date": "a date that exists: YYYY, YYYY-MM or YYYY-MM-DD",
    "dateTime": "a date that exists, with a time only if it has seconds and an offset: "
    "YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss+zz:zz",
    "decimal": "a number",
    "id": "1 to 64 of the characters A-Z a-z 0-9 - .",
    "instant": "an instant with seconds and an offset: YYYY-MM-DDThh:mm:ss.sss+zz:zz",
    "integer": "a whole number without fraction or exponent, of 32 bits",
    "markdown": "text that is not empty and has no control characters",
    "oid": "an OID as urn:oid: and numbers separated by dots",
    "positiveInt": "a whole number from 1 to 2147483647",
    "string": "text that is not empty and has no control characters",
    "time": "a time of day with seconds: hh:mm:ss",
    "unsignedInt": "a whole number from 0 to 2147483647",
    "uri": "a URI without white space",
    "url": "a URL without white space",
    "uuid": "a UUID as urn:uuid: and lower-case hexadecimal",
    "xhtml": "text that holds an XHTML div",
}

_LARGEST = 2_147_483_647
_INTEGERS = {
    "integer": (-_LARGEST - 1, _LARGEST),
    "positiveInt": (1, _LARGEST),
    "unsignedInt": (0, _LARGEST),
}
ELEMENT_ID = "element-id"


def schema(definitions: Definitions, name: str) -> dict[str, Any]:
    """Give the JSON Schema (draft 4) of a primitive type's value, or of the id of an element."""
    if name in _INTEGERS:
        low, high = _INTEGERS[name]
        return {"type": "integer", "minimum": low, "maximum": high}
    if name in ("boolean", "decimal"):
        return {"type": "number" if name == "decimal" else "boolean"}
    if name == ELEMENT_ID:
        return {"type": "string", "pattern": r"^[^\s\x00-\x1F]+$"}
    return {"type": "string", **_text(definitions, name)}


def _text(definitions: Definitions, name: str) -> dict[str, Any]:
    rules = definitions.primitive(name)
    pattern = _STRICTER.get(name) or (rules.regex if rules else None)
    found: dict[str, Any] = {"pattern": f"^(?:{pattern})$"} if pattern else {"minLength": 1}
    if rules and rules.max_length:
        found["maxLength"] = rules.max_length
    return found
