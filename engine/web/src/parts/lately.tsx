// What was noticed in a stream lately, as a list that can be read and heard.

import { lately } from '../state/events';
import type { MediaEvent } from '../api/events';
import { count, moment, percent } from './words';

const SHOWN_COUNT_MAX = 8;

export function Lately({ source }: { source: string }) {
  const events = lately.value.filter((event) => event.source === source).slice(0, SHOWN_COUNT_MAX);
  if (events.length === 0) return null;
  return (
    <ul class="lately" aria-label="Noticed lately">
      {events.map((event, index) => (
        <li key={`${event.atMs} ${index}`}>
          <span class={`dot ${event.kind}`} aria-hidden="true" />
          <span class="grow">{wordsFor(event)}</span>
          {event.kind === 'motion' && event.snapshot && (
            <a href={event.snapshot} target="_blank" rel="noreferrer">
              Picture
            </a>
          )}
          <time class="quiet">{moment(event.atMs)}</time>
        </li>
      ))}
    </ul>
  );
}

function wordsFor(event: MediaEvent): string {
  if (event.kind === 'voice') return event.isActive ? 'Somebody began to speak' : 'Silence again';
  return `Motion in ${count(event.boxes.length, 'place')}, ${percent(event.score)} of the picture`;
}
