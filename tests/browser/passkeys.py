"""Passkeys in the browser: an authenticator that answers without a finger."""

from __future__ import annotations

__all__ = ["PASSKEYS"]

PASSKEYS = """
const page = pages[args.name];
const keys = ((globalThis.keys ??= {})[args.name] ??= []);
const session = await page.context().newCDPSession(page);
await session.send("WebAuthn.enable");
const {authenticatorId} = await session.send("WebAuthn.addVirtualAuthenticator", {options: {protocol: "ctap2",
  ctap2Version: "ctap2_1", transport: "internal", hasResidentKey: true, hasUserVerification: true,
  isUserVerified: true, automaticPresenceSimulation: true}});
for (const credential of keys) await session.send("WebAuthn.addCredential", {authenticatorId, credential});
session.on("WebAuthn.credentialAdded", ({credential}) => keys.push(credential));
"""
"""Gives the page an authenticator with the person's passkeys. Chromium forgets it when a page of the desk is left."""
