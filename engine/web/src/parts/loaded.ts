// Something from the server that is asked for when a part appears, and again from time to time.

import { useCallback, useEffect, useRef, useState } from 'preact/hooks';

import { problemOf } from '../api/problem';
import type { Problem } from '../api/problem';

export interface Loaded<T> {
  /** `undefined` until the first answer. */
  value: T | undefined;
  problem: Problem | null;
  again(): void;
}

export function useLoaded<T>(load: () => Promise<T>, everyMs: number, keys: unknown[]): Loaded<T> {
  const [value, setValue] = useState<T | undefined>(undefined);
  const [problem, setProblem] = useState<Problem | null>(null);
  const latest = useRef(0);
  const again = useCallback(() => {
    const turn = ++latest.current;
    load().then(
      (value) => {
        if (turn !== latest.current) return;
        setValue(value);
        setProblem(null);
      },
      (error: unknown) => {
        if (turn === latest.current) setProblem(problemOf(error));
      },
    );
  }, keys);
  useEffect(() => {
    again();
    // A page that nobody looks at asks nothing.
    const timer = setInterval(() => document.visibilityState === 'visible' && again(), everyMs);
    return () => {
      clearInterval(timer);
      latest.current += 1;
    };
  }, [again, everyMs]);
  return { value, problem, again };
}
