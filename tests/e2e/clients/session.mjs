// A charger on `ocpp-rpc`: the library dials, redials with back-off, queues and checks every frame against its
// own schemas; this file adds what a firmware does on top: a meter, a plug, a tag reader, one transaction at a
// time, and transaction messages that are repeated, in order, until they are answered.
//
//     node session.mjs URL IDENTITY [sample ms] [Wh a sample] [ms until a call is given up]
//
// Commands come on stdin and reports leave on stdout, one JSON object a line.

import { createInterface } from 'node:readline';
import { RPCClient } from 'ocpp-rpc';

const [endpoint, identity, sampleMs = '100', sampleWh = '137', patienceMs = '30000'] = process.argv.slice(2);
const report = (event, more = {}) => console.log(JSON.stringify({ event, ...more }));
const now = () => new Date().toISOString();
const client = new RPCClient({
  endpoint, identity, protocols: ['ocpp1.6'], strictMode: true, callTimeoutMs: Number(patienceMs), pingIntervalMs: 0,
  backoff: { initialDelay: 100, maxDelay: 400, factor: 2, randomisationFactor: 0.25 },
});
let register = 840_213, plugged = false, transaction = null, booted = false, delivery = Promise.resolve();

// Transaction messages: one after the other; the library gives up a call when its socket goes, we do not.
function deliver(method, params) {
  const attempt = async () => {
    for (let attempts = 1; ; attempts += 1) {
      try {
        const answer = await client.call(method, params());
        report('delivered', { method, attempts, answer });
        return answer;
      } catch (failed) {
        if (failed.name !== 'AbortError' && failed.constructor.name !== 'TimeoutError') {
          report('refused', { method, code: failed.rpcErrorCode ?? String(failed) });
          return null;
        }
        await new Promise((again) => setTimeout(again, 20));
      }
    }
  };
  delivery = delivery.then(attempt);
  return delivery;
}
const status = (value, connectorId = 1) => deliver('StatusNotification',
  () => ({ connectorId, errorCode: 'NoError', status: value, timestamp: now() }));

async function begin(idTag) {
  const mine = { start: register, id: -1, timestamp: now() };
  transaction = mine;
  mine.timer = setInterval(() => {
    register += Number(sampleWh);
    const meterValue = [{ timestamp: now(), sampledValue: [{ value: String(register), unit: 'Wh' }] }];
    deliver('MeterValues', () => ({ connectorId: 1, transactionId: mine.id, meterValue }));
  }, Number(sampleMs));
  const answer = await deliver('StartTransaction',
    () => ({ connectorId: 1, idTag, meterStart: mine.start, timestamp: mine.timestamp }));
  mine.id = answer.transactionId;
  report('started', { transaction: mine.id, status: answer.idTagInfo.status, start_wh: mine.start });
  if (answer.idTagInfo.status !== 'Accepted') end('DeAuthorized');
  else if (transaction === mine) status('Charging');
}
async function end(reason) {
  const mine = transaction;
  if (mine === null) return;
  transaction = null;
  clearInterval(mine.timer);
  register += 7;  // what flowed after the last sample
  const meterStop = register, timestamp = now();
  report('ended', { start_wh: mine.start, stop_wh: meterStop, reason });
  status('Finishing');
  await deliver('StopTransaction', () => ({ transactionId: mine.id, meterStop, timestamp, reason }));
  report('stopped', { transaction: mine.id, start_wh: mine.start, stop_wh: meterStop });
}

const commands = {
  plug() { plugged = true; status('Preparing'); },
  async tap({ tag }) {
    if (transaction !== null) { end('Local'); return; }
    const { idTagInfo } = await deliver('Authorize', () => ({ idTag: tag }));
    report('judged', { status: idTagInfo.status });
    if (idTagInfo.status === 'Accepted' && plugged) begin(tag);
  },
  tap_offline({ tag }) { begin(tag); },  // a tag that the charger believes in without asking
  unplug() { plugged = false; end('EVDisconnected'); status('Available'); },
  async quit() { await client.close(); process.exit(0); },
};

client.handle(async ({ method, params }) => {
  report('asked', { method, params });
  await new Promise(setImmediate);  // an answer that was read together with this has been taken in by then
  const able = { RemoteStartTransaction: plugged && transaction === null,
    RemoteStopTransaction: transaction !== null && transaction.id === params.transactionId }[method];
  if (able) setTimeout(() => (method === 'RemoteStartTransaction' ? begin(params.idTag) : end('Remote')), 20);
  if (method === 'GetConfiguration') return { configurationKey: [], unknownKey: params.key ?? [] };
  return { status: able || method === 'ChangeConfiguration' ? 'Accepted' : 'Rejected' };
});
client.on('strictValidationFailure', ({ method, outbound, error }) =>
  report('violation', { method, outbound, error: String(error.message) }));
client.on('badMessage', ({ error }) => report('bad', { error: String(error.message) }));
client.on('disconnect', () => report('disconnected'));
client.on('open', async () => {
  report('open', { protocol: client.protocol });
  if (booted) return;  // like several firmwares: no BootNotification when only the socket was lost
  booted = true;
  const answer = await deliver('BootNotification', () => ({ chargePointVendor: 'Elsewhere',
    chargePointModel: 'RPC', chargePointSerialNumber: `rpc-${identity}`, firmwareVersion: '2.2.1' }));
  await status('Available', 0);
  await status('Available');
  report('booted', { status: answer.status });
});
createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line);
  commands[command.do](command);
}).on('close', () => process.exit(0));  // whoever steered us is gone
client.connect().catch((failed) => { report('failed', { code: failed.code ?? String(failed) }); process.exit(1); });
