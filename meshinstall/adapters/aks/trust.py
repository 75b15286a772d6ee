"""Which file of certificates the Azure SDK and the Azure CLI trust, for errors about certificates."""

import os
from collections.abc import Mapping
from pathlib import Path

from meshinstall.model.foreign_text import plain

# As requests reads them, the first that is set.
_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def not_trusted(said: str, environ: Mapping[str, str] = os.environ) -> tuple[str, str] | None:
    """For an error of the SDK about certificates: what is trusted now, and what to do; None for any other error."""
    name = next((one for one in _VARIABLES if environ.get(one)), "")
    value = plain(environ.get(name, ""))
    if "TLS CA certificate bundle" in said:
        return f" ({name}={value} does not exist)", f"set {name or _VARIABLES[0]} to a file of certificates in PEM, or unset it"
    if "CERTIFICATE_VERIFY_FAILED" not in said:
        return None
    if not name:
        return "", f"if your company's proxy signs certificates, set {_VARIABLES[0]} to the file of its CA"
    more = "; run openssl rehash on it, as only hashed names in a folder count" if Path(environ[name]).is_dir() else ""
    return f" (by {name}={value})", f"add the CA of your company's proxy, or the public ones, to what {name} names{more}"
