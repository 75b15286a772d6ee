"""Puts the charts of the testbed into the cluster's registry (``python -m testbed.engines.charts SPEC``)."""

import subprocess
import sys
from pathlib import Path

from testbed import spec
from testbed.engines.hub import REGISTRY_PORT

# Where charts are in the registry, as on a mirror of Istio's.
CHARTS = "istio/charts"


def main() -> None:
    """Push every archive."""
    of = spec.load(Path(sys.argv[1]))
    folders = [Path(folder) for name, folder in of.parts.items() if name.startswith("charts")]
    for archive in sorted(file for folder in folders for file in folder.glob("*.tgz")):
        target = f"oci://127.0.0.1:{REGISTRY_PORT}/{CHARTS}"
        subprocess.run([f"{of.parts['helm4']}/helm", "push", archive, target, "--plain-http"], check=True)


if __name__ == "__main__":
    main()
