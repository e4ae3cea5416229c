// What was noticed lately, of all streams, and how long it is worth showing.

import { signal } from '@preact/signals';

import { readEvent } from '../api/events';
import type { MediaEvent, Motion, Voice } from '../api/events';
import { isObject } from '../signal/wire';
import { onEvent, onMessage } from './link';

/** A box fades within that. */
export const BOXES_LIVE_MS = 900;
/** Voice that is not said to go on has ended. */
const VOICE_LIVES_MS = 1_500;
const KEPT_COUNT_MAX = 50;

/** The newest first. */
export const lately = signal<MediaEvent[]>([]);
export const motionOf = signal<ReadonlyMap<string, Motion & { heardAtMs: number }>>(new Map());
export const voiceOf = signal<ReadonlyMap<string, Voice>>(new Map());

function heard(event: MediaEvent | null): void {
  if (!event) return;
  const heardAtMs = Date.now();
  if (event.kind === 'motion') {
    motionOf.value = new Map(motionOf.value).set(event.source, { ...event, heardAtMs });
    setTimeout(() => forget(event.source, heardAtMs), BOXES_LIVE_MS);
  } else {
    voiceOf.value = new Map(voiceOf.value).set(event.source, event);
    setTimeout(() => hush(event), VOICE_LIVES_MS);
    // What goes on is shown and not listed.
    if (event.step === 'update') return;
  }
  lately.value = [event, ...lately.value].slice(0, KEPT_COUNT_MAX);
}

function forget(source: string, heardAtMs: number): void {
  if (motionOf.value.get(source)?.heardAtMs !== heardAtMs) return;
  const rest = new Map(motionOf.value);
  rest.delete(source);
  motionOf.value = rest;
}

function hush(event: Voice): void {
  if (voiceOf.value.get(event.source) !== event) return;
  const rest = new Map(voiceOf.value);
  rest.delete(event.source);
  voiceOf.value = rest;
}

onMessage((message) => heard(readEvent(message.subtype, message.data, Date.now())));
onEvent((event) => {
  const inner = event.data.data;
  heard(readEvent(event.name, isObject(inner) ? inner : event.data, Date.now()));
});
