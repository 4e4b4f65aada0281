"""Decides whether Triton can load a model repository, before Triton hangs on it.

Triton 2.51 waits for ever for a Python model whose process dies before it connects: a version
directory without model.py is enough. Everything here is a pure function of a listing
(`hps_server.listing` makes it), so each trap is one small test.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum

from hps_server.pbtxt import Message, PbtxtError, messages, parse, scalar, scalars


class Kind(Enum):
    """What a path of the repository is, links followed."""

    FILE = "a file"
    DIRECTORY = "a directory"
    OUTSIDE = "a link that leads out of the repository"
    LOOP = "a link that leads back to itself"
    DANGLING = "a link to nothing"
    UNREADABLE = "not readable for this user"
    SPECIAL = "neither file nor directory"


@dataclass(frozen=True)
class Entry:
    """One path; `size` in bytes for files, `target` for links that lead out."""

    kind: Kind
    size: int = 0
    target: str = ""


@dataclass(frozen=True)
class Listing:
    """The repository three levels deep, and the text of each model's config.pbtxt."""

    entries: "Mapping[str, Entry]"
    configs: "Mapping[str, str]"

    def names(self, folder: str = "") -> "list[str]":
        """What lies in a folder, sorted."""
        prefix = f"{folder}/" if folder else ""
        return sorted(
            path[len(prefix) :]
            for path in self.entries
            if path.startswith(prefix) and "/" not in path[len(prefix) :]
        )

    def kind(self, path: str) -> "Kind | None":
        """What a path is; None when there is none."""
        entry = self.entries.get(path)
        return entry.kind if entry else None


@dataclass(frozen=True)
class Fault:
    """One reason to refuse: where in the repository, what is wrong, what to do."""

    path: str
    problem: str
    hint: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}. {self.hint}."


@dataclass(frozen=True)
class Verdict:
    """What was found: the models that can be loaded, or why the repository is refused."""

    models: "tuple[str, ...]"
    faults: "tuple[Fault, ...]"
    python: bool = False  # some model runs in the Python backend
    strings: "tuple[str, ...]" = ()  # Python models with BYTES tensors


@dataclass(frozen=True)
class _Model:
    name: str
    backend: str
    config: Message


ENSEMBLE = "ensemble"
# File that a backend opens in a version directory (model_configuration.md of Triton).
# A backend that is not listed decides by itself what it needs.
MODEL_FILES: "dict[str, tuple[str, ...]]" = {
    "python": ("model.py",),
    "onnxruntime": ("model.onnx",),
    "tensorrt": ("model.plan",),
    "pytorch": ("model.pt",),
    "openvino": ("model.xml",),
    "tensorflow": ("model.savedmodel", "model.graphdef"),
    "paddle": ("model.pdmodel",),
    "fil": ("xgboost.model", "xgboost.json", "model.txt", "checkpoint.tl"),
}
_PLATFORMS = {
    "tensorflow_graphdef": "tensorflow",
    "tensorflow_savedmodel": "tensorflow",
    "tensorrt_plan": "tensorrt",
    "onnxruntime_onnx": "onnxruntime",
    "pytorch_libtorch": "pytorch",
    ENSEMBLE: ENSEMBLE,
}
# Triton ignores directories that are no number or start with 0.
_VERSION = re.compile(r"[1-9][0-9]{0,18}")
_STUB = "triton_python_backend_stub"  # a link to another Python's stub leads out on purpose
_HANGS = "Triton would wait for it for ever"


def inspect(
    listing: Listing, backends: "Collection[str]", wanted: "Collection[str]" = ()
) -> Verdict:
    """Judge the models of a repository.

    Args:
        listing: what is there.
        backends: names of the backends that this image has.
        wanted: the models to load; without any, all of them.
    """
    names = [name for name in listing.names() if _is_model(listing, name)]
    here = f"Models here: {', '.join(names) or 'none'}"
    faults = [Fault(name, "no such model", here) for name in sorted(set(wanted) - set(names))]
    if not names:
        faults.append(
            Fault(".", "the repository holds no model", "Mount one: MODEL/config.pbtxt, MODEL/1/…")
        )
    chosen = [name for name in names if not wanted or name in wanted]
    models = []
    for name in chosen:
        found = _link_faults(listing, name)
        if not found:
            model, found = _read(listing, name, backends)
            if model is not None:
                models.append(model)
                found = [*found, *_version_faults(listing, model), *_step_faults(model, names)]
        faults += found
    python = [model for model in models if model.backend == "python"]
    return Verdict(
        models=tuple(chosen),
        faults=tuple(faults),
        python=bool(python),
        strings=tuple(model.name for model in python if _has_strings(model.config)),
    )


def numpy_faults(verdict: Verdict, numpy: "str | None") -> "tuple[Fault, ...]":
    """BYTES tensors end the Python stub of Triton 2.51 when NumPy is 2 or newer."""
    if numpy is None or not numpy.split(".")[0].isdigit() or int(numpy.split(".")[0]) < 2:  # noqa: PLR2004 - NumPy 2
        return ()
    return tuple(
        Fault(
            name,
            f"TYPE_STRING tensors end Triton's Python process under NumPy {numpy}",
            "Install numpy<2 in the image",
        )
        for name in verdict.strings
    )


def _is_model(listing: Listing, name: str) -> bool:
    # Files beside the models are ignored by Triton. A name with a dot is a place for staging, and
    # lost+found is what every ext4 volume has at its top.
    return listing.kind(name) is not Kind.FILE and not name.startswith(".") and name != "lost+found"


