// The push subscription of this browser, with which it gets the doorbell's alerts.

const registration = async () => navigator.serviceWorker?.getRegistration();

/** This browser's subscription, or null or undefined if it gets no alerts. */
export const subscription = async () => (await registration())?.pushManager?.getSubscription();

/**
 * Ends the alerts of this browser from its side, without a signature, and closes those that are shown. The doorbell's
 * owners see that the browser cannot be reached.
 */
export async function endSubscription() {
  await (await subscription())?.unsubscribe();
  for (const each of (await (await registration())?.getNotifications()) ?? []) each.close();
}
