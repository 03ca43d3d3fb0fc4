"""Says, as a second opinion on the frames of an event, whether a person, vehicle, animal or parcel is in them.

    luma ──▶ framing ──▶ a network (a port) ──▶ boxes ──▶ sightings ──▶ votes ──▶ what the event shows

Its result is an opinion: wrong now and then, always late, and sometimes absent. Recording and sharing must work without
it.
"""
