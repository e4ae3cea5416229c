"""Asks a server and has httplint judge each answer: httplint_report.py HOST:PORT HTTPLINT VERSION

Prints the notes that are warnings or worse, and how many others there were. Fails where one is bad.
"""

import datetime
import re
import socket
import subprocess
import sys

ADDRESS, LINT, VERSION = sys.argv[1:4]
HOST, PORT = ADDRESS.rsplit(":", 1)


def ask(method, path, *lines):
    """The answer to one request, as the bytes that came."""
    head = [f"{method} {path} HTTP/1.1", f"Host: {ADDRESS}", "Connection: close", *lines, "", ""]
    with socket.create_connection((HOST, int(PORT)), timeout=20) as connection:
        connection.sendall("\r\n".join(head).encode())
        pieces = iter(lambda: connection.recv(65536), b"")
        return b"".join(pieces)


etag = re.search(rb"ETag: (\S+)", ask("GET", "/page.html")).group(1).decode()
CASES = [
    ("GET", "/"), ("GET", "/empty"), ("GET", "/page.html"), ("GET", "/zeros.bin"),
    ("GET", "/page.html", f"If-None-Match: {etag}"), ("GET", "/page.html", 'If-Match: "x"'),
    ("GET", "/zeros.bin", "Range: bytes=0-99"), ("GET", "/zeros.bin", "Range: bytes=99999-"),
    ("GET", "/zeros.bin", "Range: bytes=0-9,100-109"),
    ("GET", "/page.html", "Accept-Encoding: br, gzip"), ("GET", "/none"), ("DELETE", "/"),
    ("OPTIONS", "*"), ("OPTIONS", "/"), ("GET", "/echo"), ("POST", "/length"),
    ("POST", "/length", "Content-Length: 0"), ("BREW", "/"), ("GET", "/", "Content-Length: x"),
]

# Notes that are wrong, by what was asked and what is noted, each with its reason.
WRONG = {
    ("bytes=0-9,100-109", "doesn't have a Content-Range"):
        "RFC 9110 §15.3.7.2: with several parts it MUST NOT be in the head; each part has its own",
}


def judge(case, level, text):
    """The level that counts, and the text with the reason where the note is wrong."""
    for (asked, noted), why in WRONG.items():
        if asked in case[-1] and noted in text:
            return "WRONG", f"{text} ({why})"
    return level, text


print(f"httplint {VERSION} on the answers of protocol/http/examples/serve.rs,")
print(f"made by `cargo xtask conform httplint` on {datetime.date.today()}.\n")
told, bad_count, other_count = [], 0, 0
for case in CASES:
    answer = ask(*case)
    status = answer.split(b"\r\n", 1)[0].decode()
    run = subprocess.run([LINT, "--now"], input=answer, capture_output=True, timeout=60)
    notes = re.findall(r"\[(\w+)\] (.*)", run.stdout.decode() + run.stderr.decode())
    if run.returncode != 0 and not notes:
        notes = [("BAD", run.stderr.decode().strip() or "httplint cannot read it")]
    notes = [judge(case, level, text) for level, text in notes]
    bad_count += sum(level == "BAD" for level, _ in notes)
    other_count += sum(level not in ("BAD", "WARN", "WRONG") for level, _ in notes)
    told.append(f"{' '.join(case)}\n    {status}")
    told += [f"    {level.lower()}: {text}" for level, text in notes if level in ("BAD", "WARN", "WRONG")]
print(f"{len(CASES)} answers: {bad_count} notes are bad, {other_count} are good or for information\n")
print("\n".join(told))
sys.exit(1 if bad_count else 0)
