import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { SympleClient } from './client';
import type { Socket } from './client';
import type { PeerInfo } from './wire';

class FakeSocket implements Socket {
  static all: FakeSocket[] = [];
  readyState: 0 | 1 | 2 | 3 = 0;
  sent: Record<string, unknown>[] = [];
  onopen: Socket['onopen'] = null;
  onmessage: Socket['onmessage'] = null;
  onclose: Socket['onclose'] = null;
  constructor(readonly url: string) {
    FakeSocket.all.push(this);
  }
  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }
  close(): void {
    this.readyState = 3;
  }
  opens(): void {
    this.readyState = 1;
    this.onopen?.call(this as unknown as WebSocket, new Event('open'));
  }
  says(frame: unknown): void {
    const data = typeof frame === 'string' ? frame : JSON.stringify(frame);
    this.onmessage?.call(this as unknown as WebSocket, { data } as MessageEvent);
  }
  isLost(): void {
    this.readyState = 3;
    this.onclose?.call(this as unknown as WebSocket, {} as CloseEvent);
  }
}

const last = () => FakeSocket.all[FakeSocket.all.length - 1]!;
const welcome = (id: string) => ({
  type: 'welcome',
  protocol: 'symple/4',
  status: 200,
  peer: { id, user: 'ann', name: 'Ann', online: true, type: 'Peer' },
  rooms: ['ann', 'public'],
});
const presence = (id: string, more: object = {}) => ({
  type: 'presence',
  from: `bob|${id}`,
  data: { id, user: 'bob', name: 'Bob', online: true, ...more },
});

let states: string[];
let rosters: PeerInfo[][];
let client: SympleClient;

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.all = [];
  states = [];
  rosters = [];
  const events = {
    state: (state: string, reason: string) => states.push(reason ? `${state}: ${reason}` : state),
    roster: (peers: PeerInfo[]) => rosters.push(peers),
  };
  const me = { user: 'ann', name: 'Ann', token: 'secret' };
  client = new SympleClient('ws://h/ws', me, events, (url) => new FakeSocket(url), () => 0.5);
});
afterEach(() => vi.useRealTimers());

function goOnline(id = 'A1'): FakeSocket {
  const socket = last();
  socket.opens();
  socket.says(welcome(id));
  return socket;
}

describe('a link', () => {
  test('authenticates first, then says who we are and asks who is there', () => {
    client.say({ capabilities: ['call'] });
    client.start();
    const socket = goOnline();
    expect(socket.sent[0]).toMatchObject({ type: 'auth', user: 'ann', name: 'Ann', token: 'secret' });
    expect(socket.sent[1]).toMatchObject({ type: 'presence', probe: true, data: { capabilities: ['call'] } });
    expect(states).toEqual(['connecting', 'online']);
    expect(client.me?.id).toBe('A1');
  });

  test('says nothing while it is not there, and says so', () => {
    expect(client.message('bob|B1', 'chat')).toBe(false);
    client.start();
    last().opens();
    expect(client.message('bob|B1', 'chat')).toBe(false);
    expect(last().sent).toHaveLength(1);
  });

  test('that is lost comes back with its rooms, later each time', () => {
    client.start();
    const socket = goOnline();
    client.join('garden');
    socket.isLost();
    expect(states.at(-1)).toBe('waiting: the connection was lost');
    vi.advanceTimersByTime(374);
    expect(FakeSocket.all).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(FakeSocket.all).toHaveLength(2);
    last().isLost();
    vi.advanceTimersByTime(749);
    expect(FakeSocket.all).toHaveLength(2);
    vi.advanceTimersByTime(1);
    const again = goOnline('A2');
    expect(again.sent).toContainEqual({ type: 'join', room: 'garden' });
    expect(client.me?.id).toBe('A2');
    // It worked: the next loss starts from the shortest wait.
    again.isLost();
    vi.advanceTimersByTime(375);
    expect(FakeSocket.all).toHaveLength(4);
  });

  test('that never opens, or is never welcomed, is given up', () => {
    client.start();
    last().opens();
    vi.advanceTimersByTime(10_000);
    expect(states.at(-1)).toBe('waiting: the server did not answer');
  });

  test('that is refused is not tried again until the person changes something', () => {
    client.start();
    last().opens();
    last().says({ type: 'error', status: 401, message: 'Authentication failed' });
    last().isLost();
    vi.advanceTimersByTime(600_000);
    expect(FakeSocket.all).toHaveLength(1);
    expect(states.at(-1)).toBe('refused: Authentication failed');
    client.start({ user: 'ann', name: 'Ann', token: 'other' });
    expect(FakeSocket.all).toHaveLength(2);
  });

  test('keeps to itself what an older socket still says', () => {
    client.start();
    const old = last();
    client.start();
    old.opens();
    old.says(welcome('old'));
    old.isLost();
    expect(client.me).toBeNull();
    expect(states.at(-1)).toBe('connecting');
  });

  test('does not wait when the network is back', () => {
    client.start();
    last().isLost();
    client.retryNow();
    expect(FakeSocket.all).toHaveLength(2);
    client.retryNow();
    expect(FakeSocket.all).toHaveLength(2);
  });
});

describe('the roster', () => {
  test('follows presence, and is empty without a link', () => {
    client.start();
    const socket = goOnline();
    socket.says(presence('B1', { capabilities: ['call'], colour: 'red' }));
    expect(rosters.at(-1)).toMatchObject([{ user: 'bob', capabilities: ['call'], extras: { colour: 'red' } }]);
    socket.says(presence('B1', { online: false }));
    expect(rosters.at(-1)).toEqual([]);
    socket.says(presence('B2'));
    socket.isLost();
    expect(rosters.at(-1)).toEqual([]);
  });

  test('answers who probes, and nobody else', () => {
    client.start();
    const socket = goOnline();
    const before = socket.sent.length;
    socket.says(presence('B1'));
    expect(socket.sent).toHaveLength(before);
    socket.says({ ...presence('B1'), probe: true });
    expect(socket.sent.at(-1)).toMatchObject({ type: 'presence', to: 'bob|B1' });
    expect(socket.sent.at(-1)).not.toHaveProperty('probe');
  });

  test('does not list ourselves, and has room for so many', () => {
    client.start();
    const socket = goOnline();
    socket.says({ type: 'presence', from: 'ann|A1', data: { id: 'A1', user: 'ann', online: true } });
    for (let index = 0; index < 505; index += 1) socket.says(presence(`B${index}`));
    expect(client.roster.list()).toHaveLength(500);
    expect(client.roster.beyondCount).toBe(5);
  });
});

test('nonsense is dropped', () => {
  client.start();
  const socket = goOnline();
  const before = states.length;
  const nonsense = ['{', '5', '[]', 'null', '{"type":5}', { type: 'presence' }, { type: 'presence', from: 5, data: {} }, { type: 'message' }, { type: 'nothing' }];
  for (const text of nonsense) socket.says(text);
  expect(states).toHaveLength(before);
  expect(client.state).toBe('online');
});
