// What the server noticed in a stream: motion (`vision.event.v1`) and voice, in icey's shapes.

import { isObject, number, string } from '../signal/wire';
import type { Json, JsonObject } from '../signal/wire';
import { ownPath } from './recordings';

/** Of the picture, as fractions of its size. */
export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
  label: string;
  confidence: number;
}

export interface Motion {
  kind: 'motion';
  source: string;
  atMs: number;
  score: number;
  boxes: Box[];
  snapshot: string | null;
}

export interface Voice {
  kind: 'voice';
  source: string;
  atMs: number;
  isActive: boolean;
  level: number;
  /** `start`, `update` or `end`. */
  step: string;
}

export type MediaEvent = Motion | Voice;

const BOXES_COUNT_MAX = 32;

/** Reads the data of a message or of a server-sent event with this name. */
export function readEvent(name: string, data: JsonObject, nowMs: number): MediaEvent | null {
  if (name === 'icey:vision' || data.schema === 'vision.event.v1') return readMotion(data, nowMs);
  if (name === 'icey:speech' || string(data.type).startsWith('speech:')) return readVoice(data, nowMs);
  return null;
}

function readMotion(data: JsonObject, nowMs: number): Motion {
  const detections = Array.isArray(data.detections) ? data.detections.filter(isObject) : [];
  const measure = isObject(data.data) ? data.data : {};
  const snapshot = isObject(measure.snapshot) ? ownPath(string(measure.snapshot.url)) : null;
  return {
    kind: 'motion',
    source: string(data.source),
    atMs: number(data.emittedAtUsec) / 1000 || nowMs,
    score: number(measure.score),
    boxes: detections.slice(0, BOXES_COUNT_MAX).flatMap((it) => readBox(it) ?? []),
    snapshot,
  };
}

function readBox(detection: JsonObject): Box | null {
  const region: Json | undefined = detection.region;
  if (!isObject(region)) return null;
  const within = (value: Json | undefined) => Math.min(1, Math.max(0, number(value)));
  const [x, y] = [within(region.x), within(region.y)];
  const width = Math.min(within(region.width), 1 - x);
  const height = Math.min(within(region.height), 1 - y);
  if (width <= 0 || height <= 0) return null;
  const confidence = within(detection.confidence);
  return { x, y, width, height, label: string(detection.label) || 'motion', confidence };
}

function readVoice(data: JsonObject, nowMs: number): Voice {
  return {
    kind: 'voice',
    source: string(data.source),
    atMs: nowMs,
    isActive: data.active === true,
    level: Math.min(1, Math.max(0, number(data.level))),
    step: string(data.type).replace('speech:', ''),
  };
}
