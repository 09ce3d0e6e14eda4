"""An S3-speaking object store of others' making (moto's server), on a free port, in a process of its own."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from aiobotocore.session import get_session

from corten.registry.config import S3Options
from rig.registry import free_port

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests", "AWS_DEFAULT_REGION": "us-east-1"}
BUCKET = "registry"


class ObjectStore:
    """Starts at once; ``stop`` it."""

    def __init__(self) -> None:
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        os.environ.update(CREDENTIALS)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)],
            stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(self.endpoint, timeout=5).close()
                break
            except urllib.error.HTTPError:
                break
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self._log.seek(0)
                    raise AssertionError(self._log.read().decode()[-3000:]) from None
                time.sleep(0.05)
        asyncio.run(self._make_bucket())

    def options(self, lease: float = 5.0) -> S3Options:
        """A place of its own in the store."""
        return S3Options(BUCKET, prefix=f"at/{secrets.token_hex(4)}", endpoint=self.endpoint, lease=lease)

    def toml(self, options: S3Options) -> str:
        """As the registry's configuration tells it."""
        return (
            f'[s3]\nbucket = "{options.bucket}"\nprefix = "{options.prefix}"\n'
            f'endpoint = "{options.endpoint}"\nlease = {options.lease}\n'
        )

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    async def _make_bucket(self) -> None:
        async with get_session().create_client("s3", endpoint_url=self.endpoint) as client:
            await client.create_bucket(Bucket=BUCKET)
