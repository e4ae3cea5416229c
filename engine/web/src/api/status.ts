// How the server is: `/api/status` or `/api/health`, and the radio's mounts from Icecast's
// `/status-json.xsl`.

import { isObject, number, string, strings } from '../signal/wire';
import type { JsonObject } from '../signal/wire';
import { findJson } from './http';

export interface Mount {
  path: string;
  title: string;
  name: string;
  listeners: number;
  bitrate: number;
  type: string;
}

export interface Status {
  /** `ok`, `degraded`, `error`, or empty where nobody says. */
  health: string;
  version: string;
  server: string;
  startedAtMs: number | null;
  mounts: Mount[];
  warnings: string[];
  checks: { name: string; result: string; detail: string }[];
  /** Groups of numbers that the server counts. */
  counts: { name: string; value: string }[];
}

export async function readStatus(token: string): Promise<Status> {
  const [radio, health, api] = await Promise.all([
    findJson('/status-json.xsl', '', 'show its status'),
    findJson('/health', '', 'show its health').catch(() => null),
    findJson('/api/status', token, 'show its status').catch(() => null),
  ]);
  return statusOf(radio ?? {}, health ?? {}, api ?? {});
}

export function statusOf(radio: JsonObject, health: JsonObject, api: JsonObject): Status {
  const icestats = isObject(radio.icestats) ? radio.icestats : {};
  const started = Date.parse(string(icestats.server_start_iso8601));
  const uptimeSeconds = number(api.uptimeSec);
  const sessions = isObject(api.sessions) ? api.sessions : {};
  const counts: Status['counts'] = [];
  const count = (name: string, value: unknown) => {
    if (typeof value === 'number') counts.push({ name, value: value.toLocaleString() });
  };
  count('Sessions', sessions.active ?? sessions.total);
  const mounts = mountsOf(icestats.source);
  if (mounts.length > 0) count('Listeners', mounts.reduce((sum, mount) => sum + mount.listeners, 0));
  const checks = Array.isArray(api.checks) ? api.checks.filter(isObject) : [];
  return {
    health: string(api.status) || string(health.status),
    version: string(api.version) || string(health.version),
    server: string(icestats.server_id),
    startedAtMs: Number.isFinite(started)
      ? started
      : uptimeSeconds > 0
        ? Date.now() - uptimeSeconds * 1000
        : null,
    mounts,
    warnings: strings(api.warnings),
    checks: checks.map((it) => ({
      name: string(it.name),
      result: string(it.result),
      detail: string(it.detail),
    })),
    counts,
  };
}

/** Icecast gives one mount as an object and several as a list. */
function mountsOf(source: unknown): Mount[] {
  const list = Array.isArray(source) ? source : source === undefined ? [] : [source];
  return list.filter(isObject).flatMap((item) => {
    const path = pathOf(string(item.listenurl));
    if (!path) return [];
    return {
      path,
      title: [string(item.artist), string(item.title)].filter(Boolean).join(' – '),
      name: string(item.server_name),
      listeners: number(item.listeners),
      bitrate: number(item.bitrate) || number(item['ice-bitrate']),
      type: string(item.server_type),
    };
  });
}

function pathOf(url: string): string {
  if (!url) return '';
  try {
    return new URL(url, location.origin).pathname;
  } catch {
    return '';
  }
}
