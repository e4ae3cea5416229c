// The frame around every page: navigation, the state of the link, and the call that may come at any
// time, wherever one is.

import { useEffect } from 'preact/hooks';

import { CallBar } from './parts/call-bar';
import { Icon } from './parts/icon';
import { LinkBanner } from './parts/link-banner';
import { PAGES } from './pages';
import { hrefOf, place } from './state/place';

export function App() {
  const { page: path, argument } = place.value;
  const page = PAGES.find((page) => page.path === path);
  useEffect(() => {
    document.title = page && page.path ? `${page.title} · Skywave` : 'Skywave';
  }, [page]);
  return (
    <div class="frame">
      <a class="skip" href="#page">
        Skip to the page
      </a>
      <header class="side">
        <a class="brand" href="/" aria-label="Skywave, home">
          <Mark />
          <span>Skywave</span>
        </a>
        <nav aria-label="Pages">
          {PAGES.map(({ path, title, icon }) => (
            <a key={path} href={hrefOf(path)} aria-current={page?.path === path ? 'page' : undefined}>
              <Icon of={icon} />
              <span>{title}</span>
            </a>
          ))}
        </nav>
      </header>
      <main id="page" tabIndex={-1}>
        <LinkBanner />
        <CallBar />
        {page ? <page.view key={page.path} argument={argument} /> : <Missing />}
      </main>
    </div>
  );
}

function Missing() {
  return (
    <section class="empty">
      <h1>There is no such page</h1>
      <p>
        Perhaps it is one of <a href="/">these</a>.
      </p>
    </section>
  );
}

function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" />
      <path d="M6 21c3.5-9 7-9 10 0s6.500 9 10 0" opacity=".55" />
      <path d="M6 16c3.500-9 7-9 10 0s6.500 9 10 0" />
    </svg>
  );
}
