"""Whom calls to Google trust: the system's authorities, and those that the variables of Google's own tools name."""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from meshinstall.adapters.gke.chosen import ADD, REPLACE
from meshinstall.adapters.net.authorities import read_folder
from meshinstall.adapters.net.tls import shared_context
from meshinstall.errors import UsageError
from meshinstall.model.foreign_text import plain


def trust(environ: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """A context that trusts them; raises UsageError, which names the variable and the file, for what cannot be read."""
    context = shared_context()
    for name in ("SSL_CERT_FILE", *ADD):
        _add(name, environ, context)
    return context


def unreachable_hint(error: object) -> str:
    """What to look at when no answer came: the authorities for a certificate that is not trusted, else the way."""
    named = [f"{name}={plain(os.environ[name])}" for name in (*REPLACE, *ADD) if os.environ.get(name)]
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        where = f"those of {', '.join(named)}" if named else "this machine's"
        return (
            f"a proxy that opens TLS has an authority of its own, and only {where} are trusted: add its certificate to a file"
            " and name it with REQUESTS_CA_BUNDLE"
        )
    trusted = f"; trusted are {', '.join(named)}" if named else ""
    return f"check any proxy between this machine and Google (HTTPS_PROXY), and that SSL_CERT_FILE has its certificate authority{trusted}"


def _add(name: str, environ: Mapping[str, str], context: ssl.SSLContext) -> None:
    """Load what a variable names: a file, or a folder of files, whatever their names."""
    if not (named := environ.get(name)):
        return
    path = Path(named)
    try:
        if path.is_dir():
            # Empty data is a ValueError.
            context.load_verify_locations(cadata="\n".join(read_folder(path)))
        elif name in REPLACE:
            # Loaded already; OpenSSL passes over a file that is missing, and then nothing is trusted.
            path.open("rb").close()
        else:
            context.load_verify_locations(path)
    except (OSError, ValueError) as error:
        # An ssl.SSLError is an OSError too, in OpenSSL's own words.
        why = "there is not a certificate in PEM in it" if isinstance(error, (ssl.SSLError, ValueError)) else error.strerror
        text = f"{name} names certificates that cannot be read: {plain(path)}: {plain(why)}"
        raise UsageError(text, f"correct or unset {name}") from error
