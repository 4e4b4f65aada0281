"""pyftpdlib as a process of its own: FOLDER USER PASSWORD IDLE [CERTIFICATE KEY]; prints its port."""

import sys
from pathlib import Path

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import ThreadedFTPServer


def main(folder: str, user: str, password: str, idle: str, *tls: str) -> None:
    authorizer = DummyAuthorizer()
    authorizer.add_user(user, password, folder, perm="elradfw")
    authorizer.add_anonymous(folder)
    handler = FTPHandler
    if tls:
        from pyftpdlib.handlers import TLS_FTPHandler

        handler = TLS_FTPHandler
        handler.certfile, handler.keyfile = tls
        handler.tls_control_required = handler.tls_data_required = True
    handler.authorizer = authorizer
    handler.timeout = int(idle)
    handler.auth_failed_timeout = 0
    server = ThreadedFTPServer(("127.0.0.1", 0), handler)
    print(server.address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    assert Path(sys.argv[1]).is_dir()
    main(*sys.argv[1:])
