// How loud it is.

import { useEffect, useRef } from 'preact/hooks';

import { meter } from '../rtc/meter';

export function Level({ stream }: { stream: MediaStream | null }) {
  const bar = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!stream) return;
    return meter(stream, (level) => {
      const element = bar.current;
      if (!element) return;
      element.style.setProperty('--level', level.toFixed(3));
      element.setAttribute('aria-valuenow', String(Math.round(level * 100)));
    });
  }, [stream]);
  return <div class="level" ref={bar} role="meter" aria-label="Sound level" aria-valuemin={0} aria-valuemax={100} aria-valuenow={0} />;
}