def _link_faults(listing: Listing, name: str) -> "list[Fault]":
    paths = [path for path in listing.entries if path == name or path.startswith(f"{name}/")]
    faults = []
    for path in sorted(paths):
        entry = listing.entries[path]
        if entry.kind in (Kind.FILE, Kind.DIRECTORY) or path == f"{name}/{_STUB}":
            continue
        where = f" ({entry.target})" if entry.target else ""
        hint = "Put the file itself here" if entry.kind is not Kind.UNREADABLE else "Mend its mode"
        faults.append(Fault(path, f"is {entry.kind.value}{where}", hint))
    return faults


def _read(
    listing: Listing, name: str, backends: "Collection[str]"
) -> "tuple[_Model | None, list[Fault]]":
    path = f"{name}/config.pbtxt"
    try:
        config = parse(listing.configs.get(name, ""))
    except PbtxtError as error:
        return None, [Fault(path, str(error), "See Triton's model configuration")]
    faults = []
    given = scalar(config, "name")
    if given not in (None, "", name):
        faults.append(
            Fault(path, f"the name is {given!r}, the directory {name!r}", "Make them equal")
        )
    backend = _backend(config) or _guess(listing, name)
    if backend is None:
        return None, [
            *faults,
            Fault(
                path if name in listing.configs else name,
                "names no backend, and no version directory holds a model file to tell it by",
                'Write backend: "python" for a model.py',
            ),
        ]
    own = f"libtriton_{backend}.so"
    carried = any(
        path.endswith(f"/{own}") for path in listing.entries if path.startswith(f"{name}/")
    )
    if backend != ENSEMBLE and backend not in backends and not carried:
        faults.append(
            Fault(
                path,
                f"this image has no backend {backend!r}",
                f"It has: {', '.join(sorted(backends)) or 'none'}",
            )
        )
    return _Model(name, backend, config), faults


def _backend(config: Message) -> "str | None":
    platform = scalar(config, "platform")
    return scalar(config, "backend") or (_PLATFORMS.get(platform, platform) if platform else None)


def _guess(listing: Listing, name: str) -> "str | None":
    # Triton completes a missing configuration from the name of the model file.
    for version in _versions(listing, name):
        present = listing.names(f"{name}/{version}")
        for backend, files in MODEL_FILES.items():
            if any(file in present for file in files):
                return backend
    return None


def _versions(listing: Listing, name: str) -> "list[str]":
    return sorted(
        (
            entry
            for entry in listing.names(name)
            if _VERSION.fullmatch(entry) and listing.kind(f"{name}/{entry}") is Kind.DIRECTORY
        ),
        key=int,
    )


def _served(versions: "list[str]", config: Message) -> "tuple[list[str], list[str]]":
    """The versions that Triton loads by version_policy, and those asked for but missing."""
    policy = (messages(config, "version_policy") or [{}])[-1]
    if "all" in policy:
        return versions, []
    specific = messages(policy, "specific")
    if specific:
        asked = scalars(specific[-1], "versions")
        return [v for v in versions if v in asked], [v for v in asked if v not in versions]
    count = scalar((messages(policy, "latest") or [{}])[-1], "num_versions") or "1"
    return versions[-int(count) :] if count.isdigit() and int(count) else versions[-1:], []


def _version_faults(listing: Listing, model: _Model) -> "list[Fault]":
    versions = _versions(listing, model.name)
    served, missing = _served(versions, model.config)
    faults = [
        Fault(f"{model.name}/{version}", "version_policy asks for it, it is missing", "Add it")
        for version in missing
    ]
    if not versions:
        faults.append(
            Fault(model.name, "has no version directory", "Move the model's files to 1/ below it")
        )
    if model.backend != ENSEMBLE:
        for version in served:
            faults += _file_faults(listing, model, f"{model.name}/{version}")
    return faults


def _file_faults(listing: Listing, model: _Model, folder: str) -> "list[Fault]":
    given = scalar(model.config, "default_model_filename")
    files = (given,) if given else MODEL_FILES.get(model.backend, ())
    present = [file for file in files if listing.kind(f"{folder}/{file}") is not None]
    if files and not present:
        held = ", ".join(listing.names(folder)) or "nothing"
        problem = f"{' or '.join(files)} is missing (the directory holds {held})"
        waits = f"; {_HANGS}" if model.backend == "python" else ""
        return [Fault(folder, problem + waits, "Put it there, or remove the version")]
    return [
        Fault(f"{folder}/{file}", "is empty", "A copy may have been interrupted: copy it again")
        for file in present
        if listing.entries[f"{folder}/{file}"] == Entry(Kind.FILE, size=0)
    ]


def _step_faults(model: _Model, names: "Collection[str]") -> "list[Fault]":
    steps = [
        step
        for scheduling in messages(model.config, "ensemble_scheduling")
        for step in messages(scheduling, "step")
    ]
    asked = {scalar(step, "model_name") or "" for step in steps}
    return [
        Fault(f"{model.name}/config.pbtxt", f"the ensemble needs model {name!r}", "Add that model")
        for name in sorted(asked - set(names))
    ]


def _has_strings(config: Message) -> bool:
    return any(
        scalar(tensor, "data_type") == "TYPE_STRING"
        for field in ("input", "output")
        for tensor in messages(config, field)
    )
