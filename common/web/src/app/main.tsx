/** The entry: open the client, follow the address, draw the shell, and keep it for a start with no network. */
import './styles';
import { render } from 'preact';
import { Client } from '../client';
import { keepShell } from '../pwa';
import { startRouter } from './router';
import { Shell } from './shell';

const client = await Client.open();
startRouter();
const place = document.getElementById('app');
if (place) render(<Shell client={client} />, place);
void keepShell();
