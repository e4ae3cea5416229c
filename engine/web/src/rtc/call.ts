// A call between two browsers, by Symple's call protocol. The server only carries the messages.
//
//   idle ──call──▶ ringing ──accept──▶ connecting ──ICE──▶ active ──▶ ended ──▶ idle
//   idle ──init──▶ incoming ──we accept──▶ connecting …
//
// The caller always offers. Whoever is not idle answers `busy`, so that two who call each other at
// once both learn it. Only the peer of this call is listened to; it is known by its user, since its
// session has another id after its link was lost. Signalling that is lost ends no call: the media
// goes its own way, and a broken way is mended by the caller with a new offer.

import type { JsonObject, Message } from '../signal/wire';
import { isObject, number, splitAddress, string } from '../signal/wire';

export type CallState = 'idle' | 'ringing' | 'incoming' | 'connecting' | 'active' | 'ended';

export interface CallPeer {
  address: string;
  name: string;
}

export interface CallPorts {
  /** Sends to the peer; false where the link is down. */
  send(to: string, subtype: string, data: JsonObject): boolean;
  /** A fresh connection, with our media in it; one that will offer also asks for what we do not
   * send. It may take a while, and fail. */
  connection(willOffer: boolean): Promise<RTCPeerConnection>;
  /** Gives back what `connection` took. */
  release(): void;
  changed(state: CallState, peer: CallPeer | null, reason: string): void;
  remote(stream: MediaStream): void;
}

/** Nobody lets it ring longer. */
export const RINGS_MS = 45_000;
/** From the acceptance to media. */
const CONNECTS_WITHIN_MS = 20_000;
/** A way that is lost is often found again by itself. */
const MENDS_WITHIN_MS = 4_000;
/** Candidates that may wait for the description that they belong to. */
const CANDIDATES_COUNT_MAX = 64;

export class Call {
  state: CallState = 'idle';
  peer: CallPeer | null = null;
  pc: RTCPeerConnection | null = null;

