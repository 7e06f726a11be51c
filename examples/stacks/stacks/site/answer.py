"""Answers every request with who answers it. Reads its greeting from a secret."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = os.environ.get("SWARM_TASK_DIR", "")
GREETING = Path(f"{FOLDER}/run/secrets/greeting").read_text().strip()


class Answer(BaseHTTPRequestHandler):
    """One line of text for any path."""

    def do_GET(self):
        who = "release {RELEASE}, task {SLOT} on {NODE}".format_map(os.environ)
        body = f"{GREETING} from {who}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Takes its port again at once after a restart."""

    allow_reuse_address = True


if __name__ == "__main__":
    Server((os.environ.get("SWARM_TASK_IP", "0.0.0.0"), 8080), Answer).serve_forever()
