// All pages, in the order of the navigation. A new page is one file in `pages/` and one line here.

import type { ComponentType } from 'preact';
import type { IconNode } from 'lucide';

import { CallPage } from './pages/call';
import { HomePage } from './pages/home';
import { PublishPage } from './pages/publish';
import { RecordingsPage } from './pages/recordings';
import { SettingsPage } from './pages/settings';
import { StatusPage } from './pages/status';
import { WatchPage } from './pages/watch';
import { Activity, CirclePlay, Film, House, Phone, Radio, Settings } from './parts/icons';

export interface Page {
  /** The first part of its path below `/app/`; empty for the first page. */
  path: string;
  title: string;
  icon: IconNode;
  view: ComponentType<{ argument: string }>;
}

export const PAGES: Page[] = [
  { path: '', title: 'Home', icon: House, view: HomePage },
  { path: 'watch', title: 'Watch', icon: CirclePlay, view: WatchPage },
  { path: 'publish', title: 'Publish', icon: Radio, view: PublishPage },
  { path: 'call', title: 'Call', icon: Phone, view: CallPage },
  { path: 'recordings', title: 'Recordings', icon: Film, view: RecordingsPage },
  { path: 'status', title: 'Status', icon: Activity, view: StatusPage },
  { path: 'settings', title: 'Settings', icon: Settings, view: SettingsPage },
];
