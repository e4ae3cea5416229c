// What this person has chosen, kept in the browser. A token lives as long as its tab unless it is to
// be remembered; `?token=` in the address is taken over once and removed from sight.

import { effect, signal } from '@preact/signals';

export type Theme = 'auto' | 'light' | 'dark';

const TAKEN = takeToken();

export const name = signal(read(localStorage, 'skywave.name') ?? 'Guest');
export const theme = signal<Theme>(asTheme(read(localStorage, 'skywave.theme')));
export const rememberToken = signal(read(localStorage, 'skywave.token') !== null);
export const token = signal(
  TAKEN ?? read(sessionStorage, 'skywave.token') ?? read(localStorage, 'skywave.token') ?? '',
);

/** Who we are to others: one for each tab, so that two tabs are two peers. */
export const user = ownUser();

effect(() => write(localStorage, 'skywave.name', name.value));
effect(() => write(sessionStorage, 'skywave.token', token.value));
effect(() => write(localStorage, 'skywave.token', rememberToken.value ? token.value : ''));
effect(() => {
  write(localStorage, 'skywave.theme', theme.value === 'auto' ? '' : theme.value);
  const scheme = theme.value === 'auto' ? 'light dark' : theme.value;
  document.documentElement.style.colorScheme = scheme;
});

function takeToken(): string | null {
  const url = new URL(location.href);
  const token = url.searchParams.get('token');
  if (token === null) return null;
  url.searchParams.delete('token');
  history.replaceState(null, '', url);
  return token;
}

function ownUser(): string {
  const kept = read(sessionStorage, 'skywave.user');
  // A tab that was duplicated has its original's storage, and is another peer all the same.
  const [entry] = performance.getEntriesByType('navigation') as PerformanceNavigationTiming[];
  if (kept && (entry?.type === 'reload' || entry?.type === 'back_forward')) return kept;
  const bytes = crypto.getRandomValues(new Uint8Array(5));
  const fresh = `web-${[...bytes].map((byte) => byte.toString(36).padStart(2, '0')).join('')}`;
  write(sessionStorage, 'skywave.user', fresh);
  return fresh;
}

function asTheme(text: string | null): Theme {
  return text === 'light' || text === 'dark' ? text : 'auto';
}

// Storage may be forbidden; then a choice lasts as long as the page.
function read(from: Storage, key: string): string | null {
  try {
    return from.getItem(key);
  } catch {
    return null;
  }
}

function write(to: Storage, key: string, value: string): void {
  try {
    if (value) to.setItem(key, value);
    else to.removeItem(key);
  } catch {
    // See above.
  }
}
