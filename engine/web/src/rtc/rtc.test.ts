import { describe, expect, test } from 'vitest';

import { candidateFragment, hasCredentials, restartFragment, restartedAnswer } from './fragment';
import { readIceServers } from './ice';
import { layersOf } from './layers';
import { iceServersOf, layersAt } from './link';
import { levelOf } from './meter';
import { encodingsOf } from './publish';
import { look } from './stats';

describe('Link headers', () => {
  test('give ICE servers', () => {
    const header =
      '<stun:stun.example.org>; rel="ice-server", ' +
      '<turn:turn.example.org?transport=udp>; rel="ice-server"; username="a, b"; ' +
      'credential="c\\"d"; credential-type="password", <https://x/>; rel="next"';
    expect(iceServersOf(header)).toEqual([
      { urls: 'stun:stun.example.org' },
      { urls: 'turn:turn.example.org?transport=udp', username: 'a, b', credential: 'c"d' },
    ]);
  });
  test('that are none give none', () => {
    for (const header of [null, '', 'nonsense', '<a>; rel=next', '<;>;;,,<']) {
      expect(iceServersOf(header)).toEqual([]);
    }
  });
});

test('ICE servers that say nowhere are where we are', () => {
  const answer = { urls: ['turn:0.0.0.0:3478?transport=udp', 'stun:s.example'], username: 'u', credential: 'c' };
  expect(readIceServers(answer, 'radio.example')).toEqual([
    { urls: ['turn:radio.example:3478?transport=udp', 'stun:s.example'], username: 'u', credential: 'c' },
  ]);
  expect(readIceServers({ iceServers: [{ urls: 'stun:[::]:1' }, 5, {}] }, '::1')).toEqual([{ urls: ['stun:[::1]:1'] }]);
});

const OFFER = [
  'v=0',
  'a=group:BUNDLE 0 1',
  'm=video 9 UDP/TLS/RTP/SAVPF 96',
  'a=mid:0',
  'a=ice-ufrag:old',
  'a=ice-pwd:oldpwd',
  'm=audio 9 UDP/TLS/RTP/SAVPF 111',
  'a=mid:1',
  'a=ice-ufrag:old',
  'a=ice-pwd:oldpwd',
  '',
].join('\r\n');

describe('fragments', () => {
  const candidate = { candidate: 'candidate:1 1 udp 1 192.0.2.1 9 typ host', sdpMid: '1' } as RTCIceCandidate;
  test('carry candidates under the offer’s credentials', () => {
    expect(candidateFragment(OFFER, [candidate], true)).toBe(
      'a=ice-ufrag:old\r\na=ice-pwd:oldpwd\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:1\r\n' +
        'a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n',
    );
    expect(candidateFragment(OFFER, [], true)).toContain('m=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=end-of-candidates');
  });
  test('restart a session', () => {
    expect(restartFragment(OFFER)).toBe('a=ice-ufrag:old\r\na=ice-pwd:oldpwd\r\n');
    const fresh = 'a=ice-ufrag:new\r\na=ice-pwd:newpwd\r\na=candidate:2 1 udp 1 192.0.2.2 9 typ host\r\n';
    const answer = restartedAnswer(`${OFFER}a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n`, fresh);
    expect(answer.match(/a=ice-ufrag:new/g)).toHaveLength(2);
    expect(answer).not.toContain('old');
    expect(answer).not.toContain('192.0.2.1 ');
    expect(answer.match(/192\.0\.2\.2/g)).toHaveLength(1);
    expect(answer.indexOf('192.0.2.2')).toBeLessThan(answer.indexOf('m=audio'));
    expect([hasCredentials(fresh), hasCredentials('a=ice-lite')]).toEqual([true, false]);
  });
});

test('statistics are of what came since the last look', () => {
  const entry = (more: object) => ({ id: 'V', type: 'inbound-rtp', kind: 'video', codecId: 'C', jitter: 0.004, frameWidth: 640, frameHeight: 360, framesPerSecond: 30, ...more });
  const others: [string, unknown][] = [
    ['C', { id: 'C', type: 'codec', timestamp: 0, mimeType: 'video/VP8' }],
    ['T', { id: 'T', type: 'transport', timestamp: 0, selectedCandidatePairId: 'P' }],
    ['P', { id: 'P', type: 'candidate-pair', timestamp: 0, currentRoundTripTime: 0.012, localCandidateId: 'L' }],
    ['L', { id: 'L', type: 'local-candidate', timestamp: 0, candidateType: 'relay', relayProtocol: 'tcp', protocol: 'udp' }],
  ];
  const first = look([...others, ['V', entry({ timestamp: 1000, bytesReceived: 1000, packetsReceived: 10, packetsLost: 5 })]], null);
  expect(first.stats.tracks[0]?.bitrate).toBe(0);
  const { stats } = look([...others, ['V', entry({ timestamp: 3000, bytesReceived: 251_000, packetsReceived: 100, packetsLost: 15, jitterBufferDelay: 2, jitterBufferEmittedCount: 100 })]], first);
  expect(stats).toMatchObject({ rttMs: 12, path: 'relay/tcp' });
  expect(stats.tracks[0]).toMatchObject({ codec: 'VP8', bitrate: 1_000_000, loss: 0.1, jitterMs: 4, width: 640, bufferMs: 20 });
});

test('a level is between silence and full scale', () => {
  expect(levelOf(new Float32Array(8))).toBe(0);
  expect(levelOf(new Float32Array(8).fill(1))).toBe(1);
  expect(levelOf(new Float32Array(8).fill(0.0316))).toBeCloseTo(0.5, 2);
  expect(levelOf(new Float32Array(0))).toBe(0);
});

test('sizes of a picture share its bound', () => {
  expect(encodingsOf(0, false)).toEqual([{}]);
  const sizes = encodingsOf(1_000_000, true);
  expect(sizes.map((it) => it.rid)).toEqual(['q', 'h', 'f']);
  expect(sizes.reduce((sum, it) => sum + (it.maxBitrate ?? 0), 0)).toBe(1_000_000);
});

test('layers are to be chosen from where there are several', () => {
  const header = '<turn:t.example>; rel="ice-server", </whep/stage/1/layer>; rel="urn:ietf:params:whep:ext:core:layer"';
  expect(layersAt(header)).toBe('/whep/stage/1/layer');
  const layer = (encodingId: string, bitrate: number) => ({ encodingId, bitrate });
  const told = { 0: { layers: [] }, 1: { layers: [layer('f', 900_000), layer('q', 80_000)], wanted: null, sent: 'f' } };
  const layers = [
    { id: 'q', bitsPerSecond: 80_000 },
    { id: 'f', bitsPerSecond: 900_000 },
  ];
  expect(layersOf(told)).toEqual({ layers, wanted: null, sent: 'f' });
  expect(layersOf({ 1: { layers: [layer('f', 1)], wanted: null, sent: null } })).toBeNull();
  expect(layersOf({ 1: { layers: [layer('f', 1)], wanted: 'q', sent: 'f' } })?.wanted).toBe('q');
  for (const nonsense of [null, 5, [], { 1: null }, { 1: { layers: [null, {}, { encodingId: 5 }] } }]) {
    expect(layersOf(nonsense)).toBeNull();
  }
});
