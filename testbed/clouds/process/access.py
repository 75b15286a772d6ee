"""Makes the fake cloud's user an administrator of the cluster, once: ``python -m testbed.clouds.process.access``."""

from testbed.api import Api
from testbed.clouds.access import make_administrators
from testbed.clouds.process.kind import read_addresses
from testbed.errors import TestbedError
from testbed.spec import INSIDE


def main() -> None:
    """Bind it; the API server and the cloud answer already."""
    running = read_addresses(INSIDE)
    if running is None:
        raise TestbedError("the cloud has not said who is to be administrator")
    api = Api(INSIDE / "kubeconfig")
    make_administrators(api, running.kind, running.administrator)
    for path, content in running.objects:
        api.post(path, dict(content))


if __name__ == "__main__":
    main()
