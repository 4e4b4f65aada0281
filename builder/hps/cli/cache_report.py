"""What came of asking shared caches, for people and for `--json`."""

from typing import TYPE_CHECKING, Any

from hps.cli.sizes import size

if TYPE_CHECKING:
    from hps.build.sharing import Asked

_TOLD = 5  # refusals that are told one by one


def told(asked: "Asked") -> list[str]:
    """One line, and one for each thing that was refused."""
    pulled = asked.pulled
    wire = sum(one.tally.wire for one in asked.caches)
    plain = sum(one.tally.plain for one in asked.caches)
    names = ", ".join(one.name for one in asked.caches)
    got = f"{len(pulled.received)} of {len(pulled.wanted)} missing outputs"
    moved = f"{size(wire)} ({size(plain)} unpacked), {pulled.seconds:.1f} s"
    lines = [f"{asked.target}: {got} from the cache {names}, {moved}"]
    refused = asked.refused
    lines += [f"not used: {why}" for why in refused[:_TOLD]]
    if len(refused) > _TOLD:
        lines.append(f"not used: {len(refused) - _TOLD} more things that caches had")
    return lines


def as_json(asked: "Asked") -> dict[str, Any]:
    """The same facts for `--json`."""
    pulled = asked.pulled
    wanted, received = len(pulled.wanted), len(pulled.received)
    return {
        "target": asked.target,
        "wanted": wanted,
        "received": received,
        "missed": [step.label for step in pulled.missed],
        "hit_rate": round(received / wanted, 4) if wanted else 1.0,
        "seconds": round(pulled.seconds, 3),
        "refused": list(pulled.refused),
        "caches": [
            {
                "name": one.name,
                "traces": {"asked": one.tally.asked, "believed": one.tally.believed},
                "outputs": one.tally.blobs,
                "bytes": {"wire": one.tally.wire, "plain": one.tally.plain},
                "refused": list(one.tally.refused),
                "given_up": one.tally.given_up,
            }
            for one in asked.caches
        ],
    }
