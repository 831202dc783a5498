"""The images' health check: status 0 when this container answers /readyz (or the path given) with 200.

A raw socket, because an HTTP client would cost ten times the start of the interpreter (run with -I -S).
"""

import os
import socket
import sys

_TIMEOUT_S = 2.0

port = int(os.environ.get("FRESHET_PORT") or os.environ.get("PORT") or 8080)
path = sys.argv[1] if len(sys.argv) > 1 else "/readyz"
try:
    with socket.create_connection(("127.0.0.1", port), _TIMEOUT_S) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        answer = b""
        while len(answer) < 4096 and (piece := connection.recv(4096)):
            answer += piece
except OSError as error:
    sys.exit(f"port {port}: {error}")
status, _, _ = answer.partition(b"\r\n")
if status.split(b" ")[1:2] != [b"200"]:
    sys.exit(answer.decode(errors="replace"))  # `docker inspect` keeps it: the reasons stand in the body
