import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

// The client alone as one script, for the tests that run it in a browser against real processes.
export default defineConfig({
  root: here('.'),
  publicDir: false,
  build: {
    target: 'es2022',
    minify: false,
    lib: { entry: here('./page.ts'), formats: ['iife'], name: 'unused', fileName: () => 'client.js' },
  },
});
