// What went wrong, and what to do about it.


import type { Problem } from '../api/problem';
import { Icon } from './icon';
import { TriangleAlert } from './icons';

export function ProblemBox({ of, again }: { of: Problem | null; again?: () => void }) {
  if (!of) return null;
  return (
    <div class="banner bad" role="alert">
      <Icon of={TriangleAlert} />
      <p>
        <b>{of.message}</b> {of.advice}
      </p>
      {again && (
        <button class="small" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}
