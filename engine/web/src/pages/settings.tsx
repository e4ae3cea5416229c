// What one can choose: a name, a token, how it looks.

import { useState } from 'preact/hooks';

import { connect, linkState } from '../state/link';
import { name, rememberToken, theme, token } from '../state/settings';
import type { Theme } from '../state/settings';

const THEMES: [Theme, string][] = [
  ['auto', 'As the system'],
  ['light', 'Light'],
  ['dark', 'Dark'],
];

export function SettingsPage() {
  const [draftName, setDraftName] = useState(name.value);
  const [draftToken, setDraftToken] = useState(token.value);
  const [isSaved, setSaved] = useState(false);
  const save = () => {
    name.value = draftName.trim() || 'Guest';
    token.value = draftToken.trim();
    setSaved(true);
    connect();
  };
  return (
    <>
      <h1>Settings</h1>
      <form
        class="fields card-like"
        onSubmit={(event) => {
          event.preventDefault();
          save();
        }}
      >
        <label>
          Your name, as others see it
          <input value={draftName} maxLength={64} autocomplete="nickname" onInput={(event) => setDraftName(event.currentTarget.value)} />
        </label>
        <label>
          Token
          <input type="password" value={draftToken} autocomplete="off" placeholder="where the server asks for one" onInput={(event) => setDraftToken(event.currentTarget.value)} />
        </label>
        <label class="check">
          <input type="checkbox" checked={rememberToken.value} onChange={(event) => (rememberToken.value = event.currentTarget.checked)} />
          Remember the token in this browser
        </label>
        <div class="line">
          <button class="primary">Save and reconnect</button>
          {isSaved && (
            <span class="quiet" role="status">
              {linkState.value === 'online' ? 'Saved, and online.' : 'Saved.'}
            </span>
          )}
        </div>
      </form>
      <fieldset class="choice">
        <legend>Colours</legend>
        {THEMES.map(([value, word]) => (
          <label key={value}>
            <input type="radio" name="theme" checked={theme.value === value} onChange={() => (theme.value = value)} />
            <span>{word}</span>
          </label>
        ))}
      </fieldset>
      <section aria-labelledby="keys">
        <h2 id="keys">Keys</h2>
        <dl class="keys">
          <dt><kbd>S</kbd></dt><dd>Statistics over the picture, on Watch</dd>
          <dt><kbd>E</kbd></dt><dd>Motion and voice over the picture, on Watch</dd>
          <dt><kbd>M</kbd></dt><dd>Mute yourself, in a call</dd>
          <dt><kbd>V</kbd></dt><dd>Your camera on or off, in a call</dd>
        </dl>
      </section>
    </>
  );
}
