// Two kinds of tests: modules alone, and the built pages in a real browser.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // One browser at a time: each is several processes.
    fileParallelism: false,
    projects: [
      { test: { name: 'unit', include: ['src/**/*.test.ts'], environment: 'node' } },
      {
        test: {
          name: 'pages',
          include: ['tests/*.test.ts'],
          environment: 'node',
          // A machine that is busy with other tests is late, not wrong.
          testTimeout: 60_000,
          hookTimeout: 120_000,
          retry: process.env.CI ? 1 : 0,
        },
      },
    ],
  },
});
