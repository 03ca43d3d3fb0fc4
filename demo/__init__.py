"""The main job, played for real: a camera, a broker, an owner, two requesters and a thief."""
