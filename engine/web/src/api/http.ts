// Requests to the server, with the token where there is one, and answers that are checked.

import { isObject } from '../signal/wire';
import type { JsonObject } from '../signal/wire';
import { Problem, ofStatus } from './problem';

const ANSWER_WITHIN_MS = 15_000;

/** A JSON object from this path. `what` completes "The server could not …". */
export async function getJson(path: string, token: string, what: string): Promise<JsonObject> {
  const response = await fetch(path, {
    headers: { accept: 'application/json', ...bearer(token) },
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
  });
  if (!response.ok) throw ofStatus(response.status, what);
  const value: unknown = await response.json().catch(() => null);
  if (!isObject(value)) throw new Problem(`The server's answer makes no sense (${path}).`);
  return value;
}

/** The same; `null` where the server has no such path. */
export async function findJson(path: string, token: string, what: string): Promise<JsonObject | null> {
  try {
    return await getJson(path, token, what);
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
}

export function bearer(token: string): Record<string, string> {
  return token ? { authorization: `Bearer ${token}` } : {};
}
