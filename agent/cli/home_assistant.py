"""`doorward home-assistant remove`: take the doorbell out of Home Assistant."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.frame import Group, config_option
from agent.cli.language import say
from agent.config import load

__all__ = ["home_assistant", "remove_entities"]

_PATIENCE_S = 10.0


@click.group(name="home-assistant", cls=Group)
def home_assistant() -> None:
    """Remove the doorbell from Home Assistant.

    It appears there automatically if [home_assistant] names the broker.
    """


@home_assistant.command()
@config_option
def remove(config: Path) -> None:
    """Remove the doorbell and all its entities from Home Assistant.

    Take [home_assistant] out of the configuration as well, and restart: a running doorbell would come back.
    """
    if remove_entities(config):
        say("The doorbell was removed from Home Assistant.")
    else:
        say("No [home_assistant] is configured: nothing to remove.")


def remove_entities(config: Path) -> bool:
    """Returns False if none is configured. Raises `NetworkError` if the broker cannot be reached."""
    from agent.core.home import HomeTopics
    from agent.custodian.home_setup import home_address
    from agent.custodian.state_folder import StateFolder
    from agent.uplink.home_assistant import farewell
    from agent.uplink.home_mqtt import MqttHomeBus
    from agent.wire.identities import public_key_of

    configuration = load(config)
    if configuration.home_assistant is None:
        return False
    device = public_key_of(StateFolder(configuration.device.state_dir).device_key()).id
    # The name at the broker differs from the running doorbell's, or the two would throw each other out.
    bus = MqttHomeBus(home_address(configuration, f"{device}-remove", ""))
    bus.start()
    try:
        bus.wait_connected(_PATIENCE_S)
        farewell(bus, HomeTopics(device, configuration.home_assistant.prefix))
    finally:
        bus.stop()
    return True
