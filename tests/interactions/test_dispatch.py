"""The URL table: what a place takes, and what no place is (FHIR R4 http.html#summary)."""

import itertools

from bodies import observation, patient

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


NO_PLACES = (
    "Patient/s1/_search",
    "Patient/s1/Observation/x/_search",
    "Patient/s1/Observation/_history",
    "Patient/s1/Observation/o1/more",
    "metadata/more",
)
PLACES = (
    *("", "metadata", "_history", "_search", "Patient", "Patient/s1", "Patient/_history"),
    *("Patient/_search", "Patient/s1/_history", "Patient/s1/_history/1"),
    *("Patient/s1/Observation", "Patient/s1/*", "Patient/s1/*/_search"),
    "Patient/s1/Observation/_search",
)


async def test_no_method_is_offered_where_there_is_no_place(door):
    for url, method in itertools.product(NO_PLACES, METHODS):
        answered = await door.call(method, url, patient("s1"))
        assert (answered.status, dict(answered.headers)) == (404, {}), (method, url)


async def test_what_allow_names_is_offered_and_nothing_else(door):
    for url in PLACES:
        await door.give("PUT", "Patient/s1", patient("s1"))
        answers = {method: await door.call(method, url) for method in (*METHODS, "LINK")}
        refused = {method for method, answered in answers.items() if answered.status == 405}
        assert "LINK" in refused
        for method in refused:
            allowed = set(answers[method].headers["Allow"].split(", "))
            assert allowed == set(METHODS) - refused, (method, url)


async def test_search_by_post_in_a_compartment_is_at_its_type(door):
    await door.give("PUT", "Patient/s1", patient("s1"))
    await door.give("PUT", "Observation/o1", observation("o1", "Patient/s1"))
    form = {"content_type": "application/x-www-form-urlencoded"}
    for type_, found in (("Observation", 1), ("*", 2)):
        answered = await door.give("POST", f"Patient/s1/{type_}/_search", b"", **form)
        assert len(answered["entry"]) == found
