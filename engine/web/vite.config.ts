// How the pages are built, and served while they are written (`npm run dev` beside a server).
import { defineConfig } from 'vite';
import { compression, defineAlgorithm } from 'vite-plugin-compression2';
import { constants } from 'node:zlib';

const server = process.env.SKYWAVE_URL ?? 'http://127.0.0.1:8000';
const served = ['/ws', '/api', '/artifacts', '/whip', '/whep', '/ice-servers', '/status-json.xsl'];

export default defineConfig({
  esbuild: { jsx: 'automatic', jsxImportSource: 'preact', legalComments: 'none' },
  build: {
    target: 'es2022',
    outDir: 'built/pages',
    emptyOutDir: true,
    // Everything with a hash in its name is here, and may be kept for ever.
    assetsDir: 'assets',
    // One small icon is no reason for a longer style sheet.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  plugins: [
    // The server compresses nothing while it serves: the variants are made here, once.
    compression({
      include: /\.(html|js|css|svg|json|txt|webmanifest)$/,
      threshold: 256,
      algorithms: [
        defineAlgorithm('gzip', { level: 9 }),
        defineAlgorithm('brotliCompress', {
          params: { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY },
        }),
      ],
    }),
  ],
  server: {
    proxy: Object.fromEntries(
      served.map((path) => [path, { target: server, ws: path === '/ws', changeOrigin: false }]),
    ),
  },
});
