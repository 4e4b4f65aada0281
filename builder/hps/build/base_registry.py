"""The registries that base images come from: what the fetcher and the lock ask of them."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hps.build.base_resolve import resolve_base
from hps.digest import Blob, Digest
from hps.lock.base_image import BaseName
from hps.lock.records import LockedBase
from hps.oci.mirrored_registry import MirroredRegistry, open_mirrored
from hps.store.cancellation import Cancellation
from hps.store.request import RegistryOrigin
from hps.store.retry import Deadlines

if TYPE_CHECKING:
    from hps.store.origins import Origins


class BaseRegistries:
    """Adapter of `hps.store.fetch.Registries` over the registry client.

    Args:
        origins: where an alias lives on this machine.
        environment: HPS_REGISTRY_CA names an authority, HPS_REGISTRY_PLAIN_HTTP=1 does without
            TLS; Docker's variables lead to the credentials.
        home: where Docker's configuration is looked for.
        deadlines: of each call.
    """

    def __init__(
        self,
        origins: "Origins",
        environment: Mapping[str, str] | None = None,
        *,
        home: Path | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._origins = origins
        self._environment = os.environ if environment is None else environment
        self._home = home
        self._deadlines = deadlines
        self._failed: dict[str, set[int]] = {}
        self._named: dict[str, Digest] = {}  # what tags named in this run

    def receive(
        self,
        origin: RegistryOrigin,
        blob: Blob,
        sink: Callable[[bytes], object],
        restart: Callable[[], object],
        cancellation: Cancellation,
    ) -> None:
        """See `Registries`."""
        with self._open(origin.alias, origin.repository, cancellation) as registry:
            registry.stream(blob, sink, restart)

    def resolve(self, wanted: BaseName, platform: str) -> tuple[LockedBase, bytes]:
        """What a base image is made of today; see `resolve_base`.

        A tag is asked for once: all platforms of a target get images of one index.
        """
        asked = str(wanted)
        if asked in self._named:
            wanted = replace(wanted, digest=self._named[asked])
        with self._open(wanted.registry, wanted.repository) as registry:
            base, config = resolve_base(registry, wanted, platform)
        self._named.setdefault(asked, base.named)
        return base, config

    def names(self, wanted: BaseName) -> Digest:
        """The digest that a tag names today: of an index, or of a manifest.

        The document is read, because what a registry announces is no more than a claim.
        """
        with self._open(wanted.registry, wanted.repository) as registry:
            return registry.manifest(wanted.wanted).digest

    @contextmanager
    def _open(
        self, alias: str, repository: str, work: Cancellation | None = None
    ) -> Iterator[MirroredRegistry]:
        authority = self._environment.get("HPS_REGISTRY_CA")
        plain = self._environment.get("HPS_REGISTRY_PLAIN_HTTP", "").lower() in {"1", "true"}
        places = [
            replace(
                place,
                authorities=(*((authority,) if authority else ()), *place.authorities),
                plain_http=True if plain else place.plain_http,
            )
            for place in self._origins.registry(alias, repository)
        ]
        with open_mirrored(
            f"{alias}/{repository}",
            places,
            environment=self._environment,
            home=self._home,
            deadlines=self._deadlines,
            work=work,
            failed=self._failed.setdefault(f"{alias}/{repository}", set()),
        ) as registry:
            yield registry
