"""PaddleX's pipeline configurations: which modules one has, and which weights they load.

A configuration is a YAML mapping (PaddleX 3, "Pipeline configuration"). A module is a mapping
with `model_name` and `model_dir`, below `SubModules` of the pipeline or of one of its
`SubPipelines`. Without a `model_dir` PaddleX downloads what is called `model_name`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from hps.errors import ConfigError

LIMIT = 1 << 20  # bytes; the largest of PaddleX 3.7.2 has 9 kB
_DEPTH = 32
_NODES = 100_000  # aliases can make a small text say very much
_HINT = "a pipeline configuration is a YAML mapping, as in paddlex/configs/pipelines"

Document = Mapping[str, Any]
# libyaml's is some ten times as fast; both read the same YAML 1.1.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Module:
    """One module: its key path, `SubModules.TextDetection`, and PaddleX's name of its model."""

    path: str
    model: str


def read(data: bytes, where: str) -> Document:
    """Read YAML that maps names to things.

    Raises:
        ConfigError: it is too large, too deep, no YAML or no mapping; `where` names it.
    """
    if len(data) > LIMIT:
        raise ConfigError(f"{where} is too large", expected=f"at most {LIMIT} bytes", hint=_HINT)
    try:
        document = yaml.load(data, Loader=_Loader)  # noqa: S506 - a safe loader, see above
        _check(document, where)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: impossible dates
        raise ConfigError(
            f"{where} is not YAML", details=tuple(str(error).splitlines()[:4]), hint=_HINT
        ) from error
    if not isinstance(document, dict):
        raise ConfigError(f"{where} is no mapping", got=type(document).__name__, hint=_HINT)
    return document


def read_description(data: bytes, where: str) -> Mapping[str, Any]:
    """What `inference.yml` of a model says about it under `Global`; raises ConfigError.

    A recogniser lists every character that it knows, so only this block is looked at.
    """
    lines = data.decode("utf-8", "replace").splitlines()
    start = next((number for number, line in enumerate(lines) if line.rstrip() == "Global:"), None)
    if start is None:
        return {}
    block = [lines[start]]
    for line in lines[start + 1 :]:
        if line.strip() and not line.startswith((" ", "#")):
            break
        block.append(line)
    told = read("\n".join(block).encode(), where).get("Global")
    return told if isinstance(told, dict) else {}


def _check(document: Any, where: str) -> None:
    """Bound what a walk over the document can meet; a circle has no depth at which it ends."""
    waiting, count = [(document, 0)], 0
    while waiting:
        node, depth = waiting.pop()
        count += 1
        if depth > _DEPTH or count > _NODES:
            raise ConfigError(f"{where} is nested too deeply or says too much", hint=_HINT)
        children = node.values() if isinstance(node, dict) else node
        if isinstance(children, (list, tuple)) or isinstance(node, dict):
            waiting += [(child, depth + 1) for child in children]


def write(document: Document) -> bytes:
    """The YAML of a document, keys in the order that they have."""
    text: str = yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True)
    return text.encode()


def modules(document: Document) -> tuple[Module, ...]:
    """Every module that loads a model, in the order of the document."""
    return tuple(_modules(document, ()))


def _modules(node: Any, path: tuple[str, ...]) -> Iterator[Module]:
    if not isinstance(node, dict):
        return
    name = node.get("model_name")
    if path and isinstance(name, str) and ("model_dir" in node or "module_name" in node):
        yield Module(".".join(path), name.strip())
    for key, value in node.items():
        yield from _modules(value, (*path, str(key)))


def assign(
    document: Document, *, named: Mapping[str, str], found: Sequence[str], models: Mapping[str, str]
) -> dict[str, str]:
    """Which module uses which weights: key path to name, in the order of the document.

    Args:
        document: the configuration.
        named: weights by module, or by the end of its key path; they win.
        found: weights that go to every other module whose model they are.
        models: PaddleX's name of the model of each set of weights.

    Raises:
        ConfigError: a module that is not there or not told from others, weights of which no
            module uses the model, or two sets of weights for one module.
    """
    known = modules(document)
    taken: dict[str, str] = {}
    for end, weights in named.items():
        path = _resolved(end, known)
        if taken.setdefault(path, weights) != weights:
            raise ConfigError(f"the module {path} is given two sets of weights", got=end)
    by_model: dict[str, str] = {}
    for weights in found:
        other = by_model.setdefault(models[weights], weights)
        if other != weights:
            raise ConfigError(
                f"{other} and {weights} are both weights of the model {models[weights]}",
                hint="say which module uses which: modules = { MODULE = WEIGHTS }",
            )
        if weights not in taken.values() and models[weights] not in {one.model for one in known}:
            raise ConfigError(
                f"no module has the model {models[weights]} of the weights {weights}",
                details=_listed(known),
                hint="say which module shall use it: modules = { MODULE = WEIGHTS }",
            )
    order = {one.path: taken.get(one.path) or by_model.get(one.model) for one in known}
    return {path: weights for path, weights in order.items() if weights is not None}


def _resolved(end: str, known: Sequence[Module]) -> str:
    fitting = [one.path for one in known if f".{one.path}".endswith(f".{end}")]
    if end in fitting:
        return end
    if len(fitting) == 1:
        return fitting[0]
    raise ConfigError(
        f"several modules are called {end}" if fitting else f"there is no module {end}",
        details=tuple(fitting) or _listed(known),
        hint="write its whole key path" if fitting else "the modules are those above",
    )


def _listed(known: Sequence[Module]) -> tuple[str, ...]:
    return tuple(f"{one.path}: {one.model}" for one in known) or ("it has no modules at all",)


def with_weights(document: Document, given: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """A copy of a document whose modules load what they are given.

    Args:
        document: a pipeline's configuration; it is left as it is.
        given: by module, PaddleX's name of the model and the folder of its files.

    Raises:
        ConfigError: a module is not there.
    """
    if missing := sorted(given.keys() - {one.path for one in modules(document)}):
        raise ConfigError(
            f"the pipeline's configuration has no module {missing[0]}",
            details=_listed(modules(document)),
            hint="it is another configuration than the one that was locked",
        )
    return _copied(document, (), given)  # type: ignore[no-any-return] # a dict gives a dict


def _copied(node: Any, path: tuple[str, ...], given: Mapping[str, tuple[str, str]]) -> Any:
    if isinstance(node, list):
        return [_copied(item, (), {}) for item in node]
    if not isinstance(node, dict):
        return node
    copy = {key: _copied(value, (*path, str(key)), given) for key, value in node.items()}
    if (told := given.get(".".join(path))) is not None:
        copy |= {"model_name": told[0], "model_dir": told[1]}
    return copy
