"""What an image offers to the packages that run in it, as one digest.

Two images of one environment have the same Debian packages, wheels and archives in the same
layers. Weights and the project's own trees are no part of it: they change what is served and not
where it runs.
"""

from collections.abc import Sequence

from hps import canonical
from hps.config.target import ImageSettings
from hps.digest import Digest
from hps.lock.records import Layer, LockedBase

VARIABLE = "HPS_ENVIRONMENT"  # in the configuration of each image
DOMAIN = "hps-environment-v1"


def environment_digest(layers: Sequence[Layer], base: LockedBase | None = None) -> Digest:
    """The digest of an environment: the diff_ids of its locked layers, in order, canonical JSON.

    Args:
        layers: as a lock plans them for one target.
        base: what they are laid over; its layers count too.
    """
    diff_ids = [f"sha256:{layer.diff_id}" for layer in base.layers] if base else []
    diff_ids += [str(layer.digest) for layer in layers if layer.kind != "weights"]
    return canonical.digest(diff_ids, domain=DOMAIN)


def with_environment(
    settings: ImageSettings, layers: Sequence[Layer], base: LockedBase | None = None
) -> ImageSettings:
    """The settings of an image that tells its environment, by the variable HPS_ENVIRONMENT.

    It says what the image is, so hps.toml does not decide about it.
    """
    told = {**settings.environment, VARIABLE: str(environment_digest(layers, base))}
    return settings.model_copy(update={"environment": told})
