"""Groups of verbs, each imported when it is used."""

import importlib
from collections.abc import Mapping
from typing import ClassVar

import click


class Verbs(click.Group):
    """Verbs of a group, in the order in which help shows them.

    Attributes:
        verbs: the module in `hps.cli` and the command in it, by the name of the verb.
    """

    verbs: ClassVar[Mapping[str, tuple[str, str]]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See click."""
        del ctx
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See click."""
        del ctx
        if cmd_name not in self.verbs:
            return None
        module, name = self.verbs[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"hps.cli.{module}"), name)
        return command
