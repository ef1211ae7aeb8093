"""The Dockerfile's steps performed without a Docker engine: parser, context, and a folder that stands for an image.

1. Parse: instructions with their continuation lines. One that this module does not perform is an error.
2. Context: the files that COPY may see, by .dockerignore.
3. Build: one folder is the file system, and the container's own paths are mapped below it. When a stage ends the
   folder is moved away and a new one takes its place, so that `COPY --from` is the only way across, yet the paths
   inside the environment stay true. Of the base image the machine lends Python, the shell and the core commands; what
   needs root (NEEDS_ROOT) is replaced by commands that do nothing.
4. Start: CMD with the image's environment alone, on a port of the caller's; HEALTHCHECK as it stands.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

NEEDS_ROOT = ("useradd", "chown")
KNOWN = {"ARG", "FROM", "COPY", "RUN", "WORKDIR", "ENV", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "CMD"}


@dataclass(frozen=True)
class Step:
    name: str
    text: str


def parse(source: str) -> list[Step]:
    """The instructions of a Dockerfile in order, comments dropped and continuation lines joined."""
    lines = [line for line in source.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    steps = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        name, _, text = line.partition(" ")
        if name not in KNOWN:
            raise ValueError(f"this test cannot perform the instruction {name!r}; it knows {sorted(KNOWN)}")
        steps.append(Step(name, text.strip()))
    return steps


def matches(path: str, pattern: str) -> bool:
    """Whether a pattern names `path` or a folder above it: `*` within a component, a leading `**/` at any depth."""
    parts, globs = path.split("/"), pattern.strip("/").split("/")
    starts = [0]
    if globs[0] == "**":
        globs, starts = globs[1:], list(range(len(parts)))
    tails = [parts[start : start + len(globs)] for start in starts]
    return any(len(tail) == len(globs) and all(map(fnmatch.fnmatchcase, tail, globs)) for tail in tails)


def is_ignored(path: str, patterns: list[str]) -> bool:
    """Whether .dockerignore leaves `path` out: the last pattern that matches decides."""
    ignored = False
    for pattern in patterns:
        if matches(path, pattern.lstrip("!")):
            ignored = not pattern.startswith("!")
    return ignored


def ignore_patterns(repository: Path) -> list[str]:
    lines = map(str.strip, (repository / ".dockerignore").read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def copy_context(repository: Path, destination: Path) -> None:
    """What Docker sends to the engine: the working tree less what .dockerignore names."""
    patterns = ignore_patterns(repository)

    def left_out(folder: str, names: list[str]) -> set[str]:
        relative = Path(folder).relative_to(repository)
        return {name for name in names if is_ignored((relative / name).as_posix(), patterns)}

    shutil.copytree(repository, destination, ignore=left_out, dirs_exist_ok=True)


@dataclass
class Build:
    """The image as far as the steps have been performed; `root` is its file system, `aside` keeps earlier stages."""

    root: Path
    context: Path
    aside: Path
    base_path: str
    own_tops: frozenset[str]
    arguments: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    stages: list[str] = field(default_factory=list)
    workdir: str = "/"
    user: str = "root"
    last: dict[str, str] = field(default_factory=dict)

    def below(self, text: str) -> str:
        """`text` with the container's own absolute paths mapped below the root."""
        return re.sub(rf"(?<![\w.$}}/])/(?=(?:{'|'.join(sorted(self.own_tops))})\b)", f"{self.root}/", text)

    def substitute(self, text: str) -> str:
        values = {"PATH": self.base_path} | self.arguments | self.env
        return re.sub(r"\$\{?(\w+)\}?", lambda m: values.get(m[1], ""), text)

    def environment(self) -> dict[str, str]:
        """ENV and nothing else, beside a home and this machine's settings for pip, which are no part of an image."""
        home = self.root / "home" / self.user
        home.mkdir(parents=True, exist_ok=True)
        return {"PATH": self.base_path, "HOME": str(home), "LANG": "C.UTF-8"} | pip_settings() | self.env

    def run(self, command: list[str], **extra: str) -> subprocess.CompletedProcess[str]:
        folder = self.below(self.workdir) if self.workdir != "/" else str(self.root)
        env = self.environment() | extra
        return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600, check=False)

    def perform(self, step: Step) -> None:
        getattr(self, f"_{step.name.lower()}", self._keep)(step)

    def _keep(self, step: Step) -> None:
        self.last[step.name] = step.text

    def _arg(self, step: Step) -> None:
        name, _, default = step.text.partition("=")
        self.arguments[name] = os.environ.get(name, default.strip('"'))

    def _from(self, step: Step) -> None:
        if self.stages:
            self.root.rename(self.aside / self.stages[-1])
        self.root.mkdir()
        self.stages.append(step.text.split(" AS ")[-1])
        self.env, self.workdir, self.user = {}, "/", "root"

    def _copy(self, step: Step) -> None:
        *sources, target = (word for word in step.text.split() if not word.startswith("--"))
        stage = re.search(r"--from=(\S+)", step.text)
        destination = Path(self.below(target))
        if stage:
            destination.parent.mkdir(parents=True, exist_ok=True)
            (self.aside / stage[1] / sources[0].lstrip("/")).rename(destination)
            return
        destination.mkdir(parents=True, exist_ok=True)
        for source in sources:
            path = self.context / source
            if path.is_dir():
                shutil.copytree(path, destination, dirs_exist_ok=True)
            else:
                shutil.copy2(path, destination)

    def _run(self, step: Step) -> None:
        done = self.run(["/bin/sh", "-ec", self.below(step.text)], **self.arguments)
        assert done.returncode == 0, f"RUN {step.text}\n{done.stdout}\n{done.stderr}"

    def _workdir(self, step: Step) -> None:
        self.workdir = step.text
        Path(self.below(step.text)).mkdir(parents=True, exist_ok=True)

    def _env(self, step: Step) -> None:
        pairs = re.findall(r"(\w+)=(\S+)", step.text)
        self.env |= {name: self.below(self.substitute(value)) for name, value in pairs}

    def _user(self, step: Step) -> None:
        self.user = step.text