  private isCaller = false;
  private early: RTCIceCandidateInit[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** Which call it is: what was begun for one that has ended is dropped. */
  private turn = 0;

  constructor(private readonly ports: CallPorts) {}

  start(peer: CallPeer): void {
    if (this.state !== 'idle' && this.state !== 'ended') return;
    this.begin(peer, true, 'ringing');
    if (!this.say('call:init')) return this.end('the link to the server is down');
    this.after(RINGS_MS, () => this.hangUp('no answer'));
  }

  accept(): void {
    if (this.state !== 'incoming') return;
    if (!this.say('call:accept')) return this.end('the link to the server is down');
    this.become('connecting');
    this.after(CONNECTS_WITHIN_MS, () => this.hangUp('no connection could be made'));
  }

  reject(reason = 'declined'): void {
    if (this.state !== 'incoming') return;
    this.say('call:reject', { reason });
    this.end(reason === 'declined' ? 'you declined' : reason);
  }

  hangUp(reason = 'hangup'): void {
    if (this.state === 'idle' || this.state === 'ended') return;
    if (this.state === 'incoming') return this.reject();
    this.say('call:hangup', { reason });
    this.end(reason === 'hangup' ? 'you hung up' : reason);
  }

  /** Back from `ended`, when it has been read. */
  clear(): void {
    if (this.state !== 'ended') return;
    this.peer = null;
    this.become('idle');
  }

  /** Who is there now: a peer whose link was lost has come back under another address. */
  saw(addresses: string[]): void {
    const { peer } = this;
    if (!peer || addresses.includes(peer.address)) return;
    const { user } = splitAddress(peer.address);
    const address = addresses.find((it) => splitAddress(it).user === user);
    if (address) this.peer = { ...peer, address };
  }

  heard(message: Message, nameOf: (user: string) => string): void {
    const { user } = splitAddress(message.from);
    const isTheirs = this.peer !== null && splitAddress(this.peer.address).user === user;
    const isOver = this.state === 'idle' || this.state === 'ended';
    if (message.subtype === 'call:init') {
      if (!isOver) {
        this.ports.send(message.from, 'call:reject', { reason: 'busy' });
        return;
      }
      this.begin({ address: message.from, name: nameOf(user) }, false, 'incoming');
      this.after(RINGS_MS, () => this.end('missed'));
      return;
    }
    if (!isTheirs || isOver || !this.peer) return;
    this.peer = { ...this.peer, address: message.from };
    void this.step(message).catch((error: unknown) => {
      this.hangUp(error instanceof Error ? error.message : 'something went wrong');
    });
  }

  private async step({ subtype, data }: Message): Promise<void> {
    switch (subtype) {
      case 'call:accept':
        if (this.state === 'ringing') await this.accepted();
        return;
      case 'call:reject':
        if (this.state === 'ringing') this.end(reasonOf(data, 'declined'));
        return;
      case 'call:offer':
        if (!this.isCaller && (this.state === 'connecting' || this.state === 'active')) await this.offered(data);
        return;
      case 'call:answer':
        if (this.isCaller && this.pc?.signalingState === 'have-local-offer') {
          await this.pc.setRemoteDescription({ type: 'answer', sdp: string(data.sdp) });
          await this.addEarly();
        }
        return;
      case 'call:candidate':
        return this.candidate(data);
      case 'call:hangup':
        return this.end(reasonOf(data, 'the other side hung up'));
    }
  }

  private async accepted(): Promise<void> {
    this.become('connecting');
    this.after(CONNECTS_WITHIN_MS, () => this.hangUp('no connection could be made'));
    const pc = await this.connect();
    if (pc) await this.offer(pc, false);
  }

  private async offer(pc: RTCPeerConnection, restart: boolean): Promise<void> {
    await pc.setLocalDescription(await pc.createOffer({ iceRestart: restart }));
    if (this.pc === pc) this.say('call:offer', { type: 'offer', sdp: pc.localDescription?.sdp ?? '' });
  }

  private async offered(data: JsonObject): Promise<void> {
    const pc = this.pc ?? (await this.connect());
    if (!pc) return;
    await pc.setRemoteDescription({ type: 'offer', sdp: string(data.sdp) });
    await this.addEarly();
    await pc.setLocalDescription();
    if (this.pc === pc) this.say('call:answer', { type: 'answer', sdp: pc.localDescription?.sdp ?? '' });
  }

  private async connect(): Promise<RTCPeerConnection | null> {
    const turn = this.turn;
    const pc = await this.ports.connection(this.isCaller);
    if (turn !== this.turn) {
      pc.close();
      return null;
    }
    this.pc = pc;
    pc.onicecandidate = ({ candidate }) => {
      if (this.pc === pc && candidate?.candidate) this.say('call:candidate', wireOf(candidate));
    };
    pc.ontrack = ({ streams, track }) => this.ports.remote(streams[0] ?? new MediaStream([track]));
    pc.onconnectionstatechange = () => this.connectionChanged(pc);
    return pc;
  }

  private connectionChanged(pc: RTCPeerConnection): void {
    if (this.pc !== pc) return;
    if (pc.connectionState === 'connected') {
      clearTimeout(this.timer);
      if (this.state === 'connecting') this.become('active');
    } else if (pc.connectionState === 'disconnected' || pc.connectionState === 'failed') {
      const waitMs = pc.connectionState === 'failed' ? 0 : MENDS_WITHIN_MS;
      this.after(waitMs, () => {
        if (this.isCaller) void this.offer(pc, true).catch(() => {});
        this.after(CONNECTS_WITHIN_MS, () => this.hangUp('the connection was lost'));
      });
    }
  }

  private async candidate(data: JsonObject): Promise<void> {
    const init = candidateOf(data);
    if (!init) return;
    if (this.pc?.remoteDescription) await this.pc.addIceCandidate(init).catch(() => {});
    else if (this.early.length < CANDIDATES_COUNT_MAX) this.early.push(init);
  }

  private async addEarly(): Promise<void> {
    const early = this.early;
    this.early = [];
    // One that cannot be used is no reason to end a call that others may carry.
    for (const init of early) await this.pc?.addIceCandidate(init).catch(() => {});
  }

  private say(subtype: string, data: JsonObject = {}): boolean {
    return this.peer !== null && this.ports.send(this.peer.address, subtype, data);
  }

  private begin(peer: CallPeer, isCaller: boolean, state: CallState): void {
    this.turn += 1;
    this.peer = peer;
    this.isCaller = isCaller;
    this.early = [];
    this.become(state);
  }

  private end(reason: string): void {
    this.turn += 1;
    clearTimeout(this.timer);
    const pc = this.pc;
    this.pc = null;
    pc?.close();
    this.ports.release();
    this.become('ended', reason);
  }

  private become(state: CallState, reason = ''): void {
    this.state = state;
    this.ports.changed(state, this.peer, reason);
  }

  private after(waitMs: number, then: () => void): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(then, waitMs);
  }
}

/** A candidate as others write it: some keep SDP's own prefix, and some say no section. */
export function candidateOf(data: JsonObject): RTCIceCandidateInit | null {
  const inner = isObject(data.candidate) ? data.candidate : data;
  const candidate = string(inner.candidate).replace(/^a=/, '');
  if (!candidate) return null;
  const sdpMid = string(inner.sdpMid);
  if (sdpMid) return { candidate, sdpMid };
  return { candidate, sdpMLineIndex: number(inner.sdpMLineIndex) };
}

function wireOf({ candidate, sdpMid, sdpMLineIndex }: RTCIceCandidate): JsonObject {
  return { candidate, sdpMid: sdpMid ?? '', sdpMLineIndex: sdpMLineIndex ?? 0 };
}

function reasonOf(data: JsonObject, otherwise: string): string {
  const reason = string(data.reason);
  const words: Record<string, string> = {
    '': otherwise,
    hangup: 'the other side hung up',
    busy: 'the other side is in another call',
    declined: 'the other side declined',
  };
  return words[reason] ?? reason;
}
