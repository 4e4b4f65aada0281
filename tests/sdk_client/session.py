"""What a program does with the client, on the Python that runs this: session.py ADDRESS FOLDER."""

import asyncio
import concurrent.futures
import importlib
import json
import sys
import typing
from pathlib import Path
from typing import Any

import hps_client
import hps_client.catalogue
import hps_client.cli


def check(*facts: bool) -> None:
    if not all(facts):
        raise SystemExit(f"wrong: {facts}")


def asked(result: Any) -> Any:
    return result.ocr_results[0].pruned_result["asked"]


def waiting(address: str, folder: Path) -> None:
    with hps_client.Client(address, timeout=60) as client:
        check(client.ready(), client.ready("ocr"))
        check(asked(client.ocr(b"%PDF-1", visualize=False))["fileType"] == 0)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            names = list(pool.map(lambda one: asked(client.ocr(b"x", log_id=one))["logId"], "abcd"))
        check(names == list("abcd"))
        written = client.ocr(b"x").save(folder / "saved")
        check([path.name for path in written] == ["result.json"])
        for told, kind in (
            ({"error": [422, "no"]}, hps_client.ServerError),
            ({"answer": "nonsense"}, hps_client.InvalidAnswer),
        ):
            try:
                client.ocr(json.dumps(told).encode())
            except kind as error:
                check(bool(str(error)))
            else:
                check(False)
        try:
            client.ocr(json.dumps({"sleep": 20}).encode(), timeout=0.3)
        except hps_client.DeadlineExceeded:
            pass
        else:
            check(False)


async def not_waiting(address: str) -> None:
    async with hps_client.AsyncClient(address, timeout=60) as client:
        results = await asyncio.gather(*[client.ocr(b"x", log_id=one) for one in "abcd"])
        check([asked(one)["logId"] for one in results] == list("abcd"))
        task = asyncio.ensure_future(client.ocr(json.dumps({"sleep": 20}).encode()))
        await asyncio.sleep(0.2)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
        else:
            check(False)


def types() -> None:
    """Every annotation of a result means something on this Python, for those who evaluate them."""
    for name in set(hps_client.catalogue.MODULES.values()):
        module = importlib.import_module(f"hps_client.pipelines.{name}")
        for operation, result in module.OPERATIONS:
            check(bool(typing.get_type_hints(result)), bool(operation.fields))


def main() -> None:
    address, folder = sys.argv[1], Path(sys.argv[2])
    waiting(address, folder)
    asyncio.run(not_waiting(address))
    types()
    (folder / "a").write_bytes(b"x")
    arguments = ["ocr", "--file", str(folder / "a"), "--url", address, "--json", "-o"]
    arguments.append(str(folder / "out"))
    stdout, sys.stdout = sys.stdout, (folder / "printed").open("w")
    try:
        code = hps_client.cli.main(arguments)
    finally:
        sys.stdout.close()
        sys.stdout = stdout
    check(code == 0, (folder / "out" / "result.json").exists())
    sys.stdout.write("%d.%d is fine\n" % sys.version_info[:2])  # noqa: UP031 - as short as it gets


if __name__ == "__main__":
    main()
