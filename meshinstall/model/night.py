"""How a night ended, and what was seen of the mesh then."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from meshinstall.errors import ExitStatus
from meshinstall.model.gate import Gate


class NightEnd(StrEnum):
    """The ends of a night."""

    NOTHING = "nothing to do"
    OUTSIDE = "outside its windows"
    DONE = "done"
    PAUSED = "paused"
    LEFT = "left to owners"
    CHANGES = "other changes are planned"
    REFUSED = "refused"
    UNDONE = "taken back"
    NOT_PROVEN = "not proven"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


STATUS = {
    NightEnd.NOTHING: ExitStatus.DONE,
    NightEnd.OUTSIDE: ExitStatus.DONE,
    NightEnd.DONE: ExitStatus.DONE,
    NightEnd.PAUSED: ExitStatus.DONE,
    NightEnd.LEFT: ExitStatus.CHANGES_PENDING,
    NightEnd.CHANGES: ExitStatus.CHANGES_PENDING,
    NightEnd.REFUSED: ExitStatus.FAILED,
    NightEnd.UNDONE: ExitStatus.FAILED,
    NightEnd.NOT_PROVEN: ExitStatus.NOT_PROVEN,
    NightEnd.FAILED: ExitStatus.FAILED,
    NightEnd.INTERRUPTED: ExitStatus.INTERRUPTED,
}


@dataclass(frozen=True, slots=True)
class StageTime:
    """A stage that ran: seconds, how it ended, and why."""

    name: str
    seconds: float
    end: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class ProxiesAt:
    """Proxies of one version and revision; the version is empty where an image does not say it."""

    version: str
    revision: str
    count: int


@dataclass(frozen=True, slots=True)
class CertificateEnd:
    """A certificate of the mesh's own authorities, by subject and fingerprint, and when it expires."""

    subject: str
    fingerprint: str
    expires: datetime


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen of the mesh at the end of a night; ``support_ends`` has the minors that run, None where no day is known.

    ``gaps`` are what could not be seen.
    """

    proxies: tuple[ProxiesAt, ...] = ()
    certificates: tuple[CertificateEnd, ...] = ()
    support_ends: tuple[tuple[str, date | None], ...] = ()
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """One night: from which version to which, how it ended, and why; ``left`` is what others have to do.

    ``cluster`` is its name, empty where it was not opened and the files name none. ``status`` is the
    exit status; ``next_open`` is when closed windows open again, ``passed`` are newer versions that were not taken, each
    with the reason. Without a ``sight`` the mesh was not looked at.
    """

    environment: str
    cluster: str
    cloud: str = ""
    began: datetime
    seconds: float
    end: NightEnd
    status: int
    before: str = ""
    target: str = ""
    stage: str = ""
    why: str = ""
    left: tuple[str, ...] = ()
    passed: tuple[str, ...] = ()
    next_open: datetime | None = None
    gates: tuple[Gate, ...] = ()
    stages: tuple[StageTime, ...] = ()
    sight: Sight | None = None
