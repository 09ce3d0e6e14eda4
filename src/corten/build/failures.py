"""A step that failed: which lines, what status, and where its files are while they are kept."""

from __future__ import annotations

from corten.build.dockerfile.failures import DockerfileError, Location


class StepFailed(DockerfileError):
    """A RUN's process ended with ``status``.

    ``snapshot`` is the key of the active snapshot as the process left it, where the build was asked to keep it, and
    ``before`` the chain that the step started from, ``image`` the image: what ``build --debug`` opens a shell in, with
    ``env``, ``cwd`` and ``user`` as the process had them.
    """

    def __init__(
        self,
        message: str,
        location: Location | None,
        *,
        status: int,
        hint: str | None = None,
        command: str = "",
        env: tuple[str, ...] = (),
        cwd: str = "",
        user: str = "",
    ) -> None:
        super().__init__(message, location, hint=hint)
        self.status = status
        self.command = command
        self.env = env
        self.cwd = cwd
        self.user = user
        self.image = ""

        self.snapshot: str | None = None
        self.before: str | None = None

    @property
    def process_message(self) -> str:
        """The same in BuildKit's words."""
        return f'process "{self.command}" did not complete successfully: exit code: {self.status}'
