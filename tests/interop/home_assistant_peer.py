"""A real Home Assistant, run by the Python that has it: prints what the doorbell's entities show, line by line.

`python home_assistant_peer.py FOLDER PORT USER PASSWORD` (of an environment with `pip install homeassistant paho-mqtt`)
sets up its MQTT integration against that broker and then, for each line of standard input, prints one JSON object:
entity id → state, and under "devices" how many devices its registry has.  It imports nothing of ours.
"""

import asyncio
import json
import logging
import sys
from pathlib import Path

from homeassistant import bootstrap, runner
from homeassistant.helpers import device_registry

ENTRY = {
    "created_at": "2026-01-01T00:00:00+00:00", "modified_at": "2026-01-01T00:00:00+00:00", "disabled_by": None,
    "discovery_keys": {}, "domain": "mqtt", "entry_id": "doorwardtest", "minor_version": 1, "options": {},
    "pref_disable_new_entities": False, "pref_disable_polling": False, "source": "user", "subentries": [],
    "title": "MQTT", "unique_id": None, "version": 1,
}  # fmt: skip


async def main(folder: Path, port: int, user: str, password: str) -> None:
    (folder / ".storage").mkdir(parents=True)
    (folder / "configuration.yaml").write_text("logger:\n  default: warning\n")
    data = {"broker": "127.0.0.1", "port": port, "username": user, "password": password, "discovery": True}
    entries = {
        "version": 1, "minor_version": 5, "key": "core.config_entries",
        "data": {"entries": [{**ENTRY, "data": data}]},
    }  # fmt: skip
    (folder / ".storage" / "core.config_entries").write_text(json.dumps(entries))
    config = runner.RuntimeConfig(config_dir=str(folder), skip_pip=True, skip_pip_packages=[], recovery_mode=False)
    hass = await bootstrap.async_setup_hass(config)
    assert hass is not None
    await hass.async_start()
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        await hass.async_block_till_done()
        devices = device_registry.async_get(hass).devices.values()
        ours = [each for each in devices if each.manufacturer == "Doorward"]
        shown = {
            state.entity_id: {"state": state.state, "attributes": dict(state.attributes)}
            for state in hass.states.async_all()
            if state.entity_id.split(".")[0] in ("event", "binary_sensor", "sensor") and "door" in state.entity_id
        }
        print(json.dumps({"devices": len(ours), "entities": shown}, default=str), flush=True)
    await hass.async_stop(force=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]))
