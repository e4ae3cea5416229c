// What is wrong with the link to the server, while something is.

import { useEffect, useState } from 'preact/hooks';

import { link, linkReason, linkState, retryAt, wasOnline } from '../state/link';
import { hrefOf } from '../state/place';
import { Icon } from './icon';
import { RefreshCw, TriangleAlert } from './icons';

export function LinkBanner() {
  const state = linkState.value;
  if (state === 'online' || state === 'idle') return null;
  if (state === 'refused') {
    return (
      <div class="banner bad" role="alert">
        <Icon of={TriangleAlert} />
        <p>
          <b>The server does not let you in.</b> {linkReason.value}.{' '}
          <a href={hrefOf('settings')}>Enter a token</a>
        </p>
      </div>
    );
  }
  // At the start there is nothing to complain of yet.
  if (state === 'connecting' && !wasOnline.value && !linkReason.value) {
    return <div class="banner" role="status"><span class="spinner" /><p>Connecting …</p></div>;
  }
  return (
    <div class="banner warn" role="status" data-link={state}>
      {state === 'connecting' ? <span class="spinner" /> : <Icon of={TriangleAlert} />}
      <p>
        <b>{wasOnline.value ? 'Reconnecting.' : 'The server cannot be reached yet.'}</b>{' '}
        {state === 'waiting' && <Countdown />}
        <span class="quiet">Video that is playing goes on.</span>
      </p>
      {state === 'waiting' && (
        <button class="small" onClick={() => link.retryNow()}>
          <Icon of={RefreshCw} size={16} /> Try now
        </button>
      )}
    </div>
  );
}

function Countdown() {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, []);
  const seconds = Math.max(0, Math.ceil((retryAt.value - now) / 1000));
  return <>Next try in {seconds} s. </>;
}
