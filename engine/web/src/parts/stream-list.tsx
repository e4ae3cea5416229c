// The streams that can be watched, as cards.


import type { StreamInfo } from '../api/streams';
import { hrefOf } from '../state/place';
import { Empty } from './empty';
import { Icon } from './icon';
import { count } from './words';
import { CirclePlay, Radio } from './icons';

export function StreamList({ streams, chosen }: { streams: StreamInfo[]; chosen?: string }) {
  if (streams.length === 0) {
    return (
      <Empty icon={Radio} title="No stream is live">
        <p>It appears here as soon as somebody publishes.</p>
        <a class="button" href={hrefOf('publish')}>
          Publish
        </a>
      </Empty>
    );
  }
  return (
    <ul class="cards" aria-label="Streams">
      {streams.map((stream) => (
        <li key={stream.name}>
          <a class="card" href={hrefOf('watch', stream.name)} aria-current={stream.name === chosen}>
            <span class="still" aria-hidden="true">
              <Icon of={CirclePlay} size={32} />
            </span>
            <b>{stream.name}</b>
            <span class="quiet">{wordsFor(stream)}</span>
            {stream.isLive && <span class="tag live">live</span>}
          </a>
        </li>
      ))}
    </ul>
  );
}

function wordsFor(stream: StreamInfo): string {
  if (!stream.isLive) return 'waiting for its publisher';
  const parts = [stream.codecs.join(', ')];
  if (stream.viewersCount !== null) parts.push(count(stream.viewersCount, 'viewer'));
  return parts.filter(Boolean).join(' · ');
}
