"""Archives of npm packages: downloaded by npm, verified by the hash that was published."""

import base64
import hashlib
import io
import shutil
import subprocess
import tarfile
from pathlib import Path


def fetch(package: str, sha512: str, folder: Path) -> Path:
    """The archive of a package, downloaded into a folder unless it is there; verified in any case.

    package: name@version. sha512: base64, as in `npm view PACKAGE dist.integrity`.
    """
    archive = folder / f"{package.removeprefix('@').replace('/', '-').replace('@', '-')}.tgz"
    if not archive.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise SystemExit(f"install npm, which downloads {package}")
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, "pack", "--silent", "--pack-destination", str(folder), package]
        subprocess.run(command, check=True)  # noqa: S603 - npm itself, with words of ours
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != sha512:
        raise SystemExit(f"{archive} is not the file that was published; delete it")
    return archive


def file_of(archive: tarfile.TarFile, name: str) -> io.BytesIO:
    """One file of an archive, in memory: nothing is unpacked to a path that it names."""
    file = archive.extractfile(name)
    if file is None:
        raise SystemExit(f"the package has no file {name}")
    return io.BytesIO(file.read())
