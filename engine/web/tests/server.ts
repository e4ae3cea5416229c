// The real server, with a configuration of the test's own, on free ports of loopback.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const HERE = new URL('.', import.meta.url).pathname;
const TARGET = process.env.CARGO_TARGET_DIR ?? join(HERE, '../../../target');
const BINARY = process.env.SKYWAVE_BINARY ?? join(TARGET, 'debug/skywave');

/** Behind the token of publishers. */
export const PUBLISH_TOKEN = 'a-token-of-publishers';

export class Skywave {
  url = '';
  log = '';
  private child: ChildProcess | null = null;
  private folder = '';
  private options: string[] = [];

  /** Starts it; `more` is added to the configuration. */
  async start(more = ''): Promise<void> {
    if (!existsSync(BINARY)) throw new Error(`no ${BINARY}: cargo build -p engine-server`);
    this.folder = mkdtempSync(join(tmpdir(), 'skywave-'));
    const [http, rtc] = [await freePort(), await freePort()];
    const file = join(this.folder, 'skywave.toml');
    writeFileSync(
      file,
      `[[listen]]\naddress = "127.0.0.1:${http}"\n` +
        `[rtc]\nlisten = ["127.0.0.1:${rtc}"]\npublish_tokens = ["${PUBLISH_TOKEN}"]\n${more}`,
    );
    this.options = ['--config', file, '--data-dir', this.folder];
    this.url = `http://127.0.0.1:${http}`;
    await this.run();
  }

  /** Ends it hard and starts it again, as after a crash. */
  async restart(): Promise<void> {
    await this.kill();
    await this.run();
  }

  async stop(): Promise<void> {
    await this.kill();
    if (this.folder) rmSync(this.folder, { recursive: true, force: true });
  }

  private async run(): Promise<void> {
    const child = spawn(BINARY, this.options, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => (this.log += chunk.toString()));
    }
    const deadline = Date.now() + 30_000;
    while (Date.now() < deadline && child.exitCode === null) {
      if (await fetch(`${this.url}/ready`).then(({ ok }) => ok, () => false)) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`the server did not start:\n${this.log}`);
  }

  private async kill(): Promise<void> {
    const child = this.child;
    this.child = null;
    if (!child || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
