// The first page: who is here, what is on.


import { Empty } from '../parts/empty';
import { useLoaded } from '../parts/loaded';
import { Peers } from '../parts/peers';
import { StreamList } from '../parts/stream-list';
import { count } from '../parts/words';
import { isOnline, peers } from '../state/link';
import { hrefOf } from '../state/place';
import { hasList, refreshStreams, streams } from '../state/streams';
import { token } from '../state/settings';
import { Users } from '../parts/icons';

export function HomePage() {
  useLoaded(refreshStreams, 4_000, [token.value]);
  const here = peers.value.filter((peer) => peer.kind !== 'server').length;
  return (
    <>
      <h1>Home</h1>
      <section aria-labelledby="on">
        <div class="line">
          <h2 id="on">On now</h2>
          <a href={hrefOf('watch')}>All streams</a>
        </div>
        {hasList.value || streams.value.length > 0 ? (
          <StreamList streams={streams.value.slice(0, 6)} />
        ) : (
          <p class="quiet">The server does not tell you which streams are live.</p>
        )}
      </section>
      <section aria-labelledby="here">
        <div class="line">
          <h2 id="here">Who is here</h2>
          {isOnline.value && <span class="quiet">{count(here, 'other')}</span>}
        </div>
        {isOnline.value ? (
          <Peers />
        ) : (
          <Empty icon={Users} title="Nobody to see">
            <p>There is no link to the server.</p>
          </Empty>
        )}
      </section>
    </>
  );
}
