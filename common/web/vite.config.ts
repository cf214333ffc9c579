import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { shell } from './tools/shell.ts';

const out = fileURLToPath(new URL('./dist', import.meta.url));

// The app is served under its own origin only: no address of anybody else is built in, no script stands inside
// the page, and file names carry the hash of their content.
export default defineConfig({
  plugins: [shell(out)],
  build: {
    target: 'es2022',
    outDir: out,
    emptyOutDir: true,
    modulePreload: { polyfill: false },
    // A picture as a data: URL would want a wider content security policy.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
  test: { include: ['src/**/*.test.ts', 'src/**/*.test.tsx'], environment: 'node' },
});
