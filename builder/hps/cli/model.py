"""`hps model`: pack, sign, publish and verify model releases."""

import importlib

import click

_VERBS = {
    "pack": "model_pack",
    "sign": "model_pack",
    "publish": "model_publish",
    "verify": "model_verify",
}


class _Verbs(click.Group):
    """Imports the module of a verb when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _VERBS:
            return None
        command: click.Command = getattr(
            importlib.import_module(f"hps.cli.{_VERBS[cmd_name]}"), cmd_name
        )
        return command


@click.group(cls=_Verbs)
def command() -> None:
    """Pack, sign, publish and verify model releases.

    A release is a folder with a signed manifest, `model.sig`, in the format of OpenSSF model
    signing, which `model_signing verify` and cosign take too. It says which model it is, for which
    channel, its number (only up), when it ends, and every file with mode, size and sha256. What
    `hps monitor` swaps in is held against it.
    """
