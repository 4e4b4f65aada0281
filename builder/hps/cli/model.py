"""`hps model`: pack, sign, publish and verify model releases."""

from typing import ClassVar

import click

from hps.cli.verbs import Verbs


class _Verbs(Verbs):
    verbs: ClassVar = {
        "pack": ("model_pack", "pack"),
        "sign": ("model_pack", "sign"),
        "publish": ("model_publish", "publish"),
        "verify": ("model_verify", "verify"),
    }


@click.group(cls=_Verbs)
def command() -> None:
    """Pack, sign, publish and verify model releases.

    A release is a folder with a signed manifest, `model.sig`, in the format of OpenSSF model
    signing, which `model_signing verify` and cosign take too. It says which model it is, for which
    channel, its number (only up), when it ends, and every file with mode, size and sha256. What
    `hps monitor` swaps in is held against it.
    """
