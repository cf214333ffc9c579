/** Of the build: the service worker with the list of what it keeps, and each text file in its compressed forms. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { extname, join, relative, sep } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import type { Plugin } from 'vite';

const TEXT = new Set(['.css', '.html', '.js', '.json', '.svg', '.webmanifest']);
/** Smaller files are sent as they are: the header would cost as much. */
const WORTH_BYTES = 512;

export function shell(folder: string): Plugin {
  const worker = new URL('./worker.js', import.meta.url);
  return {
    name: 'plugside-shell',
    apply: 'build',
    closeBundle() {
      const files = walk(folder);
      const kept = ['/', ...files.map((file) => `/${file}`).filter((path) => path !== '/index.html')];
      const version = createHash('sha256');
      for (const file of files) version.update(file).update(readFileSync(join(folder, file)));
      const text = readFileSync(worker, 'utf8')
        .replace("'__FILES__'", kept.map((path) => JSON.stringify(path)).join(', '))
        .replace('__VERSION__', version.digest('hex').slice(0, 16));
      writeFileSync(join(folder, 'sw.js'), text);
      for (const file of [...files, 'sw.js']) compress(join(folder, file));
    },
  };
}

function walk(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort();
}

function compress(path: string): void {
  const content = readFileSync(path);
  if (!TEXT.has(extname(path)) || content.length < WORTH_BYTES) return;
  const params = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
  writeFileSync(`${path}.br`, brotliCompressSync(content, { params }));
  writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }));
}
