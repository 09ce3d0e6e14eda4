"""What a stage has gathered while its instructions are lowered: configuration, environment, ARGs, shell.

The lowerings (lower_config.py, lower_copy.py, lower_run.py) read and change it; lower.py drives them.  Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from corten.build.args import StageArgs
from corten.build.dockerfile.heredoc import Heredoc
from corten.build.dockerfile.instructions import Stage
from corten.build.dockerfile.words import Style, expand
from corten.build.graph import Op, Origin, origin

DEFAULT_SHELL = ("/bin/sh", "-c")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(slots=True)
class Ground:
    """What a stage has gathered by the time an instruction is lowered; the lowerings of lower_*.py change it."""

    config: dict[str, Any]
    args: StageArgs
    escape: str
    before: list[Stage]
    named: Mapping[str, Any]
    author: str = ""
    has_cmd: bool = False
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.env = dict(_split_env(entry) for entry in self.config.get("Env") or ())

    @property
    def shell(self) -> tuple[str, ...]:
        return tuple(self.config.get("Shell") or DEFAULT_SHELL)

    @property
    def cwd(self) -> str:
        return str(self.config.get("WorkingDir") or "/")

    def visible(self) -> dict[str, str]:
        """What expansion sees: ENV, then ARG, then proxies."""
        return {**self.args.globals.proxies(), **self.args.visible(self.env), **self.env}

    def expand(self, word: str) -> str:
        return expand(word, self.visible(), escape=self.escape).text

    def expand_words(self, word: str) -> tuple[str, ...]:
        return expand(word, self.visible(), escape=self.escape).words

    def expand_body(self, document: Heredoc) -> str:
        """A heredoc's content: variables are expanded, quotes and escapes stay."""
        text = document.text()
        if not document.expand:
            return text
        style = Style(raw_quotes=True, raw_escapes=False, plain_quotes=True)
        return expand(text, self.visible(), escape=self.escape, style=style).text

    def set_env(self, name: str, value: str) -> None:
        self.env[name] = value
        self.config["Env"] = [f"{key}={text}" for key, text in self.env.items()]

    def origin(self, name: str) -> Origin:
        return origin(name, self.before, self.named)


Lowered = tuple[Op, str]
"""What to do, and the words for the history."""


def with_path(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A base's configuration.  docker: every image that is built says where programs are."""
    env = config.get("Env") or ()
    if any(_split_env(entry)[0] == "PATH" for entry in env):
        return config
    return {**config, "Env": [*env, f"PATH={DEFAULT_PATH}"]}


def _split_env(entry: str) -> tuple[str, str]:
    name, _, value = entry.partition("=")
    return name, value
