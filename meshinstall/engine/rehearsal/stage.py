"""Tries one object as it will be sent: a look at what is there, then a dry run."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from meshinstall.engine.objects.field_managers import may_be_taken_over
from meshinstall.engine.rehearsal import refusals, sending
from meshinstall.engine.rehearsal.refusals import ACCEPTED, Read, Reading
from meshinstall.engine.rehearsal.sending import Standing
from meshinstall.engine.session import Session
from meshinstall.errors import ForbiddenError, UnreachableError
from meshinstall.model.facts import Facts, ObjectKey, key_of
from meshinstall.model.ownership import MANAGER, is_ours
from meshinstall.model.paths import resource_of
from meshinstall.model.plan import ObjectStep, Plan, ReleaseStep
from meshinstall.model.release import Manifest, ReleaseKey
from meshinstall.model.trial import Answer, ApiKind, Attempt, Ground, How, Trial, Write

# The namespace that every cluster has.
_SOMEWHERE = "default"
_HOOK = "helm.sh/hook"


@dataclass(frozen=True, slots=True)
class Try:
    """One object, and what came of trying it; ``owner`` is the object of somebody else that has its name."""

    trial: Trial
    read: Read = ACCEPTED
    warnings: tuple[str, ...] = ()
    owner: Manifest | None = None

    @property
    def is_refused(self) -> bool:
        """Whether the run would fail at it."""
        return self.owner is not None or self.read.reading in {Reading.REFUSED, Reading.IMMUTABLE, Reading.CONFLICT}


class Stage:
    """Tries the objects of one plan; ``major`` is helm's version."""

    def __init__(self, plan: Plan, facts: Facts, ground: Ground, session: Session, major: int) -> None:
        self._facts = facts
        self._ground = ground
        self._kube = session.kube
        self._applies = major >= 4  # noqa: PLR2004 - from Helm 4 on the server applies what is new
        names = (
            step.manifest["metadata"]["name"]
            for step in plan.pending
            if isinstance(step, ObjectStep) and step.manifest["kind"] == "Namespace"
        )
        self._missing = frozenset(name for name in names if facts.namespaces.get(name) is None)
        self._ending = frozenset(name for name, live in facts.namespaces.items() if live and _is_ending(live))
        self._before = {release: self.by_key(manifests, release.namespace) for release, manifests in facts.owned.items()}

    def before(self, release: ReleaseKey) -> Mapping[ObjectKey, Manifest]:
        """The objects of a release's last revision."""
        return self._before.get(release, {})

    def key(self, manifest: Manifest, namespace: str) -> ObjectKey:
        """What names an object; cluster-wide ones have no namespace."""
        key = key_of(manifest, namespace)
        kind = self._kind(key)
        return key._replace(namespace="") if kind and not kind.namespaced else key

    def by_key(self, manifests: Iterable[Manifest], namespace: str) -> dict[ObjectKey, Manifest]:
        """Objects by what names them."""
        return {self.key(manifest, namespace): manifest for manifest in manifests}

    async def attempt(self, step: ReleaseStep | ObjectStep, manifest: Manifest) -> Try:
        """Try an object of a step as it will be sent."""
        return await (self._of_release(step, manifest) if isinstance(step, ReleaseStep) else self._own(step))

    async def _of_release(self, step: ReleaseStep, manifest: Manifest) -> Try:
        key, release = self.key(manifest, step.release.namespace), step.release
        trial, kind = Trial(key, release, How.NOT_TRIED), self._kind(key)
        if _HOOK in ((manifest.get("metadata") or {}).get("annotations") or {}):
            return Try(replace(trial, why="helm runs it as a hook"))
        if kind is None:
            return Try(replace(trial, why=_unserved(key)))
        if key.namespace in self._ending:
            return Try(replace(trial, why=_doomed(key)))
        record, before = self._facts.releases.get(release), self.before(release)
        by_server = self._applies and (record is None or record.by_server)
        wanted = sending.owned(manifest, release, namespaced=kind.namespaced)
        if key.namespace in self._missing:
            return await self._elsewhere(trial, sending.elsewhere(key, kind, wanted, _SOMEWHERE, Standing(by_server)))
        live = self._facts.live.get(key) or await self._look(sending.path_to(key, kind))
        if live and key not in before and sending.is_foreign(live, release):
            return Try(trial, owner=live)
        attempt = sending.attempt(key, kind, wanted, Standing(by_server, live is not None, before.get(key)))
        return await self._as_sent(trial, attempt, lambda managers: may_be_taken_over(managers, step.editors))

    async def _own(self, step: ObjectStep) -> Try:
        key = key_of(step.manifest)
        trial, kind = Trial(key, None, How.NOT_TRIED), self._kind(key)
        if kind is None:
            return Try(replace(trial, why=_unserved(key)))
        if key.namespace in self._ending:
            return Try(replace(trial, why=_doomed(key)))
        if key.namespace in self._missing:
            return Try(replace(trial, why=f"namespace {key.namespace} does not exist yet"))
        live = self._facts.own(key)
        attempt = Attempt(Write.APPLY, sending.path_to(key, kind), step.manifest, MANAGER)
        return await self._as_sent(trial, attempt, lambda _: live is not None and is_ours(live))

    async def _as_sent(self, trial: Trial, attempt: Attempt, may_force: Callable[[frozenset[str]], bool]) -> Try:
        answer = await self._ask(attempt)
        read = refusals.read(answer)
        if read.reading is Reading.CONFLICT and may_force(read.managers):
            answer = await self._ask(replace(attempt, force=True))
            read = refusals.read(answer)
        if read.reading in {Reading.NOT_JUDGED, Reading.NO_PERMISSION}:
            return Try(replace(trial, why=read.text), read)
        return Try(replace(trial, how=How.TRIED), read, answer.warnings)

    async def _elsewhere(self, trial: Trial, attempt: Attempt) -> Try:
        """Of an answer for another namespace only that counts which is true in any."""
        answer = await self._ask(attempt)
        told = answer.message.replace(f"{_SOMEWHERE}/{sending.trial_name(trial.key)}", str(trial.key).partition(" ")[2])
        read = refusals.read(replace(answer, message=told.replace(sending.trial_name(trial.key), trial.key.name)))
        missing = f"namespace {trial.key.namespace} does not exist yet"
        if read.reading is Reading.ACCEPTED or (read.reading is Reading.REFUSED and read.shape):
            return Try(replace(trial, how=How.ELSEWHERE, why=missing), read, answer.warnings)
        return Try(replace(trial, why=f"{missing}; in namespace {_SOMEWHERE}: {read.text}"), Read(Reading.NOT_JUDGED))

    async def _ask(self, attempt: Attempt) -> Answer:
        try:
            return await self._kube.attempt(attempt)
        except UnreachableError as error:
            return Answer(503, error.message)

    async def _look(self, path: str) -> Manifest | None:
        try:
            return await self._kube.get(path)
        except ForbiddenError:
            # The dry run tells what is missing.
            return None

    def _kind(self, key: ObjectKey) -> ApiKind | None:
        if self._ground.kinds:
            return self._ground.kinds.get((key.api_version, key.kind))
        found = resource_of(key)
        return ApiKind(*found) if found else None


def _is_ending(namespace: Manifest) -> bool:
    return (namespace.get("status") or {}).get("phase") == "Terminating"


def _doomed(key: ObjectKey) -> str:
    """That a namespace is being deleted is a finding of its own, told once."""
    return f"namespace {key.namespace} is being deleted"


def _unserved(key: ObjectKey) -> str:
    return f"the API server does not serve {key.kind} of {key.api_version} yet"
