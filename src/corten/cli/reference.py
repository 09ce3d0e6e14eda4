"""Image names as the client needs them: repository, tag, digest.

Owns: splitting; the daemon judges whether a name is well-formed.
"""

from __future__ import annotations

from corten.errors import Invalid


def check(name: str) -> None:
    """Raise Invalid where the name cannot be one, before anything is shown of it; the daemon judges the rest."""
    repository, tag, digest = split(name)
    path = repository.partition("/")[2] if "/" in repository else repository
    if path != path.lower():
        shown = path if "/" in path or "/" in repository else f"library/{path}"
        raise Invalid(f"invalid reference format: repository name ({shown}) must be lowercase")
    # brackets are those of an IPv6 registry
    if not _made_of(repository, "._-/:[]") or repository.strip("/") != repository or not repository:
        raise Invalid("invalid reference format")
    if not _made_of(tag, "._-") or (digest and ":" not in digest):
        raise Invalid("invalid reference format")


def _made_of(text: str, marks: str) -> bool:
    return all(letter.isascii() and (letter.isalnum() or letter in marks) for letter in text)


def split(name: str) -> tuple[str, str, str]:
    """Repository, tag, digest; the latter two empty where absent."""
    rest, _, digest = name.partition("@")
    slash = rest.rfind("/")
    colon = rest.rfind(":")
    if colon > slash:
        return rest[:colon], rest[colon + 1 :], digest
    return rest, "", digest


def repository_and_tag(name: str) -> tuple[str, str]:
    """What ``repo`` and ``tag`` parameters take; a digest counts as the tag."""
    repository, tag, digest = split(name)
    return repository, digest or tag


def with_latest(name: str) -> str:
    """The name with ``:latest`` where it has neither tag nor digest."""
    repository, tag, digest = split(name)
    return name if tag or digest else f"{repository}:latest"


def with_registry(repository: str) -> str:
    """The repository with the registry and the folder that short names leave out."""
    first, slash, rest = repository.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        plain = first in ("docker.io", "index.docker.io")
        return f"docker.io/{rest if '/' in rest else f'library/{rest}'}" if plain else repository
    return f"docker.io/{repository}" if slash else f"docker.io/library/{repository}"
