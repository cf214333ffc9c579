/** First segments of the driver's places. */
export const DRIVER_ROUTES: ReadonlySet<string> = new Set(['chargers', 'at', 'history', 'settings']);
