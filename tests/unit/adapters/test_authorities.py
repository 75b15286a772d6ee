"""What of a folder of certificates is read."""

from pathlib import Path

from meshinstall.adapters.net.authorities import read_folder
from testbed.pki import Authority

ONE, TWO = (Authority(name).pair.certificate.decode().strip() for name in ("one", "two"))


def test_each_certificate_of_a_folder_is_read_once_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "company.txt").write_text(f"# für alle\n{ONE}\n# more\n{TWO}\n", "latin-1")
    (tmp_path / "again.pem").write_text(ONE)
    (tmp_path / "0a1b2c3d.0").symlink_to(tmp_path / "again.pem")
    (tmp_path / "gone.pem").symlink_to(tmp_path / "nowhere")
    (tmp_path / "README").write_text("-----BEGIN CERTIFICATE-----")
    (tmp_path / "folder").mkdir()
    assert sorted(read_folder(tmp_path)) == sorted((ONE, TWO))


def test_what_is_no_certificate_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(ONE.replace("CERTIFICATE", "PRIVATE KEY"))
    assert read_folder(tmp_path) == ()
