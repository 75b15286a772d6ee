"""Turns Azure's errors into errors that say what to do; what they mean is loaded when there is one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from meshinstall.adapters.aks.task import MissingPermissionError, Task
from meshinstall.adapters.aks.words import clean
from meshinstall.errors import ClusterError, MeshinstallError

if TYPE_CHECKING:
    from meshinstall.model.cluster import Unread

Say = Callable[[str], None]


@contextmanager
def explained(task: Task) -> Iterator[None]:
    """Turn whatever the SDK raises into an error of ours."""
    from azure.core.exceptions import AzureError

    try:
        yield
    except MeshinstallError:
        raise
    except AzureError as error:
        from meshinstall.adapters.aks.translation import translate

        raise translate(error, task) from error
    except OSError as error:
        # Certificates that are not there: requests raises it past the SDK's own errors.
        from meshinstall.adapters.aks.sign_in_errors import unreachable

        raise unreachable("Azure", clean(str(error)), task.doing) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        # The SDK's parsers on an answer that is not what they expect.
        raise ClusterError(
            f"{task.doing}: Azure's answer does not have the expected fields",
            "check that no proxy answers in Azure's place, then try again",
        ) from error


def reason(error: MeshinstallError) -> "Unread":
    """Why something is not known, for a finding: the missing permission alone, else the message with its hint."""
    from meshinstall.model.cluster import Unread

    if isinstance(error, MissingPermissionError) and error.permission:
        return Unread(error.permission)
    return Unread(why=error.in_one_line())
