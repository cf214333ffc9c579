// A central system on npm's `ocpp-rpc`, checking every frame against its schemas: it answers and stores nothing.
//
//     node central.mjs      prints READY {"port": …}; ends when its standard input does

import { createRequire } from 'node:module';

const require = createRequire(new URL('../e2e/clients/package.json', import.meta.url));
const { RPCServer } = require('ocpp-rpc');

const now = () => new Date().toISOString();
let transactions = 0;
const answers = {
  BootNotification: () => ({ status: 'Accepted', currentTime: now(), interval: 300 }),
  Heartbeat: () => ({ currentTime: now() }),
  StatusNotification: () => ({}),
  MeterValues: () => ({}),
  StartTransaction: () => ({ transactionId: (transactions += 1), idTagInfo: { status: 'Accepted' } }),
  StopTransaction: () => ({}),
};

const server = new RPCServer({ protocols: ['ocpp1.6'], strictMode: true });
server.on('client', (client) => {
  for (const [action, answer] of Object.entries(answers)) client.handle(action, answer);
});
const listening = await server.listen(0, '127.0.0.1');
console.log(`READY {"port":${listening.address().port}}`);
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
