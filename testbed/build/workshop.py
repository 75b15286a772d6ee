"""The cache folder and the tools in it that building a part uses."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import TestbedError

# Lines of a failed command's output that are shown; the log has the rest.
_TAIL = 20


@dataclass(frozen=True, slots=True)
class Workshop:
    """A cache folder with the path of each part in it."""

    cache: Path
    keys: Mapping[str, str]

    def part(self, name: str) -> Path:
        """Folder of the built part ``name``."""
        return self.cache / "parts" / f"{name}-{self.keys[name]}"

    def log(self, name: str) -> Path:
        """Log file of the build of ``name``."""
        return self.cache / "logs" / f"{name}.log"

    def run(self, part: str, argv: Sequence[str | Path], cwd: Path | None = None, **env: str) -> str:
        """Run a command for ``part`` and return its stdout; stderr goes to the part's log.

        Raises TestbedError with the last lines of output when it fails.
        """
        with self.log(part).open("a") as log:
            print("$", *argv, file=log, flush=True)
            done = subprocess.run(
                argv,
                cwd=cwd,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                check=False,
            )
            log.write(done.stdout)
        if done.returncode:
            tail = "\n".join(self.log(part).read_text(errors="replace").splitlines()[-_TAIL:])
            message = f"building {part} failed: {argv[0]} ended with {done.returncode}\n{tail}\nAll of it: {self.log(part)}"
            raise TestbedError(message)
        return done.stdout

    def go(self, part: str, module: Path, *args: str | Path, toolchain: str = "go") -> str:
        """Run a pinned Go toolchain, which is a part, in ``module``, without cgo, with caches of its own."""
        root = self.part(toolchain) / "go"
        return self.run(
            part,
            [root / "bin" / "go", *args],
            cwd=module,
            GOROOT=str(root),
            GOTOOLCHAIN="local",
            GOWORK="off",
            GOENV="off",
            GOFLAGS="-trimpath -buildvcs=false -modcacherw",
            GOCACHE=str(self.cache / "go-build"),
            GOMODCACHE=str(self.cache / "go-mod"),
            CGO_ENABLED="0",
            # Compilers live for seconds: collecting less garbage saves a tenth of the time.
            GOGC="400",
        )

    def module(self, part: str, module: Path, name: str, toolchain: str = "go") -> Path:
        """Folder of the source of ``name``, one of the modules that ``module`` requires."""
        self.go(part, module, "mod", "download", name, toolchain=toolchain)
        return Path(self.go(part, module, "list", "-m", "-f", "{{.Dir}}", name, toolchain=toolchain).strip())
