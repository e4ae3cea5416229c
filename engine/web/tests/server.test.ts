// The pages as the server has them in it, with its own signalling and media.

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Browser } from 'playwright-core';

import { DESK, frames, launch, person, shot, until } from './browser';
import type { Person } from './browser';
import { PUBLISH_TOKEN, Skywave } from './server';

let browser: Browser;
let server: Skywave;
let people: Person[] = [];

beforeAll(async () => {
  browser = await launch();
  server = new Skywave();
  await server.start();
});
afterAll(async () => {
  await browser?.close();
  await server?.stop();
});
afterEach(async ({ task }) => {
  for (const { context } of people) await context.close();
  people = [];
  if (task.result?.state === 'fail') console.log(server.log.split('\n').slice(-40).join('\n'));
});

async function come(name: string, path = '/'): Promise<Person> {
  const someone = await person(browser, server.url + path, { name, viewport: DESK });
  people.push(someone);
  return someone;
}

function noComplaints(): void {
  for (const { complaints } of people) expect(complaints).toEqual([]);
}

describe('at the server itself', () => {
  test('two people see each other and the server’s own peer, and call', async () => {
    const ann = await come('Ann');
    const bob = await come('Bob');
    await ann.page.locator('[data-peer=icey]').waitFor();
    await ann.page.getByRole('button', { name: 'Call Bob' }).click();
    await bob.page.getByRole('button', { name: 'Accept' }).click();
    for (const { page } of [ann, bob]) {
      await page.locator('.stage[data-state=active]').waitFor();
      await until('pictures are shown', () => frames(page), ({ count }) => count > 10);
    }
    await ann.page.getByRole('button', { name: 'Hang up' }).click();
    await bob.page.getByText('the other side hung up').waitFor();
    noComplaints();
  });

  test('a server that dies and comes back is found again', async () => {
    const ann = await come('Ann');
    await ann.page.getByText('you', { exact: true }).waitFor();
    await server.restart();
    await ann.page.getByText('Reconnecting.').waitFor({ state: 'detached' });
    await ann.page.getByText('you', { exact: true }).waitFor();
    noComplaints();
  });

  test('what one publishes another watches, through the server', async () => {
    const ann = await come('Ann', '/app/publish/garden');
    await ann.page.getByRole('button', { name: 'Go live' }).click();
    await ann.page.getByText('The server does not let you publish here.').waitFor();
    await ann.page.getByLabel('Token').fill(PUBLISH_TOKEN);
    await ann.page.getByRole('button', { name: 'Go live' }).click();
    await ann.page.locator('.stage[data-state=live]').waitFor();
    const bob = await come('Bob');
    await bob.page.getByRole('link', { name: /garden/ }).click();
    await bob.page.locator('.stage[data-state=playing]').waitFor();
    await until('pictures are shown', () => frames(bob.page), ({ count, width }) => count > 30 && width > 0);
    await bob.page.keyboard.press('s');
    const statistics = bob.page.locator('.statistics');
    await until('a bitrate', () => statistics.innerText(), (text) => /Bitrate\s+([1-9]\d* kbit|[\d.]+ Mbit)/.test(text));
    await shot(bob.page, 'server-watch-desk-light');
    noComplaints();
  });

  test('a viewer chooses the size that it is sent', async () => {
    const ann = await come('Ann', '/app/publish/terrace');
    await ann.page.locator('details').evaluateAll((all) => all.forEach((it) => ((it as HTMLDetailsElement).open = true)));
    await ann.page.getByLabel('Several sizes at once').check();
    await ann.page.getByLabel('Token').fill(PUBLISH_TOKEN);
    await ann.page.getByRole('button', { name: 'Go live' }).click();
    await ann.page.locator('.stage[data-state=live]').waitFor();
    const bob = await come('Bob', '/app/watch/terrace');
    const size = bob.page.getByLabel('Size', { exact: true });
    await size.waitFor();
    const whole = await until('pictures are shown', () => frames(bob.page), ({ width }) => width > 0);
    await size.selectOption('q');
    const small = await until('they are small', () => frames(bob.page), ({ width }) => width > 0 && width <= whole.width / 2);
    await shot(bob.page, 'server-watch-size-desk-light');
    await size.selectOption('');
    expect(await size.inputValue()).toBe('');
    await until('they go on', () => frames(bob.page), ({ count }) => count > small.count + 25);
    noComplaints();
  });

  test('who may not know what is live is not told that nothing is', async () => {
    const guarded = new Skywave();
    await guarded.start('[auth]\ntokens = ["secret"]\n');
    try {
      const ann = await person(browser, guarded.url, { name: 'Ann', viewport: DESK });
      people.push(ann);
      await ann.page.getByText('The server does not tell you which streams are live.').waitFor();
      await ann.page.getByRole('link', { name: 'Watch' }).first().click();
      await ann.page.getByText('The server does not let you list its streams.').waitFor();
      expect(await ann.page.getByText('No stream is live').count()).toBe(0);
      await ann.page.goto(`${guarded.url}/app/watch?token=secret`);
      await ann.page.getByText('No stream is live').waitFor();
    } finally {
      await guarded.stop();
    }
  });

  test('the status is this server’s', async () => {
    const ann = await come('Ann', '/app/status');
    await ann.page.getByText('online as Ann').waitFor();
    await ann.page.getByText(/Skywave\/\d/).waitFor();
    await shot(ann.page, 'server-status-desk-light');
    noComplaints();
  });
});
