"""Runs pyhelm3's command lines as process groups; imported when helm is first needed."""

import os
import signal

from pyhelm3 import errors
from pyhelm3.command import Command

from meshinstall.adapters.helm.process import run
from meshinstall.errors import HelmError

# A helm lives for seconds and parses megabytes: letting garbage grow to four times what is alive, up to 256 MiB, saves it a seventh of
# its CPU time.
_COLLECTING = {"GOGC": "400", "GOMEMLIMIT": "256MiB"}


class GroupCommand(Command):  # type: ignore[misc] # pyhelm3 ships no types
    """Builds pyhelm3's command lines; runs them without a shell, in a process group that cancelling ends.

    pyhelm3's Client is not used: its constructor runs helm synchronously, and
    its ensure_release uninstalls a release that another helm is still installing.
    """

    withheld: frozenset[str] = frozenset()

    async def run(self, command: list[object], input: bytes | None = None) -> bytes:  # noqa: A002 - pyhelm3's name
        """Return helm's stdout; raises pyhelm3's Error when helm fails, OSError when it cannot be started."""
        argv = [self._executable, *(str(word) for word in command)]
        if self._kubeconfig:
            argv += ["--kubeconfig", str(self._kubeconfig)]
        if self._kubecontext:
            argv += ["--kube-context", self._kubecontext]
        outcome = await run(argv, input or b"", _environment(self.withheld))
        if outcome.status < 0:
            name = signal.Signals(-outcome.status).name
            raise HelmError(f"{self._executable} was killed ({name})", "run the same command again: it repairs the release and continues")
        if outcome.status:
            raise errors.Error(outcome.status, outcome.stdout, outcome.stderr)
        return outcome.stdout


def _environment(withheld: frozenset[str]) -> dict[str, str]:
    """The caller's environment, which exec plugins need, without withheld variables and those that change helm's behaviour."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HELM_") and name not in withheld}
    return {**_COLLECTING, **kept, "HELM_DRIVER": "secret", "HELM_NO_PLUGINS": "1", "NO_COLOR": "1"}
