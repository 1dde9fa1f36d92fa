"""The demo day: three patients, real images, every edge of the server."""
