"""Whom the SDK of AWS trusts when it opens TLS: the file or folder of certificates that variables or the profile name."""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from meshinstall.adapters.net.authorities import read_first, read_folder
from meshinstall.errors import UsageError

if TYPE_CHECKING:
    from botocore.session import Session

# As botocore reads them: the first that is set counts, and the profile's ca_bundle is between the two.
_OWN, _REQUESTS = "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"


def use_authorities(session: "Session", environ: Mapping[str, str]) -> None:
    """Check the bundle that the session is to trust, and make one file of a folder, which the SDK cannot read; raises UsageError."""
    own = session.get_config_variable("ca_bundle")
    bundle = str(own or environ.get(_REQUESTS, "")).strip()
    if not bundle:
        return
    name = _OWN if environ.get(_OWN) else "ca_bundle of the profile" if own else _REQUESTS
    path = Path(bundle)
    try:
        text = "\n".join(read_folder(path)) if path.is_dir() else ""
        if not path.is_dir():
            _try_first(path)
    except (OSError, ValueError) as error:
        # An SSLError is an OSError too.
        reason = "it holds no certificate" if isinstance(error, (ssl.SSLError, ValueError)) else error.strerror
        raise UsageError(f"the certificates of {name} ({bundle}) cannot be used: {reason}", _name_one(name)) from error
    if path.is_dir():
        session.set_config_variable("ca_bundle", _one_file(text, name, bundle))


def _try_first(file: Path) -> None:
    """Whether a file is one of certificates, by its first: the SDK reads the rest, and a bundle of all authorities takes it a while."""
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=read_first(file))


def hint(environ: Mapping[str, str]) -> str:
    """What to do when the certificate of AWS, or of a proxy in its place, is not trusted."""
    named = [f"{name}={environ[name]}" for name in (_OWN, _REQUESTS) if environ.get(name)]
    who = f"{named[0]} names whom to trust" if named else f"neither {_OWN} nor {_REQUESTS} names whom to trust"
    return (
        f"{who} (ca_bundle in the profile does it too): add the certificate of whoever answers, such as a proxy that inspects TLS; "
        f"openssl s_client -showcerts shows it"
    )


def _one_file(text: str, name: str, folder: str) -> str:
    from meshinstall.adapters.cloud.exec_kubeconfig import write_private

    if not text:
        raise UsageError(f"the folder {folder} of {name} holds no certificate", _name_one(name))
    return os.fspath(write_private(text))


def _name_one(name: str) -> str:
    return f"name a PEM file, or a folder of them, in {name}"
