import { describe, expect, test, vi } from 'vitest';

import { readEvent } from './events';
import { ofStatus, problemOf } from './problem';
import { ownPath, readRecordings } from './recordings';
import { mergeStreams, readStreams } from './streams';
import { bytes, duration, percent } from '../parts/words';

vi.stubGlobal('location', { origin: 'http://radio.example', pathname: '/' });
const { statusOf } = await import('./status');
const { placeOf, hrefOf } = await import('../state/place');

describe('streams', () => {
  test('are read in any of the ways that they are said', () => {
    const none = { toMount: '', fromMount: '' };
    expect(readStreams(['a', { name: 'b', live: false, viewers: 3, tracks: [{ codec: 'VP8' }, { codec: 'VP8' }] }, {}, 5, null])).toEqual([
      { name: 'a', isLive: true, viewersCount: null, codecs: [], ...none },
      { name: 'b', isLive: false, viewersCount: 3, codecs: ['VP8'], ...none },
    ]);
    expect(readStreams([{ name: 'c', to_mount: '/c.opus' }])[0]?.toMount).toBe('/c.opus');
    expect(readStreams(undefined)).toEqual([]);
  });
  test('are one list, live ones first', () => {
    const merged = mergeStreams(readStreams([{ name: 'z', live: false }, 'b']), readStreams(['a', { name: 'z' }]));
    expect(merged.map(({ name, isLive }) => [name, isLive])).toEqual([['a', true], ['b', true], ['z', false]]);
  });
});

describe('recordings', () => {
  test('come newest first, with what is missing filled in', () => {
    const list = readRecordings([{ name: 'a b.mp4', started_at_ms: 1 }, { started_at_ms: 2 }, { name: 'c', started_at_ms: 3, is_closed: false, url: 'javascript:alert(1)' }]);
    expect(list.map((it) => [it.name, it.url, it.isOpen])).toEqual([
      ['c', '/artifacts/c', true],
      ['a b.mp4', '/artifacts/a%20b.mp4', false],
    ]);
  });
  test('are never of another place', () => {
    expect(['//evil', 'http://evil', 'x', '', '/ok'].map(ownPath)).toEqual([null, null, null, null, '/ok']);
  });
});

describe('events', () => {
  test('of motion keep within the picture', () => {
    const regions = [{ x: 0.9, y: 0, width: 0.5, height: 0.5 }, { x: -1, y: 0, width: 0.5, height: 2 }, { x: 1, y: 1, width: 1, height: 1 }, null];
    const event = readEvent('icey:vision', { source: 's', detections: regions.map((region) => ({ region })) }, 7);
    if (event?.kind !== 'motion') throw new Error('no motion');
    expect(event.atMs).toBe(7);
    expect(event.boxes.map(({ x, width, height }) => [x, Number(width.toFixed(3)), height])).toEqual([[0.9, 0.1, 0.5], [0, 0.5, 1]]);
  });
  test('of voice are bounded, and others are none', () => {
    expect(readEvent('message', { type: 'speech:end', active: false, level: 9 }, 7)).toMatchObject({ kind: 'voice', step: 'end', level: 1 });
    expect(readEvent('chat', { text: 'hi' }, 7)).toBeNull();
  });
});

test('a status is made of what there is', () => {
  expect(statusOf({}, {}, {})).toMatchObject({ health: '', mounts: [], startedAtMs: null });
  const source = { listenurl: 'http://x:8000/a.mp3', listeners: 2, title: 'T', artist: 'A' };
  const one = statusOf({ icestats: { source, server_start_iso8601: '2026-01-01T00:00:00+0000' } }, { status: 'ok' }, {});
  expect(one.mounts).toMatchObject([{ path: '/a.mp3', title: 'A – T', listeners: 2 }]);
  expect(one.startedAtMs).toBe(Date.UTC(2026, 0, 1));
  expect(statusOf({ icestats: { source: [source, source, {}] } }, {}, {}).mounts).toHaveLength(2);
});

test('what went wrong is said in words', () => {
  expect(ofStatus(401, 'watch this').message).toBe('The server does not let you watch this.');
  expect(problemOf(new TypeError('Failed to fetch')).message).toBe('The server cannot be reached.');
  expect(problemOf(new DOMException('', 'NotAllowedError')).message).toContain('not allowed');
  expect(problemOf('odd').message).toBe('odd');
});

test('places and their paths are each other’s', () => {
  for (const [page, argument] of [['', ''], ['watch', ''], ['watch', 'a b/c%'], ['nothing', 'x']] as const) {
    expect(placeOf(hrefOf(page, argument))).toEqual({ page, argument });
  }
  expect(placeOf('/app/watch/%')).toEqual({ page: 'watch', argument: '%' });
});

test('numbers are read by people', () => {
  expect([0, 999, 1000, 712_345_678].map(bytes)).toEqual(['0 B', '999 B', '1.0 kB', '712 MB']);
  expect([-5, 7_400, 123_000, 3_723_000].map(duration)).toEqual(['0:00', '0:07', '2:03', '1:02:03']);
  expect([0, 0.004, 0.12].map(percent)).toEqual(['0 %', '0.4 %', '12 %']);
});
