// Tells whether this browser trusts the doorbell's certificate, or whether its user has clicked past a warning.
import { trustedUrl } from "./trusted_types.js";

/**
 * A browser runs a service worker only if its script came over a connection free of certificate errors, even after the
 * user clicked past the warning (Service Workers, "Update"; tests/browser/test_set_up_on_a_hostile_network.py).
 * `update` fetches the script again, because a worker from another day proves nothing about today. Private windows have
 * no service workers: false.
 */
export async function isCertificateTrusted() {
  try {
    const registration = await navigator.serviceWorker.register(trustedUrl("/worker-service.js"));
    await registration.update();
    return true;
  } catch {
    return false;
  }
}
