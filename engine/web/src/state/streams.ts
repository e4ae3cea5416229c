// Which streams there are: asked for while somebody looks, merged with what peers say.

import { computed, signal } from '@preact/signals';

import { listStreams, mergeStreams, streamsOfPeers } from '../api/streams';
import type { StreamInfo } from '../api/streams';
import { peers } from './link';
import { token } from './settings';

const listed = signal<StreamInfo[]>([]);

/** Whether the server tells its list; without one a stream's name has to be known. */
export const hasList = signal(true);

export const streams = computed(() => mergeStreams(listed.value, streamsOfPeers(peers.value)));

export async function refreshStreams(): Promise<true> {
  // Who is refused knows of no stream, which is not that there is none.
  const refused = (problem: unknown) => {
    hasList.value = false;
    throw problem;
  };
  const list = await listStreams(token.value).catch(refused);
  hasList.value = list !== null;
  listed.value = list ?? [];
  return true;
}
