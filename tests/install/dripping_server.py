"""`dripping_server.py PORT FOLDER MODE`: an update server that attacks with its answers (`update_attacks.py`).

drip      every answer is one byte a second, without an end          endless   every answer is zeros, without an end
head      the head of every answer is a line a second                slow      packages come at 8 kB a second
"""

import http.server
import sys
import time
from pathlib import Path

PORT, FOLDER, MODE = int(sys.argv[1]), sys.argv[2], sys.argv[3]


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        package = "/targets/" in self.path
        if MODE == "head":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            self.give(b"X-Drop: 1\r\n", 1)
        elif MODE == "drip":
            self.begin()
            self.give(b"[", 1)
        elif MODE == "endless":
            self.begin()
            self.give(bytes(1 << 16), 0)
        elif package:
            self.begin()
            with Path(self.translate_path(self.path)).open("rb") as file:
                while chunk := file.read(8192):
                    self.wfile.write(chunk)
                    time.sleep(1)
        else:
            super().do_GET()

    def begin(self) -> None:
        self.send_response(200)
        self.end_headers()

    def give(self, data: bytes, pause_s: float) -> None:
        while True:
            self.wfile.write(data)
            time.sleep(pause_s)


http.server.ThreadingHTTPServer(
    ("127.0.0.1", PORT), lambda *arguments: Handler(*arguments, directory=FOLDER)
).serve_forever()
