"""What the API server says of a dry run, as it words it, and what that means."""

import pytest

from meshinstall.engine.rehearsal.refusals import Reading, read
from meshinstall.model.trial import Answer, Cause

_STRATEGY = "failed to create typed patch object (edge/edge; apps/v1, Kind=DaemonSet): .spec.strategy: field not declared in schema"
_UNMARSHAL = (
    'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal number into Go struct field '
    "ObjectMeta.spec.template.metadata.annotations of type string"
)
_SELECTOR = (
    'Deployment.apps "istio-ingress" is invalid: spec.selector: Invalid value: {"matchLabels":{"istio":"public"}}: field is immutable'
)
_BOTH = 'PodDisruptionBudget.policy "istiod" is invalid: spec: Invalid value: {...}: minAvailable and maxUnavailable cannot be both set'
_FORBIDDEN = (
    'deployments.apps is forbidden: User "ann" cannot create resource "deployments" in API group "apps" in the namespace "istio-system"'
)
_QUOTA = 'pods "istiod" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2'
_POLICY = 'admission webhook "validate.kyverno.svc" denied the request: images must come from our registry'


@pytest.mark.parametrize(
    ("status", "message", "reading", "shape"),
    [
        (200, "", Reading.ACCEPTED, False),
        (201, "", Reading.ACCEPTED, False),
        (500, _STRATEGY, Reading.REFUSED, True),
        (400, _UNMARSHAL, Reading.REFUSED, True),
        (400, 'strict decoding error: unknown field "spec.foo"', Reading.REFUSED, True),
        (422, _BOTH, Reading.REFUSED, True),
        (422, _SELECTOR, Reading.IMMUTABLE, True),
        (403, _FORBIDDEN, Reading.NO_PERMISSION, False),
        (403, _QUOTA, Reading.REFUSED, False),
        (403, _POLICY, Reading.REFUSED, False),
        (400, _POLICY, Reading.REFUSED, False),
        (404, 'namespaces "istio-system" not found', Reading.NOT_JUDGED, False),
        (400, 'admission webhook "x.example" does not support dry run', Reading.NOT_JUDGED, False),
        (500, 'Internal error occurred: failed calling webhook "x.example": connection refused', Reading.NOT_JUDGED, False),
        (500, "etcdserver: request timed out", Reading.NOT_JUDGED, False),
        (503, "the server is currently unable to handle the request", Reading.NOT_JUDGED, False),
    ],
)
def test_an_answer_is_read_by_its_status_and_its_words(status: int, message: str, reading: Reading, shape: bool) -> None:  # noqa: FBT001
    found = read(Answer(status, message))
    assert (found.reading, found.shape) == (reading, shape)
    assert found.text == message


def test_a_conflict_names_its_managers() -> None:
    causes = tuple(
        Cause("FieldManagerConflict", f".spec.{field}", f'conflict with "{manager}" using apps/v1')
        for manager, field in (("kubectl-edit", "replicas"), ("keda", "template"))
    )
    found = read(Answer(409, "Apply failed with 2 conflicts", causes))
    assert found.reading is Reading.CONFLICT
    assert found.managers == {"kubectl-edit", "keda"}


def test_two_refusals_are_the_same_by_their_fields_else_by_their_words() -> None:
    one, other, third = (
        read(Answer(422, text, (Cause("FieldValueInvalid", field, "wrong"),)))
        for text, field in (("a is invalid: 1", "spec.a"), ("a is invalid: 2", "spec.a"), ("b is invalid", "spec.b"))
    )
    assert one.is_still(other)
    assert not one.is_still(third)
    assert not read(Answer(400, "first")).is_still(read(Answer(400, "second")))
