"""Debian packages of the machine's own release, unpacked into the cache and never installed."""

import re
import shutil
from pathlib import Path

from testbed import pins
from testbed.build.workshop import Workshop

# Folders of a package that an image has no use for.
_UNUSED = ("usr/share", "etc/init.d", "etc/default")


def unpack_node_packages(shop: Workshop, out: Path) -> None:
    """Unpack the packages of pins.NODE_PACKAGES with all they depend on."""
    shop.run("debian", ["apt-get", "update", "--quiet"])
    options = [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]
    listing = shop.run("debian", ["apt-cache", "depends", "--recurse", *options, *pins.NODE_PACKAGES])
    packages = sorted(set(re.findall(r"^\w\S*", listing, re.MULTILINE)))
    (out / "versions").write_text("".join(f"{name}\n" for name in _unpack(shop, out, "debian", packages)))
    for name in _UNUSED:
        shutil.rmtree(out / "root" / name, ignore_errors=True)
    # Only the application's image gets it: the proxy's has no shell to offer.
    (out / "root/bin/busybox").rename(out / "busybox")
    _finish_iptables(out / "root/usr/sbin")
    _collect_libraries(out)


def unpack_clock(shop: Workshop, out: Path) -> None:
    """Unpack pins.CLOCK_PACKAGE and leave its library alone, as ``clock.so``."""
    shop.run("clock", ["apt-get", "update", "--quiet"])
    _unpack(shop, out, "clock", [pins.CLOCK_PACKAGE])
    # The one without threads is beside it.
    next((out / "root").rglob("libfaketimeMT.so.1")).rename(out / "clock.so")
    shutil.rmtree(out / "root")


def _unpack(shop: Workshop, out: Path, part: str, packages: list[str]) -> list[str]:
    """Put the files of ``packages`` below ``out``/root; return the names of the archives, which hold their versions."""
    downloads = out / "packages"
    downloads.mkdir()
    # Without a sandbox user: it could not write into the cache folder.
    shop.run(part, ["apt-get", "-o", "APT::Sandbox::User=root", "download", "--quiet", *packages], cwd=downloads)
    archives = sorted(downloads.glob("*.deb"))
    for archive in archives:
        shop.run(part, ["dpkg-deb", "--extract", archive, out / "root"])
    shutil.rmtree(downloads)
    return [archive.stem for archive in archives]


def _finish_iptables(folder: Path) -> None:
    """Link the commands that the package's own installation script would."""
    for family in ("iptables", "ip6tables"):
        for suffix in ("", "-save", "-restore"):
            (folder / f"{family}{suffix}").symlink_to("xtables-nft-multi")


def _collect_libraries(out: Path) -> None:
    """Gather what these programs load on the host: all but the C library, which must be the host's."""
    (out / "lib").mkdir()
    for folder in ("lib", "usr/lib"):
        for file in (out / "root" / folder / "x86_64-linux-gnu").glob("lib*.so.*"):
            if re.match(r"lib(xtables|ip4tc|ip6tc|mnl|nftnl|nfnetlink|netfilter_conntrack|seccomp)\.", file.name):
                shutil.copy(file, out / "lib" / file.name)
