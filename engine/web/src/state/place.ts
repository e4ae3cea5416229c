// Which page is shown. Pages live below `/app/`, so that no mount of the radio is hidden by one; `/`
// is the first of them.
//
//   /app/watch/garden      page `watch`, argument `garden`

import { signal } from '@preact/signals';

export interface Place {
  page: string;
  argument: string;
}

export const BASE = '/app/';

export const place = signal<Place>(placeOf(location.pathname));

export function placeOf(path: string): Place {
  if (!path.startsWith(BASE)) return { page: '', argument: '' };
  const [page = '', ...rest] = path.slice(BASE.length).split('/');
  return { page, argument: decoded(rest.join('/')) };
}

export function hrefOf(page: string, argument = ''): string {
  if (!page) return '/';
  const parts = argument.split('/').map(encodeURIComponent).join('/');
  return argument ? `${BASE}${page}/${parts}` : `${BASE}${page}`;
}

export function go(page: string, argument = ''): void {
  const href = hrefOf(page, argument);
  if (href === location.pathname) return;
  history.pushState(null, '', href);
  arrive();
}

/** Links within the app are followed here; all others, and those with a key held, by the browser. */
export function followLinks(): void {
  addEventListener('popstate', arrive);
  document.addEventListener('click', (event) => {
    const held = event.metaKey || event.ctrlKey || event.shiftKey || event.altKey;
    if (event.defaultPrevented || event.button !== 0 || held) return;
    const anchor = (event.target as Element).closest<HTMLAnchorElement>('a[href]');
    if (!anchor || anchor.target || anchor.hasAttribute('download')) return;
    const { origin, pathname, search } = new URL(anchor.href);
    const isOurs = origin === location.origin && (pathname === '/' || pathname.startsWith(BASE));
    if (!isOurs || search) return;
    event.preventDefault();
    if (pathname === location.pathname) return;
    history.pushState(null, '', pathname);
    arrive();
  });
}

function arrive(): void {
  place.value = placeOf(location.pathname);
  scrollTo(0, 0);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
