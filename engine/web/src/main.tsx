// Where the pages start.

import { render } from 'preact';

import { App } from './app';
import { connect, watchNetwork } from './state/link';
import { followLinks } from './state/place';
import './style/tokens.css';
import './style/base.css';
import './style/parts.css';

followLinks();
watchNetwork();
connect();

const root = document.getElementById('app');
if (root) render(<App />, root);
