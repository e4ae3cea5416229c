// A place where nothing is yet: what would be here, and how it comes.

import type { ComponentChildren } from 'preact';
import type { IconNode } from 'lucide';

import { Icon } from './icon';

export function Empty({ icon, title, children }: { icon: IconNode; title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <Icon of={icon} size={36} />
      <h2>{title}</h2>
      <div>{children}</div>
    </div>
  );
}
