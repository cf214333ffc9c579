/**
 * The app on a stage: its own screens over `FakeClient`, in a scene that the address names (`?scene=charging`).
 *
 * For tests that look at every screen, and for working on one without a box: `npx vite test/stage`. Tests move the
 * scene on by `window.stage`.
 */
import '../../src/app/styles';
import { render } from 'preact';
import { startRouter } from '../../src/app/router';
import { Shell } from '../../src/app/shell';
import { FakeClient } from '../../src/client/fake';
import { OPERATING } from './operating';
import { SCENES } from './scenes';

declare global {
  interface Window {
    stage: FakeClient;
  }
}

const name = new URLSearchParams(location.search).get('scene') ?? 'ready';
const scene = SCENES[name] ?? OPERATING[name];
if (scene === undefined) throw new Error(`there is no scene ${name}`);
const client = new FakeClient();
client.nowMs = Date.now();
scene(client);
window.stage = client;
startRouter();
const place = document.getElementById('app');
if (place) render(<Shell client={client} />, place);
