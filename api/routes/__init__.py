"""Routes: two to ten lines each, from what came over HTTP to the room that does it."""