def pip_settings() -> dict[str, str]:
    """This machine's settings for pip and its store of downloads."""
    names = ("PIP_", "SSL_", "REQUESTS_CA_BUNDLE", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    settings = {name: value for name, value in os.environ.items() if name.startswith(names)}
    for name, ask in (("PIP_CONFIG_FILE", ["config", "debug"]), ("PIP_CACHE_DIR", ["cache", "dir"])):
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *ask]
        output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        found = [line.split(", exists: True")[0].strip() for line in output.splitlines() if ", exists: True" in line]
        value = found[-1] if ask[0] == "config" and found else output.strip() if ask[0] == "cache" else ""
        if value and name not in settings and name != "PIP_ARGS":
            settings[name] = value
    return settings


def base_commands(folder: Path) -> str:
    """A PATH like that of the base image: Python, the core commands, and stand-ins for what needs root."""
    folder.mkdir()
    scripts = dict.fromkeys(NEEDS_ROOT, "exit 0") | {"python": f'exec "{sys._base_executable}" "$@"'}
    for name, body in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def build_image(steps: list[Step], repository: Path, folder: Path) -> Build:
    """Performs every step; `folder` is to be empty and holds all that comes of it."""
    context, aside = folder / "context", folder / "stages"
    copy_context(repository, context)
    aside.mkdir()
    paths = " ".join(step.text for step in steps if step.name in ("COPY", "WORKDIR", "VOLUME"))
    own_tops = frozenset(re.findall(r"(?<![\w.])/(\w+)", paths))
    image = Build(folder / "root", context, aside, base_commands(folder / "bin"), own_tops)
    for step in steps:
        image.perform(step)
    return image


def is_healthy(image: Build, port: str) -> bool:
    _, _, command = image.last["HEALTHCHECK"].partition("CMD ")
    words = json.loads(command)
    return (
        image.run([shutil.which(words[0], path=image.env["PATH"]), *words[1:]], STREAMLIT_SERVER_PORT=port).returncode
        == 0
    )


@contextmanager
def started(image: Build, port: str) -> Iterator[subprocess.Popen[bytes]]:
    words = json.loads(image.last["CMD"])
    program = shutil.which(words[0], path=image.env["PATH"])
    env = image.environment() | {"STREAMLIT_SERVER_PORT": port}
    with (image.aside / "log").open("w+b") as log:
        process = subprocess.Popen(
            [str(program), *words[1:]], cwd=image.below(image.workdir), env=env, stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
