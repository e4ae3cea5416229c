// The call that we are in, as signals. It goes on from page to page.

import { effect, signal } from '@preact/signals';

import { problemOf } from '../api/problem';
import type { Problem } from '../api/problem';
import { Call } from '../rtc/call';
import type { CallPeer, CallState } from '../rtc/call';
import { openMedia, stopMedia } from '../rtc/devices';
import { iceServers } from '../rtc/ice';
import { addressOf } from '../signal/wire';
import { link, onMessage, peers } from './link';
import { go } from './place';
import { token } from './settings';

export const callState = signal<CallState>('idle');
export const callPeer = signal<CallPeer | null>(null);
/** How the last one ended. */
export const callReason = signal('');
export const callProblem = signal<Problem | null>(null);
export const localMedia = signal<MediaStream | null>(null);
export const remoteMedia = signal<MediaStream | null>(null);
export const isMuted = signal(false);
export const isCameraOff = signal(false);
export const startedAt = signal(0);
/** Without a camera of ours: we see them, they only hear us. */
export const withCamera = signal(true);

/** How long the end of a call is shown. */
const ENDED_SHOWN_MS = 6_000;

export const call = new Call({
  send: (to, subtype, data) => link.message(to, subtype, data),
  async connection(willOffer) {
    callProblem.value = null;
    const media = await takeMedia();
    const pc = new RTCPeerConnection({ iceServers: await iceServers(token.value) });
    for (const kind of ['audio', 'video'] as const) {
      const track = media?.getTracks().find((track) => track.kind === kind);
      // A track that is added this way takes its place in the other side's offer.
      if (track && media) pc.addTrack(track, media);
      // Whoever has nothing to send still wants to see and hear.
      else if (willOffer) pc.addTransceiver(kind, { direction: 'recvonly' });
    }
    return pc;
  },
  release() {
    stopMedia(localMedia.value);
    localMedia.value = remoteMedia.value = null;
    isMuted.value = isCameraOff.value = false;
  },
  changed(state, peer, reason) {
    callState.value = state;
    callPeer.value = peer;
    callReason.value = reason;
    if (state === 'active') startedAt.value = Date.now();
    if (state === 'ended') setTimeout(() => call.clear(), ENDED_SHOWN_MS);
    sayPresence();
  },
  remote(stream) {
    remoteMedia.value = stream;
  },
});

onMessage((message) => {
  if (!message.subtype.startsWith('call:')) return;
  call.heard(message, (user) => peers.value.find((peer) => peer.user === user)?.name ?? user);
});

effect(() => call.saw(peers.value.map(addressOf)));

/** What others are told of us. */
export function sayPresence(): void {
  const busy = callState.value !== 'idle' && callState.value !== 'ended';
  link.say({ capabilities: ['call'], ...(busy && { busy }) });
}
sayPresence();

export function startCall(address: string, name: string): void {
  call.start({ address, name });
  go('call');
}

export function acceptCall(): void {
  call.accept();
  go('call');
}

export function toggleMuted(): void {
  isMuted.value = !isMuted.value;
  for (const track of localMedia.value?.getAudioTracks() ?? []) track.enabled = !isMuted.value;
}

export function toggleCamera(): void {
  isCameraOff.value = !isCameraOff.value;
  for (const track of localMedia.value?.getVideoTracks() ?? []) track.enabled = !isCameraOff.value;
}

// A call without a camera, or even without a microphone, is better than none; it is said why.
async function takeMedia(): Promise<MediaStream | null> {
  const wanted = { cameraId: '', microphoneId: '', height: 720, hasSound: true };
  for (const picture of withCamera.value ? (['camera', 'none'] as const) : (['none'] as const)) {
    try {
      const media = await openMedia({ ...wanted, picture });
      localMedia.value = media;
      return media;
    } catch (error) {
      callProblem.value = problemOf(error);
    }
  }
  return null;
}
