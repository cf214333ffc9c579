/** Which reservations are this device's: the site tells only the command by which a connector is kept. */
import { keep, kept } from '../kept';

const NAME = 'reservations';
/** Reservations last minutes; nobody has more at once. */
const KEPT_MAX = 20;

/** The commands by which this device has reserved something. */
export function reservations(): readonly string[] {
  return kept(NAME)?.split(' ') ?? [];
}

/** This command reserves something. */
export function reservedBy(command: string): void {
  keep(NAME, [command, ...reservations()].slice(0, KEPT_MAX).join(' '));
}
