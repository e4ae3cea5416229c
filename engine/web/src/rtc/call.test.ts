import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { Call, RINGS_MS, candidateOf } from './call';
import type { CallState } from './call';
import type { JsonObject } from '../signal/wire';

class FakeConnection {
  connectionState = 'new';
  signalingState = 'stable';
  localDescription: { sdp: string } | null = null;
  remoteDescription: { sdp: string } | null = null;
  candidates: RTCIceCandidateInit[] = [];
  restarts = 0;
  isClosed = false;
  onicecandidate: unknown = null;
  ontrack: unknown = null;
  onconnectionstatechange: (() => void) | null = null;
  async createOffer(options: { iceRestart: boolean }) {
    if (options.iceRestart) this.restarts += 1;
    return { type: 'offer', sdp: 'offer' };
  }
  async setLocalDescription(description?: { type: string; sdp: string }) {
    this.localDescription = { sdp: description?.sdp ?? 'answer' };
    this.signalingState = description ? 'have-local-offer' : 'stable';
  }
  async setRemoteDescription(description: { type: string; sdp: string }) {
    this.remoteDescription = description;
    this.signalingState = description.type === 'offer' ? 'have-remote-offer' : 'stable';
  }
  async addIceCandidate(candidate: RTCIceCandidateInit) {
    this.candidates.push(candidate);
  }
  close() {
    this.isClosed = true;
  }
  becomes(state: string) {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }
}

let sent: [string, string, JsonObject][];
let states: string[];
let connection: FakeConnection;
let released: number;
let isUp: boolean;
let call: Call;

beforeEach(() => {
  vi.useFakeTimers();
  sent = [];
  states = [];
  released = 0;
  isUp = true;
  connection = new FakeConnection();
  call = new Call({
    send(to, subtype, data) {
      if (isUp) sent.push([to, subtype, data]);
      return isUp;
    },
    connection: async () => connection as unknown as RTCPeerConnection,
    release: () => void (released += 1),
    changed: (state: CallState, _peer, reason) => states.push(reason ? `${state}: ${reason}` : state),
    remote: () => {},
  });
});
afterEach(() => vi.useRealTimers());

const bob = { address: 'bob|B1', name: 'Bob' };
const hear = async (from: string, subtype: string, data: JsonObject = {}) => {
  call.heard({ type: 'message', id: '', from, subtype, data }, (user) => user);
  await vi.advanceTimersByTimeAsync(0);
};
const words = () => sent.map(([, subtype]) => subtype);

describe('the caller', () => {
  test('offers when it is accepted, and is in a call when media flows', async () => {
    call.start(bob);
    await hear('bob|B1', 'call:accept');
    expect(sent.at(-1)).toEqual(['bob|B1', 'call:offer', { type: 'offer', sdp: 'offer' }]);
    await hear('bob|B1', 'call:candidate', { candidate: 'a=candidate:1', sdpMid: '0' });
    expect(connection.candidates).toEqual([]);
    await hear('bob|B1', 'call:answer', { type: 'answer', sdp: 'answer' });
    expect(connection.candidates).toEqual([{ candidate: 'candidate:1', sdpMid: '0' }]);
    connection.becomes('connected');
    expect(states).toEqual(['ringing', 'connecting', 'active']);
    call.hangUp();
    expect(sent.at(-1)).toEqual(['bob|B1', 'call:hangup', { reason: 'hangup' }]);
    expect([connection.isClosed, released]).toEqual([true, 1]);
  });

  test('is told why not', async () => {
    call.start(bob);
    await hear('bob|B1', 'call:reject', { reason: 'busy' });
    expect(states.at(-1)).toBe('ended: the other side is in another call');
  });

  test('gives up when nobody answers', async () => {
    call.start(bob);
    await vi.advanceTimersByTimeAsync(RINGS_MS);
    expect(sent.at(-1)).toEqual(['bob|B1', 'call:hangup', { reason: 'no answer' }]);
    expect(states.at(-1)).toBe('ended: no answer');
  });

  test('without a link does not ring', () => {
    isUp = false;
    call.start(bob);
    expect(states.at(-1)).toBe('ended: the link to the server is down');
  });

  test('mends a way that is lost', async () => {
    call.start(bob);
    await hear('bob|B1', 'call:accept');
    await hear('bob|B1', 'call:answer', { sdp: 'answer' });
    connection.becomes('connected');
    connection.becomes('failed');
    await vi.advanceTimersByTimeAsync(0);
    expect([connection.restarts, words().at(-1)]).toEqual([1, 'call:offer']);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(states.at(-1)).toBe('ended: the connection was lost');
  });

  test('that hung up while its camera was opening keeps nothing open', async () => {
    call.start(bob);
    call.heard({ type: 'message', id: '', from: 'bob|B1', subtype: 'call:accept', data: {} }, (user) => user);
    call.hangUp();
    await vi.advanceTimersByTimeAsync(0);
    expect([connection.isClosed, call.pc]).toEqual([true, null]);
    expect(words()).not.toContain('call:offer');
  });
});

