"""A chat service and a mail server that run in the test. Both keep what they are sent."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Post:
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Chat:
    """`answers` are statuses to answer with first, and 200 after them. None hangs until the test ends.

    With `endless` an answer has no end; `sent` counts its bytes.
    """

    posts: list[Post] = field(default_factory=list)
    answers: list[int | None] = field(default_factory=list)
    location: str = ""
    answer: str = "{}"
    endless: bool = False
    sent: int = 0
    ended: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def running_chat(**settings: Any) -> Iterator[Chat]:
    """Serve a chat on a free port of loopback."""
    chat = Chat(**settings)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            content = json.loads(body) if "json" in self.headers["Content-Type"] else body.decode()
            chat.posts.append(Post(self.path, {name.lower(): text for name, text in self.headers.items()}, content))
            status = chat.answers.pop(0) if chat.answers else 200
            if status is None:
                chat.ended.wait(60)
                return
            if chat.endless:
                self.send_response(200)
                self.end_headers()
                with contextlib.suppress(OSError):
                    while not chat.ended.is_set():
                        chat.sent += self.wfile.write(b"x" * 65536)
                return
            sent = chat.answer.encode()
            self.send_response(status)
            if chat.location:
                self.send_header("Location", chat.location)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        chat.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield chat
        finally:
            chat.ended.set()
            server.shutdown()


@dataclass
class Mailbox:
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    port: int = 0


@contextmanager
def running_mail_server() -> Iterator[Mailbox]:
    """Serve as much SMTP as a sender needs (RFC 5321, 4.5.1), on a free port of loopback."""
    box = Mailbox()

    class Handler(socketserver.StreamRequestHandler):
        def say(self, text: str) -> None:
            self.wfile.write(text.encode() + b"\r\n")

        def handle(self) -> None:
            self.say("220 mail.test")
            while line := self.rfile.readline().decode().strip():
                verb = line[:4].upper()
                if verb == "RCPT":
                    box.recipients.append(line.partition(":")[2].strip("<> "))
                if verb == "DATA":
                    self.say("354 go on")
                    lines: list[bytes] = []
                    while (row := self.rfile.readline()) not in (b".\r\n", b""):
                        lines.append(row)
                    box.mails.append(message_from_bytes(b"".join(lines), policy=policy.default))
                self.say("221 bye" if verb == "QUIT" else "250 ok")
                if verb == "QUIT":
                    return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        box.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield box
        finally:
            server.shutdown()
