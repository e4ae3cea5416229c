"""A second implementation of WebRTC: publishes by WHIP, or watches by WHEP, with aiortc.

    peer.py publish|watch URL TOKEN SECONDS

Says at its end how many pictures and how much sound it has sent or decoded. It sends the session's
DELETE, and says what that was answered.
"""

import asyncio
import sys
import urllib.error
import urllib.request

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, VideoStreamTrack


def ask(method, url, token, body=None):
    request = urllib.request.Request(url, data=body, method=method)
    if body is not None:
        request.add_header("Content-Type", "application/sdp")
    if token:
        request.add_header("Authorization", "Bearer " + token)
    with urllib.request.urlopen(request) as reply:
        return reply.status, dict(reply.headers), reply.read().decode()


async def main(mode, url, token, seconds):
    counts = {"audio": 0, "video": 0}
    pc = RTCPeerConnection()

    async def take(track):
        while True:
            try:
                await track.recv()
            except MediaStreamError:
                return
            counts[track.kind] += 1

    class Counted(VideoStreamTrack):
        async def recv(self):
            counts["video"] += 1
            return await super().recv()

    if mode == "publish":
        pc.addTrack(AudioStreamTrack())
        pc.addTrack(Counted())
    else:
        pc.addTransceiver("audio", direction="recvonly")
        pc.addTransceiver("video", direction="recvonly")
        pc.on("track", lambda track: asyncio.ensure_future(take(track)))
    messages = []
    pc.createDataChannel("chat").on("message", messages.append)
    await pc.setLocalDescription(await pc.createOffer())
    offer = pc.localDescription.sdp.encode()
    status, headers, answer = await asyncio.to_thread(ask, "POST", url, token, offer)
    print("status", status, headers.get("Location"), headers.get("ETag"), flush=True)
    await pc.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
    for _ in range(int(seconds * 10)):
        await asyncio.sleep(0.1)
        if pc.connectionState == "connected" and min(counts.values()) >= 50 and mode == "watch":
            break
    print(pc.connectionState, "audio", counts["audio"], "video", counts["video"], flush=True)
    texts = [message for message in messages if isinstance(message, str)]
    print("messages", len(messages), "texts", len(texts), flush=True)
    host = "/".join(url.split("/")[:3])
    status, _, _ = await asyncio.to_thread(ask, "DELETE", host + headers["Location"], token)
    print("deleted", status, flush=True)
    await pc.close()


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])))
