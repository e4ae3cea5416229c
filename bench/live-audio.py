#!/usr/bin/env python3
"""How late sound is that goes live: from where it is made to where a browser hears it.

    bench/live-audio.py [--beeps 40] [--server target/release/skywave] [--only page|mount|both]

Starts a server of its own and one Chromium, and ends both. What is measured:

  page    a page publishes beeps by WHIP, another of the same browser hears them by WHEP. Each beep
          is seen by a worklet where it is made and where it is heard, on one clock: encoder, both
          ways, the browser's jitter buffer and decoder are all in it.
  mount   a source of Icecast's kind sends Ogg/Opus, 20 ms a page at the pace at which it sounds,
          and a page hears the mount by WHEP. It counts from the page of Ogg with a beep's
          beginning being sent to the beep being heard.
  both    a page publishes, the stream feeds a mount, and a page hears the mount.

The first five beeps are left out: the jitter buffer finds its length by them. Needs chromium and
ffmpeg.
"""

import argparse
import base64
import http.server
import pathlib
import shutil
import socket
import statistics
import struct
import subprocess
import tempfile
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "engine/server/tests/e2e/live/page.html"
PASSWORD = "a-source-password"
BEEP_EVERY_S = 1.0
LEFT_OUT = 5


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def own_address():
    """Loopback is no candidate for a browser."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect(("192.0.2.254", 9))
        return one.getsockname()[0]


class Pages(http.server.ThreadingHTTPServer):
    """Serves the page and keeps what it says."""

    def __init__(self):
        said, body = [], PAGE.read_bytes()

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                is_word = self.path.startswith("/say?")
                if is_word:
                    said.append(urllib.parse.unquote(self.path[5:]))
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", "0" if is_word else str(len(body)))
                self.end_headers()
                if not is_word:
                    self.wfile.write(body)

        super().__init__(("127.0.0.1", 0), Handler)
        self.said = said
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def numbers(self, word):
        return [float(text.split()[-1]) for text in list(self.said) if f" {word} " in text]


def pages_of(ogg):
    """Each page with the time of its last sample, in seconds."""
    at = 0
    while at + 27 <= len(ogg):
        count = ogg[at + 26]
        end = at + 27 + count + sum(ogg[at + 27 : at + 27 + count])
        granule = struct.unpack_from("<q", ogg, at + 6)[0]
        yield ogg[at:end], max(granule, 0) / 48_000
        at = end


class Source(threading.Thread):
    """Feeds the mount with beeps, and notes when the page with each was sent."""

    def __init__(self, port, folder, seconds):
        super().__init__(daemon=True)
        self.port, self.sent, self.is_over = port, [], False
        path = pathlib.Path(folder) / "beeps.opus"
        wave = f"0.8*sin(2*PI*1000*t)*lt(mod(t\\,{BEEP_EVERY_S})\\,0.06)"
        make = ["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i"]
        make += [f"aevalsrc={wave}:s=48000:d={seconds}", "-c:a", "libopus", "-b:a", "64k"]
        subprocess.run([*make, "-page_duration", "20000", str(path)], check=True)
        self.ogg = path.read_bytes()

    def run(self):
        login = base64.b64encode(f"source:{PASSWORD}".encode()).decode()
        head = f"PUT /live.opus HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\n"
        with socket.create_connection(("127.0.0.1", self.port)) as one:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.sendall((head + "Content-Type: audio/ogg\r\n\r\n").encode())
            one.recv(4096)
            start, beep = time.monotonic(), 1
            for page, ends_s in pages_of(self.ogg):
                time.sleep(max(0.0, start + ends_s - time.monotonic()))
                if self.is_over:
                    return
                one.sendall(page)
                # Beeps of the file are shifted by what a decoder leaves out (312 samples).
                while ends_s - 312 / 48_000 > beep * BEEP_EVERY_S:
                    self.sent.append(time.time() * 1000)
                    beep += 1


def chromium(folder, address):
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    options += ["--no-first-run", "--disable-background-networking", "--disable-component-update"]
    options += ["--autoplay-policy=no-user-gesture-required", f"--user-data-dir={folder}/profile"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(["chromium", *options, address], **quiet)


def config(media_port):
    return f"""[rtc]
listen = ["{own_address()}:{media_port}"]
[[stream]]
name = "studio"
{{feeds}}
[[stream]]
name = "air"
from_mount = "/live.opus"
"""


def measure(kind, beeps, program):
    """Latencies in milliseconds, in their order."""
    folder, port, pages = tempfile.mkdtemp(prefix="live-audio"), free_port(), Pages()
    feeds = 'to_mount = "/live.opus"' if kind == "both" else ""
    settings = pathlib.Path(folder) / "skywave.toml"
    if kind == "page":
        # A stream that feeds no mount takes a token of publishers.
        feeds = f'publish_token = "{PASSWORD}"'
    settings.write_text(config(free_port()).format(feeds=feeds))
    command = [program, "--listen", f"127.0.0.1:{port}", "--source-password", PASSWORD]
    command += ["--shards", "2", "--config", str(settings), "--data-dir", folder]
    log = open(f"{folder}/log", "w")
    children = [subprocess.Popen(command, stdout=log, stderr=log)]
    source = None
    try:
        time.sleep(1)
        seconds = 20 + (beeps + LEFT_OUT) * BEEP_EVERY_S
        whep = "/whep/studio" if kind == "page" else "/whep/air"
        query = f"name=p&server=http://127.0.0.1:{port}&token={PASSWORD}"
        query += f"&whip=/whip/studio&whep={whep}"
        if kind == "mount":
            source = Source(port, folder, seconds)
            source.start()
            query += "&mode=hear"
        children.append(chromium(folder, f"http://127.0.0.1:{pages.server_port}/?{query}"))
        deadline = time.monotonic() + seconds
        word = "at" if kind == "mount" else "after"
        while time.monotonic() < deadline and len(pages.numbers(word)) < beeps + LEFT_OUT:
            time.sleep(0.2)
        if kind != "mount":
            return pages.numbers("after")[LEFT_OUT:]
        heard = pages.numbers("at")[LEFT_OUT:]
        before = [[sent for sent in source.sent if sent <= at] for at in heard]
        return [at - sent[-1] for at, sent in zip(heard, before) if sent]
    finally:
        if source:
            source.is_over = True
        for child in reversed(children):
            child.terminate()
            child.wait()
        pages.shutdown()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--beeps", type=int, default=40)
    parser.add_argument("--server", default=str(ROOT / "target/release/skywave"))
    parser.add_argument("--only", choices=["page", "mount", "both"])
    asked = parser.parse_args()
    for kind in [asked.only] if asked.only else ["page", "mount", "both"]:
        took = sorted(measure(kind, asked.beeps, asked.server))
        if len(took) < 2:
            print(f"{kind}: {len(took)} beeps were heard, which is too few")
            continue
        p95 = took[min(len(took) - 1, int(len(took) * 0.95))]
        print(
            f"{kind}: {len(took)} beeps, p50 {statistics.median(took):.0f} ms, "
            f"p95 {p95:.0f} ms, least {took[0]:.0f}, most {took[-1]:.0f}"
        )


if __name__ == "__main__":
    main()