describe('the callee', () => {
  test('answers the offer of whom it accepted', async () => {
    await hear('bob|B1', 'call:init');
    expect(states).toEqual(['incoming']);
    call.accept();
    await hear('bob|B1', 'call:offer', { type: 'offer', sdp: 'offer' });
    expect(sent.at(-1)).toEqual(['bob|B1', 'call:answer', { type: 'answer', sdp: 'answer' }]);
    connection.becomes('connected');
    await hear('bob|B1', 'call:hangup');
    expect(states.at(-1)).toBe('ended: the other side hung up');
  });

  test('takes no offer that it has not accepted', async () => {
    await hear('bob|B1', 'call:init');
    await hear('bob|B1', 'call:offer', { sdp: 'offer' });
    expect(call.pc).toBeNull();
  });

  test('is busy for a second caller, and for one who calls whom it calls', async () => {
    await hear('bob|B1', 'call:init');
    await hear('eve|E1', 'call:init');
    expect(sent).toEqual([['eve|E1', 'call:reject', { reason: 'busy' }]]);
    call.reject();
    call.start(bob);
    await hear('bob|B1', 'call:init');
    expect(sent.at(-1)).toEqual(['bob|B1', 'call:reject', { reason: 'busy' }]);
    await hear('bob|B1', 'call:reject', { reason: 'busy' });
    expect(states.at(-1)).toBe('ended: the other side is in another call');
  });

  test('listens to nobody else', async () => {
    await hear('bob|B1', 'call:init');
    await hear('eve|E1', 'call:hangup');
    expect(call.state).toBe('incoming');
  });

  test('follows a peer whose session has another id', async () => {
    await hear('bob|B1', 'call:init');
    call.accept();
    await hear('bob|B2', 'call:offer', { sdp: 'offer' });
    expect(sent.at(-1)?.[0]).toBe('bob|B2');
  });

  test('reaches a peer that came back silently', async () => {
    await hear('bob|B1', 'call:init');
    call.accept();
    call.saw(['bob|B1', 'eve|E1']);
    call.saw(['eve|E1']);
    expect(call.peer?.address).toBe('bob|B1');
    call.saw(['eve|E1', 'bob|B2']);
    call.hangUp();
    expect(sent.at(-1)?.slice(0, 2)).toEqual(['bob|B2', 'call:hangup']);
  });

  test('misses a call that rings too long', async () => {
    await hear('bob|B1', 'call:init');
    await vi.advanceTimersByTimeAsync(RINGS_MS);
    expect(states.at(-1)).toBe('ended: missed');
  });
});

test('candidates of others are understood', () => {
  expect(candidateOf({ candidate: 'a=candidate:1 1 udp', sdpMid: '1' })).toEqual({ candidate: 'candidate:1 1 udp', sdpMid: '1' });
  expect(candidateOf({ candidate: 'candidate:1', sdpMid: '' })).toEqual({ candidate: 'candidate:1', sdpMLineIndex: 0 });
  expect(candidateOf({ candidate: { candidate: 'candidate:2', sdpMLineIndex: 1 } })).toEqual({ candidate: 'candidate:2', sdpMLineIndex: 1 });
  expect(candidateOf({ candidate: '' })).toBeNull();
  expect(candidateOf({})).toBeNull();
});
