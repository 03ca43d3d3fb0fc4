"""Says, as a second opinion on the frames of an event, whether a person, vehicle, animal or parcel is in them.

    luma ──▶ framing ──▶ a network (a port) ──▶ boxes ──▶ sightings ──▶ votes ──▶ what the event shows

It is an opinion: wrong now and then, late always, and sometimes absent.  Nothing that must not fail rests on it.
"""
