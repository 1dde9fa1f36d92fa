"""What _orphan means over a store that holds but some types."""

from fhir_server.search.expression import ALWAYS, NEVER, And, Ids, LinkedFrom, Not, Or
from fhir_server.search.orphans import among

BY_STUDY = LinkedFrom("ImagingStudy", "ImagingStudy.subject", ALWAYS)
BY_ORDER = LinkedFrom("ServiceRequest", "ServiceRequest.subject", ALWAYS)
ONE = Ids(("a",))


def test_types_that_are_not_there_refer_to_nothing():
    assert among(Or((BY_STUDY, BY_ORDER)), {"ImagingStudy"}) == BY_STUDY
    assert among(Or((BY_STUDY, BY_ORDER)), {"Patient"}) == NEVER
    assert among(Not(Or((BY_STUDY, BY_ORDER))), {"Patient"}) == Not(NEVER)


def test_what_asks_for_no_referrer_stays_as_it_is():
    whole = And((ONE, Not(Or((BY_STUDY, ONE)))))
    assert among(whole, {"ImagingStudy"}) == whole
    assert among(whole, {"Patient"}) == And((ONE, Not(ONE)))
    assert among(And((ONE, BY_ORDER)), {"Patient"}) == NEVER
