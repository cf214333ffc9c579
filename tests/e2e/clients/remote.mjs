// A charger on `ocpp-ts`: a second opinion on framing and schemas, of another author. It obeys one remote start
// and one remote stop, and ends. It neither queues nor redials, like the simplest stacks.
//
//     node remote.mjs URL IDENTITY            reports leave on stdout, one JSON object a line

import ocpp from 'ocpp-ts';

const [endpoint, identity] = process.argv.slice(2);
const report = (event, more = {}) => console.log(JSON.stringify({ event, ...more }));
const now = () => new Date().toISOString();
const client = new ocpp.OcppClient(identity);
const status = (value) => client.callRequest('StatusNotification',
  { connectorId: 1, errorCode: 'NoError', status: value, timestamp: now() });
let running = null, register = 52_000;

async function begin(idTag) {
  const start = register;
  const { transactionId, idTagInfo } = await client.callRequest('StartTransaction',
    { connectorId: 1, idTag, meterStart: start, timestamp: now() });
  running = { id: transactionId, start };
  await status('Charging');
  report('started', { transaction: transactionId, status: idTagInfo.status, start_wh: start });
  register += 2_750;
  await client.callRequest('MeterValues', { connectorId: 1, transactionId,
    meterValue: [{ timestamp: now(), sampledValue: [{ value: (register / 1000).toFixed(3), unit: 'kWh' }] }] });
  report('metered', { register_wh: register });
}
async function end() {
  const { id, start } = running;
  await client.callRequest('StopTransaction',
    { transactionId: id, meterStop: register, timestamp: now(), reason: 'Remote' });
  await status('Finishing');
  report('stopped', { transaction: id, start_wh: start, stop_wh: register });
  process.exit(0);
}

client.on('RemoteStartTransaction', (asked, answer) => {
  report('asked', { method: 'RemoteStartTransaction', params: asked });
  answer({ status: 'Accepted' });
  begin(asked.idTag);
});
client.on('RemoteStopTransaction', (asked, answer) => {
  report('asked', { method: 'RemoteStopTransaction', params: asked });
  const fits = running?.id === asked.transactionId;
  answer({ status: fits ? 'Accepted' : 'Rejected' });
  if (fits) end();
});
client.on('GetConfiguration', (asked, answer) => answer({ configurationKey: [], unknownKey: asked.key ?? [] }));
client.on('ChangeConfiguration', (_, answer) => answer({ status: 'Accepted' }));
client.on('TriggerMessage', (_, answer) => answer({ status: 'NotImplemented' }));
client.on('error', (failed) => { report('failed', { error: failed.message }); process.exit(1); });
client.on('close', (code) => { report('disconnected', { code }); process.exit(1); });
client.on('connect', async () => {
  const { status: boot } = await client.callRequest('BootNotification',
    { chargePointVendor: 'Another', chargePointModel: 'TS', chargePointSerialNumber: `ts-${identity}` });
  await status('Preparing');
  report('booted', { status: boot });
});
client.connect(`${endpoint}/`);
process.stdin.on('end', () => process.exit(0)).resume();  // whoever steered us is gone
