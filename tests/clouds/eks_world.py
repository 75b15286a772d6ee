"""A person with AWS keys, an account, and meshinstall in a shell of theirs."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from testbed.clouds import eks, eks_account
from testbed.clouds.eks_identity import Identity
from testbed.cluster import Cluster
from testbed.shell import write_configuration
from tests.cluster.meshinstall_run import Done

NAME = "shop"
GROUP = "mesh-admins"
_PATIENCE = 150


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody at a shell; ``env`` is all of its environment."""

    env: Mapping[str, str]

    def having(self, **env: str) -> "Person":
        """The same with other variables."""
        return replace(self, env={**self.env, **env})

    def meshinstall(self, *argv: str) -> Done:
        """Run meshinstall to its end."""
        return self.run(sys.executable, "-P", "-m", "meshinstall", *argv)

    def run(self, *argv: str) -> Done:
        """Run a program to its end."""
        done = subprocess.run(
            argv, env=dict(self.env), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def started(self, log: Path, *argv: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run meshinstall beside the test, its stderr into ``log``; it is killed when the test leaves it."""
        argv = (sys.executable, "-P", "-m", "meshinstall", *argv)
        with log.open("w") as err, subprocess.Popen(argv, env=dict(self.env), stdin=subprocess.DEVNULL, stderr=err) as process:
            try:
                yield process
            finally:
                process.kill()


def person(home: Path, aws: eks.Aws, identity: Identity, **more: str) -> Person:
    """Somebody with the keys of ``identity`` in the environment and nothing else of AWS's."""
    return Person(
        {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
            "TMPDIR": str(home),
            "AWS_ACCESS_KEY_ID": identity.access_key,
            "AWS_SECRET_ACCESS_KEY": identity.secret,
            "AWS_ENDPOINT_URL": aws.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
            **more,
        }
    )


def configure(cluster: Cluster, charts: Path, **selectors: str) -> Path:
    """A meshinstall.yaml whose environment staging is the EKS cluster; returns its folder."""
    folder = write_configuration(cluster, charts)
    file = folder / "meshinstall.yaml"
    staging = {"cloud": "eks", "cluster": {"name": NAME, "region": eks_account.REGION, **selectors}}
    file.write_text(json.dumps({**json.loads(file.read_text()), "environments": {"staging": staging}}, indent=2))
    return folder


def account(aws: eks.Aws, server: str, authority: bytes, life: timedelta = timedelta(hours=1)) -> Identity:
    """An account with the cluster in it and a role that has an access entry; returns who may assume it, for ``life``."""
    owner = eks_account.engineer(aws)
    eks_account.make(aws, owner, NAME, server, authority, "1.36")
    aws.roles[eks_account.ADMIN_ROLE] = life
    return owner
