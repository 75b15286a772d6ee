"""Redis of the machine's release, which Argo CD keeps its cache in: packages, unpacked into the cache and never installed on the host."""

import re
import shutil
from pathlib import Path

from testbed.build.workshop import Workshop

# Of all that the package depends on: what no machine has without it.
_OWN = re.compile(r"redis-(server|tools)|lua-.*|lib(lua|jemalloc|lzf|atomic|hiredis).*")


def unpack(shop: Workshop, out: Path) -> None:
    """Unpack the server, its tools and the libraries that they load."""
    downloads = out / "packages"
    downloads.mkdir()
    shop.run("redis", ["apt-get", "update", "--quiet"])
    listing = shop.run("redis", ["apt-cache", "depends", "--recurse", "--important", "redis-server"])
    packages = sorted({name for name in re.findall(r"^\w\S*", listing, re.MULTILINE) if _OWN.fullmatch(name)})
    # Without a sandbox user: it could not write into the cache folder.
    shop.run("redis", ["apt-get", "-o", "APT::Sandbox::User=root", "download", "--quiet", *packages], cwd=downloads)
    for package in sorted(downloads.glob("*.deb")):
        shop.run("redis", ["dpkg-deb", "--extract", package, out / "root"])
    (out / "versions").write_text("".join(f"{package.stem}\n" for package in sorted(downloads.glob("*.deb"))))
    shutil.rmtree(downloads)
