"""Live streams over a WebSocket: frames in, answers out; the newest frame wins."""
