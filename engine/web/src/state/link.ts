// The one link to the server's signalling, as signals that pages read.

import { computed, signal } from '@preact/signals';

import { SympleClient } from '../signal/client';
import type { LinkState } from '../signal/client';
import type { Message, PeerInfo, ServerEvent } from '../signal/wire';
import { name, token, user } from './settings';

export const linkState = signal<LinkState>('idle');
/** Why it is not online, in words. */
export const linkReason = signal('');
export const retryAt = signal(0);
export const peers = signal<PeerInfo[]>([]);
export const me = signal<PeerInfo | null>(null);
export const isOnline = computed(() => linkState.value === 'online');
/** It was online once: what is shown is a loss and not a start. */
export const wasOnline = signal(false);

type MessageHandler = (message: Message) => void;
type EventHandler = (event: ServerEvent) => void;
const messageHandlers = new Set<MessageHandler>();
const eventHandlers = new Set<EventHandler>();

const url = `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`;

export const link = new SympleClient(
  url,
  { user, name: name.value, token: token.value },
  {
    state(state, reason) {
      linkState.value = state;
      linkReason.value = reason;
      retryAt.value = link.retryAt;
      me.value = link.me;
      if (state === 'online') wasOnline.value = true;
    },
    roster(list) {
      peers.value = list;
    },
    message(message) {
      for (const handler of messageHandlers) handler(message);
    },
    event(event) {
      for (const handler of eventHandlers) handler(event);
    },
  },
);

/** Hears every message of the signalling; ends with what it returns. */
export function onMessage(handler: MessageHandler): () => void {
  messageHandlers.add(handler);
  return () => messageHandlers.delete(handler);
}

export function onEvent(handler: EventHandler): () => void {
  eventHandlers.add(handler);
  return () => eventHandlers.delete(handler);
}

/** Connects, or connects anew as whom the settings say now. */
export function connect(): void {
  link.start({ user, name: name.value, token: token.value });
}

/** Comes back at once when the network does, or the page is looked at again. */
export function watchNetwork(): void {
  addEventListener('online', () => link.retryNow());
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') link.retryNow();
  });
}
