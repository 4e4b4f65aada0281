"""Publishing by HTTP, to nginx with and without MOVE."""

from pathlib import Path

import pytest

from hps.errors import PublishError
from hps.monitor.source import Patience
from hps.monitor.sources.credentials import Authorization, Basic, Secret
from hps.monitor.sources.http import HttpPlace, HttpSource
from hps.publish.folders.http import HttpAddress, HttpFolder
from hps.publish.in_folder import FolderDestination
from hps.publish.publish import Names
from tests.monitor.sources.http_servers import Nginx
from tests.publish.conftest import HTTP_PASSWORD, HTTP_USER
from tests.publish.contract import DestinationContract, Shop, content
from tests.publish.releases import made

pytestmark = pytest.mark.network  # Debian's nginx, where the system has none


def http_shop(
    nginx: Nginx,
    base: str,
    *,
    in_place: bool = False,
    moves: bool = True,
    authorization: Authorization | None = None,
    authority: Path | None = None,
) -> Shop:
    place = HttpAddress(base=base, authorization=authorization, authority=authority, moves=moves)
    watched = HttpPlace(
        base=base,
        model="ocr.tar.gz",
        donefile="done",
        authorization=authorization,
        authority=authority,
    )
    return Shop(
        lambda _, names: FolderDestination(
            HttpFolder(place, Patience()), names.donefile, in_place=in_place
        ),
        lambda: HttpSource(watched),
        lambda: {path.name for path in nginx.folder.iterdir()},
        stages=not in_place,
    )


def basic(password: str) -> Basic:
    return Basic(HTTP_USER, Secret(variable="P", environment={"P": password}))


class TestNginx(DestinationContract):
    """PUT, then MOVE."""

    @pytest.fixture
    def shop(self, nginx: Nginx) -> Shop:
        return http_shop(nginx, nginx.url)


class TestNginxInPlace(DestinationContract):
    """PUT alone, which nginx does in one step."""

    @pytest.fixture
    def shop(self, nginx: Nginx) -> Shop:
        return http_shop(nginx, f"{nginx.url}/put", in_place=True, moves=False)


def test_with_a_password_over_tls(nginx: Nginx, tmp_path: Path) -> None:
    release = made(tmp_path, 1)
    shop = http_shop(
        nginx, nginx.tls_url, authorization=basic(HTTP_PASSWORD), authority=nginx.authority.path
    )
    shop.publish(release)
    assert shop.seen(tmp_path / "pull")[0] == content(release)
    wrong = http_shop(
        nginx,
        nginx.tls_url,
        authorization=basic("wrong"),
        authority=nginx.authority.path,
    )
    with pytest.raises(PublishError, match="401") as caught:
        wrong.publish(made(tmp_path, 2))
    assert "wrong" not in str(caught.value)


def test_without_move_only_new_names_are_written(nginx: Nginx, tmp_path: Path) -> None:
    shop = http_shop(nginx, f"{nginx.url}/put")
    first, second = made(tmp_path, 1), made(tmp_path, 2)
    shop.publish(first)
    with pytest.raises(PublishError, match="does not rename"):
        shop.publish(second)
    assert shop.seen(tmp_path / "pull")[0] == content(first)
    shop.publish(second, names=Names(("ocr-2.tar.gz",), "done"))
    assert (nginx.folder / "ocr-2.tar.gz").read_bytes() == content(second)
    assert (nginx.folder / "ocr.tar.gz").read_bytes() == content(first)
    assert b'"sequence":2' in (nginx.folder / "done").read_bytes()


def test_a_folder_that_is_not_there(nginx: Nginx, tmp_path: Path) -> None:
    shop = http_shop(nginx, f"{nginx.url}/put/no/such/folder")
    with pytest.raises(PublishError) as caught:
        shop.publish(made(tmp_path, 1))
    assert "whether the folder is there" in str(caught.value)
