"""Labels the frames of an event: person, vehicle or animal.

    picture, what moved ──▶ framing ──▶ a network (a port) ──▶ boxes ──▶ sightings ──▶ votes ──▶ what the event shows

A label is an estimate: wrong now and then, always late, and sometimes absent. Recording and sharing must work without
it.
"""
