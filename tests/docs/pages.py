"""Reference pages that are made from the code: the command line and the verdicts.

`HPS_WRITE_DOCS=1 python -m pytest tests/docs` writes them anew.
"""

import inspect
import re
from collections.abc import Iterator

import click

from hps.cli.main import hps
from hps.trust import verdict

# click's mark for a paragraph that stays as it is, and the same behind a raw string's backslash.
_VERBATIM = re.compile(r"^(\x08|\\b)\n")

_CLI = """\
# The command line

Made from `hps --help` by the tests (`HPS_WRITE_DOCS=1 python -m pytest tests/docs`).

stdout is data, stderr is talk. `--json` gives the data, and errors too, as JSON on stdout.
Bars are drawn when stderr is a terminal; elsewhere there is one plain line for each thing done.
Ctrl-C is safe at any time: the store is whole, and the next run carries on.
What the exit codes mean is in [errors.md](errors.md).

`--sandbox`, `--index`, `--jobs`, `--offline` and `--store` mean the same for every verb that has them.
"""

_VERDICT = """\
# Verdicts and their reasons

Made from `hps.trust.verdict` by the tests (`HPS_WRITE_DOCS=1 python -m pytest tests/docs`).

`hps verify` ends with 0 when everything is good. Otherwise its exit code is the sum of the bits of
all reasons, so that 80 means 16 and 64. Smaller codes mean that nothing was decided: 2 for the
command line or the policy, 4 for a registry that could not be read ([all codes](errors.md)).

## Bits

| bit | what is wrong |
|---|---|
"""

_VERDICT_CODES = """
## Reasons

The codes are stable. A reason that does not make anything bad, such as the signature of a stranger
beside a good one, stands among the notes.

| code | bit | meaning | what to do |
|---|---|---|---|
"""

_VERDICT_JSON = """
## `--json`

```json
{
  "policy": "hps-policy.toml",
  "verdicts": [
    {
      "subject": "output/cpu (app:cpu)",
      "digest": "sha256:…",
      "verdict": "good",
      "hashed": true,
      "index": null,
      "reasons": [],
      "accepted": [
        {
          "predicate": "https://slsa.dev/provenance/v1",
          "key": "release",
          "fingerprint": "…",
          "builder": "urn:example:ci",
          "form": "bundle",
          "where": "referrer 98eaf464aaed",
          "document": "sha256:…"
        }
      ],
      "notes": [{"code": "key-untrusted", "where": "referrer …", "text": "…"}]
    }
  ],
  "exit_code": 0
}
```

`digest` is null when it could not be told. `hashed` says whether every byte was read: not when
nobody trusted has signed it, nor with `--signatures-only`. `index` is the digest of the index that
lists the image, when the index is what was asked about. `form` is `bundle`, `attestation` (an
envelope at the tag `sha256-….att`, as cosign 2 keeps it), `simple-signing` (the older signatures of
images) or `message-signature` (a bare signature of a file). With `--explain` there is `explain`
too: for each WHAT the commands by client, and what each leaves out.
"""

_BITS = {
    verdict.MALFORMED: "a document is malformed, or over a limit",
    verdict.SIGNATURE: "there is no good signature: unsigned, another key, too few keys",
    verdict.POLICY: "the policy asks for something else: statement, builder, subject, role",
    verdict.CONTENT: "the content: bytes are damaged, missing or too much",
    verdict.FRESHNESS: "a statement is no longer valid",
}


def verdict_page() -> str:
    """docs/reference/verdict.md."""
    bits = "".join(f"| {bit} | {text} |\n" for bit, text in _BITS.items())
    codes = "".join(
        f"| `{code}` | {kind.bit} | {kind.meaning} | {kind.advice} |\n"
        for code, kind in verdict.REASONS.items()
    )
    return _VERDICT + bits + _VERDICT_CODES + codes + _VERDICT_JSON


def cli_page() -> str:
    """docs/reference/cli.md."""
    context = click.Context(hps, info_name="hps")
    return _CLI + "".join(_sections(hps, context))


def _sections(command: click.Command, context: click.Context) -> Iterator[str]:
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"\n## {context.command_path}\n\n```text\n{context.command_path} {usage}\n```\n"
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        yield f"\n{_paragraph(paragraph)}\n"
    # Arguments have no help of their own in all versions of click: the text names them.
    options = [
        one.get_help_record(context)
        for one in command.get_params(context)
        if isinstance(one, click.Option)
    ]
    rows = [record for record in options if record and "--help" not in record[0]]
    if rows:
        yield "\n| option | meaning |\n|---|---|\n"
        yield from (f"| `{_cell(name)}` | {_cell(text)} |\n" for name, text in rows)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from _sections(below, click.Context(below, info_name=name, parent=context))


def _paragraph(text: str) -> str:
    if _VERBATIM.match(text):
        return f"```text\n{_VERBATIM.sub('', text)}\n```"
    return text


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
